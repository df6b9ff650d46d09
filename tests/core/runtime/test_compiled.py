"""Compiled functions: what they compute, with and without a folder to be kept in."""

from __future__ import annotations

import numpy as np
import pytest

from core.runtime.compiled import compiled


def total(values: np.ndarray) -> float:
    found = 0.0
    for place in range(len(values)):
        found += values[place]
    return found


@pytest.mark.parametrize("kept", [True, False])
def test_it_is_compiled_wherever_it_can_be_kept(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core import caching

    if not kept:
        monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    function = compiled(total)
    assert function.__name__ == "total"
    for dtype in (np.float32, np.float64):
        assert function(np.arange(5, dtype=dtype)) == 10
    assert np.isnan(function(np.array([1.0, np.nan])))
