"""Wilson's interval against SciPy's, and where there is nothing to count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from core.geometry.common.intervals import wilson


@given(st.integers(1, 400).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_interval_is_that_of_scipy(pair: tuple[int, int]) -> None:
    hits, count = pair
    expected = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    low, high = wilson(hits, count)
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= low <= hits / count <= high <= 1


def test_counts_broadcast_and_none_is_not_a_share() -> None:
    low, high = wilson(np.array([[0, 3], [5, 0]]), np.array([5, 0]))
    assert low.shape == (2, 2)
    assert np.isnan(low[:, 1]).all()
    assert np.isnan(high[:, 1]).all()
    assert (low[0, 0], high[1, 0]) == (0.0, 1.0)
