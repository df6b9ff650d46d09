"""Summaries of curvatures that were written down by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from core.geometry.curvature.summary import CurvatureSummary


@dataclass(frozen=True, kw_only=True, eq=False)
class Plain(CurvatureSummary):
    """Nothing more."""


def summary(
    curvatures: list[list[float]], distance: list[float], dimension: int | None = None, **density: list[list[float]]
) -> Plain:
    rows = len(curvatures)
    nodes, weights = (
        np.array(density.get(name, [[] for _ in range(rows)]), np.float64) for name in ("nodes", "weights")
    )
    return Plain(
        curvatures=np.array(curvatures),
        distance=np.array(distance),
        nodes=nodes,
        weights=weights,
        dimension=dimension or len(curvatures[0]),
        forwards=0,
        gradients=0,
        seconds=0.0,
    )


def test_numbers_of_a_list() -> None:
    found = summary([[2.0, 0.04, 0.0, -1.0], [0.0, 0.0, 0.0, 0.0], [-1.0, -1.0, -1.0, -1.0]], [0.5, 1.0, 2.0])
    np.testing.assert_allclose(found.mean, [0.26, 0, -1])
    np.testing.assert_allclose(found.flat_fraction, [0.5, 1, 0])
    np.testing.assert_allclose(found.relatively_flat_fraction, [0.5, 1, 0])
    np.testing.assert_allclose(found.participation, [3.04**2 / (4 + 0.0016 + 1), np.nan, 4])
    np.testing.assert_allclose(found.asymmetry, [-1 / 2.04, np.nan, -np.inf])
    np.testing.assert_allclose(found.unit_free[0], [1, 0.02, 0, -0.5])
    np.testing.assert_allclose(found.crossing[2], 2)
    np.testing.assert_allclose(found.crossing[0], [np.inf, np.inf, np.inf, 1])
    np.testing.assert_array_equal(found.convex_towards_current, -found.curvatures)


def test_numbers_of_a_quadrature_and_of_too_little() -> None:
    nodes, weights = [[-1.0, 0.0, 1.0]], [[0.2, 0.7, 0.1]]
    found = summary([[1.0, -1.0]], [0.3], 100, nodes=nodes, weights=weights)
    assert found.mean[0] == pytest.approx(-0.1)
    assert found.flat_fraction[0] == pytest.approx(0.7)
    assert found.asymmetry[0] == pytest.approx(-2)
    assert found.participation[0] == pytest.approx(100 * 0.3**2 / 0.3)
    few = summary([[1.0, -1.0]], [0.3], 100)
    for name in ("mean", "flat_fraction", "relatively_flat_fraction", "participation", "asymmetry"):
        assert np.isnan(getattr(few, name)).all()
    assert np.isnan(few.density(np.linspace(-1, 1, 3), 0.1)).all()


def test_bands_leave_out_images_without_a_boundary() -> None:
    rows = [[float(k), -float(k)] for k in range(11)]
    found = summary([*rows, [np.nan, np.nan]], [1.0] * 12)
    mean, low, high = found.band()
    np.testing.assert_allclose(mean, [5, -5])
    np.testing.assert_allclose(low, [1, -9])
    np.testing.assert_allclose(high, [9, -1])
    single = found.band(found.distance, 0, 100)
    assert (single.low, single.high) == (1, 1)
    assert np.isnan(summary([[np.nan, np.nan]], [np.nan]).band().mean).all()


def test_densities_integrate_to_one() -> None:
    found = summary([[1.0, 0.5, -1.0]], [1.0])
    at = np.linspace(-3, 3, 601)
    density = found.density(at, 0.1)
    assert density.sum() * 0.01 == pytest.approx(1, abs=1e-6)
    assert density[0, 150 + 50] > density[0, 300]
