"""Sections of a ball and a torus: the circle that touches is the true boundary, and a tilt follows Meusnier."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.geometry.curvature.principal_direction import principal_direction
from core.geometry.curvature.section import CurvatureSection, curvature_section
from core.geometry.planes.slices import Slice
from core.result import Result
from tests import curved, truths

SHAPE = (3, 32, 32)


def ball(dtype: torch.dtype = torch.float64, outside: bool = False) -> tuple[curved.Surface, torch.Tensor]:
    """A ball of radius 2 over all pixels, and an image 0.5 from its surface."""
    surface = curved.Ball(None, curved.centre(SHAPE), 2.0, outside=outside)
    return surface, curved.centre(SHAPE) + (2.5 if outside else 1.5) * truths.unit(SHAPE, 3)


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("outside", [False, True])
def test_the_boundary_of_a_ball_is_its_osculating_circle(dtype: torch.dtype, outside: bool) -> None:
    surface, image = ball(dtype, outside)
    principal = principal_direction(curved.classifier(surface, SHAPE, dtype), image.to(dtype), 1)
    told: list[Result | None] = []
    cut = curvature_section(
        principal, resolution=65, words="an image", on_progress=lambda part, seen=None: told.append(seen)
    )
    sign = 1 if outside else -1  # convex: the other side, the image's side
    assert cut.curvature == pytest.approx(sign / 2, abs=1e-4)
    assert cut.curve_curvature == pytest.approx(cut.normal_curvature) == pytest.approx(sign / 2, abs=1e-4)
    assert cut.radius == pytest.approx(2, abs=1e-3)
    assert cut.unit_free == pytest.approx(sign / 4, abs=1e-4)
    np.testing.assert_allclose(cut.centre, [0, -2 * sign], atol=1e-3)
    np.testing.assert_allclose(cut.position, [0, 0.5], atol=1e-4)
    assert cut.extent == pytest.approx((-1.0, 1.0, -1.0, 1.0), abs=1e-4)
    for line in cut.boundary_lines()[0]:
        np.testing.assert_allclose(np.linalg.norm(line - cut.centre, axis=1), 2, atol=2e-3)
    assert any(isinstance(seen, CurvatureSection) for seen in told)
    again = Result.from_bytes(cut.to_bytes())
    assert isinstance(again, Slice)
    assert (again.words, again.number, again.route) == ("an image", 1, "exact")  # type: ignore[attr-defined]


@pytest.mark.parametrize("tilt", [0.0, 30.0, 60.0])
def test_a_tilted_plane_cuts_out_a_smaller_circle(tilt: float) -> None:
    surface, image = ball()
    principal = principal_direction(curved.classifier(surface, SHAPE, torch.float64), image, -1)
    cut = curvature_section(principal, tilt=tilt, resolution=65)
    assert cut.factor == pytest.approx(1 / math.cos(math.radians(tilt)))
    assert cut.curve_curvature == pytest.approx(cut.factor * cut.normal_curvature, rel=1e-9)
    assert cut.radius == pytest.approx(2 * math.cos(math.radians(tilt)), abs=1e-6)
    for line in cut.boundary_lines()[0]:
        np.testing.assert_allclose(np.linalg.norm(line - cut.centre, axis=1), cut.radius, atol=2e-3)


def test_wrong_calls_are_told_what_is_wrong() -> None:
    surface, image = ball()
    principal = principal_direction(curved.classifier(surface, SHAPE, torch.float64), image, 1)
    with pytest.raises(ValueError, match="tilt from 0 to 85"):
        curvature_section(principal, tilt=86.0)
    with pytest.raises(ValueError, match="positive reach"):
        curvature_section(principal, reach=0.0)
