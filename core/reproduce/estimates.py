"""Estimates with their intervals: means and rates against their controls, medians that may be infinite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from core.reproduce.report import Evidence

if TYPE_CHECKING:
    from core.geometry.sparse.transfer import Transfer

DRAWS = 1000  # of the bootstrap
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


def bootstrap(count: int, statistic: Callable[[np.ndarray], float], method: Any = "linear") -> tuple[float, float]:
    """The 95 % interval of a statistic by the bootstrap.

    Args:
        count: how many samples there are.
        statistic: a function of rows of samples, of which one may occur several times.
        method: of the quantiles, see `numpy.quantile`; "nearest" where the statistic may be infinite.

    Returns:
        Both ends; draws for which the statistic is NaN do not count.
    """
    draws = np.random.default_rng(0).integers(0, count, (DRAWS, count))
    low, high = np.nanquantile([statistic(rows) for rows in draws], [0.025, 0.975], method=method)
    return float(low), float(high)


def lower_median(values: np.ndarray) -> float:
    """The middle of values, the lower one of two; NaN counts as infinite."""
    return float(np.quantile(np.nan_to_num(values, nan=np.inf), 0.5, method="inverted_cdf"))


def finite_median(values: np.ndarray) -> float:
    """The median of what is finite; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan


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
