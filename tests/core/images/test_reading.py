"""Sets read within bounds: what floods is refused in one sentence, what is left out of a file is said."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import ImageError
from core.images import reading
from core.images.collections import gather
from core.images.reading import Collected, read_previews, read_set, upright
from tests.hostile_images import FLOODS, archive, encoded


def read(path: Path, size: int | None = 8, most: int | None = None, most_values: int = 2**29) -> Collected:
    told: list[float] = []
    found = Collected(*read_set(str(path), [size, size, "crop", None], most, most_values, told.append))
    assert told == sorted(told)
    return found


def frames(kind: str, count: int = 3, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pages = [Image.new("RGB", (8, 8), (40 * number, 0, 0)) for number in range(count)]
    pages[0].save(buffer, kind, save_all=True, append_images=pages[1:], **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_files_is_refused_within_the_limits_of_a_reader(tmp_path: Path, name: str) -> None:
    """The limits are those of the process that reads, by the size of the file: past them it would say so."""
    make, sentence = FLOODS[name]
    (tmp_path / name).write_bytes(make())
    try:
        found = gather(tmp_path / name, size=8, most_values=2**26)
        told = [reason for _, reason in found.refused]
    except ImageError as error:
        told = [str(error)]
    assert any(sentence in each for each in told)
    assert all(len(each) < 400 and "\n" not in each for each in told)


def test_a_word_among_numbers_is_reported(tmp_path: Path) -> None:
    content = encoded(values=np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "a.zip").write_bytes(archive({f"{each}/1.png": content for each in ("0", "10", "2", "unclear")}))
    ((name, reason),) = read(tmp_path / "a.zip").left
    assert (name, reason) == (
        "a.zip",
        "expected numbers or words as classes, got 'unclear' among 3 numbers; all are counted as words: write -1 where"
        " none is known",
    )


def test_some_of_many_tiny_pictures_can_be_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=np.arange(10**6, dtype=np.uint32).reshape(-1, 1, 1, 1) % 256)
    found = read(tmp_path / "a.npz", most=3)
    assert [note.name for note in found.notes] == ["image 000000", "image 500000", "image 999999"]
    assert [picture[0, 0] for picture in found.pictures] == [0, 500_000 % 256, 999_999 % 256]


def test_decoded_pixels_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(values=np.zeros((60, 60, 3), np.uint8))
    (tmp_path / "a.zip").write_bytes(archive({f"{row}.png": content for row in range(4)}))
    monkeypatch.setattr(reading, "PIXELS_PER_BYTE", 1)
    monkeypatch.setattr(reading, "MOST_DECODED", 4 * 3600 - 4 * len(content))
    assert len(read(tmp_path / "a.zip").pictures) == 4
    monkeypatch.setattr(reading, "MOST_DECODED", 4 * 3600 - 4 * len(content) - 1)
    with pytest.raises(ImageError, match=r"pixels together, got more by 3\.png \(image 4 of 4\); make them smaller"):
        read(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tif", frames("TIFF")),
        ("a.gif", frames("GIF")),
        ("a.webp", frames("WEBP", lossless=True)),
        ("a.png", frames("PNG")),
        ("a.mpo", frames("MPO")),
    ],
)
def test_further_frames_and_pages_are_reported(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    found = read(tmp_path / name)
    assert found.pictures[0].max() < 10  # the first
    assert found.notes[0].done[0] == "first frame"
    assert found.left == ((name, f"expected one picture in a file, {name} has more; only the first is taken"),)
    assert found.refused == ()


def test_many_files_with_frames_are_reported_in_a_few_lines(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({f"{row:02}.gif": frames("GIF", 2) for row in range(15)}))
    left = read(tmp_path / "a.zip").left
    assert len(left) == 13
    assert left[-1].reason == "expected one picture in a file, 3 more have several"


def test_pictures_are_returned_upright_and_whole(tmp_path: Path) -> None:
    wide = np.arange(4 * 9 * 3, dtype=np.uint8).reshape(4, 9, 3)
    (tmp_path / "a.zip").write_bytes(archive({"b.png": encoded(), "ant/wide.png": encoded(values=wide)}))
    (whole,) = upright(tmp_path / "a.zip", ["ant/wide.png"])
    np.testing.assert_array_equal(whole.pixels, wide)
    assert (whole.size, whole.box, whole.done) == ((4, 9), (0.0, 0.0, 9.0, 4.0), ())
    (shown,) = read_previews(str(tmp_path / "a.zip"), ["ant/wide.png"], [(0.0, 0.0, 9.0, 4.0)], None, lambda _: None)
    assert shown.shape == (114, 256, 3)


def whole(kind: str) -> bytes:
    """A file of several parts whose bytes are changed below."""
    if kind == "npz":
        buffer = io.BytesIO()
        values = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)
        np.savez(buffer, images=values, labels=np.array(["1.0", "2", "3", "nan"]), class_names=np.array([b"a"] * 4))
        return buffer.getvalue()
    entries = {"cat/1.png": encoded(), "dog\\2.gif": frames("GIF"), "labels.csv": b"1,x\n2,y\n"}
    return archive(entries, zipfile.ZIP_STORED)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(["npz", "zip"]), st.data())
def test_a_damaged_archive_gives_images_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    content = bytearray(whole(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / f"file.{kind}"
    path.write_bytes(content)
    with warnings.catch_warnings(action="ignore"):  # what Pillow mentions before it gives up
        try:
            said = [reason for _, reason in read(path).refused]
        except ImageError as error:
            said = [str(error)]
    assert all(each.startswith("expected ") and "\n" not in each for each in said)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7, 3), (7, 1)])
def test_tiny_pictures_are_pictures(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.full(shape, 77, np.uint8)
    (tmp_path / "a.png").write_bytes(encoded(values=values))
    assert np.array_equal(read(tmp_path / "a.png", None).pictures[0], values)
    assert (read(tmp_path / "a.png", 4).pictures[0] == 77).all()
