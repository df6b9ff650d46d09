"""Demo sets at any size, and what `load_images` makes of files and folders."""

from __future__ import annotations

import gc
import io
import re
import struct
import subprocess
import sys
import warnings
import zlib
from collections import OrderedDict
from pathlib import Path
from weakref import WeakSet

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import ImageError
from core.images import load
from core.images.files import read_picture
from core.images.load import demo_images_of, load_images
from core.sources.images import Fit
from core.sources.models import ASSETS
from core.training.data import PHOTOS


def save(path: Path, array: object, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path, **options)
    return path


RAMP = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@pytest.mark.parametrize(
    ("name", "shape", "classes"), [("photos", (540, 3, 32, 32), 9), ("digits", (500, 1, 32, 32), 10)]
)
def test_demo_sets_contain_the_classes_in_turn(name, shape, classes) -> None:
    images = load_images(f"demo:{name}")
    assert images.pixels.shape == shape
    assert len(images.class_names) == classes
    assert images.source == f"demo:{name}"
    assert len(set(images.names)) == len(images)
    assert images.labels[: 3 * classes].tolist() == list(range(classes)) * 3
    counts = images.labels.bincount()
    assert counts.max() - counts.min() <= (0 if name == "photos" else 3)
    assert images.names[classes] == f"{images.class_names[0]} #1"


def test_demo_sets_are_read_once() -> None:
    assert load_images("demo:digits") is load_images("demo:digits")


def test_demo_sets_can_be_enlarged() -> None:
    large = load_images("demo:digits", size=64)
    assert large.pixels.shape == (500, 1, 64, 64)
    small = torch.nn.functional.avg_pool2d(large.pixels, 2)
    assert (small - load_images("demo:digits").pixels).abs().mean() < 0.02
    assert load_images("demo:photos", size=(8, 16)).pixels.shape == (540, 3, 8, 16)


def test_resized_demo_sets_are_cached_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_sizes", OrderedDict())
    monkeypatch.setattr(load, "_in_use", WeakSet())
    each = 4 * 3 * 32 * 32 * 540  # the whole set at 32 pixels
    monkeypatch.setattr(load, "_MOST_KEPT", int(2.5 * each))
    monkeypatch.setattr(load, "_MOST_IN_USE", int(3.5 * each))
    first = load_images("demo:photos@32")
    assert load_images("demo:photos@32") is first
    load_images("demo:photos@31")
    load_images("demo:photos@30")
    assert list(load._sizes) == ["demo:photos@31", "demo:photos@30"]  # the one asked for longest ago is gone
    for side in range(8, 40):  # none of which stays in use
        load_images(f"demo:photos@{side}")
        assert sum(kept.pixels.nbytes for kept in load._sizes.values()) <= 2.5 * each
    held = [first, load_images("demo:photos@33")]
    with pytest.raises(ImageError, match=r"^expected room for demo:photos@40, .* fill it; try again later$"):
        load_images("demo:photos@40")
    del first, held
    gc.collect()
    assert load_images("demo:photos@40").pixels.shape[2:] == (40, 40)


@pytest.mark.parametrize(
    ("source", "fits"),
    [
        ("demo:photos", True),
        ("demo:photos@32", True),
        ("demo:photos@1024", False),
        ("demo:digits", False),
        ("demo:digits@32", False),
        ("pictures.zip?size=32&channels=3", True),
        ("pictures.zip?size=32", True),  # for all that is known before it is read
        ("pictures.zip?size=4096", False),
        ("upload:ab?size=32x33", False),
        ("upload:ab?channels=1", False),
    ],
)
def test_too_large_demo_sets_are_refused_before_they_are_made(
    source: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "_resized", lambda *args: pytest.fail("images were made"))
    if fits:
        load.check_shape(source, (3, 32, 32), "m")
    else:
        with pytest.raises(ImageError, match="expected images of n x 3 x 32 x 32 for m, got n x .*; resize"):
            load.check_shape(source, (3, 32, 32), "m")


