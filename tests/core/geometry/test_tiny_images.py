"""Images of one pixel or a few: every function of the engine answers, or says in one sentence why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import core
from core.errors import ImageError
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from tests import truths

SHAPES = ((1, 1, 1), (3, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2))
TRUTHS = ("affine", "ball")
COUNT = 6


def truth(kind: str, shape: tuple[int, int, int]) -> Classifier:
    """Images around grey are of class 0; class 1 begins 0.35 brighter, or 0.35 from grey."""
    values = shape[0] * shape[1] * shape[2]
    grey = torch.full(shape, 0.5, dtype=torch.float64)
    if kind == "ball":
        return truths.classifier(truths.Ball(grey, 0.35), shape, torch.float64)
    weight = torch.ones(1, values, dtype=torch.float64) / values**0.5
    bias = torch.tensor([0.35 + 0.5 * values**0.5, 0.0], dtype=torch.float64)
    return truths.classifier(truths.Affine(torch.cat([-weight, 0 * weight]), bias), shape, torch.float64)


def some(shape: tuple[int, int, int], seed: int = 0) -> torch.Tensor:
    """Images of class 0, each a little off grey."""
    return 0.5 + 0.2 * (truths.images(COUNT, shape, seed) - 0.5)


def image_set(pixels: torch.Tensor) -> ImageSet:
    return ImageSet(
        pixels=pixels.float(),
        labels=torch.zeros(len(pixels), dtype=torch.int64),
        names=tuple(map(str, range(len(pixels)))),
        class_names=("in", "out"),
        source="",
    )


def principal(c: Classifier, x: torch.Tensor) -> Any:
    return core.principal_direction(c, x[0], 0)


def level_widths(c: Classifier, x: torch.Tensor) -> Any:
    ways = torch.zeros_like(x[:2])
    ways.flatten(1)[:, 0] = 1.0
    level = np.full(2, 0.5)
    return core.level_set_widths(c, x[:2], ways, np.zeros(2, np.int64), level, directions=8)


def cut(c: Classifier, x: torch.Tensor) -> Any:
    return core.slice_plane(c, core.Plane.through(*x[:3]), (-1, 1, -1, 1), resolution=17)


def mapped(c: Classifier, x: torch.Tensor) -> Any:
    return core.embed(c, x, "pixels", neighbours=4, epochs=20)


def labelled(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(x), dtype=torch.int64)


CALLS: dict[str, Callable[[Classifier, torch.Tensor], Any]] = {
    "agreement": lambda c, x: core.agreement(cut(c, x), cut(c, x)),
    "boundary_points": lambda c, x: core.boundary_points(c, x),
    "boundary_profile": lambda c, x: core.boundary_profile(c, core.Plane.through(*x[:3]), rays=8),
    "connect": lambda c, x: core.connect(c, x[:2], x[2:4]),
    "corrupt": lambda c, x: [core.corrupt(x, name, 3) for name in CORRUPTIONS],
    "curvature_profile": lambda c, x: core.curvature_profile(c, x),
    "curvature_profile, all": lambda c, x: core.curvature_profile(c, x, "all"),
    "curvature_profile, one": lambda c, x: core.curvature_profile(c, x, 1),
    "curvature_profile, differences": lambda c, x: core.curvature_profile(c, x, method="differences"),
    "curvature_scale": lambda c, x: core.curvature_scale(c, x),
    "curvature_section": lambda c, x: core.curvature_section(principal(c, x), resolution=17),
    "curvature_spans": lambda c, x: core.curvature_spans(core.curvature_profile(c, x, "all"), 1),
    "curvature_transfer": lambda c, x: core.curvature_transfer(c, x, x[:2] - x[2:4]),
    "curvature_walk": lambda c, x: core.curvature_walk(principal(c, x), steps=9),
    "curved_map": lambda c, x: core.curved_map(c, core.decision_map(c, mapped(c, x), resolution=16), x, count=2),
    "decision_map": lambda c, x: core.decision_map(c, mapped(c, x), resolution=16),
    "detect_perturbed": lambda c, x: core.detect_perturbed(c, x),
    "detection_exhibit": lambda c, x: core.detection_exhibit(c, x, resamples=20),
    "direction_overlap": lambda c, x: core.direction_overlap([c, c], x[:3], x[3:], directions=2),
    "direction_noise": lambda c, x: core.direction_noise(c, x[:3], x[3:], (0.1,), directions=1, draws=4),
    "direction_sharing": lambda c, x: core.direction_sharing(c, x[:3], x[3:], directions=1, noise=1, probes=2),
    "embed": lambda c, x: [core.embed(c, x, s, neighbours=4, epochs=20) for s in ("pixels", "logits", "probabilities")],
    "embed, features": lambda c, x: core.embed(c, x, "features", neighbours=4, epochs=20),
    "embed, divergence": lambda c, x: core.embed(c, x, "divergence", neighbours=4, epochs=20),
    "every_image": lambda c, x: core.every_image(c, x.shape[2]),
    "fragmentation": lambda c, x: core.fragmentation(c, image_set(x), planes=2, resolution=8),
    "image_distances": lambda c, x: core.image_distances(x[:2], x[2:4], x[4:6]),
    "image_distances, perceptual": lambda c, x: core.image_distances(x[:2], x[2:4], x[4:6], perceptual=True),
    "layer_geometry": lambda c, x: core.layer_geometry(c, x[:2], 0.1, count=8),
    "layer_paths": lambda c, x: core.layer_paths(c),
    "level_set_widths": level_widths,
    "linear_paths": lambda c, x: core.linear_paths(c, x[:2], x[2:4], points=5),
    "linearised": lambda c, x: core.linearised(c, x[0]),
    "local_geometry": lambda c, x: [
        core.local_geometry(c, x[:2], 0.1, sampler=s, count=16, permutations=9) for s in ("sphere", "dct")
    ],
    "adversarial_comparison": lambda c, x: core.adversarial_comparison(c, x[:1], 0.1, count=8, steps=3),
    "map_paths": lambda c, x: core.map_paths(c, mapped(c, x), [x[:2], x[2:]]),
    "noise_forecast": lambda c, x: core.noise_forecast(c, x, labelled(x), (0.1,), draws=4),
    "norm_product": lambda c, x: core.norm_product(c),
    "overlay": lambda c, x: core.overlay(c, x[:1], x[1:2], orders=2, steps=8),
    "pixel_profile": lambda c, x: core.pixel_profile(c, x[0], 0, 0, resolution=8),
    "prime_draws": lambda c, x: core.prime_draws(c, x[0]),
    "principal_direction": principal,
    "query_budget_curve": lambda c, x: core.query_budget_curve(c, x[:2]),
    "radius_sweep": lambda c, x: core.radius_sweep(c, x[:2], (0.1,), count=8),
    "region_graph": lambda c, x: core.region_graph(c, x[:3]),
    "region_statistics": lambda c, x: core.region_statistics(cut(c, x)),
    "relabel": lambda c, x: core.relabel(c, x[:2], torch.tensor([1])),
    "sections": lambda c, x: core.sections(c, core.boundary_points(c, x[:1]), x[None, 1:3]),
    "severity_at": lambda c, x: [core.severity_at(x, name, 0.1) for name in CORRUPTIONS],
    "severity_sweep": lambda c, x: core.severity_sweep(c, x, labelled(x), CORRUPTIONS, severities=(0, 3)),
    "severity_path": lambda c, x: [core.severity_path(c, x[0], name, steps=3) for name in CORRUPTIONS],
    "shared_directions": lambda c, x: core.shared_directions(c, x, 1),
    "slice_plane": cut,
    "sparse_perturbation": lambda c, x: [core.sparse_perturbation(c, x, order=o) for o in ("pixel", "l0", "l1")],
    "sparse_perturbation, sigma-zero": lambda c, x: core.sparse_perturbation(c, x, method="sigma_zero"),
    "star_likeness": lambda c, x: core.star_likeness(c, x[:1], x[1:3], torch.zeros(2, dtype=torch.int64), points=5),
    "subspace_distances": lambda c, x: core.subspace_distances(c, x),
    "subspace_distances, fitting": lambda c, x: core.subspace_distances(c, x, block=1, stride=1),
    "subspace_overlap": lambda c, x: core.subspace_overlap(x[:1], x[1:2]),
    "subspace_noise": lambda c, x: core.subspace_noise(c, x, {"all": None, "one": x[:1]}, (0.1,), draws=4),
    "support_statistics": lambda c, x: core.support_statistics(c, x[:2], draws=10),
    "survival": lambda c, x: core.survival(c, x[:2], bits=2, count=4, draws=20),
    "transfer": lambda c, x: core.transfer([c, c], x[:2]),
    "traverse": lambda c, x: core.traverse(c, x[:2], x[2:4], steps=5),
    "triangle": lambda c, x: core.triangle(c, x[:1], x[1:2], x[2:3], resolution=4),
    "untrained": lambda c, x: core.untrained(c),
}
CORRUPTIONS = (
    "gaussian_noise",
    "gaussian_blur",
    "pixelate",
    "contrast",
)
OF_OTHER_THINGS = {  # than images: sources, files, numbers, results that are drawn
    *("analytic_classifier", "load_classifier", "load_images", "slice_chart"),
    *("run_recipe", "run_series"),
    *("batch_size", "write_figure", "mantel", "robustness_bound", "extremal_survival", "every_class", "painted_class"),
}


@pytest.mark.parametrize("kind", TRUTHS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 1, 2)])
def test_the_boundary_of_tiny_images_is_where_it_is_on_paper(kind: str, shape: tuple[int, int, int]) -> None:
    pixels = some(shape)
    found = core.boundary_points(truth(kind, shape), pixels)
    off = (pixels - 0.5).flatten(1)
    expected = 0.35 - (off.norm(dim=1) if kind == "ball" else off.sum(1) / off.shape[1] ** 0.5)
    np.testing.assert_allclose(found.distance, expected, rtol=1e-5)
    if shape == (1, 1, 1):
        with pytest.raises(ImageError, match="got 1: their boundary, a point, cannot bend"):
            core.curvature_profile(truth(kind, shape), pixels)
        return
    curvatures = core.curvature_profile(truth(kind, shape), pixels).curvatures
    assert curvatures.shape == (COUNT, off.shape[1] - 1)
    np.testing.assert_allclose(curvatures, -1 / 0.35 if kind == "ball" else 0.0, atol=1e-5)


def test_every_function_that_takes_images_is_here() -> None:
    here = {name.partition(",")[0] for name in CALLS}
    assert here == {name for name in core.__all__ if name[0].islower()} - OF_OTHER_THINGS


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("kind", TRUTHS)
@pytest.mark.parametrize("name", CALLS)
def test_tiny_images_have_an_answer_or_a_sentence(name: str, kind: str, shape: tuple[int, int, int]) -> None:
    try:
        CALLS[name](truth(kind, shape), some(shape))
    except ValueError as error:
        said = str(error)
        assert said.startswith("expected ")
        assert "\n" not in said
