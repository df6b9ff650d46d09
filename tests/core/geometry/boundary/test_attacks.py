"""Attacks on half-spaces and balls, whose shortest perturbations are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.geometry.boundary.attacks import projected_gradient, shortest_perturbation
from core.runtime.cost import Cost
from tests import curved, truths

SHAPE = (1, 6, 6)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_descent_stays_in_its_ball_and_crosses_what_it_can_reach(dtype: torch.dtype, cost: Cost) -> None:
    surface = curved.Ball(None, curved.centre(SHAPE), 2.0)
    classifier = curved.classifier(surface, SHAPE, dtype)
    images = (curved.centre(SHAPE) + torch.stack([1.5 * truths.unit(SHAPE, seed) for seed in range(4)])).to(dtype)
    radius = torch.tensor([0.4, 0.45, 0.55, 0.8])  # the distance is 0.5
    found = projected_gradient(classifier, images, radius)
    assert found.changed.tolist() == [False, False, True, True]
    far = (found.images - images).flatten(1).norm(dim=1)
    assert (far <= radius * 1.0001).all()
    assert (cost.gradients, cost.forwards) == (160, 4 + 160 + 4)
    np.testing.assert_array_equal(classifier.predict(found.images).label, found.changed.long())
    again = projected_gradient(classifier, images, radius)
    assert torch.equal(again.images, found.images)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_shortest_perturbations_come_close_to_the_distance(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn((4, 36), generator=generator, dtype=torch.float64) / 6
    module, images = truths.Affine(weight, torch.zeros(4).double()), truths.images(6, SHAPE)
    classifier = truths.classifier(module, SHAPE, dtype)
    found = shortest_perturbation(classifier, images.to(dtype))
    logits = images.flatten(1) @ weight.T
    source = logits.argmax(1)
    steep = (weight[source][:, None] - weight).norm(dim=2)
    truth = ((logits.gather(1, source[:, None]) - logits) / steep).nan_to_num(torch.inf).amin(1)
    size = (found.images.double() - images).flatten(1).norm(dim=1)
    assert found.changed.all()
    assert (size >= truth * (1 - 1e-5)).all()
    assert (size <= truth * 1.06).all()  # the length changes by 5 % a step


def test_where_no_other_class_is_the_images_stay() -> None:
    classifier = truths.classifier(truths.Affine(torch.zeros(2, 36), torch.tensor([1.0, 0.0])), SHAPE)
    images = truths.images(2, SHAPE).float()
    found = shortest_perturbation(classifier, images, steps=5)
    assert not found.changed.any()
    assert torch.equal(found.images, images)
