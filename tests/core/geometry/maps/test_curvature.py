"""Curvatures on a map: k D of balls in closed form, those that were not drawn, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.maps.background import DecisionMap
from core.geometry.maps.curvature import CurvedMap, curved_map
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.result import Result
from tests import truths
from tests.core.figures.charts.test_maps import some
from tests.truths import BatchSize

SHAPE, RADIUS = (1, 16, 16), 1.5


def laid_out(classifier: Classifier, images: Tensor) -> DecisionMap:
    """A map of these images, at places that nothing depends on."""
    said = classifier.predict(images).label.astype(np.int32)
    places = np.arange(2.0 * len(images)).reshape(-1, 2)
    return replace(some(), positions=places, predicted=said, fingerprint=classifier.fingerprint)


@pytest.mark.parametrize(("dtype", "batch"), [(torch.float32, 5), (torch.float64, 1)])
def test_near_a_ball_the_product_is_the_distance_over_its_radius(
    dtype: torch.dtype, batch: int, batch_size: BatchSize
) -> None:
    batch_size(batch)
    centre = torch.full(SHAPE, 0.5, dtype=torch.float64)
    far = torch.tensor([0.5, 0.8, 1.1, 1.3, 1.8, 2.1, 2.5, 3.0], dtype=torch.float64)
    away = torch.stack([truths.unit(SHAPE, seed) for seed in range(8)])
    images = (centre + far.view(-1, 1, 1, 1) * away).to(dtype)
    classifier = truths.classifier(truths.Ball(centre, RADIUS), SHAPE, dtype)
    laid = laid_out(classifier, images)
    seen: list[float] = []
    found = curved_map(classifier, laid, images, count=8, on_progress=lambda part, partial=None: seen.append(part))
    # inside, the boundary closes around the image's class: k = -1 / r, and D = r - |x - c|; outside k = 1 / r
    np.testing.assert_allclose(found.curvature, (far.numpy() - RADIUS) / RADIUS, atol=1e-4)
    assert found.drawn == 8
    assert seen
    assert found.gradients > laid.gradients
    np.testing.assert_array_equal(found.positions, laid.positions)
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, CurvedMap)
    np.testing.assert_array_equal(again.curvature, found.curvature)
    few = curved_map(classifier, laid, images, count=4, seed=3)
    known = np.isfinite(few.curvature)
    assert known.sum() == few.drawn == 4
    assert np.bincount(few.predicted[known]).tolist() == [2, 2]  # drawn by turns from the classes
    np.testing.assert_allclose(few.curvature[known], found.curvature[known], atol=1e-4)


def test_networks_of_kinks_say_their_scale_and_other_models_are_refused() -> None:
    images = load_images("demo:photos")[:8].pixels
    classifier = load_classifier("demo:photos/relu", "cpu")
    laid = laid_out(classifier, images)
    found = curved_map(classifier, laid, images, count=2)
    assert found.scale_of_differences == pytest.approx(np.sqrt(3072) / 255)
    assert found.drawn == 2
    assert (np.isnan(found.curvature) | (found.curvature > -1.5)).all()
    with pytest.raises(ValueError, match="the 8 images that the map is of, got photos/relu and 7"):
        curved_map(classifier, laid, images[:7], count=2)
    with pytest.raises(ValueError, match="at least one image"):
        curved_map(classifier, laid, images, count=0)
