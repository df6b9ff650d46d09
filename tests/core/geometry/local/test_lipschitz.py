"""The ladder of Lipschitz numbers: exact for linear maps, uphill for curved ones, never above the true constant."""

from __future__ import annotations

import math

import pytest
import torch

from core.geometry.local.jacobian import Linearised, Outputs
from core.geometry.local.lipschitz import Steepness, steepest_in_ball, steepest_pair
from core.geometry.local.mantel import distances
from tests import local_maps, truths

SHAPE = (1, 6, 6)


def ball(outputs: Outputs, images: torch.Tensor, samples: int, radius: float, ascents: int) -> Steepness:
    vectors = torch.randn((1, samples, 36), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    vectors = (vectors / vectors.norm(dim=2, keepdim=True)).to(images)
    here = Linearised(outputs, images)
    classes = here.value.argmax(1)
    return steepest_in_ball(outputs, images, here, classes, vectors, radius, ascents=ascents)


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("count", [1, 5])
def test_a_linear_map_is_equally_steep_everywhere(dtype: torch.dtype, count: int) -> None:
    classifier = local_maps.scaled_axes((3.0, 4.0, 1.0), SHAPE, dtype)
    images = truths.images(count, SHAPE, dtype=dtype)
    images[:, 0, 0, 0] = 5.0  # class 0
    found = ball(Outputs(classifier), images, 3, 0.7, 2)
    torch.testing.assert_close(found.outputs, torch.full((count,), 4.0).double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found.margin, torch.full((count,), 5.0).double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found.gained, torch.ones(count).double(), rtol=1e-5, atol=0)


def test_the_ascent_finds_the_rim_of_a_ball_classifier() -> None:
    centre = torch.full(SHAPE, 0.5, dtype=torch.float64)
    outputs = Outputs(truths.classifier(truths.Ball(centre, 2.0), SHAPE, torch.float64))
    images = centre[None] + 0.5 * truths.unit(SHAPE)[None]
    found = ball(outputs, images, 2, 1.0, 20)  # logits (r² - |x - c|², 0): slope 2 |x - c|, at most 2 (0.5 + 1)
    sampled = ball(outputs, images, 2, 1.0, 0)
    assert float(found.outputs[0]) <= 3 + 1e-9
    assert float(found.outputs[0]) == pytest.approx(3, rel=1e-2)
    assert float(sampled.outputs[0]) < 2.6
    assert float(found.gained[0]) == pytest.approx(float(found.outputs[0] / sampled.outputs[0]))
    torch.testing.assert_close(found.margin, found.outputs)


def test_where_derivatives_vanish_steps_go_anywhere_and_never_beyond_the_ball() -> None:
    classifier = truths.classifier(local_maps.net(SHAPE), SHAPE, torch.float64)
    outputs, images = Outputs(classifier), truths.images(3, SHAPE)
    few, many = ball(outputs, images, 2, 2.0, 0), ball(outputs, images, 2, 2.0, 10)
    assert (many.outputs >= few.outputs).all()
    assert (many.gained > 1).any()
    inside = ball(outputs, images, 0, 1e-9, 3)  # one piece: nothing to gain
    exact = Linearised(outputs, images).largest().value
    torch.testing.assert_close(inside.outputs, exact)


def test_random_directions_find_a_tenth_of_the_constant_in_many_dimensions() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn((10, 3072), generator=generator, dtype=torch.float64)
    points = torch.randn((1, 300, 3072), generator=generator, dtype=torch.float64)
    points = torch.cat([torch.zeros(1, 1, 3072).double(), points / points.norm(dim=2, keepdim=True)], 1)
    found = float(steepest_pair(distances(points), distances(points @ weight.T))[0])
    constant = float(torch.linalg.matrix_norm(weight, 2))
    assert 0.05 < found / constant < 0.15
    assert math.isclose(constant, 58, rel_tol=0.1)  # about sqrt(3072) + sqrt(10)
