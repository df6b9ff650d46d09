"""Boundary points against closed forms: planes, balls, ellipsoids, and what they keep on every classifier."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from core.errors import ImageError
from core.geometry.boundary.deepfool import STATUSES, BoundaryPoints, boundary_points
from core.geometry.boundary.signed_margin import NORMS, Norm
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from core.runtime import batches
from core.runtime.progress import Cancelled
from tests import truths
from tests.truths import BatchSize

CASES = [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES]
CLOSE = {torch.float32: 2e-5, torch.float64: 1e-9}  # of a length: float32 logits of size 10 are known to 1e-6


@pytest.fixture(params=[1, 5])
def batch(request: pytest.FixtureRequest, batch_size: BatchSize) -> int:
    """A fixed batch size instead of the measured one."""
    size: int = request.param
    batch_size(size)
    return size


def affine(shape: tuple[int, ...], classes: int = 5) -> truths.Affine:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn((classes, math.prod(shape)), generator=generator, dtype=torch.float64)
    return truths.Affine(weight / weight.norm(dim=1, keepdim=True), torch.zeros(classes, dtype=torch.float64))


def check(found: BoundaryPoints, module: nn.Module, images: Tensor) -> None:
    """What holds at every point found: two classes meet there, the normal leads to the source side, lengths agree."""
    exact = module.double()
    points, crossed, normals = (
        torch.from_numpy(each).double() for each in (found.points, found.crossed, found.normals)
    )
    size = torch.from_numpy(found.distance).view(-1, 1, 1, 1)
    with torch.no_grad():
        top = {tuple(sorted(pair)) for pair in exact(points).topk(2, 1).indices.tolist()}
        beside = exact(points + 1e-3 * size * normals).argmax(1), exact(points - 1e-3 * size * normals).argmax(1)
        behind = exact(crossed).argmax(1)
    assert found.found.all()
    assert top == {tuple(sorted(pair)) for pair in zip(found.source_class, found.target_class, strict=True)}
    np.testing.assert_array_equal(beside[0], found.source_class)
    np.testing.assert_array_equal(beside[1], found.target_class)
    assert (behind.numpy() != found.source_class).all()
    np.testing.assert_allclose(normals.flatten(1).norm(dim=1), 1, rtol=1e-5)
    np.testing.assert_allclose((points - images).flatten(1).norm(dim=1), found.distance, rtol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_planes_are_met_in_one_step_at_the_dual_distance(
    shape: tuple[int, ...], dtype: torch.dtype, norm: Norm, batch: int
) -> None:
    module, images = affine(shape), truths.images(7, shape).to(dtype)
    found = boundary_points(truths.classifier(module, shape, dtype), images, norm=norm)
    logits = images.double().flatten(1) @ module.weight.detach().double().T
    source = logits.argmax(1)
    steepness = module.weight.detach().double()[:, None] - module.weight.detach().double()
    dual = {1: math.inf, 2: 2.0, "inf": 1.0}[norm]
    length = torch.linalg.vector_norm(steepness[source], dual, 2)
    truth, target = ((logits.gather(1, source[:, None]) - logits) / length).nan_to_num(math.inf).min(1)
    # float32: margins of such logits are known to 5e-7, pixels to 6e-8
    slack = {torch.float32: 5e-7 / float(length.gather(1, target[:, None]).min()) + 2e-7, torch.float64: 1e-12}[dtype]
    np.testing.assert_allclose(found.size, truth, rtol=CLOSE[dtype], atol=slack)
    np.testing.assert_array_equal(found.source_class, source)
    np.testing.assert_array_equal(found.target_class, target)
    assert (found.steps == 1).all()
    # by the largest change, rounding one pixel by 1e-7 costs the cosine 1e-7 / size
    noise = {torch.float32: 2e-7, torch.float64: 1e-13}[dtype] / truth if norm == "inf" else 0 * truth
    assert (found.angle < 0.05 + np.degrees(np.sqrt(2 * noise.numpy()))).all()
    assert set(found.status[noise.numpy() < 1e-4]) == {"nearest"}
    normals = steepness[source, target] / steepness[source, target].norm(dim=1, keepdim=True)
    np.testing.assert_allclose(found.normals.reshape(7, -1), normals, atol=1e-6)
    check(found, module, images.double())
    assert found.gradients >= 7 * 5  # four other classes, and the normal


@pytest.mark.parametrize("apart", [-0.5, 0.5, 2.0, 5.0])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_a_ball_is_met_on_the_ray_through_its_centre(
    shape: tuple[int, ...], dtype: torch.dtype, apart: float, batch: int
) -> None:
    centre, radius = truths.images(1, shape)[0], 2.0
    away = torch.stack([truths.unit(shape, seed) for seed in range(3)])
    module = truths.Ball(centre, radius)
    images = (centre + (1 + apart) * radius * away).to(dtype)
    found = boundary_points(truths.classifier(module, shape, dtype), images)
    np.testing.assert_allclose(found.distance, abs(apart) * radius, rtol=CLOSE[dtype])
    np.testing.assert_array_equal(found.source_class, int(apart > 0))
    np.testing.assert_allclose(found.normals, np.sign(apart) * away, atol=1e-4)
    assert set(found.status) == {"nearest"}
    check(found, module, images.double())


@pytest.mark.parametrize("norm", NORMS)
def test_a_ball_is_left_by_the_shortest_way_in_every_norm(norm: Norm) -> None:
    shape = (1, 8, 8)
    centre, offsets = truths.images(1, shape)[0], torch.stack([1.4 * truths.unit(shape, seed) for seed in range(3)])
    classifier = truths.classifier(truths.Ball(centre, 2.0), shape, torch.float64)
    found = boundary_points(classifier, centre + offsets, norm=norm)
    truth = [truths.way_out_of_a_ball(offset, 2.0, norm) for offset in offsets]
    np.testing.assert_allclose(found.size, truth, rtol=1e-6)
    assert set(found.status) == {"nearest"}


@pytest.mark.parametrize("size", [0.5, 3.0])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_deepfool_is_not_nearest_on_an_ellipsoid_and_the_refined_point_is(
    shape: tuple[int, ...], dtype: torch.dtype, size: float
) -> None:
    centre, pixels = truths.images(1, shape)[0], math.prod(shape)
    order = torch.randperm(pixels, generator=torch.Generator().manual_seed(0))
    half_axes = torch.linspace(1, 6, pixels, dtype=torch.float64)[order].view(shape)
    away = torch.stack([truths.unit(shape, seed) for seed in range(3)])
    offsets = size * away / (away / half_axes).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    truth = [float((each - truths.nearest_on_ellipsoid(each, half_axes)).norm()) for each in offsets]
    module, images = truths.Ellipsoid(centre, half_axes), (centre + offsets).to(dtype)
    classifier = truths.classifier(module, shape, dtype)
    rough, found = boundary_points(classifier, images, refine=False), boundary_points(classifier, images)
    assert (rough.distance > np.array(truth) * 1.001).all()
    assert set(rough.status) == {"not nearest"}
    assert not rough.slides.any()
    np.testing.assert_allclose(found.distance, truth, rtol=5e-5)
    assert set(found.status) == {"nearest"}
    check(found, module, images.double())
    check(rough, module, images.double())


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_a_sphere_in_a_subspace_is_met_within_it(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    curved = torch.zeros(math.prod(shape), dtype=torch.bool)
    curved[::100] = True
    curved = curved.view(shape)
    centre, images = truths.images(1, shape)[0], truths.images(3, shape, seed=2)
    within = torch.where(curved, images - centre, 0.0)
    images += (5 / within.flatten(1).norm(dim=1).view(-1, 1, 1, 1) - 1) * within
    module = truths.Ellipsoid(centre, torch.where(curved, 2.0, torch.inf).double())
    found = boundary_points(truths.classifier(module, shape, dtype), images.to(dtype))
    np.testing.assert_allclose(found.distance, 3, rtol=CLOSE[dtype])
    assert not found.normals[:, ~curved.numpy()].any()


class Between(nn.Module):
    """Class 1 beyond pixel 0 = 2 to first order; class 2 rises out of nothing on the way there and wins at 1."""

    def forward(self, images: Tensor) -> Tensor:
        first = images.flatten(1)[:, 0]
        return torch.stack([torch.zeros_like(first), first - 2, 4 * torch.sigmoid(40 * (first - 1)) - 2], 1)


@pytest.mark.parametrize("candidates", [1, 9])
def test_a_class_that_deepfool_does_not_head_for_is_met_where_it_wins(candidates: int) -> None:
    classifier = truths.classifier(Between(), (1, 2, 2), torch.float64)
    image = torch.zeros(1, 1, 2, 2)
    image[..., 0] = 0.1  # the logit of 1 is the larger one here
    found = boundary_points(classifier, image, candidates=candidates)
    assert (found.source_class[0], found.target_class[0], found.status[0]) == (0, 2, "nearest")
    assert found.distance[0] == pytest.approx(0.9, rel=1e-6)
    check(found, Between(), image.double())


def test_a_batch_is_its_images_one_by_one() -> None:
    classifier = load_classifier("demo:digits/standard", "cpu").to(dtype=torch.float64)
    images = load_images("demo:digits").pixels[:6]
    together = boundary_points(classifier, images)
    for row in range(6):
        alone = boundary_points(classifier, images[row : row + 1])
        for name in ("points", "crossed", "normals", "distance", "angle"):
            np.testing.assert_allclose(getattr(together, name)[row], getattr(alone, name)[0], rtol=1e-6, atol=1e-6)
        for name in ("source_class", "target_class", "status", "steps", "slides"):
            assert getattr(together, name)[row] == getattr(alone, name)[0]


@given(st.floats(-3, 3), st.sampled_from(NORMS))
@settings(max_examples=12, deadline=None)
def test_logits_times_a_positive_factor_have_the_same_boundary(exponent: float, norm: Norm) -> None:
    shape = (1, 4, 4)
    centres, images = truths.images(4, shape, seed=3), truths.images(3, shape, seed=4)

    class Scaled(truths.NearestCentre):
        def forward(self, images: Tensor) -> Tensor:
            return 10**exponent * super().forward(images).sinh()

    plain, scaled = truths.NearestCentre(centres), Scaled(centres)
    first = boundary_points(truths.classifier(plain, shape, torch.float64), images, norm=norm)
    again = boundary_points(truths.classifier(scaled, shape, torch.float64), images, norm=norm)
    np.testing.assert_allclose(again.size, first.size, rtol=1e-5)  # sinh: the same regions, but not in one step
    np.testing.assert_allclose(again.normals, first.normals, atol=1e-5)
    np.testing.assert_array_equal(again.target_class, first.target_class)


class Undefined(nn.Module):
    """Classes part at pixel 0 = 0.5; no logits where pixel 1 > 0.9, nor where it is < 0.1 and pixel 0 near 0.5."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.flatten(1)[:, 0], images.flatten(1)[:, 1]
        hidden = (second > 0.9) | ((second < 0.1) & ((first - 0.5).abs() < 1e-3))
        return torch.stack([first - 0.5, 0 * first], 1).masked_fill(hidden[:, None], torch.nan)


