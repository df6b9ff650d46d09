"""Estimates with intervals: means and rates against their controls, and medians that may be infinite."""

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
    """A mean over images; it holds if the 95 % interval of its paired difference to the control is above 0."""
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
    """The mean and half the width of its 95 % interval (Student's t)."""
    from scipy.stats import t

    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1)) * error


def bootstrap(count: int, statistic: Callable[[np.ndarray], float], method: Any = "linear") -> tuple[float, float]:
    """The 95 % interval of a statistic by the bootstrap.

    Args:
        count: number of samples.
        statistic: a function of the rows of resampled samples, which may repeat.
        method: of the quantiles, see `numpy.quantile`; "nearest" where the statistic may be infinite.

    Returns:
        Both ends; resamples whose statistic is NaN are left out.
    """
    draws = np.random.default_rng(0).integers(0, count, (DRAWS, count))
    low, high = np.nanquantile([statistic(rows) for rows in draws], [0.025, 0.975], method=method)
    return float(low), float(high)


def lower_median(values: np.ndarray) -> float:
    """The median, the lower of two middle values; NaN counts as infinite."""
    return float(np.quantile(np.nan_to_num(values, nan=np.inf), 0.5, method="inverted_cdf"))


def finite_median(values: np.ndarray) -> float:
    """The median of the finite values; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan


def median(values: Any) -> float:
    """The median, the upper of two middle values, which may be infinite."""
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
    """How often a condition flips the class; it holds if its control does so less often (Fisher's exact test)."""
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
