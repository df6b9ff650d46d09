"""Slices against closed forms: lines, circles, power diagrams, stripes and discs."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from torch import nn

from core.errors import ImageError
from core.geometry.planes import slices
from core.geometry.planes.planes import Extent, Plane
from core.geometry.planes.slices import Slice, slice_plane
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.result import Result
from core.runtime.progress import Cancelled
from tests import truths
from tests.truths import BatchSize

SQUARE: Extent = (-4.0, 6.0, -5.0, 5.0)
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
    w = truths.unit(shape, seed=3) + plane.u - 0.5 * plane.v
    b = -float((w * plane.to_pixels(np.array([[1.0, 0.3]]))[0]).sum())
    module = truths.Affine(
        torch.stack([w.flatten(), torch.zeros(w.numel())]), torch.tensor([b, 0.0], dtype=torch.float64)
    )
    on_plane = np.array([float((w * plane.u).sum()), float((w * plane.v).sum())])
    return truths.classifier(module, shape, dtype), on_plane, b + float((w * plane.origin).sum())


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_a_flat_boundary_is_a_straight_line(shape: tuple[int, ...], dtype: torch.dtype, batch: int) -> None:
    plane = a_plane(shape)
    classifier, normal, offset = affine(shape, plane, dtype)
    cut = slice_plane(classifier, plane, SQUARE, 33, "full")
    assert cut.forwards >= 33 * 33
    x, y = np.meshgrid(cut.x, cut.y)
    truth = normal[0] * x + normal[1] * y + offset
    clear = np.abs(truth) > 1e-4
    np.testing.assert_array_equal(cut.label[clear], (truth[clear] < 0).astype(int))
    (line,) = cut.boundary_lines()[0]
    error = np.abs(line @ normal + offset) / np.linalg.norm(normal)
    assert error.max() < {torch.float32: 1e-5, torch.float64: 1e-11}[dtype]
    np.testing.assert_allclose(cut.margin, np.abs(truth), atol={torch.float32: 2e-4, torch.float64: 1e-11}[dtype])


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_a_ball_is_cut_in_a_circle(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    plane = a_plane(shape)
    away = truths.unit(shape, seed=7)
    away = away - (away * plane.u).sum() * plane.u - (away * plane.v).sum() * plane.v
    height, radius = 1.5, 3.0
    centre = plane.to_pixels(np.array([[1.0, 0.0]]))[0] + height * away / away.norm()
    classifier = truths.classifier(truths.Ball(centre, radius), shape, dtype)
    errors = {}
    for resolution in (65, 257):
        cut = slice_plane(classifier, plane, SQUARE, resolution, "full")
        (line,) = cut.boundary_lines()[0]
        distance = np.linalg.norm(line - [1.0, 0.0], axis=1)
        errors[resolution] = np.abs(distance - np.sqrt(radius**2 - height**2)).max() / cut.step
    assert errors[65] < 2e-2  # in grid steps; the note measured 6.6e-3 and 1.7e-3 at another radius
    assert errors[257] < errors[65] / 3  # O(step²) in length, so O(step) in steps
    area = cut.shares()[0] * (cut.x[-1] - cut.x[0] + cut.step) ** 2
    assert area == pytest.approx(np.pi * (radius**2 - height**2), rel=2e-3)


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_nearest_centres_are_cut_in_their_power_diagram(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    plane = a_plane(shape)
    points = np.random.default_rng(1).uniform(-4, 4, (6, 2))
    heights = np.random.default_rng(2).uniform(0, 2, 6)
    away = truths.unit(shape, seed=9)
    away = away - (away * plane.u).sum() * plane.u - (away * plane.v).sum() * plane.v
    centres = plane.to_pixels(points) + torch.tensor(heights).view(-1, 1, 1, 1) * away / away.norm()
    classifier = truths.classifier(truths.NearestCentre(centres), shape, dtype)
    cut = slice_plane(classifier, plane, SQUARE, 65, "full")
    x, y = np.meshgrid(cut.x, cut.y)
    power = (x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2 + heights**2
    nearest = np.sort(power, -1)
    clear = nearest[..., 1] - nearest[..., 0] > 1e-3
    np.testing.assert_array_equal(cut.label[clear], power.argmin(-1)[clear])
    np.testing.assert_allclose(cut.margin[clear], (nearest[..., 1] - nearest[..., 0])[clear], atol=1e-2, rtol=1e-3)
    steepest = 2 * np.linalg.norm(points[:, None] - points, axis=-1).max()
    for k, lines in cut.boundary_lines().items():
        j = np.setdiff1d(np.arange(6), [k])
        at = ((np.concatenate(lines)[:, None] - points) ** 2).sum(-1) + heights**2
        error = np.abs((at[:, [k]] - at[:, j]).max(1))
        assert np.quantile(error, 0.8) < 5e-3  # two classes meet in a straight line: exact up to rounding
        assert error.max() < steepest * cut.step  # three meet within one cell


def test_confidence_and_entropy_are_those_of_the_softmax() -> None:
    plane = a_plane((1, 32, 32))
    centres = truths.images(5, (1, 32, 32), seed=4)
    classifier = truths.classifier(truths.NearestCentre(centres), (1, 32, 32), torch.float64)
    cut = slice_plane(classifier, plane, SQUARE, 9, "full")
    xy = np.stack(np.meshgrid(cut.x, cut.y), -1).reshape(-1, 2)
    logits = classifier(plane.to_pixels(xy))
    probabilities = logits.softmax(1)
    np.testing.assert_allclose(cut.confidence.ravel(), probabilities.amax(1), rtol=1e-9)
    entropy = torch.special.entr(probabilities).sum(1)
    np.testing.assert_allclose(cut.entropy.ravel(), entropy, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(cut.logits.reshape(81, -1), logits.numpy()[:, cut.classes], rtol=1e-12)
    for k in cut.classes:
        others = logits[:, [j for j in range(5) if j != k]].amax(1)
        np.testing.assert_allclose(cut.signed_margin(int(k)).ravel(), logits[:, k] - others, atol=1e-9)


def test_anchors_are_classified_as_the_images_they_are() -> None:
    classifier = load_classifier("demo:photos/standard", "cpu")
    images = load_images("demo:photos")[[3, 170, 420]]
    plane = Plane.through(*images.pixels)
    logits = classifier(images.pixels)
    at = classifier.along(plane.origin, torch.stack([plane.u, plane.v]))(plane.to_plane(images.pixels).float())
    torch.testing.assert_close(at, logits, atol=1e-4, rtol=1e-5)


def test_a_turned_basis_shows_the_same_boundary() -> None:
    shape = (1, 32, 32)
    plane = a_plane(shape)
    classifier, normal, offset = affine(shape, plane, torch.float64)
    turned = Plane.spanned(plane.origin, 0.6 * plane.u + 0.8 * plane.v, plane.v)
    (line,) = slice_plane(classifier, turned, SQUARE, 33, "full").boundary_lines()[0]
    back = plane.to_plane(turned.to_pixels(line)).numpy()
    assert np.abs(back @ normal + offset).max() < 1e-10


def test_scaling_the_logits_leaves_the_boundary_where_it_is() -> None:
    shape = (1, 32, 32)
    plane = a_plane(shape)
    centres = truths.images(4, shape, seed=4)

    class Scaled(truths.NearestCentre):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 7.5 * super().forward(images)

    cuts = [
        slice_plane(truths.classifier(kind(centres), shape, torch.float64), plane, SQUARE, 33, "full")
        for kind in (truths.NearestCentre, Scaled)
    ]
    np.testing.assert_array_equal(cuts[0].label, cuts[1].label)
    np.testing.assert_allclose(7.5 * cuts[0].margin, cuts[1].margin, rtol=1e-9, atol=1e-11)


class Broken(nn.Module):
    """NaN logits where the first pixel is above 0.5."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = images[:, 0, 0, 0]
        return torch.stack([first.where(first < 0.5, torch.nan), 1 - first], 1)


