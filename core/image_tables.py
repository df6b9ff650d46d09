"""Tables of classes beside pictures: lines of a name and a class."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import PurePosixPath

from core.errors import ImageError
from core.image_files import SUFFIXES, short_name

_TABLE_BYTES = 16 << 20


def read_table(content: bytes, name: str) -> dict[str, str]:
    """The classes of a table by the names of the files.

    Args:
        content: lines of a name and a class with a comma, a semicolon or a tab between; a first line of titles may be.
        name: of the table.

    Returns:
        Class by file name, as they are written.

    Raises:
        ImageError: if it is no such table.
    """
    short = short_name(name)
    try:
        text = content[:_TABLE_BYTES].decode("utf-8-sig")
        sign = next((sign for sign in ",;\t" if sign in text.partition("\n")[0]), ",")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=sign) if row]
    except (ValueError, csv.Error) as error:
        raise ImageError(
            f"expected a table of names and classes in {short}, could not read it; save it as CSV"
        ) from error
    if not rows or any(len(row) < 2 for row in rows):
        raise ImageError(f"expected two columns in {short}, a name and a class, got another table; save it as CSV")
    if PurePosixPath(rows[0][0]).suffix.lower() not in SUFFIXES:
        rows = rows[1:]
    return {row[0].strip(): row[1].strip()[:80] for row in rows}


def class_in_table(table: Mapping[str, str], name: str) -> str:
    """The class of a file: by its path, its name, or its name without the ending; "" where it has none."""
    path = PurePosixPath(name)
    return next((table[key] for key in (name, path.name, path.stem) if key in table), "")
