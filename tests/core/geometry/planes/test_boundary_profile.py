"""Boundary profiles and linearised distances against closed forms: lines, circles, power diagrams."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from torch import nn

from core.errors import ImageError
from core.geometry.planes import boundary_profile as profiles
from core.geometry.planes.boundary_profile import boundary_profile, linearised_distance
from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import Method, Slice, slice_plane
from core.models.classifier import Classifier
from core.result import Result
from core.runtime.progress import Cancelled
from tests import truths
from tests.truths import BatchSize

CASES = [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES]


@pytest.fixture(params=[1, 5, 64])
def batch(request: pytest.FixtureRequest, batch_size: BatchSize) -> int:
    """A fixed batch size instead of the measured one."""
    size: int = request.param
    batch_size(size)
    return size


def a_plane(shape: tuple[int, ...]) -> Plane:
    return Plane.through(*truths.images(3, shape))


def affine(shape: tuple[int, ...], plane: Plane, dtype: torch.dtype) -> tuple[Classifier, np.ndarray, float]:
    """Two classes split by w . x + b = 0, and the line's normal and offset on the plane."""
    w = plane.u - 0.5 * plane.v + 0.1 * truths.unit(shape, seed=3)
    b = 8.0 - float((w * plane.origin).sum())
    weight = torch.stack([w.flatten(), torch.zeros(w.numel())])
    module = truths.Affine(weight, torch.tensor([b, 0.0], dtype=torch.float64))
    normal = np.array([float((w * axis).sum()) for axis in (plane.u, plane.v)])
    return truths.classifier(module, shape, dtype), normal, 8.0


def compass(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], 1)


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_distances_to_a_flat_boundary_are_exact(shape: tuple[int, ...], dtype: torch.dtype, batch: int) -> None:
    plane = a_plane(shape)
    classifier, normal, offset = affine(shape, plane, dtype)
    profile = boundary_profile(classifier, plane, 24, reach=50.0)
    with np.errstate(divide="ignore"):
        truth = -offset / (compass(profile.angle) @ normal)
    truth[(truth < 0) | (truth > 50)] = np.nan
    assert 5 < profile.found.sum() < 19
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-10}[dtype]
    np.testing.assert_allclose(profile.distance, truth, rtol=tolerance)
    np.testing.assert_array_equal(profile.reached_class, np.where(np.isnan(truth), -1, 1))
    assert profile.source_class == 0
    assert profile.forwards >= 1 + 24 * profiles._RADII + profiles._SECANT_STEPS * profile.found.sum()
    assert profile.nearest_boundary.distance == pytest.approx(np.nanmin(truth), rel=tolerance)


