"""Scores of balls: their mean curvature, whose sign turns across the boundary, and the class before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.geometry.boundary.deepfool import boundary_points
from core.geometry.detector.scores import PerturbationScores, detect_perturbed
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import curved, truths

SHAPE = (3, 32, 32)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_step_across_a_ball_turns_the_sign_and_names_the_class_before(dtype: torch.dtype) -> None:
    surface = curved.Ball(None, curved.centre(SHAPE), 2.0)
    classifier = curved.classifier(surface, SHAPE, dtype)
    away = torch.stack([truths.unit(SHAPE, seed) for seed in range(3)])
    clean, perturbed = ((curved.centre(SHAPE) + size * away).to(dtype) for size in (1.8, 2.1))
    before, after = detect_perturbed(classifier, clean), detect_perturbed(classifier, perturbed)
    np.testing.assert_allclose(before.score_nearest, -0.5, rtol=1e-3)
    np.testing.assert_allclose(after.score_nearest, 0.5, rtol=1e-3)
    np.testing.assert_allclose(before.score_all, before.score_nearest, rtol=1e-3)  # there is one other class
    assert (before.error_nearest < 1e-4).all()
    np.testing.assert_array_equal(after.recovered_class, before.source_class)
    np.testing.assert_allclose(after.distance, 0.1, rtol=1e-3)
    assert (before.boundaries == 1).all()


def test_a_mean_over_few_curved_directions_has_an_error_bar_that_holds() -> None:
    surface = curved.Ball(curved.rows(20, SHAPE), curved.centre(SHAPE), 2.0)
    y = torch.zeros((1, 20), dtype=torch.float64)
    y[0, 0] = 1.7
    found = detect_perturbed(curved.classifier(surface, SHAPE, torch.float64), curved.at(surface, y), probes=64)
    truth = -0.5 * 19 / 3071
    assert abs(found.score_nearest[0] - truth) < 4 * found.error_nearest[0]
    assert 0 < found.error_nearest[0] < abs(truth)


def test_the_second_score_averages_over_the_other_classes() -> None:
    """Half-spaces around a ball: one curved boundary and two flat ones."""

    class Mixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.centre = torch.nn.Parameter(curved.centre((1, 6, 6)))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            offset = (images - self.centre).flatten(1)
            ball = offset.square().sum(1) - 1.0
            return torch.stack([torch.zeros_like(ball), ball, offset[:, 0] - 1.5, offset[:, 1] - 2.0], 1)

    classifier = truths.classifier(Mixed(), (1, 6, 6), torch.float64)
    images = curved.centre((1, 6, 6))[None] + 0.5 * truths.unit((1, 6, 6), 1)
    found = detect_perturbed(classifier, images)
    np.testing.assert_allclose(found.score_nearest, -1, rtol=1e-4)
    np.testing.assert_allclose(found.score_all, -1 / 3, rtol=1e-4)
    assert found.boundaries.tolist() == [3]
    one = detect_perturbed(classifier, images, classes=1)
    np.testing.assert_allclose(one.score_all, -1, rtol=1e-4)
    assert np.isnan(detect_perturbed(classifier, images, classes=0).score_all).all()


def test_kinked_networks_are_scored_at_a_scale() -> None:
    shape = (1, 8, 8)
    classifier = truths.classifier(curved.Kinked(shape), shape)
    found = detect_perturbed(classifier, truths.images(3, shape).float(), scale=0.3)
    assert found.scale == 0.3
    assert np.isfinite(found.score_nearest).all()
    assert (found.score_nearest != 0).any()


def test_demo_photos() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos").pixels[0:512:64]
    points = boundary_points(classifier, images)
    clean = detect_perturbed(classifier, images, points=points)
    over = images + 1.05 * (torch.from_numpy(points.points) - images)
    after = detect_perturbed(classifier, over, classes=0)
    assert (after.recovered_class == clean.source_class).mean() >= 0.75  # the same point is nearest again
    same = after.recovered_class == clean.source_class
    assert (np.sign(after.score_nearest[same]) == -np.sign(clean.score_nearest[same])).mean() >= 0.75
    assert (clean.boundaries == 8).all()
    again = Result.from_bytes(clean.to_bytes())
    assert isinstance(again, PerturbationScores)
    np.testing.assert_array_equal(again.score_all, clean.score_all)
