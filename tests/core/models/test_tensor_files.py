"""Files of weights as programs write them are read to the last number, whatever lies at their path meanwhile."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import CheckpointError
from core.models import state_dicts
from core.models.load import load_classifier
from core.models.state_dicts import read_state_dicts, read_tensors, shards
from tests.core.models.test_checkpoints import FACTS, small
from tests.hostile import net, saved


def read(content: bytes, folder: Path) -> Any:
    (folder / "net.pt").write_bytes(content)
    return read_tensors([folder / "net.pt"], own=True)[0]


def quantised() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch gives them up, files of them remain
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64])
def test_newer_dtypes_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    values = torch.arange(12).to(dtype).view(3, 4)
    found = read(saved({"w": values, "part": values[1:], "tied": values}), tmp_path)
    wanted = values.float() if values.is_floating_point() else values
    assert torch.equal(found["w"].double(), wanted.double())
    assert torch.equal(found["part"].double(), wanted[1:].double())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("old", [False, True])
def test_every_protocol_is_read(protocol: int, old: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"state_dict": net()}, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not old)
    found, _ = read_tensors([path], own=True)
    assert torch.equal(found["state_dict"]["fc.weight"], net()["fc.weight"])


@pytest.mark.parametrize("name", ["models.pt", "models.pth", "model.json.pt", "code.pt", "archive_format.pt"])
def test_the_name_of_a_file_does_not_make_it_a_program(name: str, tmp_path: Path) -> None:
    torch.save(net(), tmp_path / name)  # names the folder inside by the file
    found, _ = read_tensors([tmp_path / name], own=True)
    assert torch.equal(found["fc.weight"], net()["fc.weight"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: {"w": torch.randn(4, dtype=torch.cfloat).conj().imag}, "kept as the negative or conjugate"),
        (lambda: {"w": torch.ones(2), "f": torch.ones(2, dtype=torch.cfloat)}, "f has sparse, quantised or complex"),
        (lambda: {**net(), "e": torch.eye(3).to_sparse()}, "has sparse, quantised or complex"),
        (lambda: {**net(), "e": quantised()}, "sparse, quantised"),
    ],
)
def test_tensors_that_are_not_dense_and_real_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        read(saved(content()), tmp_path)


def test_expanded_buffers_and_long_whole_numbers_are_read(tmp_path: Path) -> None:
    kept = {"mask": torch.ones(1).expand(64), "grid": torch.arange(49.0).expand(49, 49), "seed": 2**300}
    half = torch.rand(100, 100).half()
    found = read(saved({**net(), **kept, "a": half, "b": half.T, "c": half.view(50, 200)}), tmp_path)
    assert torch.equal(found["mask"], torch.ones(64))
    assert torch.equal(found["grid"], kept["grid"])
    assert torch.equal(found["b"], half.T.float())


def test_the_file_that_is_checked_is_the_file_that_is_loaded(tmp_path: Path) -> None:
    """Another file takes its place as soon as it is open, as a training program does with its last checkpoint."""
    path, other = tmp_path / "last.pt", tmp_path / "next.pt"
    torch.save({"a.weight": torch.full((100,), 1.0), "b.weight": torch.full((300,), 2.0)}, path)
    torch.save({"b.weight": torch.full((300,), 7.0), "a.weight": torch.full((100,), 9.0)}, other)
    swapped: list[float] = []

    def swap(fraction: float) -> None:
        if not swapped:
            other.replace(path)
        swapped.append(fraction)

    (found,) = read_state_dicts([path], on_progress=swap)
    assert swapped
    assert {float(value) for value in found.tensors["a.weight"]} == {1.0}
    assert {float(value) for value in found.tensors["b.weight"]} == {2.0}


def test_weights_survive_emptying_their_file(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(saved(net()))
    (found,) = read_state_dicts([path])
    path.write_bytes(b"")
    assert torch.equal(found.tensors["fc.weight"], net()["fc.weight"])


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(saved(net()))

    def grow(fraction: float) -> None:
        with path.open("ab") as file:
            file.write(b"x")

    with pytest.raises(CheckpointError, match="to stay as it is, it changed while it was read|something lies before"):
        read_state_dicts([path], on_progress=grow)


def test_an_upload_stays_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    before = state_dicts._mapped
    monkeypatch.setattr(
        state_dicts, "_mapped", lambda file, copied: asked.append(copied) or before(file, copied=copied)
    )
    (tmp_path / "net.pt").write_bytes(saved(net()))
    read_state_dicts([tmp_path / "net.pt"], kept=True)
    read_state_dicts([tmp_path / "net.pt"])
    assert asked == [False, True]


def test_devices_are_neither_lists_nor_indices(tmp_path: Path) -> None:
    (tmp_path / "names.txt").symlink_to("/dev/zero")
    (tmp_path / "m.index.json").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="found no file 'names.txt'"):
        load_classifier(f"torchvision:squeezenet1_1:untrained?names=file:{tmp_path}/names.txt", "cpu")
    with pytest.raises(CheckpointError, match="is no file; name a file of weights"):
        shards(tmp_path / "m.index.json")
    with pytest.raises(CheckpointError, match="add --trust"):
        load_classifier(f"torchvision:squeezenet1_1:untrained?names=file:{tmp_path}/n.txt", "cpu", trust=False)


def test_an_architecture_has_no_more_parts_than_the_file_has_tensors(tmp_path: Path) -> None:
    from core.models.checkpoints import write_checkpoint

    write_checkpoint(tmp_path / "net.safetensors", small(), {**FACTS, "arguments": {"widths": [1] * 10_000}})
    with pytest.raises(CheckpointError, match="its arguments are not those of strided"):
        load_classifier(tmp_path / "net.safetensors", "cpu")


def test_indices_of_shards(tmp_path: Path) -> None:
    index = tmp_path / "m.index.json"
    for said in ({"a": [{}]}, {"a": "../b"}, {"a": "b\0"}, {}):
        index.write_text(json.dumps({"weight_map": said}))
        with pytest.raises(CheckpointError, match="expected"):
            shards(index)
