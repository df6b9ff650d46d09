"""Clean, adversarial and noise points in pairs: equal for a linear map, known slopes for a ball."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.geometry.local.adversarial_comparison import KINDS, AdversarialComparison, adversarial_comparison
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import local_maps, truths

SHAPE = (1, 6, 6)


def test_a_linear_map_is_as_steep_everywhere() -> None:
    classifier = local_maps.scaled_axes((3.0, 2.0), SHAPE, torch.float64)
    found = adversarial_comparison(classifier, truths.images(5, SHAPE), 0.5, strength=5.0, count=6)
    assert found.found.all()
    np.testing.assert_allclose(found.lipschitz_point, 3.0, rtol=1e-9)
    for kind in range(len(KINDS)):
        np.testing.assert_allclose(found.difference("lipschitz_point", kind), 0, atol=1e-9)
    assert (found.margin >= 0).all()


def test_outside_of_a_ball_the_slope_is_larger_and_noise_is_as_far() -> None:
    centre = torch.full(SHAPE, 0.5, dtype=torch.float64)
    classifier = truths.classifier(truths.Ball(centre, 1.0), SHAPE, torch.float64)
    images = centre + 0.9 * torch.stack([truths.unit(SHAPE, seed) for seed in range(4)])
    found = adversarial_comparison(classifier, images, 0.1, strength=0.5, count=6)
    assert found.found.all()
    np.testing.assert_allclose(found.lipschitz_point[:, 0], 1.8)  # 2 |x - c|
    assert (found.lipschitz_point[:, 1] > 2.0).all()  # beyond the boundary
    assert (found.lipschitz_point[:, 1] <= 2 * 1.4 + 1e-9).all()
    assert (found.difference("lipschitz_point", 1) > 0).all()
    noise = found.lipschitz_point[:, 2] / 2  # |x + n - c|, with n about at a right angle
    np.testing.assert_allclose(noise, np.sqrt(0.81 + 0.25), rtol=0.15)


def test_points_that_no_attack_reaches_are_unknown() -> None:
    classifier, images = load_classifier("demo:photos/adversarial", "cpu"), load_images("demo:photos").pixels[:6]
    found = adversarial_comparison(classifier, images, 0.5, strength=0.7, count=6, steps=5)
    assert found.found.any()
    assert not found.found.all()
    assert np.isnan(found.lipschitz_point[~found.found, 1]).all()
    assert np.isfinite(found.lipschitz_point[:, [0, 2]]).all()
    assert len(found.difference("lipschitz_point", 1)) == found.found.sum()
    assert (found.lipschitz_pairs[found.found] < found.lipschitz_ball[found.found]).all()
    assert isinstance(Result.from_bytes(found.to_bytes()), AdversarialComparison)
    assert found.gradients > 6 * 5


def test_an_attack_without_strength_is_refused() -> None:
    with pytest.raises(ValueError, match="positive strength"):
        adversarial_comparison(
            local_maps.scaled_axes((3.0, 2.0), SHAPE, torch.float32), truths.images(1, SHAPE), 0.5, strength=0
        )
