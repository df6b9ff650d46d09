"""What curvature costs, as ratios within one run, beside the goals; `make bench`. Only correctness is asserted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.boundary.deepfool import BoundaryPoints, boundary_points
from core.geometry.curvature.profile import CurvatureProfile, curvature_profile
from core.geometry.hessian.products import HessianProducts
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier

IMAGES, TOP = 16, 20
pytestmark = pytest.mark.timeout(1800)


def demo() -> tuple[Classifier, Tensor, BoundaryPoints]:
    """The demo model of SiLU activations, images spread over its set, and their boundary points."""
    classifier, images = load_classifier("demo:photos/standard"), load_images("demo:photos").pixels
    chosen = images[np.linspace(0, len(images) - 1, IMAGES).astype(int)].to(classifier.device)
    return classifier, chosen, boundary_points(classifier, chosen)


def top(classifier: Classifier, images: Tensor, points: BoundaryPoints) -> CurvatureProfile:
    found = curvature_profile(classifier, images, TOP, points=points)
    wait(classifier)
    return found


def wait(classifier: Classifier) -> None:
    if classifier.device.type == "cuda":
        torch.cuda.synchronize(classifier.device)


def first(points: BoundaryPoints, count: int) -> BoundaryPoints:
    """The first rows: another batch would find points that differ by rounding, and curvatures by more."""
    arrays = {name: each[:count] for name, each in vars(points).items() if isinstance(each, np.ndarray)}
    return replace(points, **arrays)


def passes(classifier: Classifier, images: Tensor, count: int) -> Callable[[], None]:
    """So many forward and backward passes of the batch."""

    def run() -> None:
        for _ in range(count):
            at = images.clone().requires_grad_()
            logits = classifier(at)
            torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), at)
        wait(classifier)

    return run


def at_boundary(classifier: Classifier, points: BoundaryPoints, rows: slice) -> HessianProducts:
    classes = (
        torch.as_tensor(each[rows]).long().to(classifier.device) for each in (points.source_class, points.target_class)
    )
    where = torch.as_tensor(points.points[rows]).to(classifier.device)
    return HessianProducts(classifier, where, *classes, backend="double backward")


def test_the_top_20_of_16_images_cost_at_most_100_passes(
    alternate: Callable[..., Any], say: Callable[[str], None]
) -> None:
    classifier, images, points = demo()
    found = top(classifier, images, points)  # the backend is chosen, once
    pair = alternate(lambda: top(classifier, images, points), passes(classifier, images, 100))
    say(f"top {TOP} of {IMAGES} images over 100 forward and backward passes: {pair.ratio:.2f} ({pair.spread}), goal 1")
    say(f"  {found.backend}, {found.products / IMAGES:.0f} products an image, residual {found.residual.max():.1e}")
    assert found.converged.all()
    checked = 2
    whole = curvature_profile(classifier, images[:checked], "all", points=first(points, checked))
    for row in range(checked):
        every = whole.curvatures[row]
        largest = np.sort(every[np.argsort(-np.abs(every))[:TOP]])[::-1]
        error = np.abs(found.curvatures[row] / largest - 1).max()
        say(f"  image {row}: relative error {error:.1e} against the full spectrum, goal 1e-4")
        assert error < 1e-4


def test_a_batch_of_images_and_directions_is_faster_than_one_by_one(
    alternate: Callable[..., Any], say: Callable[[str], None]
) -> None:
    classifier, _, points = demo()
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn((IMAGES, 8, 3072), generator=generator).to(classifier.device)
    together = at_boundary(classifier, points, slice(None))
    alone = [at_boundary(classifier, points, slice(row, row + 1)) for row in range(IMAGES)]

    def one_by_one() -> Tensor:
        parts = [
            torch.cat([ours(each[None, None]) for each in own], 1) for ours, own in zip(alone, vectors, strict=True)
        ]
        wait(classifier)
        return torch.cat(parts)

    def at_once() -> Tensor:
        found = together(vectors)
        wait(classifier)
        return found

    kept = []
    for each in alone:  # as it is mostly written: the graph of one image's gradient, kept, and run backwards
        at = each.points.clone().requires_grad_()
        logits = classifier(at)[0]
        margin = logits[each.source[0]] - logits[each.target[0]]
        kept.append((at, torch.autograd.grad(margin, at, create_graph=True)[0]))

    def by_torch() -> Tensor:
        parts = [
            torch.autograd.grad(gradient, at, one.view_as(at), retain_graph=True)[0].flatten(1)
            for (at, gradient), own in zip(kept, vectors, strict=True)
            for one in own
        ]
        wait(classifier)
        return torch.cat(parts).view_as(vectors)

    for slow in (one_by_one, by_torch):
        np.testing.assert_allclose(at_once().cpu(), slow().cpu(), rtol=1e-3, atol=1e-4 * float(at_once().abs().max()))
    pair = alternate(by_torch, at_once)
    say(f"{IMAGES} x 8 products one by one by torch over at once: {pair.ratio:.1f} ({pair.spread}), goal 5")
    pair = alternate(one_by_one, at_once)
    say(f"{IMAGES} x 8 products one by one by this engine over at once: {pair.ratio:.1f} ({pair.spread})")


def test_the_full_spectrum_costs_at_most_ten_times_its_top_20(
    alternate: Callable[..., Any], say: Callable[[str], None]
) -> None:
    classifier, images, _ = demo()
    one = images[:1]
    points = boundary_points(classifier, one)
    for words, known in (("from the image on", None), ("from its boundary point on", points)):

        def whole(known: BoundaryPoints | None = known) -> CurvatureProfile:
            return curvature_profile(classifier, one, "all", points=known)

        def ends(known: BoundaryPoints | None = known) -> CurvatureProfile:
            return curvature_profile(classifier, one, TOP, points=known)

        whole()
        pair = alternate(whole, ends, pairs=5)
        say(f"full spectrum of one image over its top {TOP}, {words}: {pair.ratio:.1f} ({pair.spread}), goal 10")
        say(f"  {np.median(pair.first):.2f} s over {np.median(pair.second):.3f} s")


def test_every_way_gives_the_same_numbers(say: Callable[[str], None]) -> None:
    classifier, images, points = demo()
    found = {}
    for backend in ("double backward", "forward over reverse", "linearize"):
        begin = time.perf_counter()
        found[backend] = curvature_profile(classifier, images[:4], TOP, points=first(points, 4), backend=backend)
        say(f"{backend}: {time.perf_counter() - begin:.2f} s for 4 images")
    for other in ("forward over reverse", "linearize"):
        np.testing.assert_allclose(found[other].curvatures, found["double backward"].curvatures, rtol=1e-4)