def test_the_licence_of_every_photograph_is_recorded() -> None:
    card = (ASSETS / "images" / "photos.md").read_text(encoding="utf-8")
    rows = {cells[0].strip(): cells for line in card.splitlines() if len(cells := line.strip("|").split("|")) == 6}
    assert set(PHOTOS) <= rows.keys()
    for name in PHOTOS:
        _, picture, author, licence, source, file = (cell.strip() for cell in rows[name])
        assert re.search(r"CC0|CC BY 2\.0|public domain|no known copyright restrictions", licence)
        assert picture
        assert author
        assert source
        assert re.fullmatch(r"`(skimage/data|sklearn/datasets/images)/\w+\.(png|jpg)`", file)
    assert "CC BY 4.0" in (ASSETS / "images" / "digits.md").read_text(encoding="utf-8")


def test_an_unknown_demo_set_lists_the_known_ones() -> None:
    with pytest.raises(ImageError, match="expected one of demo:photos, demo:digits, .*, got demo:cars"):
        load_images("demo:cars")


def test_a_file_is_read_exactly(tmp_path) -> None:
    images = load_images(save(tmp_path / "ramp.png", RAMP))
    assert torch.equal(images.pixels, torch.from_numpy(RAMP).permute(2, 0, 1)[None] / 255)
    assert images.names == ("ramp.png",)
    assert images.labels.tolist() == [-1]
    assert images.class_names == ()


def test_a_grey_file_has_one_channel(tmp_path) -> None:
    images = load_images(save(tmp_path / "grey.png", RAMP[:, :, 0]))
    assert images.pixels.shape == (1, 1, 4, 4)


def test_transparency_is_laid_over_white(tmp_path) -> None:
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0, 0] = (10, 20, 30, 255)
    images = load_images(save(tmp_path / "clear.png", clear))
    assert (images.pixels[0, :, 0, 0] * 255).round().tolist() == [10, 20, 30]
    assert images.pixels[0, :, 1, 1].tolist() == [1, 1, 1]


