"""A number as a table of a paper gives it, and how it is read off a result.

It is known as it stands, such as the share of a class in a slice; or it is that of samples, such as distances of
images, of which a table gives mean, interval and median; or it brings an interval of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from core.models.classifier import Classifier
    from core.recipes.recipe import Recipe
    from core.result import Result


@dataclass(frozen=True, kw_only=True, eq=False)
class Number:
    """One number of a table.

    Attributes:
        name: what it is, in words.
        unit: "" for pure numbers and shares.
        value: the number; or (n,) one for each sample, NaN where there is none; booleans for a share of them.
        interval: its 95 % interval, where the result brings one.
    """

    name: str
    value: float | np.ndarray
    unit: str = ""
    interval: tuple[float, float] | None = None


Numbers = Iterator[Number]
Maker = Callable[[Any, "Recipe", Sequence["Classifier"]], Numbers]


def _said(result: Result, spec: str) -> tuple[Any, str, str]:
    """Value, words and unit of `field`, `field:words` or `field:words:unit`; units of fields are their own."""
    field, words, unit = (*spec.split(":"), "", "")[:3]
    declared = field in {entry.name for entry in fields(result)}
    value = getattr(result, field)
    value = value() if callable(value) else value
    return value, words or field.replace("_", " "), unit or (result.unit(field) if declared else "")


def known(*specs: str) -> Maker:
    """Values that are known as they stand."""
    return _read(float, specs)


def samples(*specs: str) -> Maker:
    """Values of samples along the first axis; each sample stands with the mean of its values."""
    return _read(per_sample, specs)


def _read(value_of: Callable[[Any], float | np.ndarray], specs: Sequence[str]) -> Maker:
    def make(result: Result, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
        for spec in specs:
            value, words, unit = _said(result, spec)
            yield Number(name=words, value=value_of(value), unit=unit)

    return make


def columns(labels: Callable[[Any], Sequence[str]], *specs: str, across: bool = False) -> Maker:
    """Values of samples in several columns, each with its label; samples lie along the first axis, or across it."""

    def make(result: Result, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
        for spec in specs:
            value, words, unit = _said(result, spec)
            for label, column in zip(labels(result), value if across else value.T, strict=True):
                yield Number(name=f"{words}, {label}", value=per_sample(column), unit=unit)

    return make


def per_sample(value: np.ndarray) -> np.ndarray:
    """(n,) the mean of the finite values of each sample, NaN where there is none; booleans stay what they are."""
    if value.dtype == bool and value.ndim == 1:
        return value
    rows = value.reshape(len(value), -1).astype(np.float64)
    counts = np.isfinite(rows).sum(1)
    sums = np.where(np.isfinite(rows), rows, 0.0).sum(1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
