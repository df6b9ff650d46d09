"""The axis is linear around 0, logarithmic far from it, odd, and its ticks stand where their values do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.figures.drawing.symlog import Symlog


def test_places_are_odd_and_grow() -> None:
    axis = Symlog(0.01)
    values = np.array([-100.0, -1, -0.01, -1e-6, 0, 1e-6, 0.01, 1, 100])
    places = axis.at(values)
    np.testing.assert_allclose(places, -places[::-1])
    assert (np.diff(places) > 0).all()
    assert places[5] == pytest.approx(1e-4 / math.log(10), rel=1e-3)  # linear: v / c / ln 10
    assert places[8] - places[7] == pytest.approx(2, abs=0.01)  # two decades
    assert axis.place(1.0) == places[7]


def test_the_constant_follows_the_largest_value() -> None:
    assert Symlog.of(np.array([0.2, -0.9]), np.array([np.nan])).linear == pytest.approx(0.01)
    assert Symlog.of(np.array([36.0])).linear == pytest.approx(1.0)
    assert Symlog.of(np.zeros(3), np.array([])).linear == 1.0


def test_ticks_stand_at_their_values() -> None:
    axis = Symlog(0.01)
    ticks = axis.ticks(-0.5, 2.0)
    assert [words for _, words in ticks] == ["−0.3", "−0.1", "−0.03", "−0.01", "0", "0.01", "0.03", "0.1", "0.3", "1"]
    for place, words in ticks:
        assert place == pytest.approx(axis.place(float(words.replace("−", "-"))))
    many = Symlog(1e-4).ticks(-10, 10)
    assert [words for _, words in many][-1] == "10"
    assert len(many) < 16
