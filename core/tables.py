"""Results as tables of plain text, for spreadsheets and other programs.

A result holds arrays over several axes. The table is that of its largest group of fields with the same axes, at most
two: one line per point, the axes' own coordinates first. The first line is a comment with the recipe.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from dataclasses import fields

import numpy as np

from core.result import Result


def table_of(result: Result) -> dict[str, np.ndarray]:
    """The columns of a result's largest table.

    Args:
        result: any result with arrays.

    Returns:
        Columns of equal length by field name; coordinates of the axes come first.

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
        named = groups.get((axis,), [])
        along = getattr(result, axis) if axis in named else np.arange(shape[place])
        columns[axis] = np.broadcast_to(np.expand_dims(along, tuple(set(range(len(axes))) - {place})), shape).ravel()
    return columns | {name: getattr(result, name).ravel() for name in groups[axes] if name not in axes}


def csv_bytes(result: Result) -> bytes:
    """The result's largest table as comma-separated text, the same bytes for the same result.

    Args:
        result: any result with arrays.

    Returns:
        UTF-8 text: a comment with the recipe, the names with units, then a line per point.

    Raises:
        ValueError: if the result has no array over one or two axes.
    """
    columns = table_of(result)
    known = {entry.name for entry in fields(result)}
    units = {name: result.unit(name) if name in known else "" for name in columns}
    text = io.StringIO()
    text.write(f"# {json.dumps(result.recipe, sort_keys=True)}\n")
    text.write(",".join(f"{name} ({units[name]})" if units[name] else name for name in columns) + "\n")
    digits = {"f4": "%.9g", "f8": "%.17g"}  # as many as tell any two values apart
    formats = [digits.get(column.dtype.str[1:], "%d") for column in columns.values()]
    values = np.column_stack([column.astype(np.float64) for column in columns.values()])
    np.savetxt(text, values, fmt=formats, delimiter=",")
    return text.getvalue().encode()


def data_bytes(result: Result, ending: str) -> bytes:
    """The numbers of a result as a file, without timings.

    Args:
        result: any result with arrays.
        ending: ".npz" for all arrays, ".csv" for the largest table.

    Returns:
        The same bytes for the same result.

    Raises:
        ValueError: if the result has no table.
    """
    return result.to_bytes(timings=False, compress=True) if ending == ".npz" else csv_bytes(result)
