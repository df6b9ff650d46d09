"""Results as tables of plain text, for spreadsheets and other programs.

The table of a result holds its largest group of fields over the same one or two axes: one line per point, with the
coordinates of the axes first. The first line is a comment with the recipe.

Results of several models share one file: a table with the model in its first column, or an archive of arrays named
MODEL/FIELD.
"""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from core.result import Result
from core.wording import cell, comment


def table_of(result: Result) -> dict[str, np.ndarray]:
    """The columns of a result's largest table.

    Args:
        result: any result with arrays.

    Returns:
        Columns of equal length by field name, coordinates of the axes first.

    Raises:
        ValueError: if the result has no array over one or two axes.
    """
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for entry in fields(result):
        value, axes = getattr(result, entry.name), result.axes(entry.name)
        if isinstance(value, np.ndarray) and value.ndim == len(axes) and 1 <= len(axes) <= 2:
            groups[axes].append(entry.name)
    if not groups:
        raise ValueError(f"expected a result with arrays over one or two axes, got {type(result).__name__}")
    axes = max(groups, key=lambda axes: (getattr(result, groups[axes][0]).size, len(groups[axes])))
    shape = getattr(result, groups[axes][0]).shape
    columns = {}
    for place, axis in reversed(list(enumerate(axes))):  # "y x" becomes x, y
        along = getattr(result, axis) if axis in groups.get((axis,), []) else np.arange(shape[place])
        columns[axis] = np.broadcast_to(np.expand_dims(along, tuple(set(range(len(axes))) - {place})), shape).ravel()
    return columns | {name: getattr(result, name).ravel() for name in groups[axes] if name not in axes}


def _lines(result: Result) -> tuple[str, str]:
    """The names of the columns with their units, and a line per point."""
    columns = table_of(result)
    known = {entry.name for entry in fields(result)}
    units = {name: result.unit(name) if name in known else "" for name in columns}
    names = ",".join(f"{name} ({unit})" if unit else name for name, unit in units.items())
    digits = {"f4": "%.9g", "f8": "%.17g"}  # enough to distinguish any two values
    formats = [digits.get(column.dtype.str[1:], "%d") for column in columns.values()]
    values = np.column_stack([column.astype(np.float64) for column in columns.values()])
    text = io.StringIO()
    np.savetxt(text, values, fmt=formats, delimiter=",")
    return names, text.getvalue()


def data_bytes(result: Result, ending: str) -> bytes:
    """The numbers of a result as a file, without timings.

    Args:
        result: any result with arrays.
        ending: ".npz" for all arrays; ".csv" for the largest table as UTF-8 text: a comment with the recipe, the names
            with units, then a line per point.

    Returns:
        The same bytes for the same result.

    Raises:
        ValueError: if the result has no array over one or two axes.
    """
    if ending == ".npz":
        return result.to_bytes(timings=False, compress=True)
    return "\n".join([comment(result.recipe), *_lines(result)]).encode()


def numbers_bytes(results: Sequence[Result], models: Sequence[str], recipe: Mapping[str, Any], ending: str) -> bytes:
    """The numbers of a recipe's results as one file, without timings.

    Args:
        results: one per model, or one about all of them.
        models: sources of the models.
        recipe: the recipe of all of them.
        ending: ".npz" for all arrays, ".csv" for the largest tables.

    Returns:
        The same bytes for the same results.

    Raises:
        ValueError: if a result has no table, or their tables have different columns.
    """
    if len(results) == 1:
        return data_bytes(replace(results[0], recipe=recipe), ending)
    join = _archive_of_several if ending == ".npz" else _table_of_several
    return join(dict(zip(models, results, strict=True)), recipe)


def _table_of_several(results: Mapping[str, Result], recipe: Mapping[str, Any]) -> bytes:
    tables = {model: _lines(result) for model, result in results.items()}
    headings = {names for names, _ in tables.values()}
    if len(headings) > 1:
        raise ValueError(f"expected tables of the same columns, got {len(headings)} kinds; export one model at a time")
    rows = [f"{cell(model)},{line}" for model, (_, lines) in tables.items() for line in lines.splitlines(True)]
    return f"{comment(recipe)}\nmodel,{headings.pop()}\n{''.join(rows)}".encode()


def _archive_of_several(results: Mapping[str, Result], recipe: Mapping[str, Any]) -> bytes:
    """The members of each result's archive, in a folder named after the model; "result" holds recipe and names."""
    folders: dict[str, str] = {}
    members: dict[str, np.ndarray] = {}
    for number, (model, result) in enumerate(results.items()):
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", model.removeprefix("demo:"))
        folder = plain if plain not in folders else f"{plain}-{number}"
        folders[folder] = model
        with np.load(io.BytesIO(result.to_bytes(timings=False)), allow_pickle=False) as archive:
            members |= {f"{folder}/{name}": archive[name] for name in archive.files}
    header = json.dumps({"fields": {"recipe": recipe}, "models": folders}, sort_keys=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, result=np.array(header), **members)
    return buffer.getvalue()
