"""The focal test: saddles of the distance are told from minima, and left."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.geometry.boundary.signed_margin import SignedMargin
from core.geometry.curvature.focal import is_saddle, nearer_points
from tests import curved, truths

SHAPE = (1, 6, 6)


def test_a_sphere_around_the_image_is_the_limit() -> None:
    distance = torch.tensor([2.0, 2.0, 2.0, 0.5])
    smallest = torch.tensor([-0.5, -0.51, 3.0, -1.9])
    assert is_saddle(smallest, distance).tolist() == [False, True, False, False]


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_the_nearest_point_of_an_ellipsoid_is_reached_from_a_saddle(dtype: torch.dtype) -> None:
    axes = torch.tensor([3.0, 1.0, 1.3], dtype=torch.float64)
    surface = curved.Ellipsoid(curved.rows(3, SHAPE), curved.centre(SHAPE), axes.tolist())
    offsets = torch.tensor([[0.5, 1e-3, 1e-3], [-1.0, 2e-3, 1e-3]], dtype=torch.float64)
    images = curved.at(surface, offsets).to(dtype)
    tips = curved.at(surface, torch.tensor([[3.0, 0, 0], [-3.0, 0, 0]])).to(dtype)
    margin = SignedMargin(curved.classifier(surface, SHAPE, dtype))
    beside = surface.rows.detach()[1].view(1, *SHAPE).expand(2, -1, -1, -1).to(dtype)
    points, moved = nearer_points(margin, images, tips, torch.zeros(2).long(), beside)
    assert moved.all()
    expected = torch.stack([truths.nearest_on_ellipsoid(offset, axes) for offset in offsets]) - offsets
    np.testing.assert_allclose((points - images).flatten(1).norm(dim=1), expected.norm(dim=1), rtol=1e-4)


def test_a_nearest_point_is_not_left() -> None:
    surface = curved.Ball(None, curved.centre(SHAPE), 2.0)
    away = truths.unit(SHAPE, 1)
    images = (curved.centre(SHAPE) + 0.5 * away)[None]
    points = (curved.centre(SHAPE) + 2.0 * away)[None]
    across = truths.unit(SHAPE, 2)
    across = across - (across * away).sum() * away
    margin = SignedMargin(curved.classifier(surface, SHAPE, torch.float64))
    found, moved = nearer_points(margin, images, points, torch.zeros(1).long(), (across / across.norm())[None])
    assert not moved.any()
    assert torch.equal(found, points)