@pytest.mark.parametrize("method", slices.METHODS)
def test_logits_that_are_not_finite_are_undefined_not_a_class(method: slices.Method) -> None:
    u, v = torch.eye(4, dtype=torch.float64)[:2].view(2, 1, 2, 2)
    classifier = Classifier(Broken(), (1, 2, 2), device="cpu")
    cut = slice_plane(classifier, Plane.spanned(torch.zeros(1, 2, 2), u, v), (0.0, 1.0, 0.0, 1.0), 33, method)
    assert set(np.unique(cut.label)) == {-1, 1}
    np.testing.assert_array_equal(cut.label == -1, np.broadcast_to(cut.x >= 0.5, (33, 33)))
    assert cut.classes.tolist() == [1]
    cut.boundary_lines()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extent": (0.0, 1.0, 0.0, 2.0)}, "finite square extent"),
        ({"extent": (0.0, np.inf, 0.0, np.inf)}, "finite square extent"),
        ({"resolution": 1}, "resolution of at least 2"),
        ({"method": "clever"}, "expected a method out of adaptive, careful, full"),
    ],
)
def test_wrong_calls_are_told_in_one_sentence(change: dict[str, object], message: str) -> None:
    plane = a_plane((1, 32, 32))
    classifier, _, _ = affine((1, 32, 32), plane, torch.float32)
    settings = {"extent": SQUARE, "resolution": 9, "method": "full", **change}
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(slices.slice_plane)(classifier, plane, **settings)


