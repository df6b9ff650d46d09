"""Archives are read as their packers meant them, and contradictory ones are refused."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from core.errors import ImageError
from core.images.listing import Listed, listed
from core.sources.images import Fit
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


PETS = {"cat/1.png": PNG, "dog/1.png": PNG}


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


@pytest.mark.parametrize("right", [True, False])
def test_a_name_in_unicode_beside_another_one_is_taken_if_it_belongs_to_it(tmp_path: Path, right: bool) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        for folder, number in (("кот", 1), ("пёс", 2)):
            entry = zipfile.ZipInfo(f"???/{number}.png")
            checksum = zlib.crc32(entry.filename.encode() if right else b"another")
            content = struct.pack("<BI", 1, checksum) + f"{folder}/{number}.png".encode()
            entry.extra = struct.pack("<HH", 0x7075, len(content)) + content
            made.writestr(entry, PNG)
    found, _ = look(tmp_path / "a.zip")
    assert set(found.values()) == ({"кот", "пёс"} if right else {""})


@pytest.mark.parametrize(
    ("name", "read", "label"),
    [
        ("café/1.png".encode(), "café/1.png", "café"),
        ("猫/1.png".encode(), "猫/1.png", "猫"),
        ("cafe\u0301/1.png".encode(), "cafe\u0301/1.png", "café"),
        ("café/1.png".encode("cp437"), "café/1.png", "café"),  # said, too
        (b"cat\\1.png", "cat/1.png", "cat"),
        (b"cat\\deep/1.png", "cat/deep/1.png", "cat"),
    ],
)
def test_names_in_zips_are_decoded(tmp_path: Path, name: bytes, read: str, label: str) -> None:
    (tmp_path / "a.zip").write_bytes(raw_zip([name, b"dog/1.png"]))
    found, refused = look(tmp_path / "a.zip")
    assert (found, refused) == ({read: label, "dog/1.png": "dog"}, {})


@pytest.mark.parametrize("name", ["café".encode("cp1252"), "猫".encode("shift_jis"), "кошка".encode("cp866")])
def test_names_in_a_guessed_encoding_are_reported(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(raw_zip([name + b"/1.png", b"dog/1.png"]))
    with ExitStack() as stack:
        found = listed(tmp_path / "a.zip", None, stack)
    assert len(found.files) == 2
    ((where, reason),) = found.left
    assert where == "a.zip"
    assert re.fullmatch(r"expected names in UTF-8, read 1 names such as '.*/1.png' by code page 437; .*", reason)


def test_a_folder_in_a_zip_from_windows_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({"cat\\": b"", "cat\\1.png": PNG, "dog\\": b"", "dog\\1.png": PNG}))
    assert look(tmp_path / "a.zip") == ({"cat/1.png": "cat", "dog/1.png": "dog"}, {})
    (tmp_path / "b.zip").write_bytes(archive({"cat\\1.png": PNG, "cat/1.png": PNG, "..\\2.png": PNG, "C:\\3.png": PNG}))
    found, refused = look(tmp_path / "b.zip")
    assert list(found) == ["1.png"]
    assert "comes twice" in refused["cat/1.png"]
    assert all("points outside" in refused[name] for name in ("../2.png", "C:/3.png"))


def streamed(content: bytes, entries: int = 0xFFFF, listed: int = 0xFFFFFFFF, more: int = 0) -> bytes:
    """A zip with the longer end record that writers add who do not know how much will come."""
    end = content.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack("<HII", content[end + 10 : end + 20])
    longer = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count + more, count + more, size, start)
    place = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    return (
        content[:end]
        + longer
        + place
        + struct.pack("<4s4xHHII", b"PK\x05\x06", entries, entries, listed, 2**32 - 1)
        + bytes(2)
    )


@pytest.mark.parametrize(("entries", "listed"), [(0xFFFF, 0xFFFFFFFF), (2, 0xFFFFFFFF), (0xFFFF, None), (2, None)])
def test_a_small_zip_may_have_a_zip64_end_record(tmp_path: Path, entries: int, listed: int | None) -> None:
    content = archive(PETS)
    size = int.from_bytes(content[-10:-6], "little") if listed is None else listed
    (tmp_path / "a.zip").write_bytes(streamed(content, entries, size))
    assert look(tmp_path / "a.zip") == ({"cat/1.png": "cat", "dog/1.png": "dog"}, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (streamed(archive(PETS), more=10**6), "expected at most 50,000 files in a zip, a.zip lists more"),
        (streamed(archive(PETS), entries=1), "a.zip claims more than it holds"),
        (streamed(archive(PETS), more=1), "a.zip claims more than it holds"),
        (archive(PETS, comment=archive({})), "a.zip goes on after its end"),  # two ends, each of which reaches the end
        (archive(PETS, comment=b"PK\x05\x06" + bytes(40)) + b"more", "a.zip goes on after its end"),
    ],
)
def test_contradictory_end_records_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ImageError, match=message):
        look(tmp_path / "a.zip")


@pytest.mark.parametrize("comment", [b"PK\x05\x06", b"so ends PK\x05\x06" + bytes(40), b"plain", b"PK\x05\x06" * 9])
@pytest.mark.parametrize("long", [True, False])
def test_a_comment_may_look_like_an_end_record(tmp_path: Path, comment: bytes, long: bool) -> None:
    content = streamed(archive(PETS)) if long else archive(PETS)
    (tmp_path / "a.zip").write_bytes(content[:-2] + struct.pack("<H", len(comment)) + comment)
    assert look(tmp_path / "a.zip") == ({"cat/1.png": "cat", "dog/1.png": "dog"}, {})