def test_rows_without_a_point_say_why_and_leave_the_others_alone() -> None:
    images = torch.tensor([[0.2, 0.5], [0.2, 0.95], [0.8, 0.5], [0.2, 0.05]]).view(4, 1, 1, 2)
    found = boundary_points(truths.classifier(Undefined(), (1, 1, 2)), images)
    assert found.status.tolist() == ["nearest", "undefined", "nearest", "undefined"]
    np.testing.assert_array_equal(found.found, [True, False, True, False])
    np.testing.assert_array_equal(found.source_class, [1, -1, 0, 1])
    np.testing.assert_array_equal(found.target_class, [0, -1, 1, -1])
    np.testing.assert_allclose(found.distance[[0, 2]], 0.3, rtol=1e-5)
    for name in ("points", "crossed", "normals", "distance", "size", "angle"):
        assert np.isnan(getattr(found, name)[[1, 3]]).all()
        assert np.isfinite(getattr(found, name)[[0, 2]]).all()
    nothing = boundary_points(truths.classifier(Undefined(), (1, 1, 2)), images[1:2])
    assert (nothing.status[0], nothing.gradients) == ("undefined", 0)


class Constant(nn.Module):
    """The same logits everywhere, without a graph."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.tensor([1.0, 0.0]).expand(len(images), 2)


class Fading(nn.Module):
    """Class 0 everywhere, by a margin exp(-pixel 0) that every step divides by e."""

    def forward(self, images: Tensor) -> Tensor:
        margin = images.flatten(1)[:, 0].neg().exp()
        return torch.stack([margin, torch.zeros_like(margin)], 1)


def test_no_boundary_is_no_error() -> None:
    images, shape = truths.images(2, (1, 2, 2)).float(), (1, 2, 2)
    flat = truths.Affine(torch.zeros(2, 4), torch.tensor([1.0, 0.0]))
    for module in (flat, Constant()):
        found = boundary_points(truths.classifier(module, shape), images)
        assert set(found.status) == {"no direction"}
        assert (found.steps == 1).all()
    found = boundary_points(truths.classifier(Fading(), shape), images, max_steps=5)
    assert set(found.status) == {"not reached"}
    assert (found.steps == 5).all()
    assert not found.found.any()
    assert set(STATUSES) >= set(found.status)


def test_an_image_on_the_boundary_is_its_own_point() -> None:
    module = truths.Ball(torch.zeros(1, 2, 2, dtype=torch.float64), 1.0)
    image = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).view(1, 1, 2, 2)
    found = boundary_points(truths.classifier(module, (1, 2, 2), torch.float64), image)
    assert (found.distance[0], found.angle[0], found.status[0]) == (0, 0, "nearest")
    assert module(torch.from_numpy(found.crossed)).argmax(1) != found.source_class[0]


def test_inside_the_pixel_box_is_another_problem() -> None:
    shape = (1, 1, 2)
    weight = torch.tensor([[3.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    classifier = truths.classifier(truths.Affine(weight, torch.tensor([-3.5, 0.0]).double()), shape, torch.float64)
    images = torch.tensor([[0.9, 0.1], [0.9, 0.7]], dtype=torch.float64).view(2, 1, 1, 2)  # margins -0.7 and -0.1
    free, boxed = boundary_points(classifier, images), boundary_points(classifier, images, clipped=True)
    np.testing.assert_allclose(free.distance, np.array([0.7, 0.1]) / math.sqrt(10), rtol=1e-9)
    assert free.points.max() > 1
    assert set(boxed.status) == {"in the box"}
    assert boxed.points.min() >= 0
    assert max(boxed.points.max(), boxed.crossed.max()) <= 1
    np.testing.assert_allclose(boxed.distance[1], free.distance[1], rtol=1e-9)  # that point lies in the box
    assert boxed.distance[0] >= math.hypot(0.1, 0.4) * 0.999  # pixel 0 at its wall, pixel 1 does the rest
    assert boxed.distance[0] < 1.1 * math.hypot(0.1, 0.4)
    with pytest.raises(ImageError, match="to stay inside the pixel box"):
        boundary_points(classifier, images + 1, clipped=True)
    unreachable = truths.Affine(weight, torch.tensor([-4.5, 0.0]).double())
    found = boundary_points(truths.classifier(unreachable, shape, torch.float64), images, clipped=True)
    assert not found.found.any()


def test_the_callers_model_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(inplace=True), nn.Linear(3, 3))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    classifier = truths.classifier(module.train(), (1, 2, 2))
    images = truths.images(4, (1, 2, 2)).float().requires_grad_()
    boundary_points(classifier, images)
    assert images.grad is None
    assert module.training
    for parameter in (*module.parameters(), *classifier.module.parameters()):
        assert parameter.grad is None
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not any(parameter.requires_grad for parameter in classifier.module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_taken_where_the_caller_takes_none(mode: type[torch.no_grad]) -> None:
    classifier = truths.classifier(affine((1, 4, 4)), (1, 4, 4), torch.float64)
    with mode():
        found = boundary_points(classifier, truths.images(2, (1, 4, 4)) + 0)
        assert found.found.all()


class Small(truths.Affine):
    """Has memory for four images."""

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(images)


def test_chunks_are_halved_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch, batch_size: BatchSize) -> None:
    batch_size(16)
    plain, images = affine((1, 4, 4)), truths.images(9, (1, 4, 4))
    small = Small(plain.weight.detach(), plain.bias.detach())
    found = boundary_points(truths.classifier(small, (1, 4, 4), torch.float64), images)
    expected = boundary_points(truths.classifier(plain, (1, 4, 4), torch.float64), images)
    np.testing.assert_allclose(found.points, expected.points, rtol=1e-12)
    monkeypatch.setattr(batches, "out_of_memory", lambda error: False)
    with pytest.raises(torch.OutOfMemoryError):
        boundary_points(truths.classifier(small, (1, 4, 4), torch.float64), images)


def test_progress_grows_and_can_cancel(batch: int) -> None:
    classifier, images = truths.classifier(affine((1, 4, 4)), (1, 4, 4), torch.float64), truths.images(12, (1, 4, 4))
    fractions: list[float] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        fractions.append(fraction)

    boundary_points(classifier, images, on_progress=listen)
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert 0.5 < fractions[-1] <= 1

    def cancel(fraction: float, partial: Result | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        boundary_points(classifier, images, on_progress=cancel)


def test_points_are_read_back() -> None:
    classifier = truths.classifier(affine((1, 4, 4)), (1, 4, 4), torch.float64)
    found = boundary_points(classifier, truths.images(2, (1, 4, 4)), norm="inf")
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, BoundaryPoints)
    np.testing.assert_array_equal(again.points, found.points)
    assert again.status.tolist() == found.status.tolist()
    assert again.norm == "inf"
    assert again.to_bytes() == found.to_bytes()
    assert BoundaryPoints.unit("distance") == "ℓ2 pixel"


def test_demo_photos() -> None:
    """32 images, misclassified ones among them: the source is what the classifier says, not what the image shows."""
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    said = classifier.predict(images.pixels).label
    wrong = np.flatnonzero(said != images.labels.numpy())[:4]
    rows = [*wrong.tolist(), *range(0, 540, 20), 7]
    assert len(rows) == 32
    pixels = images.pixels[rows]
    rough, found = boundary_points(classifier, pixels, refine=False), boundary_points(classifier, pixels)
    np.testing.assert_array_equal(found.source_class, said[rows])
    assert len(wrong) == 4
    assert rough.found.all()
    assert found.found.all()
    assert (found.distance <= rough.distance).all()
    assert np.median(found.distance) < 0.98 * np.median(rough.distance)
    assert set(found.status) == {"nearest"}
    np.testing.assert_array_equal(classifier.predict(found.crossed).label, found.target_class)
    inside = found.points + 1e-3 * found.distance[:, None, None, None] * found.normals
    np.testing.assert_array_equal(classifier.predict(inside.astype(np.float32)).label, found.source_class)
