"""Curves that planes cut out of known boundaries: Meusnier's factor, osculating circles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import ImageError
from core.geometry.boundary.deepfool import BoundaryPoints, boundary_points
from core.geometry.curvature.normal_sections import Sections, sections
from core.result import Result
from tests import curved, truths

SHAPE = (3, 32, 32)
RADIUS = 2.0


def ball(dtype: torch.dtype, outside: bool = False, count: int = 3) -> tuple[curved.Ball, BoundaryPoints, Tensor]:
    """A ball, points of it and the normals there into class 0."""
    surface = curved.Ball(None, curved.centre(SHAPE), RADIUS, outside=outside)
    away = torch.stack([truths.unit(SHAPE, seed) for seed in range(count)])
    images = (curved.centre(SHAPE) + (1.2 if outside else 0.9) * RADIUS * away).to(dtype)
    return surface, boundary_points(curved.classifier(surface, SHAPE, dtype), images), away * (1 if outside else -1)


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 35.0, 80.0])
@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_tilted_plane_cuts_a_smaller_circle_out_of_a_ball(dtype: torch.dtype, degrees: float, outside: bool) -> None:
    """A plane at the angle t to the normal: a circle of radius R cos t through the point."""
    surface, points, normals = ball(dtype, outside)
    others = torch.stack(
        [torch.stack([truths.unit(SHAPE, 10 + seed), truths.unit(SHAPE, 20 + seed)]) for seed in range(3)]
    )
    flat, normal = others.flatten(2), normals.flatten(1)[:, None]
    flat = flat - (flat @ normal.mT) @ normal
    tangents = torch.linalg.qr(flat.mT)[0].mT
    turn = math.radians(degrees)
    tilted = math.cos(turn) * normal[:, 0] + math.sin(turn) * tangents[:, 0]
    axes = torch.stack([tilted + 0.4 * tangents[:, 1], 2 * tangents[:, 1] - 0.3 * tilted], 1).view(3, 2, *SHAPE)
    found = sections(curved.classifier(surface, SHAPE, dtype), points, axes)
    sign = 1 if outside else -1
    slack = {torch.float32: 2e-4, torch.float64: 1e-6}[dtype]
    np.testing.assert_allclose(found.normal_curvature, sign / RADIUS, rtol=slack)
    np.testing.assert_allclose(found.curvature, sign / (RADIUS * math.cos(turn)), rtol=10 * slack)
    np.testing.assert_allclose(found.radius, RADIUS * math.cos(turn), rtol=10 * slack)
    np.testing.assert_allclose(found.tilt, degrees, atol=0.05)
    # in pixels, the circle's centre is the ball's centre, projected onto the plane
    first = axes[:, 0].flatten(1) / axes[:, 0].flatten(1).norm(dim=1, keepdim=True)
    second = axes[:, 1].flatten(1)
    second = second - (second * first).sum(1, keepdim=True) * first
    frame = torch.stack([first, second / second.norm(dim=1, keepdim=True)], 1)
    offset = (curved.centre(SHAPE) - torch.from_numpy(points.points).double()).flatten(1)
    np.testing.assert_allclose(found.centre, (frame @ offset[:, :, None])[..., 0], atol=20 * slack)
    np.testing.assert_allclose((found.normal * found.tangent).sum(1), 0, atol=1e-12)


def test_a_torus_is_cut_along_its_principal_directions() -> None:
    surface = curved.Torus(curved.rows(3, SHAPE), curved.centre(SHAPE), 3.0, 1.0)
    images = curved.at(surface, torch.tensor([[2.2, 0, 0]]).expand(2, -1))
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    points = boundary_points(classifier, images)
    out, around, up = surface.rows.detach().view(3, *SHAPE)
    found = sections(classifier, points, torch.stack([torch.stack([out, around]), torch.stack([out, up])]))
    np.testing.assert_allclose(found.curvature, [1 / 2, -1], rtol=1e-6)
    np.testing.assert_allclose(found.normal, [[1, 0], [1, 0]], atol=1e-5)  # into the tube
    np.testing.assert_allclose(found.centre, [[-2, 0], [1, 0]], atol=1e-4)  # the axis of the torus, the tube's core
    assert found.products == 2 + 2  # to learn that it is smooth, and one each


def test_flat_boundaries_and_tangent_planes() -> None:
    affine = truths.Affine(torch.eye(2, 3072).double(), torch.zeros(2).double())
    classifier = truths.classifier(affine, SHAPE, torch.float64)
    points = boundary_points(classifier, truths.images(2, SHAPE))
    axes = torch.zeros((2, 2, 3072), dtype=torch.float64)
    axes[0, 0, 0], axes[0, 1, 5], axes[1, 0, 7], axes[1, 1, 8] = 1, 1, 1, 1
    found = sections(classifier, points, axes.view(2, 2, *SHAPE))
    assert found.curvature[0] == 0
    assert np.isinf(found.radius[0])
    assert np.isnan(found.curvature[1])  # the plane is parallel to the boundary
    assert found.tilt[1] == pytest.approx(90)


def test_sections_are_read_back_and_wrong_calls_told() -> None:
    surface, points, normals = ball(torch.float32, count=1)
    classifier = curved.classifier(surface, SHAPE, torch.float32)
    axes = torch.stack([normals[0], truths.unit(SHAPE, 9)])[None]
    found = sections(classifier, points, axes)
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, Sections)
    np.testing.assert_array_equal(again.curvature, found.curvature)
    with pytest.raises(ImageError, match="independent"):
        sections(classifier, points, axes[:, :1].expand(-1, 2, -1, -1, -1))
    with pytest.raises(ImageError, match="expected axes of 1 x 2 x 3 x 32 x 32, got 2 x 2 x 3 x 32 x 32"):
        sections(classifier, points, axes.expand(2, -1, -1, -1, -1))
