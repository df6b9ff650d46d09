"""Planes are isometric, pass through their anchors, and know where the pixel box ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ImageError
from core.geometry.planes.planes import Plane
from tests import truths


@pytest.mark.parametrize("shape", truths.SHAPES)
@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_three_images_lie_at_their_anchors(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    a, b, c = truths.images(3, shape, dtype=dtype)
    plane = Plane.through(a, b, c)
    anchors = torch.stack([a, b, c]).double()
    xy = plane.to_plane(anchors)
    assert xy[0].abs().max() < 1e-12
    assert xy[1, 0] == pytest.approx(float((b.double() - a.double()).norm()), rel=1e-13)
    assert abs(xy[1, 1]) < 1e-12
    assert xy[2, 1] > 0
    torch.testing.assert_close(plane.to_pixels(xy), anchors, atol=1e-12, rtol=0)
    assert plane.residual(anchors).max() < 1e-12


@given(seed=st.integers(0, 1000))
def test_the_plane_is_isometric(seed: int) -> None:
    plane = Plane.through(*truths.images(3, (3, 8, 8), seed))
    points = torch.randn((100, 2), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 10
    between = torch.pdist(plane.to_pixels(points).flatten(1))
    torch.testing.assert_close(between, torch.pdist(points), atol=1e-10, rtol=1e-12)
    torch.testing.assert_close(plane.to_plane(plane.to_pixels(points)), points, atol=1e-11, rtol=0)


def test_nearly_parallel_directions_still_give_orthonormal_axes() -> None:
    u = truths.unit((3, 32, 32))
    plane = Plane.spanned(truths.images(1, (3, 32, 32))[0], u, u + 0.002 * truths.unit((3, 32, 32), seed=1))
    assert abs(float((plane.u * plane.v).sum())) < 1e-14
    assert float(plane.v.norm()) == pytest.approx(1, abs=1e-14)


def test_residual_is_the_distance_from_the_plane() -> None:
    plane = Plane.through(*truths.images(3, (1, 8, 8)))
    away = truths.unit((1, 8, 8), seed=5)
    away = away - (away * plane.u).sum() * plane.u - (away * plane.v).sum() * plane.v
    images = plane.to_pixels(np.array([[0.3, -0.2], [2.0, 1.0]])) + 0.7 * away / away.norm()
    torch.testing.assert_close(plane.residual(images), torch.full((2,), 0.7, dtype=torch.float64))


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        (lambda a, b: (a, a, b), "two that are equal"),
        (lambda a, b: (a, b, a), "two that are equal"),
        (lambda a, b: (a, b, (a + b) / 2), "three on one line"),
        (lambda a, b: (a, b, torch.full_like(a, torch.nan)), "NaN or infinity"),
        (lambda a, b: (a, b, b[:, :4]), "three images of one shape"),
    ],
)
def test_images_that_span_no_plane_are_refused(pick: object, message: str) -> None:
    a, b = truths.images(2, (1, 8, 8))
    with pytest.raises(ImageError, match=message):
        Plane.through(*pick(a, b))  # type: ignore[operator]


# -- the pixel box ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", truths.SHAPES)
def test_the_box_polygon_agrees_with_the_pixels(shape: tuple[int, ...]) -> None:
    plane = Plane.through(*truths.images(3, shape))
    corners = plane.box_polygon()
    generator = np.random.default_rng(0)
    points = generator.uniform(corners.min(0) - 1, corners.max(0) + 1, (2000, 2))
    pixels = plane.to_pixels(points).flatten(1)
    in_box = ((pixels.amin(1) >= 0) & (pixels.amax(1) <= 1)).numpy()
    edges = np.roll(corners, -1, 0) - corners
    left = edges[:, 0] * (points[:, None, 1] - corners[:, 1]) - edges[:, 1] * (points[:, None, 0] - corners[:, 0])
    np.testing.assert_array_equal((left >= 0).all(1), in_box)
    assert 100 < in_box.sum() < 1900


def test_two_pixels_give_the_unit_square() -> None:
    u, v = torch.eye(2, dtype=torch.float64).view(2, 1, 1, 2)
    corners = Plane.spanned(torch.zeros(1, 1, 2), u, v).box_polygon()
    np.testing.assert_allclose(sorted(map(tuple, corners)), [(0, 0), (0, 1), (1, 0), (1, 1)], atol=1e-12)


def test_an_image_on_the_edge_of_the_box_keeps_its_polygon() -> None:
    black, rest = torch.zeros(3, 8, 8), truths.images(2, (3, 8, 8))
    plane = Plane.through(black, *rest)
    corners = plane.box_polygon()
    assert len(corners) >= 3
    assert np.abs(corners).sum(1).min() < 1e-9  # the origin is a corner


def test_a_plane_outside_the_box_has_no_polygon() -> None:
    u, v = torch.eye(3, dtype=torch.float64)[:2].view(2, 1, 1, 3)
    assert Plane.spanned(torch.full((1, 1, 3), 2.0), u, v).box_polygon().shape == (0, 2)


def test_the_default_square_holds_the_anchors_with_room() -> None:
    plane = Plane.through(*truths.images(3, (1, 8, 8)))
    x_min, x_max, y_min, y_max = plane.square(np.array([[0.0, 0.0], [4.0, 0.0], [1.0, 2.0]]))
    assert (x_min, x_max) == (-1.0, 5.0)
    assert (y_min, y_max) == (-2.0, 4.0)
