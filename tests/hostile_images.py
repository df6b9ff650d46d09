"""Pictures and archives of pictures that mean harm or were harmed, made here: each must be refused in one sentence."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

NOISE = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
FORMATS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "WEBP": "webp", "PPM": "ppm"}
SCRIPT = b"<script>alert(1)</script>"


def encoded(kind: str = "PNG", values: np.ndarray = NOISE, **options: Any) -> bytes:
    """A whole picture."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"", *, bits: int = 8, colours: int = 2, more: bytes = b"") -> bytes:
    """A PNG that claims this size."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """A zip of these entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        made.comment = comment
        for name, content in entries.items():
            made.writestr(zipfile.ZipInfo(name) if name.endswith("\\") else name, content)
    return buffer.getvalue()


def array(values: np.ndarray, **changed: Any) -> bytes:
    """An array in numpy's format, with parts of its header changed."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {**np.lib.format.header_data_from_array_1_0(values), **changed})
    return buffer.getvalue() + values.tobytes()


def hostile() -> Iterator[tuple[str, bytes]]:
    """Name and content of every file; nothing of any of them may be used."""
    yield from _bombs()
    yield from _truncated()
    yield from _mislabelled()
    yield from _polyglots()
    yield from _headers()
    yield from _zips()
    yield from _arrays()


def _black() -> bytes:
    black = png(7_000, 7_000, bytes(7_000 * 7_001), colours=0)
    return archive({f"{row:02}.png": black for row in range(20)}, zipfile.ZIP_STORED)


def _lines() -> bytes:
    lines = "".join(f"{row}.png,{row % 7}\n" for row in range(1_000_000)).encode()
    return archive({"5.png": encoded(), "labels.csv": lines})


def _deep() -> bytes:
    return archive({f"{'a/' * 480}{row}.png": b"" for row in range(3_000)}, zipfile.ZIP_STORED)


def _tiny() -> bytes:
    return archive({"images.npy": array(np.zeros((20_000_000, 1, 1, 1), np.uint8))})


def _tables() -> bytes:
    return archive({"a.png": encoded(), **{f"{row}.csv": b"a.png,x\n" * 100_000 for row in range(25)}})


# Files that are small, or well made, and much once they are read: what makes each, and what is said of it
FLOODS = {
    "black.zip": (_black, "million pixels together, got more by 05.png"),
    "lines.zip": (_lines, "cells, got more by labels.csv"),
    "deep.zip": (_deep, "all 3,000 were refused"),
    "tiny.npz": (_tiny, "expected at most 200,000 pictures, tiny.npz has 20,000,000"),
    "tables.zip": (_tables, "MB of tables, got more"),
}


def _bombs() -> Iterator[tuple[str, bytes]]:
    for side in (8_000, 30_000, 60_000, 2**31 - 1):
        yield f"claims_{side}.png", png(side, side)
    yield "inflates.png", png(7_500, 7_500, bytes(3 * 7_500 * 7_500 + 7_500))
    yield "thin.png", png(2**30, 1)
    yield "text.png", png(4, 4, bytes(52), more=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20), 9)))
    yield "profile.png", png(4, 4, bytes(52), more=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200 << 20), 9)))
    yield "wide.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + encoded("GIF")[13:]
    yield "wide.bmp", _patched(encoded("BMP"), 18, struct.pack("<ii", 40_000, 40_000))
    yield "wide.ppm", b"P6 50000 50000 255\n"
    yield "wide.jpg", _wide_jpeg()
    yield "wide.webp", b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff" + bytes(8)
    yield "wide.tif", _tiff({256: 60_000, 257: 60_000})


def _wide_jpeg() -> bytes:
    whole = encoded("JPEG")
    return _patched(whole, whole.index(b"\xff\xc0") + 5, struct.pack(">HH", 65_000, 65_000))


def _tiff(tags: dict[int, int]) -> bytes:
    """A TIFF of one directory whose pixels are said to be at its end."""
    tags = {258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: 60_000, 279: 100, **tags}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def _patched(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def _truncated() -> Iterator[tuple[str, bytes]]:
    for kind, ending in FORMATS.items():
        whole = encoded(kind, lossless=True) if kind == "WEBP" else encoded(kind)
        for share in (0.05, 0.4, 0.7):
            yield f"cut_{share}.{ending}", whole[: int(share * len(whole))]
    yield "empty.png", b""
    yield "one_byte.jpg", b"\xff"


def _mislabelled() -> Iterator[tuple[str, bytes]]:
    endings = list(FORMATS.values())
    for place, kind in enumerate(FORMATS):
        yield f"is_{kind}.{endings[place - 1]}", encoded(kind)
    yield "phone.jpg", b"\0\0\0\x18ftypheic" + bytes(100)
    others = {
        "page": b"<!doctype html><title>404</title>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "pdf": b"%PDF-1.7\n1 0 obj",
        "program": b"\x7fELF\x02\x01\x01" + bytes(100),
        "pickle": b"\x80\x04\x95.",
        "zeros": bytes(4096),
        "icon": b"\0\0\1\0\1\0\x10\x10" + bytes(40),
    }
    for name, content in others.items():
        yield f"{name}.png", content


def _polyglots() -> Iterator[tuple[str, bytes]]:
    inside = archive({"run.py": b"print(1)"})
    for kind, ending in FORMATS.items():
        yield f"and_archive.{ending}", encoded(kind) + inside
        yield f"and_page.{ending}", encoded(kind) + SCRIPT
    yield "page_in_text.png", png(4, 4, bytes(52), more=chunk(b"tEXt", b"Comment\0" + SCRIPT))
    yield "page_in_comment.jpg", encoded("JPEG", comment=SCRIPT)
    yield "and_pdf.jpg", encoded("JPEG") + b"%PDF-1.7"
    yield "and_php.gif", encoded("GIF") + b"<?php system($_GET[0]); ?>"
    yield "two.png", encoded() + encoded()
    yield "prefix.png", b"#!/bin/sh\n" + encoded()


def _headers() -> Iterator[tuple[str, bytes]]:
    yield "no_size.png", png(0, 0)
    yield "bits.png", png(4, 4, bytes(52), bits=7)
    yield "colours.png", png(4, 4, bytes(52), colours=5)
    yield "no_pixels.png", b"\x89PNG\r\n\x1a\n" + encoded()[8:33] + chunk(b"IEND", b"")
    yield "no_end.png", encoded()[:-12]
    yield "crc.png", _patched(encoded(), 29, b"\0\0\0\0")
    yield "length.png", _patched(encoded(), 33, b"\xff\xff\xff\xff")
    yield "negative.bmp", _patched(encoded("BMP"), 18, struct.pack("<i", -4))
    yield "planes.bmp", _patched(encoded("BMP"), 28, struct.pack("<H", 77))
    yield "number.ppm", b"P6 4 x4 255\n" + bytes(48)
    yield "white.ppm", b"P6 4 4 0\n" + bytes(48)
    yield "loop.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0"
    yield "nothing.tif", _tiff({256: 0, 257: 0})
    yield "samples.tif", _tiff({256: 4, 257: 4, 277: 60_000})
    yield "tables.jpg", b"\xff\xd8" + b"\xff\xdb\xff\xff" + bytes(20)
    yield "floats.tif", encoded("TIFF", np.full((4, 4), np.nan, np.float32))
    yield "large_floats.tif", encoded("TIFF", np.full((4, 4), 200.0, np.float32))
    yield "deep.tif", encoded("TIFF", np.full((4, 4), 2**30, np.int32))


def _zips() -> Iterator[tuple[str, bytes]]:
    good, whole = encoded(), archive({"a.png": encoded()})
    for number, name in enumerate(("../a.png", "/tmp/a.png", "C:a.png", "x/../../a.png", "..\\a.png", "a\n.png")):
        yield f"outside_{number}.zip", archive({name: good})
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(link, "/etc/passwd")
    yield "link.zip", buffer.getvalue()
    yield "no_pictures.zip", archive({"notes.txt": b"none", "run.py": b"print(1)"})
    yield "no_entries.zip", archive({})
    yield "nested.zip", archive({"more.zip": whole})
    yield "inflates.zip", archive({"a.png": bytes(257 << 20)})
    yield "packed_otherwise.zip", archive({"a.png": good}, zipfile.ZIP_LZMA)
    yield "password.zip", _patched(_flag(whole), 6, b"\1\0")
    yield "cut.zip", whole[:-30]
    yield "prefix.zip", b"#!/bin/sh\n" + whole
    yield "suffix.zip", whole + SCRIPT
    yield "flipped.zip", _patched(archive({"a.png": good}, zipfile.ZIP_STORED), 200, b"\0\0\0\0")
    yield "shared.zip", _shared(good)
    yield "counts.zip", _patched(whole, len(whole) - 12, struct.pack("<H", 60_000))
    yield "directory.zip", _patched(whole, len(whole) - 10, struct.pack("<I", 2**31))
    yield "claims.zip", _patched(whole, whole.index(b"PK\1\2") + 24, struct.pack("<I", 2**32 - 2))
    yield "text.zip", b"PK are two letters"


def _flag(content: bytes) -> bytes:
    return _patched(content, content.index(b"PK\1\2") + 8, b"\1\0")


def _shared(good: bytes) -> bytes:
    """Many entries that are all the same bytes of the file."""
    whole = archive({f"{number}.png": good if not number else b"" for number in range(40)}, zipfile.ZIP_STORED)
    first = whole.index(b"PK\1\2")
    sizes, place = whole[first + 16 : first + 28], first
    while (place := whole.find(b"PK\1\2", place + 1)) > 0:
        whole = _patched(_patched(whole, place + 16, sizes), place + 42, bytes(4))
    return whole


def _arrays() -> Iterator[tuple[str, bytes]]:
    fine = np.zeros((2, 4, 4, 3), np.uint8)
    for name, changed in {
        "huge": {"shape": (10**9, 4, 4, 3)},
        "endless": {"shape": (2**62, 4, 4, 3)},
        "negative": {"shape": (-2, 4, 4, 3)},
        "longer": {"shape": (3, 4, 4, 3)},
        "shorter": {"shape": (1, 4, 4, 3)},
        "objects": {"descr": "|O"},
        "nothing": {"descr": "|V0"},
        "fields": {"descr": [("a", "<f4")]},
    }.items():
        yield f"{name}.npy", array(fine, **changed)
        yield f"{name}.npz", archive({"images.npy": array(fine, **changed)})
    yield "code.npy", b"\x93NUMPY\1\0\x30\0" + b"__import__('os').system('true')".ljust(48)
    yield "version.npy", b"\x93NUMPY\x09\0" + bytes(100)
    yield "not.npy", b"hello"
    for name, values in {
        "flat": np.zeros((2, 48), np.uint8),
        "channels": np.zeros((2, 4, 4, 5), np.uint8),
        "none": np.zeros((0, 4, 4, 3), np.uint8),
        "nan": np.full((2, 4, 4, 3), np.nan, np.float32),
        "normalised": np.full((2, 4, 4, 3), -2.0, np.float32),
        "bytes": np.full((2, 4, 4, 3), 255.0, np.float32),
        "words": np.full((2, 4, 4, 3), "cat"),
    }.items():
        yield f"values_{name}.npz", archive({"images.npy": array(values)})
    yield "unpaired.npz", archive({"clean.npy": array(fine), "adversarial.npy": array(fine[:1])})
    yield "unlabelled.npz", archive({"images.npy": array(fine), "labels.npy": array(np.zeros(3, np.int64))})
    yield "program.npz", archive({"images.npy": array(fine), "run.py": b"print(1)"})
