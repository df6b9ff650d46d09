"""A recipe is found in every kind of file, and nowhere else; no file makes its reader do more than read."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest

from core.errors import RecipeError
from core.figures.drawing.provenance import RECIPE_ID, read_recipe, recipe_text
from core.runtime import sandbox

RECIPE = {"recipe": 1, "analysis": "slice", "models": ["<b>", "ℓ2"]}


def page(text: str) -> bytes:
    return f'<!DOCTYPE html><html><script type="application/json" id="{RECIPE_ID}">{text}</script></html>'.encode()


def archive(header: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("result.npy", header)
    return buffer.getvalue()


def test_pages_tables_and_json_hold_it() -> None:
    text = recipe_text(RECIPE)
    assert read_recipe(page(text.replace("<", "\\u003c"))) == RECIPE
    assert read_recipe(f"# {text}\nx,y\n1,2\n".encode()) == RECIPE
    assert read_recipe(text.encode()) == RECIPE
    buffer = io.BytesIO()
    np.savez(buffer, result=np.array(json.dumps({"fields": {"recipe": RECIPE}})))
    assert read_recipe(buffer.getvalue()) == RECIPE


def huge(shape: str) -> bytes:
    """The header of an array that would take more memory than there is."""
    words = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(words).to_bytes(2, "little") + words.encode()


def packed(how: int) -> bytes:
    """A result whose packed bytes are damaged, or packed in a way that nothing here unpacks."""
    buffer = io.BytesIO()
    known = how if how in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2) else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w", known) as file:
        file.writestr("result.npy", huge("()") * 20)
    content = bytearray(buffer.getvalue())
    directory = content.rindex(b"PK\x01\x02")
    content[60:directory] = bytes(reversed(content[60:directory]))
    content[8:10] = content[directory + 10 : directory + 12] = how.to_bytes(2, "little")
    return bytes(content)


def png(kind: bytes, content: bytes) -> bytes:
    """A picture of one pixel with a damaged part of this kind."""
    head = struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", head), (kind, content)] if kind != b"IHDR" else [(kind, content)]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


AES = b"/V 4 /StmF /StdCF /StrF /StdCF /CF << /StdCF << /CFM /AESV2 >> >>"


@pytest.mark.parametrize(
    ("password", "there", "instead"),
    [("", b"", b""), ("secret", b"", b""), ("", b"/V 2", AES), ("", b"/Standard", b"/Another")],
)
def test_a_pdf_with_a_password_says_so(password: str, there: bytes, instead: bytes) -> None:
    from pypdf import PdfWriter

    writer, buffer = PdfWriter(), io.BytesIO()
    writer.add_blank_page(8, 8)
    writer.add_metadata({"/Subject": recipe_text(RECIPE)})
    writer.encrypt(password, "other", algorithm="RC4-128")
    writer.write(buffer)
    assert there in buffer.getvalue()
    data = buffer.getvalue().replace(there, instead)
    if not password and not there:  # closed to changes alone
        assert read_recipe(data) == RECIPE
        return
    with pytest.raises(RecipeError, match="^expected a figure without a password, got a PDF with one; save"):
        read_recipe(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1]",
        b"# {broken\n",
        page("nothing"),
        b"<!doctype html><p>",
        b"PK\x03\x04",
        archive(huge("(1000000, 1000000)")),
        archive(huge("()")),
        archive(b"\x93NUMPY\x01\x00"),
        archive(b""),
        b"\x89PNG\r\n\x1a\n",
        b"%PDF-1.4",
        b'<?xml version="1.0" encoding="none-such"?><svg/>',
        b'<?xml version="1.0" encoding="big5"?><svg/>',
        packed(zipfile.ZIP_LZMA),
        packed(zipfile.ZIP_BZIP2),
        packed(zipfile.ZIP_DEFLATED),
        packed(97),
        png(b"IHDR", bytes(3)),
        png(b"tRNS", b""),
        png(b"zTXt", b"Description\0\0broken"),
        b"GIF89a" + b"\x10" * 20,
    ],
)
def test_files_without_one_are_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected a figure or a result that Boundary Atlas wrote") as caught:
        read_recipe(data)
    assert "\n" not in str(caught.value)


def lzw(rounds: int) -> bytes:
    """A stream of LZW that unpacks to 7 MB for each round of 6 kB: every code stands for a byte more than the last."""
    bits, width, stream = 0, 0, bytearray()

    def put(code: int, size: int) -> None:
        nonlocal bits, width
        bits, width = (bits << size) | code, width + size
        while width >= 8:
            width -= 8
            stream.append((bits >> width) & 0xFF)
            bits &= (1 << width) - 1

    for _ in range(rounds):
        put(256, 9 if not stream else 12)
        put(0, 9)
        for code in range(258, 4093):
            put(code, (code - 1).bit_length() if code < 4096 else 12)
    return bytes(stream)


def pdf(stream: bytes, how: bytes) -> bytes:
    """A PDF whose table of objects lies in a packed stream, as newer ones have it."""
    head = b"%PDF-1.5\n"
    entries = b"/Type /XRef /Size 3 /W [1 8 2] /Root 1 0 R /Info 2 0 R /Filter " + how
    body = b"3 0 obj <<" + entries + b" /Length %d>> stream\n" % len(stream) + stream + b"\nendstream endobj\n"
    return head + body + b"startxref\n%d\n%%%%EOF" % len(head)


def test_small_files_that_unpack_to_much_end_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sandbox.SECONDS, "2")
    monkeypatch.setenv(sandbox.MEMORY, "64")
    zipped = zlib.compress(zlib.compress(bytes(128 << 20)))
    for data in (pdf(lzw(10), b"/LZWDecode"), pdf(zipped, b"[/FlateDecode /FlateDecode]")):
        assert len(data) < 500_000
        with pytest.raises(RecipeError, match="expected a (file that is read within|figure or a result that)") as told:
            read_recipe(data)
        assert "\n" not in str(told.value)


def test_json_as_deep_as_it_likes_is_none() -> None:
    for depth in (900, 3000, 100_000):
        deep = b'{"recipe": ' + b"[" * depth + b"]" * depth + b"}"
        try:
            assert list(read_recipe(deep)) == ["recipe"]
        except RecipeError as error:
            assert "expected a figure or a result that" in str(error)  # noqa: PT017 - where the reader goes so deep, it is one
