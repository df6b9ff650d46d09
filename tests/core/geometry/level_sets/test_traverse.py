"""Walks on level sets against closed forms (planes, boxes, spheres), the published loop, and on every model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ImageError
from core.geometry.level_sets.step import MODES, Mode
from core.geometry.level_sets.traverse import STATUSES, LevelSetPaths, traverse
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.result import Result
from tests import truths
from tests.truths import BatchSize

CASES = [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES]
CLOSE = {torch.float32: 2e-5, torch.float64: 1e-10}


@pytest.fixture(params=[1, 5])
def batch(request: pytest.FixtureRequest, batch_size: BatchSize) -> int:
    """A fixed batch size instead of the measured one."""
    size: int = request.param
    batch_size(size)
    return size


def halves(shape: tuple[int, ...], middle: Tensor, steepness: float = 3.0) -> tuple[truths.Affine, Tensor]:
    """Two classes apart by a plane through an image, the first one up its unit normal."""
    normal = truths.unit(shape, 7)
    weight = torch.stack([steepness * normal.flatten(), torch.zeros(math.prod(shape), dtype=torch.float64)])
    return truths.Affine(
        weight, torch.stack([-weight[0] @ middle.double().flatten(), torch.tensor(0.0).double()])
    ), normal


def between(count: int, shape: tuple[int, ...], seed: int) -> Tensor:
    """Random images far from the walls of the box."""
    return 0.3 + 0.4 * truths.images(count, shape, seed)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1).view(-1, 1, 1, 1)


def check(paths: LevelSetPaths, mode: Mode) -> None:
    """What holds on every walk: in the box, allowed, nearer at each step, and all its numbers agree."""
    began = ~np.isnan(paths.confidence[:, 0])
    assert set(paths.status) <= set(STATUSES) - {"walking"}
    assert np.nanmin(paths.endpoints) >= 0
    assert np.nanmax(paths.endpoints) <= 1
    for row in np.flatnonzero(began):
        taken = paths.taken[row]
        for name in ("confidence", "target_confidence", "distance", "cosine", "moved"):
            values = getattr(paths, name)[row]
            assert np.isfinite(values[: taken + 1]).all(), name
            assert np.isnan(values[taken + 1 :]).all(), name
        confidence = paths.confidence[row, : taken + 1]
        slack = paths.delta[row] + 1e-6
        assert confidence.min() >= confidence[0] - slack
        if mode == "equality":
            assert confidence.max() <= confidence[0] + slack
        if mode != "paper":
            assert (np.diff(paths.distance[row, : taken + 1]) <= 1e-6).all()


@pytest.mark.parametrize(("shape", "dtype"), CASES)
@pytest.mark.parametrize("mode", ["equality", "superlevel"])
def test_a_plane_is_followed_by_the_decay_law(
    shape: tuple[int, ...], dtype: torch.dtype, mode: Mode, batch: int
) -> None:
    sources, targets = between(4, shape, 1), between(4, shape, 2)
    module, normal = halves(shape, torch.full(shape, 0.5))
    high = dot(normal[None], sources - 0.5) < dot(normal[None], targets - 0.5)
    sources, targets = torch.where(high, targets, sources), torch.where(high, sources, targets)  # so the level is met
    sources, targets = sources + 0.02 * normal, targets - 0.02 * normal
    sources, targets = sources.to(dtype), targets.to(dtype)
    classifier = truths.classifier(module, shape, dtype)
    upper = classifier.predict(sources).label == 0  # the others go down in their own class: their level is not met
    delta = 0.5 if mode == "equality" else 0.0
    paths = traverse(classifier, sources, targets, mode, delta, 20, climb=0.0, stall=0.0)
    assert upper.any()
    away = targets - sources
    away = (away - dot(away, normal) * normal).double()
    for frame, step in enumerate(paths.frames):
        truth = sources.double() + (1 - (1 - paths.eta) ** int(step)) * away
        found = torch.from_numpy(paths.snapshots[:, frame]).double()
        torch.testing.assert_close(found[upper], truth[upper], rtol=0, atol=CLOSE[dtype])
    np.testing.assert_allclose((1 - paths.eta) ** 20, 0.02, rtol=1e-9)
    np.testing.assert_allclose(paths.end_confidence[upper], paths.source_confidence[upper], atol=CLOSE[dtype])
    assert (paths.status[upper] == "budget").all()
    assert paths.gradients == 4 * 21
    check(paths, mode)


@pytest.mark.parametrize("climb", [0.0, 3.0])
@pytest.mark.parametrize("shape", truths.SHAPES)
def test_in_the_box_it_rests_at_the_projection_of_the_target(shape: tuple[int, ...], climb: float) -> None:
    sources = between(3, shape, 1)
    targets = (3 * truths.images(3, shape, 2) - 1).clamp(0, 1)  # two of three pixels at a wall
    module, normal = halves(shape, torch.full(shape, 0.5), steepness=1.0)
    sources = sources + 0.05 * normal.sign()
    classifier = truths.classifier(module, shape, torch.float64)
    paths = traverse(classifier, sources, targets, "superlevel", 0.1, 150, decay=1e-12, climb=climb, stall=0.0)
    assert (paths.source_class == 0).all()
    level = np.log((paths.source_confidence - 0.1) / (1.1 - paths.source_confidence))
    for row in range(3):
        low, high = 0.0, 1e6
        for _ in range(200):
            middle = (low + high) / 2
            here = float(((targets[row] + middle * normal).clamp(0, 1) - 0.5).flatten() @ normal.flatten())
            low, high = (middle, high) if here < level[row] else (low, middle)
        truth = (targets[row] + high * normal).clamp(0, 1)
        assert float(((truth == 0) | (truth == 1)).double().mean()) > 0.2
        np.testing.assert_allclose(paths.endpoints[row], truth, atol=1e-9)
    np.testing.assert_allclose(paths._at_end(paths.log_odds), level, atol=1e-9)
    check(paths, "superlevel")


def sphere(steps: int, mode: Mode) -> tuple[float, float, float]:
    """Radius, angle to the target and confidence after eta k = 1, from radius 0.9 and angle 1.6025 to one at 1.2."""
    shape, centre = (1, 32, 32), torch.full((1, 32, 32), 0.5, dtype=torch.float64)
    first, second = truths.unit(shape, 1), truths.unit(shape, 2)
    second = second - (first * second).sum() * first
    second = second / second.norm()
    source = centre + 0.9 * (math.cos(1.6025) * first + math.sin(1.6025) * second)
    classifier = truths.classifier(truths.Ball(centre, math.sqrt(0.81 + 3.8)), shape, torch.float64)
    decay = (1 - 1 / steps) ** steps
    paths = traverse(
        classifier, source[None], (centre + 1.2 * first)[None], mode, 0.9, steps, decay=decay, eps=1e-300, stall=0.0
    )
    end = torch.from_numpy(paths.endpoints[0]) - centre
    assert paths.taken[0] == steps
    return float(end.norm()), float(torch.arccos((end * first).sum() / end.norm())), float(paths.end_confidence[0])


def test_on_a_sphere_tangent_steps_drift_to_first_order_and_corrected_ones_to_second() -> None:
    exact = 2 * math.atan(math.tan(1.6025 / 2) * math.exp(-1.2 / 0.9))
    assert exact == pytest.approx(0.5313, abs=1e-4)
    published = {steps: sphere(steps, "paper") for steps in (20, 100)}
    corrected = {steps: sphere(steps, "equality") for steps in (20, 100)}
    for steps, radius in ((20, 0.92717), (100, 0.90538)):
        assert published[steps][0] == pytest.approx(radius, abs=1e-5)
    for found, order in ((published, 1), (corrected, 2)):
        drift = [abs(found[steps][0] - 0.9) for steps in (20, 100)]
        assert math.log(drift[0] / drift[1], 5) == pytest.approx(order, abs=0.12)
        off = [abs(found[steps][1] - exact) for steps in (20, 100)]
        assert math.log(off[0] / off[1], 5) == pytest.approx(1, abs=0.25)


def test_on_a_ball_it_rests_at_the_nearest_point_of_the_level() -> None:
    shape, centre = (3, 32, 32), torch.full((3, 32, 32), 0.5, dtype=torch.float64)
    classifier = truths.classifier(truths.Ball(centre, 2.0), shape, torch.float64)
    away = torch.stack([truths.unit(shape, seed) for seed in range(6)])
    paths = traverse(classifier, centre + away[:3], centre + 3 * away[3:], "superlevel", 0.2, 150, decay=1e-7, stall=0)
    confidence = 1 / (1 + math.exp(-3)) - 0.2
    radius = math.sqrt(4 - math.log(confidence / (1 - confidence)))
    np.testing.assert_allclose(paths.endpoints, centre + radius * away[3:], atol=1e-6)
    np.testing.assert_allclose(paths.end_confidence, confidence, atol=1e-6)
    check(paths, "superlevel")


def published(classifier: Classifier, source: Tensor, target: Tensor, delta: float, steps: int, eta: float) -> Tensor:
    """The published walk of one pair, written as in the paper: two forwards and a backward of cross-entropy a step."""
    eps = 2e-3
    start = classifier(source[None])
    own = start.argmax(1)
    confidence = float(start.softmax(1)[0, own])
    x, push = source[None].clone(), torch.zeros_like(source[None])
    for _ in range(steps):
        point = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(F.cross_entropy(classifier(point), own), point)
        way = target[None] - x
        tangent = way - (way * g).sum() / (g * g).sum() * g
        push = (push - eps * g).clamp(-eps, eps)
        new = (x + eta * tangent + push).clamp(0, 1)
        if confidence - float(classifier(new).softmax(1)[0, own]) > delta:
            break
        x = new
    return x[0].detach()


def demo_pairs(name: str, count: int, dtype: torch.dtype = torch.float32) -> tuple[Classifier, Tensor, Tensor]:
    """A demo model with pairs of images that it puts into different classes."""
    classifier = load_classifier(f"demo:{name}/standard", "cpu").to(dtype=dtype)
    images = load_images(f"demo:{name}").pixels
    said = classifier.predict(images).label
    order = np.random.default_rng(0).permutation(len(said))
    pairs = [(a, b) for a, b in zip(order[::2], order[1::2], strict=True) if said[a] != said[b]][:count]
    first, second = (torch.tensor(each) for each in zip(*pairs, strict=True))
    return classifier, images[first].to(dtype), images[second].to(dtype)


def test_in_paper_mode_it_is_the_published_loop() -> None:
    classifier, sources, targets = demo_pairs("digits", 6, torch.float64)
    delta = torch.tensor([3e-3, 3e-3, 3e-3, 0.2, 0.2, 0.2])
    paths = traverse(classifier, sources, targets, "paper", delta, 30, stall=0)
    pairs = zip(sources, targets, delta.tolist(), strict=True)
    ends = [published(classifier, *pair, 30, paths.eta) for pair in pairs]
    torch.testing.assert_close(torch.from_numpy(paths.endpoints), torch.stack(ends), rtol=0, atol=1e-9)
    assert set(paths.status) == {"blocked", "budget"}
    assert paths.forwards - paths.gradients < 1024 + 12  # one of each a step; the loop has two forwards
    check(paths, "paper")


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_is_its_pairs_one_by_one_whatever_waits_for_its_slots(mode: Mode, batch_size: BatchSize) -> None:
    classifier, sources, targets = demo_pairs("digits", 7, torch.float64)
    targets[1] = sources[1]
    batch_size(16)
    together = traverse(classifier, sources, targets, mode, 0.05, 20)
    batch_size(3)
    queued = traverse(classifier, sources.flip(0), targets.flip(0), mode, 0.05, 20)
    for row in (0, 1, 5):
        alone = traverse(classifier, sources[row : row + 1], targets[row : row + 1], mode, 0.05, 20)
        for name in ("endpoints", "log_odds", "distance", "snapshots"):
            expected = getattr(together, name)[row]
            np.testing.assert_allclose(getattr(alone, name)[0], expected, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(getattr(queued, name)[6 - row], expected, rtol=1e-9, atol=1e-9)
        for name in ("status", "taken", "source_class", "target_class", "end_class", "survives_rounding"):
            assert getattr(together, name)[row] == getattr(alone, name)[0] == getattr(queued, name)[6 - row]
    for paths in (together, queued):  # a slot may stay empty
        assert (paths.taken + 1).sum() <= paths.gradients <= 7 * 21


def test_every_source_with_every_target() -> None:
    classifier, sources, targets = demo_pairs("digits", 4)
    paths = traverse(classifier, sources[:2], targets[:3], steps=20, pairing="all", keep=2)
    np.testing.assert_array_equal(paths.source_row, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(paths.target_row, [0, 1, 2, 0, 1, 2])
    one = traverse(classifier, sources[1:2], targets[2:3], steps=20)
    np.testing.assert_allclose(paths.endpoints[5], one.endpoints[0], atol=1e-4)
    assert paths.snapshots.shape == (2, 3, 1, *classifier.input_shape[1:])
    np.testing.assert_array_equal(paths.frames, [0, 10, 20])
    np.testing.assert_array_equal(paths.snapshots[:, 0], sources[[0, 0]])
    np.testing.assert_array_equal(paths.snapshots[:, -1], paths.endpoints[:2])


@given(st.floats(-1, 1))
@settings(max_examples=3)
def test_with_two_classes_a_path_on_the_level_does_not_see_the_scale_of_the_logits(exponent: float) -> None:
    shape, centre = (1, 8, 8), torch.full((1, 8, 8), 0.5, dtype=torch.float64)

    class Scaled(truths.Ball):
        def forward(self, images: Tensor) -> Tensor:
            return 10**exponent * super().forward(images)

    sources, targets = between(3, shape, 1), between(3, shape, 2)
    plain, scaled = (truths.classifier(kind(centre, 1.5), shape, torch.float64) for kind in (truths.Ball, Scaled))
    first, again = (traverse(each, sources, targets, "equality", 0.3, 15) for each in (plain, scaled))
    np.testing.assert_allclose(first.endpoints, again.endpoints, atol=1e-9)
    np.testing.assert_allclose(10**exponent * first.log_odds, again.log_odds, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_pixels_that_the_classifier_does_not_see_follow_the_decay_law(mode: Mode) -> None:
    shape = (1, 32, 32)
    seen = torch.zeros(shape, dtype=torch.bool)
    seen[..., ::4] = True
    centre = torch.full(shape, 0.5, dtype=torch.float64)
    half_axes = torch.where(seen, 4.0, torch.inf).double()
    classifier = truths.classifier(truths.Ellipsoid(centre, half_axes), shape, torch.float64)
    sources, targets = between(3, shape, 1), between(3, shape, 2)
    paths = traverse(classifier, sources, targets, mode, 0.1, 50)
    truth = targets + (1 - paths.eta) ** 50 * (sources - targets)
    assert (paths.moved[:, 1:51] > 0).all()  # no step refused
    np.testing.assert_allclose(paths.endpoints[:, ~seen.numpy()], truth[:, ~seen], atol=1e-12)


class Odd(nn.Module):
    """Unsure where pixel 0 is dark, without logits where it is bright."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.flatten(1)[:, 0], images.flatten(1)[:, 1]
        margin = torch.where(first < 0.2, 0.001, 3.0) + 0.0 * second
        return torch.stack([margin, -margin, 0 * margin], 1).masked_fill((first > 0.9)[:, None], torch.nan)


