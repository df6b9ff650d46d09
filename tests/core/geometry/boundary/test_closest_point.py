"""Nearest points of curved boundaries against closed forms, from starts that are far from them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.boundary import closest_point, signed_margin
from core.geometry.boundary.bracketing import compaction_schedule
from core.geometry.boundary.closest_point import alignment, closest_points
from core.geometry.boundary.signed_margin import Norm, SignedMargin, dual_length, dual_vector, length
from core.runtime.cost import Cost
from tests import truths

CASES = [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES]
RADIUS = 2.0


def slide(
    module: nn.Module, image: Tensor, start: Tensor, source: int, dtype: torch.dtype, norm: Norm = 2
) -> tuple[Tensor, int]:
    """The nearest point to one image, from one point of the boundary."""
    margin = SignedMargin(truths.classifier(module, tuple(image.shape), dtype))
    inputs = image[None].to(dtype), start[None].to(dtype), torch.tensor([source])
    points, slides = closest_points(margin, *inputs, norm=norm, max_steps=50, tick=lambda part: None)
    return points[0].double(), int(slides[0])


def two_directions(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    u, v = truths.unit(shape, seed=1), truths.unit(shape, seed=2)
    v = v - (u * v).sum() * u
    return u, v / v.norm()


@pytest.mark.parametrize("apart", [0.5, 2.0, 5.0])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_a_ball_seen_from_outside(shape: tuple[int, ...], dtype: torch.dtype, apart: float) -> None:
    centre, (u, v) = truths.images(1, shape)[0], two_directions(shape)
    image = centre + (1 + apart) * RADIUS * u
    start = centre + RADIUS * (math.cos(0.7) * u + math.sin(0.7) * v)  # 40° around
    point, slides = slide(truths.Ball(centre, RADIUS), image, start, 1, dtype)
    # at its last angle a < 0.1° to the normal a point of the ball is (1 + R/D) a²/2 too far, at worst 3.2e-6 here
    assert float((point - image).norm()) == pytest.approx(apart * RADIUS, rel=5e-6)
    assert 1 <= slides <= 12


@pytest.mark.parametrize("depth", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_a_ball_seen_from_inside(shape: tuple[int, ...], dtype: torch.dtype, depth: float) -> None:
    centre, (u, v) = truths.images(1, shape)[0], two_directions(shape)
    image = centre + (1 - depth) * RADIUS * u
    start = centre + RADIUS * (math.cos(0.7) * u + math.sin(0.7) * v)
    point, slides = slide(truths.Ball(centre, RADIUS), image, start, 0, dtype)
    assert float((point - image).norm()) == pytest.approx(depth * RADIUS, rel=2e-5)
    assert 1 <= slides <= 16


@pytest.mark.parametrize("size", [0.4, 3.0])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_an_ellipsoid(shape: tuple[int, ...], dtype: torch.dtype, size: float) -> None:
    """Half axes from 2 to 6, so that 1 + k D differs along every direction."""
    centre, pixels = truths.images(1, shape)[0], math.prod(shape)
    half_axes = torch.linspace(2, 6, pixels, dtype=torch.float64)[torch.randperm(pixels, generator=fixed())].view(shape)
    offset = truths.unit(shape, seed=5)
    surface = offset / (offset / half_axes).norm()
    truth = truths.nearest_on_ellipsoid(size * surface, half_axes)
    start = truths.unit(shape, seed=6) + 2 * offset
    start = start / (start / half_axes).norm()
    image = centre + size * surface
    point, _ = slide(truths.Ellipsoid(centre, half_axes), image, centre + start, int(size > 1), dtype)
    distance = float((size * surface - truth).norm())
    assert float((start - size * surface).norm()) > 1.01 * distance
    assert float((point - image).norm()) == pytest.approx(distance, rel=2e-5)


def fixed() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_a_sphere_in_a_subspace(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """A cylinder: curved along 10 pixels, flat along all others, of which the start is off as well."""
    pixels = math.prod(shape)
    curved = torch.zeros(pixels, dtype=torch.bool)
    curved[torch.randperm(pixels, generator=fixed())[:10]] = True
    curved = curved.view(shape)
    half_axes = torch.where(curved, RADIUS, torch.inf).double()
    centre = truths.images(1, shape)[0]
    directions = torch.randn((2, 10), generator=fixed(), dtype=torch.float64)
    directions /= directions.norm(dim=1, keepdim=True)
    image, start = truths.images(1, shape, seed=3)[0], truths.images(1, shape, seed=4)[0]
    image[curved] = centre[curved] + 3 * RADIUS * directions[0]
    near = directions[0] + 0.3 * directions[1]
    start[curved] = centre[curved] + RADIUS * near / near.norm()
    point, _ = slide(truths.Ellipsoid(centre, half_axes), image, start, 1, dtype)
    assert float((point - image).norm()) == pytest.approx(2 * RADIUS, rel=5e-6)
    # float32 stops where slides gain less than its noise: 0.2° cost 6e-6 of the distance, F itself is known to 1e-6
    degrees = {torch.float32: 0.3, torch.float64: 0.101}[dtype]
    assert float((point - image)[~curved].norm()) < 2 * RADIUS * math.radians(degrees)


def test_undamped_steps_outside_a_convex_region_would_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    centre, (u, v) = truths.images(1, (1, 32, 32))[0], two_directions((1, 32, 32))
    start = centre + RADIUS * (math.cos(0.7) * u + math.sin(0.7) * v)
    _, slides = slide(truths.Ball(centre, RADIUS), centre + 3 * RADIUS * u, start, 1, torch.float64)
    monkeypatch.setattr(
        closest_point._Slide, "direction", lambda here, *before: (here.toward, torch.ones_like(here.distance))
    )
    _, undamped = slide(truths.Ball(centre, RADIUS), centre + 3 * RADIUS * u, start, 1, torch.float64)
    assert undamped > 2 * slides  # backtracking alone has to find the length again and again


@pytest.mark.parametrize("norm", [1, "inf"])
def test_a_ball_in_other_norms_seen_from_inside(norm: Norm) -> None:
    shape = (1, 8, 8)
    centre, y = truths.images(1, shape)[0], 0.7 * RADIUS * truths.unit(shape, seed=1)
    start = centre + RADIUS * (y / y.norm())
    point, _ = slide(truths.Ball(centre, RADIUS), centre + y, start, 0, torch.float64, norm)
    # a slide ends near F = 0; `boundary_points` encloses the zero afterwards
    truth = truths.way_out_of_a_ball(y, RADIUS, norm)
    assert float(length((point - centre - y)[None], norm)) == pytest.approx(truth, rel=1e-4)


@pytest.mark.parametrize("norm", [1, "inf"])
def test_a_ball_in_other_norms_seen_from_outside_only_gets_nearer(norm: Norm) -> None:
    """The largest change is t with |max(|y| - t, 0)| = R, the sum of changes levels the largest |y|.

    Both touch the ball with a corner or an edge, around which steps to the tangent plane zigzag.
    """
    shape = (1, 8, 8)
    centre, y = truths.images(1, shape)[0], 1.5 * RADIUS * truths.unit(shape, seed=1)
    low, high = 0.0, float(y.abs().max())
    for _ in range(100):
        t = (low + high) / 2
        left = (y.abs() - t).clamp(min=0) if norm == "inf" else y.abs().clamp(max=t)
        low, high = (t, high) if (float(left.norm()) > RADIUS) == (norm == "inf") else (low, t)
    truth = low if norm == "inf" else float((y.abs() - low).clamp(min=0).sum())
    start = centre + RADIUS * (y / y.norm())
    point, _ = slide(truths.Ball(centre, RADIUS), centre + y, start, 1, torch.float64, norm)
    size, first = (float(length((end - centre - y)[None], norm)) for end in (point, start))
    assert truth * (1 - 1e-6) <= size < 0.95 * first


@pytest.mark.parametrize("norm", signed_margin.NORMS)
def test_the_dual_vector_has_length_1_and_gains_the_dual_length(norm: Norm) -> None:
    gradient = torch.stack([truths.unit((3, 4, 4), seed) for seed in range(4)])
    step = dual_vector(gradient, norm)
    torch.testing.assert_close(length(step, norm), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close((step * gradient).flatten(1).sum(1), dual_length(gradient, norm))
    torch.testing.assert_close(alignment(-3 * step, gradient, norm), torch.zeros(4).double(), atol=3e-6, rtol=0)
    assert bool((dual_vector(torch.zeros_like(gradient), norm) == 0).all())


def test_angles_of_nothing() -> None:
    some, none = truths.unit((1, 2, 2))[None], torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    assert float(alignment(some, some, 2)) == pytest.approx(180)
    assert float(alignment(none, some, 2)) == 0
    assert math.isnan(float(alignment(some, none, 2)))


def test_the_compaction_schedule_is_every_step_or_less_and_less_often() -> None:
    assert compaction_schedule(5, torch.device("cpu")) == {1, 2, 3, 4, 5}
    assert sorted(compaction_schedule(50, torch.device("cuda"))) == [1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 50]
    assert compaction_schedule(1, torch.device("cuda")) == {1}
    assert all(b <= max(a + 1, 1.5 * a) for a, b in pairwise(sorted(compaction_schedule(1000, torch.device("cuda")))))


def test_margins_are_counted_and_differentiated_once(cost: Cost) -> None:
    shape, weight = (1, 4, 4), torch.randn(4, 16, generator=fixed(), dtype=torch.float64)
    classifier = truths.classifier(truths.Affine(weight, torch.zeros(4).double()), shape, torch.float64)
    margin, images = SignedMargin(classifier), truths.images(3, shape)
    source = classifier(images).argmax(1)
    logits = images.flatten(1) @ weight.T
    top = logits.topk(2, 1)
    value, gradient, runner_up = margin.slope(images, source)
    torch.testing.assert_close(value, top.values[:, 0] - top.values[:, 1])
    torch.testing.assert_close(margin(images, source), value)
    np.testing.assert_array_equal(runner_up, top.indices[:, 1])
    torch.testing.assert_close(gradient.flatten(1), weight[source] - weight[runner_up])
    assert (cost.forwards, cost.gradients) == (6, 3)
    others = torch.tensor([[0, 1, 2], [1, 2, 3], [2, 3, 0]])
    for column, (value, slope) in enumerate(margin.class_margins(images, source, others)):
        k = others[:, column]
        torch.testing.assert_close(value, logits.gather(1, source[:, None])[:, 0] - logits.gather(1, k[:, None])[:, 0])
        torch.testing.assert_close(slope.flatten(1), weight[source] - weight[k])
    assert (cost.forwards, cost.gradients) == (9, 12)
