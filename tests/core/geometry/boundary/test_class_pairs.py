"""Boundaries between two classes where a third may win: half-spaces and balls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.geometry.boundary.class_pairs import PairMargin, pair_points
from tests import curved, truths

SHAPE = (1, 6, 6)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_half_spaces_are_met_at_their_distance(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn((5, 36), generator=generator, dtype=torch.float64)
    classifier = truths.classifier(truths.Affine(weight, torch.zeros(5).double()), SHAPE, dtype)
    images = truths.images(6, SHAPE).to(dtype)
    margin = PairMargin(classifier)
    source = classifier(images).argmax(1)
    for away in range(1, 5):
        target = (source + away) % 5
        found = pair_points(margin, images, source, target)
        steep = weight[source] - weight[target]
        truth = (images.double().flatten(1) * steep).sum(1) / steep.norm(dim=1)
        assert found.found.all()
        np.testing.assert_allclose(found.distance, truth, rtol={torch.float32: 1e-4, torch.float64: 1e-9}[dtype])
        gap = margin(found.points, margin.pair(source, target))
        np.testing.assert_allclose(gap.detach(), 0, atol=1e-4)
    slope = margin.slope(images, margin.pair(source, target))
    np.testing.assert_array_equal(slope.runner_up, target)
    np.testing.assert_allclose(slope.gradient.flatten(1), steep, rtol=1e-5, atol=1e-6)


def test_a_ball_is_left_by_the_shortest_way() -> None:
    surface = curved.Ball(None, curved.centre(SHAPE), 2.0)
    margin = PairMargin(curved.classifier(surface, SHAPE, torch.float64))
    images = curved.centre(SHAPE) + torch.stack([0.7 * truths.unit(SHAPE, seed) for seed in range(3)])
    zero = torch.zeros(3).long()
    found = pair_points(margin, images, zero, zero + 1)
    np.testing.assert_allclose(found.distance, 1.3, rtol=1e-6)


def test_what_is_never_met_is_not_found() -> None:
    classifier = truths.classifier(truths.Affine(torch.zeros(2, 36), torch.tensor([1.0, 0.0])), SHAPE)
    zero = torch.zeros(2).long()
    found = pair_points(PairMargin(classifier), truths.images(2, SHAPE).float(), zero, zero + 1)
    assert not found.found.any()
