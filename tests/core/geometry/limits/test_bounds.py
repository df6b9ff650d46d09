"""Limits on every classifier: worked numbers, closed forms, and bounds that nothing measured exceeds."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from core.geometry.limits.bounds import BOUNDS, NORMS, robustness_bound, size_at
from core.geometry.limits.extremal import EXTREMAL, extremal_survival

# side, channels, survivors, H1 at 8 bits, H2 at 1 bit with one value of the middle, G at 8 bits: worked by hand
WORKED = [
    (28, 1, 0.5, 39, 10, 0.380),
    (28, 1, 0.01, 62, 37, 1.141),
    (28, 1, 1e-6, 91, 69, 2.069),
    (32, 3, 0.5, 78, 20, 0.488),
    (32, 3, 0.01, 122, 72, 1.249),
    (32, 3, 1e-6, 181, 136, 2.177),
    (224, 3, 0.5, 551, 132, 1.792),
    (224, 3, 0.01, 859, 501, 2.553),
    (224, 3, 1e-6, 1273, 950, 3.481),
]
JUST_BELOW = 0.5 - 1e-9  # where the majority of one value fewer is not the best class


@pytest.mark.parametrize(("side", "channels", "left", "changed", "flipped", "length"), WORKED)
def test_worked_sizes(side: int, channels: int, left: float, changed: int, flipped: int, length: float) -> None:
    assert size_at(side, channels, 8, 0, 0.5, survivors=left, bound="H1") == changed
    assert size_at(side, channels, 1, 0, JUST_BELOW, survivors=left, bound="H2") == flipped
    assert flipped - 1 <= size_at(side, channels, 1, 0, 0.5, survivors=left, bound="H2") <= flipped
    assert size_at(side, channels, 8, 2, 0.5, survivors=left, bound="G") == pytest.approx(length, abs=1e-3)
    values = channels * side**2
    assert size_at(side, channels, 8, 2, 0.5, survivors=left, bound="H1") == pytest.approx(math.sqrt(changed))
    assert size_at(side, channels, 8, 1, 0.5, survivors=left, bound="H1") == changed
    by_length = size_at(side, channels, 8, 1, 0.5, survivors=left, bound="G")
    assert by_length == pytest.approx(math.sqrt(values) * length, rel=3e-3)
    assert size_at(side, channels, 8, 1, 0.5, survivors=left) <= min(changed, by_length)


def test_worked_sizes_of_smaller_classes_and_of_any() -> None:
    assert [size_at(32, 3, 8, 0, share, bound="H1") for share in (0.5, 0.01, 0.001, 1e-6)] == [122, 122, 134, 168]
    assert [size_at(side, channels, 8, 0, None) for side, channels in ((28, 1), (32, 3), (224, 3))] == [103, 203, 1414]
    assert size_at(32, 3, 8, math.inf, 0.5, survivors=0.5) == pytest.approx(0.274, abs=5e-4)
    assert size_at(32, 3, 8, math.inf, 0.5) == 1  # one in a hundred would need more than the whole range


@pytest.mark.parametrize("bits", [1, 3])
@pytest.mark.parametrize("share", [0.5, 0.3, 2.0**-9])
def test_bounds_are_their_formulas(bits: int, share: float) -> None:
    sizes = np.arange(10.0)
    bound = robustness_bound(3, 1, bits, 0, share, sizes=sizes)
    first = np.exp(-2 * np.maximum((sizes + 1) / 3 - math.sqrt(-math.log(1 - share) / 2), 0) ** 2) / share
    first[-1] = 0  # all nine values: every image is within reach
    np.testing.assert_allclose(np.exp(bound.log_fraction[0]), first.clip(max=1), rtol=1e-12)
    radius = next(s for s in range(9 * bits + 1) if binom.cdf(s, 9 * bits, 0.5) >= share * (1 - 1e-12))
    second = binom.cdf(radius - sizes, 9 * bits, 0.5) / share
    np.testing.assert_allclose(np.exp(bound.log_fraction[1]), second.clip(max=1), rtol=1e-9)
    assert (bound.log_fraction[2] == 0).all()  # lengths say nothing about counts
    lengths = np.linspace(0, 3, 7)
    third = robustness_bound(3, 1, bits, 2, share, sizes=lengths).log_fraction[2]
    r = lengths * (2**bits - 1) / 2**bits - 3 / 2**bits
    expected = np.where(r > 0, norm.cdf(norm.ppf(share) - math.sqrt(2 * math.pi) * r) / share, 1.0)
    np.testing.assert_allclose(np.exp(third), expected.clip(max=1), rtol=1e-9)


def test_a_half_of_an_even_cube_has_the_tighter_form() -> None:
    for values, side in ((16, 4), (36, 6)):
        sizes = np.arange(values // 2 + 1.0)
        found = np.exp(robustness_bound(side, 1, 1, 0, 0.5, sizes=sizes).log_fraction[1])
        np.testing.assert_allclose(found, 2 * binom.cdf((values - 2) / 2 - sizes, values - 1, 0.5), rtol=1e-10)
    assert found[1] < 0.8
    assert np.exp(robustness_bound(4, 1, 1, 0, 0.5, sizes=np.ones(1)).log_fraction[1, 0]) == pytest.approx(
        0.607, abs=1e-3
    )
    assert np.exp(robustness_bound(4, 1, 1, 0, JUST_BELOW, sizes=np.ones(1)).log_fraction[1, 0]) == pytest.approx(
        0.804, abs=1e-3
    )


def test_survivors_beyond_all_numbers_are_logarithms() -> None:
    bound = robustness_bound(224, 3, 8, 2, 0.5, sizes=np.array([5.0, 20.0]))
    assert bound.log_least[1] < -1000
    assert bound.fraction[1] == 0
    r = 20 * 255 / 256 - math.sqrt(bound.values) / 256
    assert bound.log_fraction[2, 1] == pytest.approx(-math.pi * r**2, rel=0.01)
    far = robustness_bound(224, 3, 8, 0, 0.5, sizes=np.array([0.0, 75264.0])).log_fraction[1]
    assert far[0] == pytest.approx(0, abs=1e-8)
    assert far[1] < -2e3


def test_the_default_sizes_reach_to_where_the_bound_has_fallen() -> None:
    for p in NORMS:
        bound = robustness_bound(32, 3, 8, p, 0.5, least=1e-6)
        assert bound.size[0] == 0
        assert bound.fraction[0] == 1
        assert bound.fraction[-1] <= 1e-6
    assert (np.diff(robustness_bound(32, 3, 8, 0).size) >= 1).all()


@settings(max_examples=30)
@given(
    side=st.integers(2, 40),
    channels=st.sampled_from([1, 3]),
    bits=st.integers(1, 12),
    p=st.sampled_from(NORMS),
    share=st.one_of(st.none(), st.floats(1e-6, 0.5)),
)
def test_bounds_fall_with_size_and_hold_for_every_share_of_an_interval(
    side: int, channels: int, bits: int, p: float, share: float | None
) -> None:
    count = channels * side**2
    end = count if p == 0 else 1.0 if p == math.inf else count ** (1 / p)
    sizes = np.linspace(0, end, 60)
    bound = robustness_bound(side, channels, bits, p, share, sizes=sizes)
    assert (bound.log_fraction <= 0).all()
    least = bound.log_least.clip(-1e6)
    assert (np.diff(least) <= 1e-9).all()
    assert bound.log_least[0] == 0
    if share is not None:
        any_share = robustness_bound(side, channels, bits, p, None, sizes=sizes)
        assert (any_share.log_least.clip(-1e6) >= least - 1e-9).all()
        around = robustness_bound(side, channels, bits, p, (0.8 * share, min(0.5, 1.1 * share)), sizes=sizes)
        assert (around.log_fraction.clip(-1e6) >= bound.log_fraction.clip(-1e6) - 1e-9).all()


@settings(max_examples=30)
@given(
    side=st.integers(2, 12),
    bits=st.integers(1, 8),
    p=st.sampled_from(NORMS),
    kind=st.sampled_from(EXTREMAL),
)
def test_no_extremal_classifier_exceeds_the_bound(side: int, bits: int, p: float, kind: Any) -> None:
    count = side**2
    sizes = np.linspace(0, count if p in (0, 1) else side if p == 2 else 1, 80)
    kept = extremal_survival(kind, count, bits, p, sizes)
    known = ~np.isnan(kept)
    bound = robustness_bound(side, 1, bits, p, 0.5, sizes=sizes).log_least
    assert (kept[known] <= bound[known] + 1e-7).all()


def test_larger_images_and_deeper_ones_are_relatively_less_robust() -> None:
    for p in (0.0, 1.0, 2.0):
        sizes = np.array([size_at(side, 1, 1, p, 0.5) for side in (16, 32, 64, 128)])
        share = sizes / np.array([side**2 if p < 2 else side for side in (16, 32, 64, 128)])
        assert (np.diff(sizes) > 0).all()
        assert (np.diff(share) < 0).all()
    deep = [size_at(32, 3, bits, 2, 0.5, bound="G") for bits in range(1, 13)]
    assert (np.diff(deep) < 0).all()
    assert deep[-1] < size_at(32, 3, 1, 2, 0.5) / 4
    counted = {size_at(32, 3, bits, 0, 0.5, bound="H1") for bits in range(1, 13)}
    assert len(counted) == 1  # changed values do not know how deep they are


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"side": 0}, "at least 1 pixel"),
        ({"bits": 17}, "1 to 16 bits"),
        ({"side": 1, "channels": 1}, "at least two values"),
        ({"norm": 3}, "a norm out of 0, 1, 2"),
        ({"share": 0.6}, r"a share in \(0, 1/2\]"),
        ({"share": 0.0}, r"a share in \(0, 1/2\]"),
        ({"sizes": np.array([-1.0])}, "finite sizes"),
        ({"least": 0.0}, "least share"),
    ],
)
def test_formats_that_are_none_are_refused(changed: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {"side": 4, "channels": 1, "bits": 1, "norm": 0, "share": 0.5} | changed
    with pytest.raises(ValueError, match=message):
        robustness_bound(**asked)


def test_sizes_that_cannot_be_asked_for_are_refused() -> None:
    with pytest.raises(ValueError, match="survivors in"):
        size_at(4, 1, 1, 0, survivors=1.0)
    with pytest.raises(ValueError, match="a bound of"):
        size_at(4, 1, 1, 0, bound="H3")
    for p, name in product((0.0, math.inf), BOUNDS):
        far = size_at(4, 1, 1, p, 0.5, bound=name)
        assert math.isinf(far) == ((name == "G") == (p == 0) or p == math.inf)