def test_a_plane_of_another_shape_is_refused() -> None:
    classifier, _, _ = affine((1, 32, 32), a_plane((1, 32, 32)), torch.float32)
    with pytest.raises(ImageError, match="expected images of n x 1 x 32 x 32"):
        slice_plane(classifier, a_plane((3, 32, 32)), SQUARE, 9)


def test_many_classes_go_through_two_passes_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = a_plane((1, 32, 32))
    classifier = truths.classifier(truths.NearestCentre(truths.images(50, (1, 32, 32), seed=4)), (1, 32, 32))
    once = slice_plane(classifier, plane, SQUARE, 33, "full")
    monkeypatch.setattr(slices, "_MOST_VALUES", 1000)
    twice = slice_plane(classifier, plane, SQUARE, 33, "full")
    assert twice.forwards == 2 * once.forwards
    for name in ("label", "logits", "margin", "confidence", "entropy", "classes"):
        np.testing.assert_array_equal(getattr(once, name), getattr(twice, name))


def test_contours_follow_confidence_and_never_the_kink_of_the_margin() -> None:
    plane = a_plane((1, 32, 32))
    classifier, normal, offset = affine((1, 32, 32), plane, torch.float64)
    cut = slice_plane(classifier, plane, SQUARE, 65, "full")
    lines = cut.contours("margin", [1.0])[1.0]
    assert len(lines) == 2
    for line in lines:
        np.testing.assert_allclose(np.abs(line @ normal + offset), 1.0, atol=1e-9)
    with pytest.raises(ValueError, match="margin levels above 0"):
        cut.contours("margin", [0.0])
    with pytest.raises(ValueError, match="expected a class seen"):
        cut.signed_margin(9)


