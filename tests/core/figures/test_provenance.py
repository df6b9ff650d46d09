"""A recipe is found in every kind of file, and nowhere else; no file makes its reader do more than read."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from core.figures.provenance import RECIPE_ID, read_recipe, recipe_text

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
    ],
)
def test_files_without_one_are_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected a figure or a result that Boundary Atlas wrote") as caught:
        read_recipe(data)
    assert "\n" not in str(caught.value)
