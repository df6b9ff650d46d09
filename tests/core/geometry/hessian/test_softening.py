"""Rounded kinks: their formulas, their limits, and what cannot be rounded."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.hessian.kinks import kinks
from core.geometry.hessian.softening import RoundedMaxPool, RoundedRelu, softened
from tests import curved, truths


@pytest.mark.parametrize(
    ("rounded", "kinked"),
    [
        (lambda b: RoundedRelu(b), nn.ReLU()),
        (lambda b: RoundedRelu(b, ceiling=6.0), nn.ReLU6()),
        (lambda b: RoundedRelu(b, slope=0.1), nn.LeakyReLU(0.1)),
    ],
)
def test_rounded_activations_are_above_by_at_most_log_2_over_b(rounded: type[nn.Module], kinked: nn.Module) -> None:
    values = torch.linspace(-9, 9, 181, dtype=torch.float64)
    for b in (1.0, 10.0):
        gap = rounded(b)(values) - kinked(values)
        assert gap.abs().max() <= math.log(2) / b + 1e-12
    assert rounded(1e4)(values).sub(kinked(values)).abs().max() < 1e-4


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, stride=2, padding=1), nn.MaxPool2d((2, 3), dilation=2)]
)
def test_rounded_pools_lie_between_mean_and_maximum(pool: nn.MaxPool2d) -> None:
    images = truths.images(2, (3, 9, 9))
    most = pool(images)
    sharp, soft = RoundedMaxPool(pool, 1e4)(images), RoundedMaxPool(pool, 5.0)(images)
    assert sharp.shape == most.shape
    np.testing.assert_allclose(sharp, most, atol=3e-4)
    assert (soft <= most + 1e-12).all()
    if pool.padding == 0 and pool.dilation == 1:
        mean = nn.functional.avg_pool2d(images, 2)
        np.testing.assert_allclose(RoundedMaxPool(pool, 1e-6)(images), mean, atol=1e-6)
        assert (soft >= mean - 1e-12).all()


@pytest.mark.parametrize("pool", [False, True])
def test_a_softened_network_is_smooth_and_tends_to_the_given_one(pool: bool) -> None:
    shape = (1, 8, 8)
    classifier = truths.classifier(curved.Kinked(shape, pool=pool), shape, torch.float64)
    images = truths.images(5, shape)
    before = classifier(images)
    gaps = []
    for b in (10.0, 1e5):
        smooth = softened(classifier, b)
        assert kinks(smooth) == ()
        assert smooth.fingerprint != classifier.fingerprint
        gaps.append(float((smooth(images) - before).abs().max().detach()))
    assert gaps[1] < 1e-3 < gaps[0]
    assert kinks(classifier) != ()  # the given one is left as it is
    assert torch.equal(classifier(images), before)


def test_smooth_networks_stay_as_they_are() -> None:
    surface = curved.Ball(None, curved.centre((1, 4, 4)), 1.0)
    classifier, images = curved.classifier(surface, (1, 4, 4), torch.float64), truths.images(3, (1, 4, 4))
    assert torch.equal(softened(classifier, 5.0)(images), classifier(images))


def test_what_cannot_be_rounded_is_named() -> None:
    class Functional(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.relu(images.flatten(1))

    classifier = truths.classifier(Functional(), (1, 2, 2))
    with pytest.raises(ValueError, match="modules of torch.nn, got relu"):
        softened(classifier, 5.0)
    with pytest.raises(ValueError, match="positive sharpness"):
        softened(classifier, 0.0)