def test_pictures_are_turned_upright(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture must be turned by 90 degrees, clockwise
    path = save(tmp_path / "turned.png", RAMP[:2], exif=exif)
    upright = np.rot90(RAMP[:2], -1)
    assert np.array_equal((load_images(path).pixels[0] * 255).round().byte().permute(1, 2, 0), upright)


def test_resizing_keeps_the_middle(tmp_path) -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 200
    images = load_images(save(tmp_path / "wide.png", wide), size=4)
    assert torch.equal(images.pixels, torch.full((1, 3, 4, 4), 200 / 255))
    assert load_images(tmp_path / "wide.png", size=(2, 6)).pixels.shape == (1, 3, 2, 6)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.png", encoded("PNG")[:-200], "could not read cut.png; it is damaged or not an image"),
        ("cut.jpg", encoded("JPEG")[:-200], "could not read cut.jpg"),
        ("notes.png", b"not an image at all", "could not read notes.png"),
        ("empty.png", b"", "could not read empty.png"),
        ("script.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "could not read script.png"),
        ("large.png", png_claiming(8000, 8000), "at most 50 million pixels, large.png has more; make it smaller"),
        ("bomb.png", png_claiming(60000, 60000), "at most 50 million pixels, bomb.png has more"),
    ],
)
def test_unusable_files_are_refused_in_a_sentence(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        load_images(tmp_path / name)
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sixteen_bits_are_kept(tmp_path) -> None:
    path = save(tmp_path / "deep.png", np.array([[60000, 60001], [0, 65535]], np.uint16))
    assert torch.equal(load_images(path).pixels[0, 0] * 65535, torch.tensor([[60000.0, 60001.0], [0.0, 65535.0]]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.data())
def test_a_damaged_file_gives_an_image_or_a_sentence(kind, data) -> None:
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings(action="ignore"):  # Pillow mentions damaged EXIF data that it can do without
        try:
            fine = read_picture(bytes(content), "file.png", Fit()).pixels.size > 0
        except ImageError as error:
            fine = "file.png" in str(error)
    assert fine


@pytest.mark.parametrize("name", ["nothing.png", "x" * 300, "no/such/place.png"])
def test_a_missing_file_is_reported(tmp_path, name) -> None:
    with pytest.raises(ImageError, match="expected an image or a folder of images") as caught:
        load_images(tmp_path / name)
    assert str(tmp_path) not in str(caught.value)


def test_refused_files_are_printed_without_a_log_handler(tmp_path: Path, checkout: Path) -> None:
    save(tmp_path / "a.png", RAMP)
    save(tmp_path / "b.gif", RAMP, save_all=True, append_images=[Image.fromarray(255 - RAMP)])
    (tmp_path / "c.heic").write_bytes(b"-")
    for number in range(25):
        (tmp_path / f"{number:02}.txt").write_bytes(b"-")
    script = "import sys; from core.images.load import load_images; load_images(sys.argv[1])"
    told = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=checkout, capture_output=True, text=True, check=True
    )
    lines = told.stderr.splitlines()
    assert told.stdout == ""
    assert lines[0].startswith("left out 00.txt: expected pictures or a table of classes, 00.txt is neither")
    assert lines[20] == f"left out 6 more of {tmp_path}"
    assert lines[21:] == ["note on b.gif: expected one picture in a file, b.gif has more; only the first is taken"]


def test_subfolders_are_classes(tmp_path) -> None:
    for name in ("dog/b.png", "dog/a.PNG", "cat/deep/c.png", "cat/.hidden/d.png", "cat/.e.png"):
        save(tmp_path / name, RAMP, format="png")
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    images = load_images(tmp_path)
    assert images.class_names == ("cat", "dog")
    assert images.names == ("cat/deep/c.png", "dog/a.PNG", "dog/b.png")
    assert images.labels.tolist() == [0, 1, 1]


def test_a_plain_folder_has_no_classes(tmp_path) -> None:
    save(tmp_path / "b.png", RAMP)
    save(tmp_path / "a.png", RAMP[:, :, 0])
    images = load_images(str(tmp_path))
    assert images.names == ("a.png", "b.png")
    assert images.labels.tolist() == [-1, -1]
    assert torch.equal(images.pixels[0, 0], images.pixels[0, 2])  # a grey one among coloured ones gets three channels


def test_unusable_folders_are_refused(tmp_path) -> None:
    with pytest.raises(ImageError, match=f"expected images in {tmp_path.name}, found none"):
        load_images(tmp_path)
    save(tmp_path / "a.png", RAMP)
    save(tmp_path / "b.png", RAMP[:2])
    with pytest.raises(ImageError, match=r"of one size, got 4 x 4 \(a\.png\) and 2 x 4 \(b\.png\); pass a size"):
        load_images(tmp_path)
    assert load_images(tmp_path, size=2).pixels.shape == (2, 3, 2, 2)
    save(tmp_path / "cat" / "c.png", RAMP)
    with pytest.raises(ImageError, match="got both; move them into the subfolders"):
        load_images(tmp_path)


@pytest.mark.parametrize("size", [0, (4, -1)])
def test_sizes_are_positive(tmp_path, size) -> None:
    with pytest.raises(ImageError, match="at least 1 x 1 pixel"):
        load_images(save(tmp_path / "a.png", RAMP), size=size)


def test_demo_images_at_another_size() -> None:
    small_set, large = load_images("demo:photos"), load_images("demo:photos@224")
    assert tuple(large.pixels.shape) == (111, 3, 224, 224)
    assert large.names == small_set.names[:111]
    assert set(large.labels.tolist()) == {-1}
    assert large.source == "demo:photos@224"
    middle = large.pixels[:, :, 80:144, 80:144].mean((2, 3))
    assert torch.allclose(middle, small_set.pixels[:111, :, 11:21, 11:21].mean((2, 3)), atol=0.08)


@pytest.mark.parametrize("source", ["demo:photos@", "demo:photos@7", "demo:photos@2000", "demo:photos@x", "demo:no@32"])
def test_invalid_sizes_of_demo_images_are_refused(source: str) -> None:
    with pytest.raises(ValueError, match="expected one of demo:photos, .* or one at another size as demo:photos@224"):
        load_images(source)


@pytest.mark.parametrize(
    ("shape", "source"),
    [((3, 224, 224), "demo:photos@224"), ((1, 28, 28), "demo:digits@28"), ((3, 32, 48), ""), ((4, 32, 32), "")],
)
def test_demo_images_fit_a_models_input(shape: tuple[int, int, int], source: str) -> None:
    assert demo_images_of(shape) == source
    if source:
        assert tuple(load_images(source).pixels.shape[1:]) == shape