# -- progress ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", slices.METHODS)
def test_progress_rises_and_can_cancel(method: slices.Method, batch_size: BatchSize) -> None:
    batch_size(64)
    plane = a_plane((1, 32, 32))
    classifier = truths.classifier(truths.NearestCentre(truths.images(5, (1, 32, 32), seed=4)), (1, 32, 32))
    fractions: list[float] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        fractions.append(fraction)

    slice_plane(classifier, plane, SQUARE, 64, method, on_progress=listen)
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] < 1

    def cancel(fraction: float, partial: Result | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        slice_plane(classifier, plane, SQUARE, 64, method, on_progress=cancel)


def test_every_level_of_an_adaptive_slice_is_a_complete_picture() -> None:
    plane = a_plane((1, 32, 32))
    classifier = truths.classifier(truths.NearestCentre(truths.images(5, (1, 32, 32), seed=4)), (1, 32, 32))
    pictures: list[Slice] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        if isinstance(partial, Slice):
            pictures.append(partial)

    final = slice_plane(classifier, plane, SQUARE, 128, "adaptive", on_progress=listen)
    assert [len(picture.x) for picture in pictures] == [8, 16, 32, 64]
    for picture in pictures:
        spacing = 128 // len(picture.x)
        np.testing.assert_allclose(picture.x, final.x[::spacing])
        np.testing.assert_array_equal(picture.label, final.label[::spacing, ::spacing])


@pytest.mark.parametrize("passes", [1, 2])
def test_a_full_slice_is_coarse_first_and_then_refined_in_place(
    passes: int, monkeypatch: pytest.MonkeyPatch, batch_size: BatchSize
) -> None:
    batch_size(4)
    if passes == 2:
        monkeypatch.setattr(slices, "_MOST_VALUES", 1000)
    plane = a_plane((1, 32, 32))
    classifier = truths.classifier(truths.NearestCentre(truths.images(5, (1, 32, 32), seed=4)), (1, 32, 32))
    pictures: list[tuple[float, Slice]] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        if isinstance(partial, Slice):
            pictures.append((fraction, partial))

    final = slice_plane(classifier, plane, SQUARE, 64, "full", on_progress=listen)
    assert final.forwards == passes * 64 * 64  # each point once in each pass
    assert [len(picture.x) for _, picture in pictures] == [4] * (passes - 1) + [4, 8, 16, 32]
    for fraction, picture in pictures:
        spacing = 64 // len(picture.x)
        assert picture.evaluated.all()
        assert fraction == picture.forwards / final.forwards
        for name in ("x", "y"):
            np.testing.assert_allclose(getattr(picture, name), getattr(final, name)[::spacing])
        for name in ("label", "margin"):
            np.testing.assert_array_equal(getattr(picture, name), getattr(final, name)[::spacing, ::spacing])
        for name in ("confidence", "entropy"):  # vectors and what is left of them have exponentials of their own
            here, there = getattr(picture, name), getattr(final, name)[::spacing, ::spacing]
            np.testing.assert_allclose(here, there, rtol=4 * np.finfo(np.float32).eps, atol=1e-6)
        assert picture.classes.tolist() == np.unique(picture.label).tolist()
        shared = np.isin(final.classes, picture.classes)
        np.testing.assert_array_equal(picture.logits, final.logits[::spacing, ::spacing, shared])
        assert len(picture.boundary_lines()) == len(picture.classes)


@pytest.mark.parametrize("method", slices.METHODS)
def test_pictures_on_the_way_have_at_least_two_points_a_side(method: slices.Method, batch_size: BatchSize) -> None:
    batch_size(4)
    plane = a_plane((1, 32, 32))
    classifier = truths.classifier(truths.NearestCentre(truths.images(5, (1, 32, 32), seed=4)), (1, 32, 32))
    sides: list[int] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        if isinstance(partial, Slice):
            sides.append(len(partial.x))

    slice_plane(classifier, plane, SQUARE, 16, method, on_progress=listen)
    assert sides == [2, 4, 8]


# -- adaptive ---------------------------------------------------------------------------------------------------------


def both(
    classifier: Classifier, plane: Plane, extent: Extent, resolution: int, method: slices.Method
) -> tuple[Slice, Slice]:
    cut = slice_plane(classifier, plane, extent, resolution, method)
    dense = slice_plane(classifier, plane, extent, resolution, "full")
    assert dense.evaluated.all()
    np.testing.assert_array_equal(cut.label[cut.evaluated], dense.label[cut.evaluated])
    return cut, dense


@pytest.mark.parametrize("method", ["adaptive", "careful"])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_adaptive_equals_full_on_closed_forms(
    shape: tuple[int, ...], dtype: torch.dtype, method: slices.Method
) -> None:
    plane = a_plane(shape)
    line, _, _ = affine(shape, plane, dtype)
    ball = truths.classifier(truths.Ball(plane.to_pixels(np.array([[1.0, 0.0]]))[0], 3.0), shape, dtype)
    centres = plane.to_pixels(np.random.default_rng(1).uniform(-4, 5, (7, 2)))
    diagram = truths.classifier(truths.NearestCentre(centres), shape, dtype)
    for classifier in (line, ball, diagram):
        cut, dense = both(classifier, plane, SQUARE, 128, method)
        np.testing.assert_array_equal(cut.label, dense.label)
        assert cut.evaluated.mean() < 0.5
        lines, dense_lines = cut.boundary_lines(), dense.boundary_lines()
        assert lines.keys() == dense_lines.keys()


@pytest.mark.parametrize("resolution", [50, 100, 129])
def test_any_resolution_is_cropped_from_whole_cells(resolution: int) -> None:
    plane = a_plane((1, 32, 32))
    classifier = truths.classifier(truths.NearestCentre(truths.images(5, (1, 32, 32), seed=4)), (1, 32, 32))
    cut, dense = both(classifier, plane, SQUARE, resolution, "adaptive")
    np.testing.assert_array_equal(cut.label, dense.label)
    np.testing.assert_array_equal(cut.x, dense.x)
    assert cut.logits.shape == dense.logits.shape


def test_a_class_that_begins_beyond_the_frame_is_not_seen() -> None:
    u, v = torch.eye(4, dtype=torch.float64)[:2].view(2, 1, 2, 2)
    module = truths.Affine(torch.eye(2, 4, dtype=torch.float64), torch.tensor([0.0, 10.0]))  # 0 wins where x > y + 10
    classifier = truths.classifier(module, (1, 2, 2))
    plane = Plane.spanned(torch.zeros(1, 2, 2), u, v)
    cut = slice_plane(classifier, plane, (0.0, 9.5, 0.0, 9.5), 50, "adaptive")  # its last cells end at x = 12.4
    assert cut.classes.tolist() == [1]
    assert list(cut.boundary_lines()) == [1]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        *(("photos", rows) for rows in ((3, 17, 42), (5, 100, 400), (61, 250, 330), (10, 185, 520), (200, 310, 460))),
        ("digits", (3, 17, 42)),
    ],
)
def test_adaptive_and_careful_equal_full_on_the_demo_models(name: str, rows: tuple[int, int, int]) -> None:
    classifier = load_classifier(f"demo:{name}/standard", "cpu")
    anchors = load_images(f"demo:{name}")[list(rows)].pixels
    plane = Plane.through(*anchors)
    extent = plane.square(plane.to_plane(anchors).numpy())
    dense = slice_plane(classifier, plane, extent, 192, "full")
    for method in ("adaptive", "careful"):
        cut = slice_plane(classifier, plane, extent, 192, method)
        np.testing.assert_array_equal(cut.label, dense.label)
        np.testing.assert_allclose(cut.margin[cut.evaluated], dense.margin[cut.evaluated], atol=1e-3)
        # bilinear log-odds on cells of 16 steps: good on average, worst where the runner-up changes inside a cell
        assert np.abs(cut.confidence - dense.confidence).mean() < 0.005