def test_walks_that_cannot_begin_say_why_and_leave_the_others_alone() -> None:
    pixels = torch.tensor([[0.1, 0.5], [0.95, 0.5], [0.5, 0.5], [0.5, 0.1]]).view(4, 1, 1, 2)
    targets = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.95, 0.5], [0.5, 0.9]]).view(4, 1, 1, 2)
    paths = traverse(truths.classifier(Odd(), (1, 1, 2)), pixels, targets, "superlevel", 0.5, 10)
    assert paths.status.tolist() == ["no level", "undefined", "undefined", "flat"]
    assert paths.taken.tolist() == [0, 0, 0, 0]
    assert np.isnan(paths.endpoints[:3]).all()
    assert np.isnan(paths.rmse[:3]).all()
    np.testing.assert_array_equal(paths.endpoints[3], pixels[3])
    assert paths.source_class.tolist() == [0, -1, 0, 0]
    assert paths.end_class.tolist() == [-1, -1, -1, 0]
    check(paths, "superlevel")


def test_a_target_that_is_the_source_is_reached_at_once_and_one_of_the_class_soon() -> None:
    shape = (1, 8, 8)
    module, normal = halves(shape, torch.full(shape, 0.5))
    sources = between(2, shape, 1) + 0.1 * normal.sign()
    targets = torch.stack([sources[0], sources[1] + 0.05])
    classifier = truths.classifier(module, shape, torch.float64)
    paths = traverse(classifier, sources, targets, decay=1e-3)
    assert paths.status.tolist() == ["reached", "reached"]
    assert paths.taken[0] == 0
    np.testing.assert_array_equal(paths.endpoints[0], sources[0])
    assert 0 < paths.taken[1] < 100
    assert np.abs(paths.endpoints[1] - targets[1].numpy()).max() < 1 / 255
    assert np.isnan(paths.ratio[0])
    assert paths.ratio[1] == pytest.approx(paths.floor[1], rel=0.2)
    near = traverse(classifier, sources, targets, decay=1e-3, goal=0.02)
    assert near.taken[1] < paths.taken[1]
    assert near.rmse[1] <= 0.02
    far = traverse(classifier, sources, (sources - 0.3 * normal.sign()).clamp(0, 1), steps=400, decay=1e-6)
    assert set(far.status) == {"stalled"}


