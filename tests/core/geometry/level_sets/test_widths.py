"""Widths against shells of known thickness, and lengths against the walls of the box."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import ImageError
from core.geometry.level_sets.widths import LevelSetWidths, level_set_widths
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import truths
from tests.core.geometry.level_sets.test_segments import Shell

SHAPE = (1, 32, 32)
CENTRE = torch.full(SHAPE, 0.5, dtype=torch.float64)
HALF = np.array([0.5])


def test_a_shell_is_as_wide_as_it_is_thick() -> None:
    away = torch.stack([truths.unit(SHAPE, seed) for seed in range(2)])
    classifier = truths.classifier(Shell(0.4, 0.1), SHAPE, torch.float64)
    points = CENTRE + 0.4 * away
    rays = torch.stack([away, -3 * away], 1)
    found = level_set_widths(
        classifier, points, away, np.zeros(2, int), np.full(2, 0.5), directions=rays, tolerance=1e-4
    )
    np.testing.assert_allclose(found.radius, 0.05, rtol=2e-3)
    np.testing.assert_allclose(found.length, found.radius, rtol=1e-9)
    assert found.bounded.all()
    # along a tangent, sqrt(0.4² + r²) = 0.45
    across = level_set_widths(classifier, points, away, np.zeros(2, int), np.full(2, 0.5), directions=20)
    np.testing.assert_allclose(across.radius, math.sqrt(0.45**2 - 0.4**2), rtol=2e-3)
    np.testing.assert_allclose(across.width(0.05), across.width(0.95), rtol=2e-3)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_tangent_directions_stay_beside_a_plane_that_others_meet(dtype: torch.dtype) -> None:
    normal = truths.unit(SHAPE, 3)
    weight = torch.stack([normal.flatten(), torch.zeros(1024, dtype=torch.float64)])
    bias = torch.tensor([-float((normal * CENTRE).sum()), 0.0], dtype=torch.float64)
    classifier = truths.classifier(truths.Affine(weight, bias), SHAPE, dtype)
    points = (CENTRE + 0.01 * normal)[None].to(dtype)
    way = truths.unit(SHAPE, 4)[None].to(dtype)
    free = level_set_widths(classifier, points, way, np.array([0]), HALF, directions=64, tangent=False, seed=1)
    again = level_set_widths(classifier, points, way, np.array([0]), HALF, directions=64, tangent=False, seed=1)
    np.testing.assert_array_equal(free.radius, again.radius)
    other = level_set_widths(classifier, points, way, np.array([0]), HALF, directions=64, tangent=False, seed=2)
    assert (other.radius != free.radius).any()
    assert 0.3 < free.bounded.mean() < 0.9  # about half of them lead down
    assert free.gradients == 1
    tangent = level_set_widths(classifier, points, way, np.array([0]), HALF, directions=64, seed=1)
    assert np.median(tangent.radius) > np.median(free.radius[free.bounded])
    # before the first wall is met, a tangent direction changes nothing at all
    assert tangent.radius.min() > 0.4


def test_lengths_are_those_of_clipped_images() -> None:
    shape = (1, 1, 2)
    weight = torch.tensor([[-1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    classifier = truths.classifier(
        truths.Affine(weight, torch.tensor([0.9, 0.0], dtype=torch.float64)), shape, torch.float64
    )
    point = torch.tensor([0.5, 0.9], dtype=torch.float64).view(1, 1, 1, 2)
    rays = torch.tensor([[1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64).view(1, 3, 1, 1, 2)
    found = level_set_widths(
        classifier, point, torch.zeros_like(point), np.array([0]), HALF, directions=rays, tolerance=1e-6
    )
    np.testing.assert_allclose(found.radius[0], [0.4 * math.sqrt(2), math.sqrt(2), math.sqrt(2)], rtol=1e-4)
    np.testing.assert_allclose(found.length[0], [math.hypot(0.4, 0.1), 0.1, 0.5], rtol=1e-4)
    np.testing.assert_array_equal(found.bounded[0], [True, False, False])
    assert found.width(0.0)[0] == pytest.approx(0.1)
    assert found.width(0.0, clipped=False)[0] == pytest.approx(0.4 * math.sqrt(2), rel=1e-4)


def test_directions_are_orthogonal_to_the_way_and_to_the_gradient() -> None:
    from core.geometry.level_sets import widths

    vectors = torch.randn(3, 2, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vectors[2, 1] = 2 * vectors[2, 0]  # adds nothing
    normals = widths._orthonormal(list(vectors.unbind(1)))
    torch.testing.assert_close(normals.norm(dim=2)[2], torch.tensor([1.0, 0.0], dtype=torch.float64))
    rays = widths._random(normals, 7, 0)(torch.arange(21)).view(3, 7, 50)
    torch.testing.assert_close(rays.norm(dim=2), torch.ones(3, 7, dtype=torch.float64))
    assert float((rays @ vectors.transpose(1, 2)).abs().max()) < 1e-12


def test_demo_photos_and_points_outside() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos").pixels
    points, towards = images[:3], images[100:103] - images[:3]
    said = classifier.predict(points)
    level = np.array([said.confidence[0] - 0.1, said.confidence[1] - 0.1, min(said.confidence[2] + 1e-3, 1 - 1e-9)])
    fractions: list[float] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        fractions.append(fraction)

    found = level_set_widths(
        classifier, points, towards, said.label.astype(int), level, directions=32, tolerance=0.01, on_progress=listen
    )
    assert fractions == sorted(fractions)
    assert np.isnan(found.radius[2]).all()
    assert np.isnan(found.width()[2])
    assert np.isfinite(found.radius[:2]).all()
    assert (found.length[:2] <= found.radius[:2] * 1.001).all()
    assert (found.width(0.05)[:2] <= found.width(0.5)[:2]).all()
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, LevelSetWidths)
    assert again.to_bytes() == found.to_bytes()


def test_wrong_calls_are_told_what_is_wrong() -> None:
    classifier = truths.classifier(truths.Ball(CENTRE, 1.0), SHAPE, torch.float64)
    point, classes = CENTRE[None], np.array([0])

    def call(
        *, points: Tensor = point, classes: np.ndarray = classes, level: np.ndarray = HALF, **options: object
    ) -> None:
        level_set_widths(classifier, points, points, classes, level, **options)  # type: ignore[arg-type]

    for wrong, words in (
        ({"level": np.array([1.0])}, "levels in"),
        ({"tolerance": 0.0}, "a tolerance"),
        ({"classes": np.array([2])}, "classes below 2"),
        ({"directions": 0}, "at least one direction"),
        ({"directions": torch.zeros(1, 2, *SHAPE)}, "finite lengths above 0"),
        ({"level": np.array([0.5, 0.5])}, "for each of one or more points"),
    ):
        with pytest.raises(ValueError, match=words):
            call(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="pixel box"):
        call(points=point + 1)
