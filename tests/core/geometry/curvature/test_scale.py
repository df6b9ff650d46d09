"""Curvature against scale: constant for smooth boundaries, a falling curve for networks of kinks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.geometry.curvature.scale import PUBLISHED, CurvatureScale, curvature_scale
from core.result import Result
from tests import curved, truths

SHAPE = (1, 8, 8)


def test_a_smooth_boundary_has_one_curvature_at_every_small_scale() -> None:
    surface = curved.Torus(curved.rows(3, SHAPE), curved.centre(SHAPE), 3.0, 1.0)
    images = curved.at(surface, torch.tensor([[2.2, 0, 0], [3.7, 0, 0]]))
    found = curvature_scale(curved.classifier(surface, SHAPE, torch.float64), images, [0.01, 0.03, 0.1])
    np.testing.assert_allclose(found.largest, [[0.5] * 3, [0] * 3], atol=0.01)
    np.testing.assert_allclose(found.smallest, -1, atol=0.01)
    np.testing.assert_allclose(found.exponent, 0, atol=0.01)
    np.testing.assert_array_equal(found.agreement, 1)


@pytest.mark.parametrize("method", ["differences", "softplus"])
def test_a_network_of_kinks_has_a_curve(method: str) -> None:
    classifier, images = truths.classifier(curved.Kinked(SHAPE), SHAPE, torch.float64), truths.images(4, SHAPE)
    told: list[float] = []
    found = curvature_scale(
        classifier, images, method=method, on_progress=lambda fraction, partial=None: told.append(fraction)
    )
    size = np.maximum(np.abs(found.largest), np.abs(found.smallest)).mean(0)
    assert found.method == method
    assert len(found.scale) == 6
    assert told == sorted(told)
    if method == "differences":
        assert found.scale[-1] == pytest.approx(8 * PUBLISHED)
        assert (found.asymmetry_ratio[np.isfinite(found.asymmetry_ratio)] >= 0).all()
        assert size[-1] > 0
    else:
        assert size[-1] > 2 * size[0]  # sharper kinks bend more
        assert found.agreement[-1] == 1
        assert np.nanmean(found.exponent) > 0.2
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, CurvatureScale)
    np.testing.assert_array_equal(again.smallest, found.smallest)


def test_one_kink_bends_by_its_jump_over_the_step() -> None:
    """F = relu(a) + b with its kink through the point: differences over h see a jump of 1 over 2 h."""

    class Corner(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            flat = images.flatten(1) - 0.5
            corner = torch.relu(flat[:, 0]) + flat[:, 1]
            return torch.stack([corner, torch.zeros_like(corner)], 1)

    images = torch.full((1, *SHAPE), 0.5, dtype=torch.float64)
    images[0, 0, 0, 1] += 0.2
    scales = np.array([0.02, 0.05, 0.1])
    found = curvature_scale(truths.classifier(Corner(), SHAPE, torch.float64), images, scales.tolist(), directions=2)
    # the gradient jumps by e_0 across the kink, along whatever direction crosses it: at most 1 / 2h, on a unit vector
    assert (found.largest <= 1 / (2 * scales) * math.sqrt(64) + 1e-9).all()
    np.testing.assert_allclose(found.largest[0] * scales, found.largest[0, 0] * scales[0], rtol=0.2)
    np.testing.assert_allclose(found.exponent, -1, atol=0.15)
