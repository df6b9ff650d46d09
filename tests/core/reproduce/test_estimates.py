"""Estimates: medians by order statistics, means against their controls."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from core.geometry.common.intervals import wilson
from core.geometry.sparse.transfer import CONDITIONS, Transfer
from core.reproduce.estimates import above, median, median_interval, rate


def test_the_median_of_images_that_were_not_all_flipped() -> None:
    assert median([1, 2, math.inf]) == 2
    assert median([1, math.inf]) == math.inf
    assert median_interval(np.array([1.0, 2.0, math.inf])) is None
    values = np.arange(1.0, 41.0)
    low, high = median_interval(values) or (math.nan, math.nan)
    assert low + high == 41
    # the interval misses the median when fewer than `low` or more than 40 - `low` values lie below it
    assert binom.cdf(low - 1, 40, 0.5) <= 0.025 < binom.cdf(low, 40, 0.5)


def test_a_mean_holds_when_its_difference_to_the_control_is_above_zero() -> None:
    chance = np.linspace(0.1, 0.9, 12)
    better = above("m", "q", chance + 0.05 + 0.01 * np.arange(12) / 12, chance, "chance")
    assert better.holds is True
    assert better.value == pytest.approx((chance + 0.05 + 0.01 * np.arange(12) / 12).mean())
    noise = np.resize([0.1, -0.1], 12)
    assert above("m", "q", chance + noise, chance, "chance").holds is False
    assert above("m", "q", chance + 1, chance, "chance", decides=False).holds is None
    nothing = above("m", "q", np.full(12, np.nan), chance, "chance")
    assert math.isnan(nothing.value)
    assert nothing.holds is None


def a_pair(change: float, control: float) -> Transfer:
    """Two models and 40 images: how often the change, and the same moved, flip the other model."""
    flipped = np.zeros((len(CONDITIONS), 2, 2))
    flipped[0], flipped[1] = change, control
    low, high = wilson(40 * flipped, 40)
    settings = {"method": "sparsefool", "order": "pixel", "bound": 1.0, "steps": 1, "seed": 0, "num_classes": 2}
    return Transfer(
        flipped=flipped,
        flipped_low=low,
        flipped_high=high,
        same_target=flipped,
        count=np.full((len(CONDITIONS), 2), 40),
        agreement=np.eye(2),
        agreement_chance=np.eye(2),
        models=np.array(["a/x", "a/x-1"]),
        conditions=np.array(CONDITIONS),
        pixels=np.ones((2, 40)),
        **settings,
        forwards=0,
        gradients=0,
        seconds=0.0,
    )


@pytest.mark.parametrize(("change", "control", "more"), [(0.3, 0.05, True), (0.3, 0.25, False), (0.0, 0.0, False)])
def test_transfer_must_exceed_its_control(change: float, control: float, more: bool) -> None:
    found = rate(a_pair(change, control), 0, 1, "change", "change, shifted", "moved")
    assert found.holds is more
    assert (found.value, found.control) == (change, control)
    assert found.quantity == "share that flips a/x-1, change"