def test_survival_of_rounding_is_what_the_rounded_image_says() -> None:
    classifier, sources, targets = demo_pairs("photos", 12)
    paths = traverse(classifier, sources, targets, delta=0.2, steps=60)
    rounded = np.round(paths.endpoints * 255) / 255
    confidence = classifier.predict(rounded).probabilities[np.arange(12), paths.source_class]
    np.testing.assert_array_equal(paths.survives_rounding, confidence >= paths.source_confidence - 0.2)
    assert 0 < paths.survives_rounding.sum() < 12
    np.testing.assert_array_equal(paths.end_class, classifier.predict(paths.endpoints).label)
    check(paths, "superlevel")


def test_demo_photos() -> None:
    classifier, sources, targets = demo_pairs("photos", 12)
    start = (sources - targets).flatten(1).norm(dim=1)
    walks = {mode: traverse(classifier, sources, targets, mode, 0.2, 60) for mode in MODES}
    for mode, paths in walks.items():
        check(paths, mode)
        np.testing.assert_allclose(paths.distance[:, 0], start, rtol=1e-5)
        np.testing.assert_allclose(
            paths.end_distance, (torch.from_numpy(paths.endpoints) - targets).flatten(1).norm(dim=1), rtol=1e-4
        )
        assert np.median(paths.ratio) < 0.2
    superlevel, paper = walks["superlevel"], walks["paper"]
    np.testing.assert_allclose(superlevel.end_confidence, superlevel.source_confidence - 0.2, atol=2e-3)
    assert (superlevel.rmse < paper.rmse).mean() >= 0.9
    level = traverse(classifier, sources, targets, "superlevel", torch.linspace(0.05, 0.2, 12), 60)
    np.testing.assert_allclose(level.source_confidence - level.end_confidence, np.linspace(0.05, 0.2, 12), atol=2e-3)


def test_paths_are_read_back_and_the_callers_images_are_left_alone() -> None:
    classifier, sources, targets = demo_pairs("digits", 2)
    before = sources.clone(), targets.clone()
    paths = traverse(classifier, sources.requires_grad_(), targets, steps=5)
    assert torch.equal(sources, before[0])
    assert torch.equal(targets, before[1])
    assert sources.grad is None
    assert all(parameter.grad is None for parameter in classifier.module.parameters())
    again = Result.from_bytes(paths.to_bytes())
    assert isinstance(again, LevelSetPaths)
    assert again.to_bytes() == paths.to_bytes()
    with torch.inference_mode():
        inside = traverse(classifier, targets.clone(), targets.flip(0), steps=5)
    assert np.isfinite(inside.endpoints).all()


def test_pixels_outside_of_the_box_are_refused() -> None:
    module, _ = halves((1, 4, 4), torch.full((1, 4, 4), 0.5))
    classifier, images = truths.classifier(module, (1, 4, 4)), truths.images(2, (1, 4, 4)).float()
    with pytest.raises(ImageError, match=r"in \[0, 1\]"):
        traverse(classifier, images + 0.5, images)
