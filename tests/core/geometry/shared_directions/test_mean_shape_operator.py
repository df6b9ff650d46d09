"""Shared curved directions where they are known, their transfer, and the overlap of subspaces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.shared_directions.mean_shape_operator import (
    CurvatureTransfer,
    SharedDirections,
    curvature_transfer,
    noise_images,
    shared_directions,
)
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import curved, truths

SHAPE = (3, 32, 32)
FLAT = torch.diag(torch.tensor([0.8, -0.5, 0.2, 0.0, 0.0])).double()  # A of y_0 = u^T A u / 2


def graph(dtype: torch.dtype = torch.float64) -> tuple[curved.Graph, Tensor]:
    """A quadric, and images above its apex at several heights: every boundary point is the apex."""
    surface = curved.Graph(curved.rows(6, SHAPE), curved.centre(SHAPE), FLAT)
    y = torch.zeros((4, 6), dtype=torch.float64)
    y[:, 0] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    return surface, curved.at(surface, y).to(dtype)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_what_all_boundary_points_share_is_found(dtype: torch.dtype) -> None:
    surface, images = graph(dtype)
    classifier = curved.classifier(surface, SHAPE, dtype)
    found = shared_directions(classifier, images, 3)
    np.testing.assert_allclose(found.curvatures, [0.5, -0.2, -0.8], atol=1e-3)
    axes = surface.rows.detach().double().numpy()
    along = found.directions.reshape(3, -1) @ axes.T
    np.testing.assert_allclose(np.abs(along[[0, 1, 2], [2, 3, 1]]), 1, atol=1e-4)
    assert found.order().tolist() == [2, 0, 1]
    assert found.converged
    assert found.used.all()
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, SharedDirections)
    transfer = curvature_transfer(classifier, images, torch.from_numpy(found.directions), probes=64)
    np.testing.assert_allclose(transfer.along, [[0.5, -0.2, -0.8]] * 4, atol=2e-3)
    assert (transfer.ratio > 50).all()  # 5 of 3071 directions are curved


def test_a_mean_weighs_points_alike_however_steep_they_are() -> None:
    """Two points of a torus with curvatures (-1, 1/2) and (-1, -1/4): the mean, not weighted by ||g||."""
    surface = curved.Torus(curved.rows(3, SHAPE), curved.centre(SHAPE), 3.0, 1.0)
    images = curved.at(surface, torch.tensor([[2.2, 0, 0], [3.7, 0, 0]]))
    found = shared_directions(curved.classifier(surface, SHAPE, torch.float64), images, 2, side="both ends")
    np.testing.assert_allclose(found.curvatures, [1 / 8, -1], atol=1e-5)


def test_on_a_ball_every_direction_is_like_any_other() -> None:
    surface = curved.Ball(None, curved.centre((1, 6, 6)), 2.0)
    classifier = curved.classifier(surface, (1, 6, 6), torch.float64)
    away = truths.unit((1, 6, 6), 3)
    across = truths.unit((1, 6, 6), 4)
    across = across - (across * away).sum() * away
    found = curvature_transfer(classifier, (curved.centre((1, 6, 6)) + away)[None], torch.stack([across, away]))
    np.testing.assert_allclose(found.ratio, [[1, 0]], atol=1e-6)
    np.testing.assert_allclose(found.typical, 0.5, rtol=1e-6)
    assert isinstance(Result.from_bytes(found.to_bytes()), CurvatureTransfer)


def test_wrong_calls_are_told_what_is_wrong() -> None:
    surface, images = graph()
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    with pytest.raises(ValueError, match="at least one direction"):
        shared_directions(classifier, images, 0)
    with pytest.raises(ValueError, match="at least one probe"):
        curvature_transfer(classifier, images, images, probes=0)
    constant = truths.classifier(truths.Affine(torch.zeros(2, 3072), torch.tensor([1.0, 0])), SHAPE)
    with pytest.raises(ValueError, match="with a boundary point"):
        shared_directions(constant, images.float())


def test_demo_photos_share_directions_with_unseen_images() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos").pixels
    found = shared_directions(classifier, images[0:512:32], 4, tolerance=1e-2)
    unseen = curvature_transfer(classifier, images[5:512:64], torch.from_numpy(found.directions), probes=16)
    assert np.nanmedian(unseen.ratio) > 3
    noise = noise_images(classifier, 4, seed=1)
    assert torch.equal(noise, noise_images(classifier, 4, seed=1))
    far = curvature_transfer(classifier, noise, torch.from_numpy(found.directions), probes=16)
    assert np.isfinite(far.ratio).all()
