"""The recipe inside a file: every exported figure and saved result holds what reproduces it.

It is ASCII JSON in a standard place of each format: the PDF's Subject, the SVG's dc:description, the PNG's text entry
Description, the GIF's comment. Interactive pages hold it in a script element of type JSON, tables in their first line,
saved results in their header.
"""

from __future__ import annotations

import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Never
from xml.parsers import expat

import numpy as np

from core.errors import RecipeError
from core.runtime.sandbox import Limits, isolated

RECIPE_ID = "boundary-atlas-recipe"  # of the script element of an interactive page
_IN_KITS = "recipe.json"
_SMALL = 1 << 20  # bytes: a text up to this size is read in this process
_BLANK = b"\xef\xbb\xbf \t\r\n"
_MOST_BYTES = 16 << 20  # of an archive's member to unpack; headers are a few kilobytes


def recipe_text(recipe: Mapping[str, Any]) -> str:
    """A recipe as stored in files: one line of ASCII JSON, the same for equal recipes."""
    return json.dumps(recipe, sort_keys=True, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    """Mappings other than dict, and NumPy's numbers, as JSON's types."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"expected plain values in a recipe, got a {type(value).__name__}")


def read_recipe(source: Path | str | bytes) -> dict[str, Any]:
    """Read the recipe out of a figure (PDF, SVG, PNG, GIF, HTML), a result (.npz, .csv), a JSON file or a kit.

    Small JSON texts and tables are read in this process, every other file in a separate one.

    Args:
        source: a path, or the bytes of the file. The format follows from the content, not from the name.

    Returns:
        The recipe as JSON holds it: tuples are lists.

    Raises:
        RecipeError: if no recipe is inside, or reading the file takes too much time or memory.
        OSError: if the path cannot be read.
    """
    given: dict[str, Any] = {"data": source} if isinstance(source, bytes) else {"path": str(Path(source).absolute())}
    name, size, start = _start(source)
    if size <= _SMALL and start.lstrip(_BLANK).startswith((b"{", b"# {")):
        text = recipe_inside(lambda fraction: None, **given)
    else:
        limits = Limits.of(size, memory=(256 << 20) + 4 * size, output=2 * _MOST_BYTES)
        text = isolated(
            "core.figures.drawing.provenance:recipe_inside", name=name, limits=limits, refusal=RecipeError, **given
        )
    found: dict[str, Any] = json.loads(text)
    return found


def _start(source: Path | str | bytes) -> tuple[str, int, bytes]:
    """The name of a file, its size in bytes, and its first bytes."""
    if isinstance(source, bytes):
        return "the file", len(source), source[:1024]
    path = Path(source)
    with path.open("rb") as file:
        return path.name[:80], path.stat().st_size, file.read(1024)


def recipe_inside(progress: Callable[[float], None], data: bytes = b"", path: str = "") -> str:
    """The recipe inside a file, as JSON.

    Args:
        progress: not called; the fraction done is unknown.
        data: the bytes of the file, if there is no path.
        path: of the file.

    Returns:
        One line of JSON.

    Raises:
        RecipeError: if no recipe is inside.
    """
    data = Path(path).read_bytes() if path else data
    kind, find = _reader(data, data[:1024].lstrip(_BLANK))
    try:
        text = find(data)
        found = json.loads(text) if len(text) <= _MOST_BYTES else None
        if isinstance(found, dict) and isinstance(found.get("fields"), dict):  # the header of a saved result
            found = found["fields"].get("recipe")
        written = json.dumps(found)
    except RecipeError:
        raise
    except _OF_PARSERS:
        found = None
    if not (isinstance(found, dict) and ("recipe" in found or "analysis" in found)):
        raise RecipeError(
            f"expected a figure or a result that Boundary Atlas wrote, with its recipe inside, got a {kind} without one"
        )
    return written


# what parsers raise on a damaged file, and on one of another kind or with a password
_OF_PARSERS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    OSError,
    EOFError,
    SyntaxError,
    RuntimeError,  # also RecursionError and NotImplementedError
    AssertionError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    expat.ExpatError,
)


def _reader(data: bytes, start: bytes) -> tuple[str, Callable[[bytes], str]]:
    """The kind of a file by its content, in words, and the function that extracts the text of a recipe.

    Args:
        data: the whole file.
        start: its first bytes, without leading blanks.
    """
    if b"%PDF-" in data[:1024]:
        return "PDF", _in_pdf
    if data.startswith(b"\x89PNG"):
        return "PNG", partial(_in_picture, format="PNG", entry="Description")
    if data.startswith(b"GIF8"):
        return "GIF", partial(_in_picture, format="GIF", entry="comment")
    if data.startswith(b"PK"):
        return ".npz or .zip file", _in_archive
    if start[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "page", _in_page
    if start.startswith(b"<"):
        return "SVG", _in_svg
    if start.startswith(b"# {"):
        return "table", lambda data: data.split(b"\n", 1)[0].removeprefix(b"# ").decode("utf-8", "replace")
    return "file", lambda data: data.decode("utf-8-sig", "replace") if start.startswith(b"{") else ""


def _in_pdf(data: bytes) -> str:
    from pypdf import PdfReader  # 0.2 s, and only PDF files need it
    from pypdf.errors import DependencyError, PyPdfError

    try:
        information = PdfReader(io.BytesIO(data)).metadata
        return str((information and information.subject) or "")
    except (PyPdfError, DependencyError, NotImplementedError) as error:
        if b"/Encrypt" in data:
            raise RecipeError("expected a figure without a password, got a PDF with one; save it without") from error
        return ""


def _in_picture(data: bytes, format: str, entry: str) -> str:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=[format]) as image:
            found = image.info.get(entry, "")
    except Image.DecompressionBombError:
        return ""
    return found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)


def _in_archive(data: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if _IN_KITS in archive.namelist():
            small = archive.getinfo(_IN_KITS).file_size <= _MOST_BYTES
            return archive.read(_IN_KITS).decode("utf-8", "replace") if small else ""
        if archive.getinfo("result.npy").file_size > _MOST_BYTES:
            return ""
        member = io.BytesIO(archive.read("result.npy"))
    # check that it is one string, before NumPy allocates memory for any shape that the file claims
    np.lib.format.read_magic(member)
    shape, _, kind = np.lib.format.read_array_header_1_0(member)
    if shape != () or kind.kind != "U" or kind.itemsize > _MOST_BYTES:
        return ""
    return member.read(kind.itemsize).decode("utf-32-le" if kind.byteorder != ">" else "utf-32-be").rstrip("\0")


def _in_page(data: bytes) -> str:
    """The content of the page's recipe element; its JSON is escaped and holds no "<"."""
    rest = data.partition(f'<script type="application/json" id="{RECIPE_ID}">'.encode())[2]
    return rest.partition(b"</script>")[0].decode("utf-8", "replace")


def _in_svg(data: bytes) -> str:
    """The text of the first dc:description; a file that declares entities is refused, so none is ever expanded."""
    found: list[str] = []
    inside = done = False

    def on_start(name: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        inside = inside or (name == "http://purl.org/dc/elements/1.1/ description" and not done)

    def on_end(name: str) -> None:
        nonlocal inside, done
        if inside:
            inside, done = False, True

    def on_text(text: str) -> None:
        if inside:
            found.append(text)

    def on_entity(*declaration: Any) -> Never:
        raise ValueError("expected no entities")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = on_start, on_end
    parser.CharacterDataHandler, parser.EntityDeclHandler = on_text, on_entity
    parser.Parse(data, True)
    return "".join(found)
