"""torchvision data sets on disk are read with their labels, and nothing is downloaded."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import ImageError
from core.images.load import load_images
from tests.hostile_images import encoded


def test_mnist_is_read_from_disk(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    digits = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        images = struct.pack(">IIII", 2051, 7, 28, 28) + digits.tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 7) + bytes(range(7)))
    found = load_images(f"torchvision:MNIST?root={tmp_path}&split=train")
    assert torch.equal((found.pixels[:, 0] * 255).round().byte(), torch.from_numpy(digits))
    assert found.labels.tolist() == list(range(7))
    assert found.class_names[3] == "3 - three"
    few = load_images(f"torchvision:MNIST?most=3&root={tmp_path}&size=32&channels=3")
    assert few.pixels.shape == (3, 3, 32, 32)
    assert few.names == ("MNIST test 0", "MNIST test 3", "MNIST test 6")


def test_imagenette_is_read_from_its_folders(tmp_path: Path) -> None:
    for wnid in ("n01440764", "n02102040"):
        folder = tmp_path / "imagenette2" / "val" / wnid
        folder.mkdir(parents=True)
        (folder / f"{wnid}_1.JPEG").write_bytes(encoded("JPEG"))
    found = load_images(f"torchvision:Imagenette?root={tmp_path}&size=16")
    assert found.pixels.shape == (2, 3, 16, 16)
    assert found.words[0] == "tench"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("torchvision:CIFAR10?root=nowhere", "expected CIFAR10 in 'nowhere' as torchvision keeps it"),
        ("torchvision:MNIST?root=nowhere", r"fetch it with torchvision\.datasets\.MNIST\(root, download=True\)"),
        ("torchvision:MNIST", "expected torchvision:MNIST\\?root=FOLDER"),
        ("torchvision:MNIST?root=.&split=half", "with a part out of test, train"),
        ("torchvision:Cars", "expected a data set out of CIFAR10, .*, got 'Cars'"),
    ],
)
def test_a_missing_data_set_is_reported(source: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load_images(source)


def test_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def never(*args: object, **settings: object) -> None:
        pytest.fail("a data set was fetched")

    monkeypatch.setattr(socket.socket, "connect", never)
    with pytest.raises(ImageError):
        load_images(f"torchvision:CIFAR10?root={tmp_path}")
    assert list(tmp_path.iterdir()) == []
