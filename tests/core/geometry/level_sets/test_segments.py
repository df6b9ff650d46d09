"""Confidences on segments against the places where they leave balls, discs and shells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.level_sets.segments import LinearPaths, linear_paths
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import truths
from tests.truths import BatchSize

SHAPE = (1, 32, 32)


def plane(points: list[list[float]], dtype: torch.dtype = torch.float64) -> Tensor:
    """Images at these coordinates of the plane of two pixels, grey elsewhere."""
    images = torch.full((len(points), *SHAPE), 0.5, dtype=dtype)
    images[:, 0, 0, :2] += torch.tensor(points, dtype=dtype)
    return images


class Shell(nn.Module):
    """Class 0 between two radii around grey, by log-odds thickness - |r - middle| in units of a tenth of it."""

    def __init__(self, middle: float, thickness: float) -> None:
        super().__init__()
        self.middle = nn.Parameter(torch.tensor(middle, dtype=torch.float64))
        self.thickness = thickness

    def forward(self, images: Tensor) -> Tensor:
        radius = (images - 0.5).flatten(1).norm(dim=1)
        margin = 20 * (self.thickness / 2 - (radius - self.middle).abs()) / self.thickness
        return torch.stack([margin, torch.zeros_like(margin)], 1)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_segment_ends_where_the_ball_does(dtype: torch.dtype, batch: int, batch_size: BatchSize) -> None:
    batch_size(batch)
    module = truths.Ball(torch.full(SHAPE, 0.5, dtype=torch.float64), 2.0)
    classifier = truths.classifier(module, SHAPE, dtype)
    starts, ends = plane([[0, 0], [0, 0], [0, 0]], dtype), plane([[3, 0], [0.5, 0], [0, 0]], dtype)
    found = linear_paths(classifier, starts, ends, delta=0.2, points=11)
    p = 1 / (1 + np.exp(-4.0))
    radius = np.sqrt(4 - np.log((p - 0.2) / (1.2 - p)))
    np.testing.assert_allclose(found.reach, [radius / 3, 1, 1], atol=1e-5)
    np.testing.assert_allclose(found.log_odds[0], 4 - 9 * found.at**2, atol=1e-5)
    np.testing.assert_allclose(found.drop[:2], p - 1 / (1 + np.exp([5.0, -3.75])), atol=1e-6)
    np.testing.assert_allclose(found.mean[2], p, atol=1e-6)
    np.testing.assert_allclose(found.length, [3, 0.5, 0])
    assert found.least[0] == found.confidence[0, -1]


def test_through_the_hole_of_a_shell_the_confidence_drops_and_comes_back() -> None:
    classifier = truths.classifier(Shell(0.4, 0.1), SHAPE, torch.float64)
    found = linear_paths(classifier, plane([[-0.4, 0], [0.4, 0]]), plane([[0.4, 0], [0.4, 0]]), delta=0.1, points=81)
    p = 1 / (1 + np.exp(-10.0))
    level = np.log((p - 0.1) / (1.1 - p))
    left = (10 - level) * 0.1 / 20  # how far from the middle of the shell the level is met
    np.testing.assert_allclose(found.reach, [left / 0.8, 1], atol=1e-6)
    assert found.drop[0] == pytest.approx(p, abs=1e-6)
    assert found.confidence[0, -1] == pytest.approx(p)
    assert found.drop[1] == 0


class Bright(truths.Ball):
    """A ball without logits where the first pixel is bright."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).masked_fill(images.flatten(1)[:, :1] > 0.9, torch.nan)


def test_what_is_undefined_is_not_inside() -> None:
    module = Bright(torch.full(SHAPE, 0.5, dtype=torch.float64), 2.0)
    classifier = truths.classifier(module, SHAPE, torch.float64)
    found = linear_paths(classifier, plane([[0, 0], [0.5, 0]]), plane([[0.8, 0], [0, 0]]), points=9)
    np.testing.assert_allclose(found.reach, [0.5, np.nan], atol=1e-5)
    assert np.isnan(found.log_odds[0, 5:]).all()
    assert np.isfinite(found.log_odds[0, :5]).all()
    assert np.isnan(found.log_odds[1]).all()
    assert found.source_class.tolist() == [0, -1]


def test_demo_photos_and_back() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos").pixels
    fractions: list[float] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        fractions.append(fraction)

    found = linear_paths(classifier, images[:8], images[300:308], points=21, on_progress=listen)
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    start = classifier.predict(images[:8])
    np.testing.assert_allclose(found.confidence[:, 0], start.confidence, atol=1e-5)
    leaves = found.reach < 1
    assert leaves.any()
    at = torch.from_numpy(found.reach).view(-1, 1, 1, 1).float()
    there = classifier.predict((1 - at) * images[:8] + at * images[300:308])
    inside = there.probabilities[np.arange(8), start.label]
    np.testing.assert_allclose(inside[leaves], start.confidence[leaves] - 0.05, atol=1e-3)
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, LinearPaths)
    assert again.to_bytes() == found.to_bytes()
    for wrong in ({"delta": 1.0}, {"delta": -0.1}, {"points": 1}):
        with pytest.raises(ValueError, match="expected a delta"):
            linear_paths(classifier, images[:2], images[2:4], **wrong)
    with pytest.raises(ValueError, match="an end for each"):
        linear_paths(classifier, images[:0], images[:0])