def found(method: slices.Method, radius: float, spike: bool, resolution: int = 512) -> float:
    """The share of 40 discs of this radius, in grid steps, that a slice finds."""
    shape = (1, 2, 2)
    origin, axes = torch.zeros(shape), torch.eye(4).view(4, 1, 2, 2)[:2]
    plane = Plane.spanned(origin, axes[0], axes[1])
    places = np.stack(np.meshgrid(np.arange(8), np.arange(5)), -1).reshape(-1, 2) * [60.0, 96.0] + 40
    centres = torch.tensor(places + np.random.default_rng(0).uniform(-8, 8, places.shape), dtype=torch.float32)
    module = truths.Discs(origin, axes, centres, radius, spike)
    cut = slice_plane(truths.classifier(module, shape), plane, (0.0, 511.0, 0.0, 511.0), resolution, method)
    at = cut.label[tuple(np.rint(centres.numpy()).astype(int).T[::-1])]
    return float((at == 1).mean())


@pytest.mark.parametrize("spike", [False, True])
def test_discs_wider_than_the_base_cell_are_never_missed(spike: bool) -> None:
    assert found("adaptive", 12.0, spike) == 1.0  # 12 > 16 / sqrt 2: a lattice point lies inside
    assert found("careful", 6.0, spike) == 1.0


def test_small_discs_can_be_missed_and_careful_misses_fewer() -> None:
    adaptive, careful = found("adaptive", 3.0, True), found("careful", 3.0, True)
    assert adaptive < careful
    assert found("full", 3.0, True) == 1.0


@pytest.mark.parametrize(("period", "seen"), [(128.0, True), (32.0, False)])
def test_stripes_are_found_iff_the_lattice_meets_them(period: float, seen: bool) -> None:
    # period 32 puts the lattice of 16 steps onto the zeros' middles alone: sin is 0 at each, labels by rounding
    shape = (1, 2, 2)
    axes = torch.eye(4).view(4, 1, 2, 2)
    plane = Plane.spanned(torch.full(shape, 0.0), axes[0], axes[1])
    module = truths.Stripes(axes[0], period)
    offset = 4.0 if seen else 2.0
    extent = (offset, offset + 128.0, 0.0, 128.0)
    cut = slice_plane(truths.classifier(module, shape), plane, extent, 129, "adaptive")
    dense = slice_plane(truths.classifier(module, shape), plane, extent, 129, "full")
    if seen:
        np.testing.assert_array_equal(cut.label, dense.label)
    np.testing.assert_array_equal(cut.label[cut.evaluated], dense.label[cut.evaluated])
