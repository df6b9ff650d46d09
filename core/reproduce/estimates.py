"""Estimates with their intervals: means and rates against their controls, medians that may be infinite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from core.reproduce.report import Evidence

if TYPE_CHECKING:
    from core.geometry.sparse.transfer import Transfer

_CERTAIN = 0.025  # level of one-sided tests, that of one end of a 95 % interval


def above(
    model: str, quantity: str, values: np.ndarray, chance: np.ndarray, control_name: str, *, decides: bool = True
) -> Evidence:
    """A mean over images against its control image by image: the 95 % interval of the difference is above 0."""
    known = np.isfinite(values) & np.isfinite(chance)
    if known.sum() < 2:
        return Evidence(model=model, quantity=quantity, value=math.nan)
    mean, half = _mean_interval(values[known])
    difference, around = _mean_interval(values[known] - chance[known])
    return Evidence(
        model=model,
        quantity=quantity,
        value=mean,
        interval=(mean - half, mean + half),
        control=float(chance[known].mean()),
        control_name=control_name,
        holds=difference > around if decides else None,
    )


def _mean_interval(values: np.ndarray) -> tuple[float, float]:
    """The mean and half the width of its 95 % interval, by Student's t."""
    from scipy.stats import t

    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1)) * error


def median(values: Any) -> float:
    """The middle of sorted values, the upper one of two, which may be infinite."""
    ordered = np.sort(np.asarray(values, np.float64))
    return float(ordered[len(ordered) // 2])


def median_interval(values: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of a median by order statistics; None where one of its ends is infinite."""
    from scipy.stats import binom

    ordered, count = np.sort(values), len(values)
    below = int(binom.ppf(0.025, count, 0.5))
    low, high = ordered[max(0, below - 1)], ordered[min(count - 1, count - below)]
    return (float(low), float(high)) if math.isfinite(high) else None


def rate(pair: Transfer, one: int, other: int, condition: str, control: str, words: str) -> Evidence:
    """How often a condition flips, and whether Fisher's exact test finds that more often than at its control."""
    from scipy.stats import fisher_exact

    at, beside = (list(pair.conditions).index(name) for name in (condition, control))
    rates, counts = pair.flipped[[at, beside], one, other], pair.count[[at, beside], one]
    hits = np.rint(np.nan_to_num(rates) * counts).astype(np.int64)
    more = fisher_exact(np.stack([hits, counts - hits], 1), alternative="greater").pvalue < _CERTAIN
    low, high = float(pair.flipped_low[at, one, other]), float(pair.flipped_high[at, one, other])
    return Evidence(
        model=str(pair.models[one]),
        quantity=f"share that flips {pair.models[other]}, {condition}",
        value=float(pair.flipped[at, one, other]),
        interval=(low, high) if math.isfinite(low) else None,
        control=float(pair.flipped[beside, one, other]),
        control_name=words,
        holds=bool(more) if counts.all() else None,
    )