@pytest.mark.parametrize("at", [(1.0, -0.5), (0.0, 0.4)])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_distances_inside_a_ball_solve_its_quadratic(
    shape: tuple[int, ...], dtype: torch.dtype, at: tuple[float, float]
) -> None:
    plane = a_plane(shape)
    middle, radius = np.array([1.0, -0.5]), 2.0
    classifier = truths.classifier(truths.Ball(plane.to_pixels(middle[None])[0], radius), shape, dtype)
    profile = boundary_profile(classifier, plane, 36, at=at, reach=10.0)
    offset = np.array(at) - middle
    along = compass(profile.angle) @ offset
    truth = -along + np.sqrt(along**2 + radius**2 - offset @ offset)
    np.testing.assert_allclose(profile.distance, truth, rtol={torch.float32: 3e-6, torch.float64: 1e-9}[dtype])
    assert profile.found.all()
    if at == (1.0, -0.5):
        assert profile.smallest == pytest.approx(2, rel=1e-5)
        assert profile.median == pytest.approx(2, rel=1e-5)
        assert profile.anisotropy == pytest.approx(1, rel=1e-5)
        assert (profile.robust_fraction(1.99), profile.robust_fraction(2.01)) == (1.0, 0.0)
    else:
        assert profile.anisotropy == pytest.approx(truth.max() / truth.min(), rel=1e-5)
        assert profile.robust_fraction(2.0) == pytest.approx((truth > 2).mean())
        angle = profile.nearest_boundary.angle
        assert compass(np.array([angle]))[0] @ offset / np.linalg.norm(offset) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_among_nearest_centres_the_first_border_counts(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    plane = a_plane(shape)
    points = np.concatenate([[[0.1, 0.2]], np.random.default_rng(5).uniform(-5, 5, (6, 2))])
    classifier = truths.classifier(truths.NearestCentre(plane.to_pixels(points)), shape, dtype)
    profile = boundary_profile(classifier, plane, 90, reach=20.0)
    towards = points[1:] - points[0]
    heights = (points[1:] ** 2).sum(1) - (points[0] ** 2).sum()
    with np.errstate(divide="ignore"):
        crossings = heights / (2 * compass(profile.angle) @ towards.T)
    crossings[(crossings < 0) | (crossings > 20)] = np.inf
    truth = crossings.min(1)
    np.testing.assert_array_equal(profile.found, np.isfinite(truth))
    found = profile.found
    assert found.sum() > 30
    # float32: logits near 1000 are rounded by 6e-5
    tolerance = {torch.float32: 5e-4, torch.float64: 1e-9}[dtype]
    np.testing.assert_allclose(profile.distance[found], truth[found], rtol=tolerance)
    clear = found & (np.diff(np.sort(crossings, 1)[:, :2])[:, 0] > 1e-3)
    np.testing.assert_array_equal(profile.reached_class[clear], 1 + crossings.argmin(1)[clear])


def test_a_turned_basis_shifts_the_profile() -> None:
    shape = (1, 32, 32)
    plane = a_plane(shape)
    classifier, _, _ = affine(shape, plane, torch.float64)
    turn = math.pi / 6
    turned = Plane(
        plane.origin,
        math.cos(turn) * plane.u + math.sin(turn) * plane.v,
        math.cos(turn) * plane.v - math.sin(turn) * plane.u,
    )
    straight, shifted = (boundary_profile(classifier, cut, 24, reach=30.0) for cut in (plane, turned))
    np.testing.assert_allclose(shifted.distance, np.roll(straight.distance, -2), rtol=1e-9)
    np.testing.assert_array_equal(shifted.reached_class, np.roll(straight.reached_class, -2))


@pytest.mark.parametrize("shape", truths.SHAPES)
def test_rays_end_where_the_pixel_box_ends(shape: tuple[int, ...]) -> None:
    plane = a_plane(shape)
    classifier, _, _ = affine(shape, plane, torch.float64)
    profile = boundary_profile(classifier, plane, 40, at=(0.5, 0.25))
    ends = np.array([0.5, 0.25]) + profile.limit[:, None] * compass(profile.angle)
    pixels = plane.to_pixels(ends).flatten(1)
    slack = torch.minimum(pixels, 1 - pixels).amin(1).numpy()
    np.testing.assert_allclose(slack, 0, atol=1e-12)
    np.testing.assert_array_equal(profile.reach, profile.limit)
    assert not (profile.distance > profile.limit).any()
    far = boundary_profile(classifier, plane, 40, at=(0.5, 0.25), reach=100.0)
    inside = far.distance <= far.limit
    np.testing.assert_allclose(profile.distance[inside], far.distance[inside], rtol=1e-9)
    assert np.isnan(profile.distance[~inside]).all()


def test_a_black_pixel_ends_the_rays_that_darken_it() -> None:
    u, v = torch.eye(2, dtype=torch.float64).view(2, 1, 1, 2)
    module = truths.Affine(torch.tensor([[-1.0, 0.0], [0.0, 0.0]]), torch.tensor([0.5, 0.0]))
    profile = boundary_profile(truths.classifier(module, (1, 1, 2)), Plane.spanned(torch.zeros(1, 1, 2), u, v), 8)
    np.testing.assert_allclose(profile.limit, [1, math.sqrt(2), 1, 0, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(profile.distance[:2], [0.5, math.sqrt(0.5)], rtol=1e-6)
    assert np.isnan(profile.distance[2:]).all()


def test_no_boundary_in_reach_is_said_with_nan() -> None:
    plane = a_plane((1, 32, 32))
    classifier, _, _ = affine((1, 32, 32), plane, torch.float32)
    profile = boundary_profile(classifier, plane, 8, reach=0.5)
    assert not profile.found.any()
    assert profile.forwards >= 1 + 8 * profiles._RADII
    for value in (profile.smallest, profile.median, profile.largest, profile.anisotropy, *profile.nearest_boundary):
        assert math.isnan(value)
    assert profile.robust_fraction(10.0) == 1.0


class Undefined(nn.Module):
    """Class 0 where the first pixel is below 0.5, class 1 above; NaN where the second one is above 0.25."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first, second = images.flatten(1)[:, :2].unbind(1)
        first = first.where(second < 0.25, torch.nan)
        return torch.stack([0.5 - first, first - 0.5], 1)


def test_a_ray_that_first_meets_undefined_points_finds_nothing() -> None:
    u, v = torch.eye(4, dtype=torch.float64)[:2].view(2, 1, 2, 2)
    classifier = Classifier(Undefined(), (1, 2, 2), device="cpu")
    plane = Plane.spanned(torch.zeros(1, 2, 2), u, v)
    profile = boundary_profile(classifier, plane, 8, reach=0.9)
    assert profile.distance[0] == pytest.approx(0.5, rel=1e-6)
    assert np.isnan(profile.distance[1:4]).all()
    with pytest.raises(ValueError, match="finite logits at the start"):
        boundary_profile(classifier, plane, 8, at=(0.0, 0.5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rays": 0}, "at least one ray, got 0"),
        ({"reach": 0.0}, "a reach of positive length, got 0.0"),
        ({"reach": math.inf}, "a reach of positive length, got inf"),
        ({"at": (math.nan, 0.0)}, "a start at finite plane coordinates"),
    ],
)
def test_wrong_calls_are_told_in_one_sentence(change: dict[str, object], message: str) -> None:
    plane = a_plane((1, 32, 32))
    classifier, _, _ = affine((1, 32, 32), plane, torch.float32)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(boundary_profile)(classifier, plane, **{"rays": 8, **change})


def test_a_plane_of_another_shape_is_refused() -> None:
    classifier, _, _ = affine((1, 32, 32), a_plane((1, 32, 32)), torch.float32)
    with pytest.raises(ImageError, match="expected images of n x 1 x 32 x 32"):
        boundary_profile(classifier, a_plane((3, 32, 32)), 8, reach=1.0)


def test_progress_rises_and_can_cancel(batch_size: BatchSize) -> None:
    batch_size(64)
    plane = a_plane((1, 32, 32))
    classifier, _, _ = affine((1, 32, 32), plane, torch.float32)
    fractions: list[float] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        fractions.append(fraction)

    boundary_profile(classifier, plane, 36, reach=10.0, on_progress=listen)
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] < 1

    def cancel(fraction: float, partial: Result | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        boundary_profile(classifier, plane, 36, reach=10.0, on_progress=cancel)


def test_a_profile_is_read_back() -> None:
    plane = a_plane((1, 32, 32))
    classifier, _, _ = affine((1, 32, 32), plane, torch.float32)
    profile = boundary_profile(classifier, plane, 8, reach=10.0)
    again = Result.from_bytes(profile.to_bytes())
    assert isinstance(again, profiles.BoundaryProfile)
    np.testing.assert_array_equal(again.distance, profile.distance)
    assert again.to_bytes() == profile.to_bytes()


# -- to first order ---------------------------------------------------------------------------------------------------


def a_slice(module: nn.Module, plane: Plane, resolution: int, dtype: torch.dtype = torch.float64) -> Slice:
    classifier = truths.classifier(module, tuple(plane.origin.shape), dtype)
    return slice_plane(classifier, plane, (-4.0, 6.0, -5.0, 5.0), resolution, "full")


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_linearised_distance_of_a_flat_boundary_is_its_distance(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    plane = a_plane(shape)
    classifier, normal, offset = affine(shape, plane, dtype)
    cut = slice_plane(classifier, plane, (-4.0, 6.0, -5.0, 5.0), 33, "full")
    x, y = np.meshgrid(cut.x, cut.y)
    margin, slope = np.abs(normal[0] * x + normal[1] * y + offset), np.linalg.norm(normal)
    rounding = float(np.abs(cut.margin - margin).max())
    assert rounding < {torch.float32: 1e-5, torch.float64: 1e-13}[dtype]
    # differences at the frame weigh margins by 4 in all, over the step, along each axis; the distance divides by them
    off = rounding / slope + margin.max() / slope**2 * np.sqrt(2) * 4 * rounding / (cut.x[1] - cut.x[0])
    np.testing.assert_allclose(linearised_distance(cut), margin / slope, rtol=0, atol=off)


def test_linearised_distance_inside_a_power_diagram_is_that_to_the_runner_up() -> None:
    plane = a_plane((1, 32, 32))
    points = np.random.default_rng(1).uniform(-4, 5, (5, 2))
    cut = a_slice(truths.NearestCentre(plane.to_pixels(points)), plane, 129)
    x, y = np.meshgrid(cut.x, cut.y)
    power = (x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2
    order = power.argsort(-1)
    first, second = (np.take_along_axis(power, order[..., [place]], 2)[..., 0] for place in (0, 1))
    apart = np.linalg.norm(points[order[..., 0]] - points[order[..., 1]], axis=-1)
    pair = order[..., 0] * 5 + order[..., 1]
    steady = np.ones(pair.shape, bool)
    for axis in (0, 1):
        for shift in (-2, -1, 1, 2):
            steady &= np.roll(pair, shift, axis) == pair
    assert steady.mean() > 0.7
    np.testing.assert_allclose(
        linearised_distance(cut)[steady], ((second - first) / (2 * apart))[steady], rtol=1e-8, atol=1e-8
    )


def test_linearised_distance_near_a_circle_is_exact_to_second_order() -> None:
    plane = a_plane((1, 32, 32))
    module = truths.Ball(plane.to_pixels(np.array([[1.0, 0.0]]))[0], 3.0)
    errors = []
    for resolution in (65, 257):
        cut = a_slice(module, plane, resolution)
        from_middle = np.hypot(cut.x - 1, cut.y[:, None])
        found = linearised_distance(cut)
        away = from_middle > 1e-9
        np.testing.assert_allclose(
            found[away], (np.abs(9 - from_middle**2) / (2 * np.where(away, from_middle, 1)))[away], rtol=1e-6
        )
        near = np.abs(from_middle - 3) < cut.step
        errors.append(np.abs(found - np.abs(3 - from_middle))[near].max())
    assert errors[1] < errors[0] / 10


@pytest.mark.parametrize("resolution", [129, 150])
@pytest.mark.parametrize("method", ["adaptive", "careful"])
def test_linearised_distance_is_smooth_where_the_slice_was_interpolated(method: Method, resolution: int) -> None:
    plane = a_plane((1, 32, 32))
    classifier = truths.classifier(
        truths.Ball(plane.to_pixels(np.array([[2.0, 1.0]]))[0], 3.0), (1, 32, 32), torch.float64
    )
    cuts = [slice_plane(classifier, plane, (-9.0, 8.0, -9.0, 8.0), resolution, each) for each in (method, "full")]
    assert cuts[0].evaluated.mean() < 0.6
    found, dense = (linearised_distance(cut) for cut in cuts)
    away = np.hypot(cuts[0].x - 2, cuts[0].y[:, None] - 1) > 2  # the slope is 0 in the ball's middle
    inside = np.s_[: resolution - 16, : resolution - 16]  # the last cells end beyond the frame: half of them unseen
    far = away[inside]
    np.testing.assert_allclose(found[inside][far], dense[inside][far], rtol=0.2)  # 0.4 without lattices
    asked = profiles._evaluated_around(cuts[0].evaluated)
    np.testing.assert_array_equal(found[asked], dense[asked])
    for axis in (0, 1):  # from point to point it changes as the dense one does, to a step; blocks jump by more
        change, truth = (np.diff(distance[inside], axis=axis) / cuts[0].step for distance in (found, dense))
        assert np.abs(change - truth)[far[: len(change), : change.shape[1]]].max() < 1


def test_linearised_distance_is_undefined_where_the_slope_or_a_label_is() -> None:
    plane = a_plane((1, 32, 32))
    flat = a_slice(truths.Affine(torch.zeros(2, 1024), torch.tensor([1.0, 0.0])), plane, 5)
    assert np.isnan(linearised_distance(flat)).all()
    u, v = torch.eye(4, dtype=torch.float64)[:2].view(2, 1, 2, 2)
    classifier = Classifier(Undefined(), (1, 2, 2), device="cpu")
    cut = slice_plane(classifier, Plane.spanned(torch.zeros(1, 2, 2), u, v), (0.0, 1.0, 0.0, 1.0), 33, "full")
    found = linearised_distance(cut)
    assert np.isnan(found[cut.label < 0]).all()
    assert np.isfinite(found[:6]).all()
    nowhere = slice_plane(classifier, Plane.spanned(torch.full((1, 2, 2), 0.5), u, v), (0.0, 0.2, 0.0, 0.2), 5, "full")
    assert np.isnan(linearised_distance(nowhere)).all()
    tiny = slice_plane(classifier, Plane.spanned(torch.zeros(1, 2, 2), u, v), (0.0, 1.0, 0.0, 1.0), 2, "full")
    assert np.isnan(linearised_distance(tiny)).all()
