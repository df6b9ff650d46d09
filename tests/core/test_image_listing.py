"""What files and folders hold: classes by folders and tables, and a sentence for each file not used."""

from __future__ import annotations

import io
import zipfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from core.errors import ImageError
from core.image_listing import Listed, listed
from core.image_sources import Fit
from tests.hostile_images import archive, encoded

PNG = encoded(values=np.zeros((2, 2, 3), np.uint8))


def look(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The class of each picture, and the reason for each refused file; every picture can be read."""
    with ExitStack() as stack:
        found: Listed = listed(path, None, stack)
        for file in found.files:
            file.read(Fit())
    refused = dict(found.refused)
    assert len(refused) == len(found.refused)
    assert all(reason.startswith("expected ") and len(reason) < 300 for reason in refused.values())
    return {file.name: file.label for file in found.files}, refused


def unpacked(folder: Path, entries: dict[str, bytes]) -> Path:
    for name, content in entries.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


PETS = {"cat/1.png": PNG, "dog/1.png": PNG}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("table", "content"),
    [
        ("metadata.csv", b"date,author\n2024-01-01,ann\n"),
        ("cat/boxes.csv", b"x,y\n1,2\n"),
        ("metadata.csv", b"file,author\ncat/1.png,ann\ndog/1.png,bob\n"),
        ("results.csv", b"file,score\ncat/1.png,0.3\ndog/1.png,0.7\n"),
    ],
)
def test_a_table_that_is_none_of_classes_leaves_the_folders_theirs(
    tmp_path: Path, packed: bool, table: str, content: bytes
) -> None:
    entries = {**PETS, table: content}
    if packed:
        (tmp_path / "a.zip").write_bytes(archive({f"top/{name}": each for name, each in entries.items()}))
    found, refused = look(tmp_path / "a.zip" if packed else unpacked(tmp_path / "set", entries))
    assert found == {"cat/1.png": "cat", "dog/1.png": "dog"}
    assert [name.removeprefix("top/") for name in refused] == [table]


@pytest.mark.parametrize("packed", [True, False])
def test_files_that_are_no_pictures_are_said(tmp_path: Path, packed: bool) -> None:
    others = ("b.heic", "c.avif", "d.svg", "notes.txt", "e.psd", "f.mp4", "g", "h.exr")
    hidden = (".DS_Store", "__MACOSX/._a.png", ".git/a.png", "Thumbs.db")
    pictures = ("a.png", "A.PNG")
    entries = {**dict.fromkeys(pictures, PNG), **dict.fromkeys((*others, *hidden), b"-"), "more.npz": b"PK"}
    if packed:
        (tmp_path / "a.zip").write_bytes(archive(entries))
    found, refused = look(tmp_path / "a.zip" if packed else unpacked(tmp_path / "set", entries))
    assert sorted(found) == sorted(pictures)
    assert sorted(refused) == sorted((*others, "more.npz"))
    assert refused["b.heic"] == (
        "expected PNG, JPEG or another known format, b.heic is HEIC, which is not read here; convert it"
    )
    assert "known endings are" in refused["notes.txt"]


def test_every_ending_of_a_known_format_is_read(tmp_path: Path) -> None:
    jpeg = encoded("JPEG", np.zeros((2, 2, 3), np.uint8))
    endings = ("jpg", "jpeg", "jpe", "jif", "jfif")
    (tmp_path / "a.zip").write_bytes(archive({f"{ending}.{ending}": jpeg for ending in endings}))
    found, refused = look(tmp_path / "a.zip")
    assert (sorted(found), refused) == (sorted(f"{ending}.{ending}" for ending in endings), {})


def raw_zip(names: list[bytes]) -> bytes:
    """A zip whose names are these bytes, without a word on how they are written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        for number in range(len(names)):
            made.writestr(zipfile.ZipInfo(chr(ord("A") + number) * len(names[number])), PNG)
    content = buffer.getvalue()
    for number, name in enumerate(names):
        content = content.replace((chr(ord("A") + number) * len(name)).encode(), name)
    return content


@pytest.mark.parametrize(
    ("name", "read", "label"),
    [
        ("café/1.png".encode(), "café/1.png", "café"),
        ("猫/1.png".encode(), "猫/1.png", "猫"),
        ("cafe\u0301/1.png".encode(), "cafe\u0301/1.png", "café"),
        ("café/1.png".encode("cp437"), "café/1.png", "café"),
        (b"cat\\1.png", "cat/1.png", "cat"),
        (b"cat\\deep/1.png", "cat/deep/1.png", "cat"),
    ],
)
def test_names_in_zips_are_read_as_they_were_meant(tmp_path: Path, name: bytes, read: str, label: str) -> None:
    (tmp_path / "a.zip").write_bytes(raw_zip([name, b"dog/1.png"]))
    found, refused = look(tmp_path / "a.zip")
    assert (found, refused) == ({read: label, "dog/1.png": "dog"}, {})


def test_a_folder_of_a_zip_from_windows_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({"cat\\": b"", "cat\\1.png": PNG, "dog\\": b"", "dog\\1.png": PNG}))
    assert look(tmp_path / "a.zip") == ({"cat/1.png": "cat", "dog/1.png": "dog"}, {})
    (tmp_path / "b.zip").write_bytes(archive({"cat\\1.png": PNG, "cat/1.png": PNG, "..\\2.png": PNG, "C:\\3.png": PNG}))
    found, refused = look(tmp_path / "b.zip")
    assert list(found) == ["1.png"]
    assert "comes twice" in refused["cat/1.png"]
    assert all("points outside" in refused[name] for name in ("../2.png", "C:/3.png"))


def test_links_are_said(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "set", {"a.png": PNG})
    unpacked(tmp_path / "other", {"b.png": PNG})
    (folder / "linked.png").symlink_to(folder / "a.png")
    (folder / "more").symlink_to(tmp_path / "other")
    (folder / "gone.png").symlink_to(tmp_path / "nothing")
    found, refused = look(folder)
    assert list(found) == ["a.png", "linked.png"]
    assert "more is a link to one; put the pictures here" in refused["more"]
    assert "gone.png is a link to nothing" in refused["gone.png"]


def test_a_folder_in_common_is_left_away_and_no_other(tmp_path: Path) -> None:
    entries = {"top/in/cat/1.png": PNG, "top/in/cats/2.png": PNG, "readme.txt": b"-"}
    (tmp_path / "a.zip").write_bytes(archive(entries))
    found, refused = look(tmp_path / "a.zip")
    assert found == {"cat/1.png": "cat", "cats/2.png": "cats"}
    assert list(refused) == ["readme.txt"]


def test_loose_pictures_beside_classes(tmp_path: Path) -> None:
    entries = {**PETS, "loose.png": PNG}
    (tmp_path / "a.zip").write_bytes(archive(entries))
    found, refused = look(tmp_path / "a.zip")
    assert found == {"cat/1.png": "cat", "dog/1.png": "dog"}
    assert "loose.png is in none; move it" in refused["loose.png"]
    with pytest.raises(ImageError, match="got both; move them into the subfolders"):
        look(unpacked(tmp_path / "set", entries))
