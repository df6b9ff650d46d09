"""Walks along a ball, a quadric and a plane: the boundary's height over its tangent is known on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.geometry.curvature.principal_direction import principal_direction
from core.geometry.curvature.walk import CurvatureWalk, curvature_walk
from core.result import Result
from tests import curved, truths
from tests.truths import BatchSize

SHAPE = (3, 32, 32)


@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_ball_is_followed_along_its_circle(dtype: torch.dtype, batch: int, batch_size: BatchSize) -> None:
    shape = SHAPE if batch == 64 else (1, 6, 6)
    batch_size(batch)
    surface = curved.Ball(None, curved.centre(shape), 2.0)
    image = (curved.centre(shape) + truths.unit(shape, 3)).to(dtype)  # 1 from the surface
    walk = curvature_walk(principal_direction(curved.classifier(surface, shape, dtype), image, 1), reach=1.5, steps=13)
    t = np.linspace(-1.5, 1.5, 13)
    np.testing.assert_allclose(walk.offset, t, atol=1e-4)
    np.testing.assert_allclose(walk.normal_curvature, -0.5, atol=1e-4)
    np.testing.assert_allclose(walk.height, 2 - np.sqrt(4 - t**2), atol=2e-3)
    np.testing.assert_allclose(walk.circle, 2 - np.sqrt(4 - t**2), atol=1e-3)
    np.testing.assert_allclose(walk.parabola, t**2 / 4, atol=1e-3)
    np.testing.assert_allclose(walk.margin, -(t**2), atol=2e-3)  # 4 - |y|² on the tangent line
    np.testing.assert_allclose(walk.foretold_margin, -(t**2), atol=2e-3)
    assert set(walk.label[[0, 1, -2, -1]]) == {1}
    np.testing.assert_allclose(walk.distance_to(walk.height), np.sqrt(t**2 + (1 - walk.height) ** 2), rtol=1e-4)
    assert walk.distance_to(walk.height)[6] == pytest.approx(1, abs=1e-4)  # the nearest one
    # 2 - sqrt(4 - t²) - t²/4 is 0.048 at t = 1.25 and 0.115 at t = 1.5
    assert walk.trusted == pytest.approx(1.25, abs=1e-4)
    again = Result.from_bytes(walk.to_bytes())
    assert isinstance(again, CurvatureWalk)
    np.testing.assert_array_equal(again.height, walk.height)


def test_the_parabola_of_a_quadric_is_its_boundary() -> None:
    matrix = torch.diag(torch.tensor([1.5, -0.8], dtype=torch.float64))
    surface = curved.Graph(curved.rows(3, SHAPE), curved.centre(SHAPE), matrix)
    image = curved.at(surface, torch.tensor([[0.4, 0, 0]]))[0]
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    for number, k in ((1, 0.8), (-1, -1.5)):  # F = y - u A u / 2 > 0 above the graph
        walk = curvature_walk(principal_direction(classifier, image, number), reach=2.0, steps=21)
        assert walk.normal_curvature == pytest.approx(k, abs=1e-4)
        np.testing.assert_allclose(walk.height, walk.parabola, atol=2e-4)
        assert walk.trusted == pytest.approx(walk.offset[-1])
        np.testing.assert_allclose(walk.frames[0], walk.frames[0].astype(np.float32))
        assert len(walk.frames) == len(walk.frame_offset) == 9


def test_a_plane_is_walked_without_leaving_it_and_a_circle_ends() -> None:
    weight = torch.stack([truths.unit(SHAPE, 1).flatten(), truths.unit(SHAPE, 2).flatten()])
    flat = truths.classifier(truths.Affine(weight, torch.tensor([0.3, 0.0], dtype=torch.float64)), SHAPE, torch.float64)
    walk = curvature_walk(principal_direction(flat, truths.images(1, SHAPE)[0], 0), steps=5)
    np.testing.assert_allclose(walk.height, 0, atol=1e-9)
    np.testing.assert_allclose(walk.circle, 0, atol=1e-9)
    surface = curved.Ball(None, curved.centre((1, 6, 6)), 1.0)
    image = curved.centre((1, 6, 6)) + 0.3 * truths.unit((1, 6, 6), 3)
    small = curvature_walk(
        principal_direction(curved.classifier(surface, (1, 6, 6), torch.float64), image, 1), reach=2.0, steps=41
    )
    beyond = np.abs(small.offset) > 1.001  # no normal ray meets the ball there
    assert beyond.any()
    assert np.isnan(small.height[beyond]).all()
    assert np.isnan(small.circle[beyond]).all()
    assert 0.5 < small.trusted < 1


def test_wrong_calls_are_told_what_is_wrong() -> None:
    surface = curved.Ball(None, curved.centre((1, 6, 6)), 1.0)
    image = curved.centre((1, 6, 6)) + 0.3 * truths.unit((1, 6, 6), 3)
    principal = principal_direction(curved.classifier(surface, (1, 6, 6), torch.float64), image, 1)
    for steps in (1, 10):
        with pytest.raises(ValueError, match="odd number of at least 3 steps"):
            curvature_walk(principal, steps=steps)
    with pytest.raises(ValueError, match="positive reach"):
        curvature_walk(principal, reach=math.inf)
