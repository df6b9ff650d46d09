"""What every function of a classifier and images owes its caller: a wrong call is refused in one sentence.

One row for each function and wrong call: the options that are wrong, and words of the sentence that says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import core
from core.errors import ImageError
from tests import truths

SHAPE = (3, 8, 8)
CLASSIFIER = truths.classifier(truths.NearestCentre(truths.images(5, SHAPE, seed=4)), SHAPE)
IMAGES = truths.images(6, SHAPE).float()
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])

Call = Callable[..., Any]


def with_labels(call: Call) -> Call:
    """A function of images and their labels as one of images."""
    return lambda classifier, images, *, labels=None, **options: call(
        classifier, images, LABELS[: len(images)] if labels is None else labels, **options
    )


def in_pairs(call: Call) -> Call:
    """A function of sources and targets as one of images."""
    return lambda classifier, images, *, targets=None, **options: call(
        classifier, images, images.flip(0) if targets is None else targets, **options
    )


# Each function, as one of a classifier and images, with wrong options and the words that refuse them
CALLS: dict[str, tuple[Call, list[tuple[dict[str, Any], str]]]] = {
    "boundary_points": (
        core.boundary_points,
        [({name: wrong}, "expected") for name, wrong in
         (("candidates", 0), ("max_steps", 0), ("overshoot", 0.0), ("tolerance", 1.0))],
    ),
    "connect": (
        in_pairs(core.connect),
        [
            *(({name: 0}, "expected a step") for name in ("step", "overshoot")),
            *(({name: 0}, "at least one level") for name in ("max_levels", "max_anchors")),
            *(({name: -1}, "at least one level") for name in ("restarts", "search")),
            ({"targets": IMAGES[:1]}, "expected an end for each"),
        ],
    ),
    "curvature_profile": (
        core.curvature_profile,
        [({name: wrong}, "expected") for name, wrong in
         (("directions", 0), ("tolerance", 0.0), ("scale", -1.0), ("keep", 0))],
    ),
    "curvature_scale": (
        core.curvature_scale,
        [({"scales": wrong}, "positive scales") for wrong in ([0.1], [0.1, -0.1], [0.1, math.nan])],
    ),
    "detect_perturbed": (core.detect_perturbed, [({"probes": 0}, "expected"), ({"classes": -1}, "expected")]),
    "detection_exhibit": (
        core.detection_exhibit,
        [({name: wrong}, "expected") for name, wrong in
         (("overshoots", (0.9,)), ("overshoots", ()), ("attacks", ()), ("confidence", 1.0), ("resamples", 0))],
    ),
    "noise_forecast": (
        with_labels(core.noise_forecast),
        [
            *(({"deviations": wrong}, "positive standard deviations") for wrong in ([], [0.0], [math.inf])),
            *(({name: 0}, "at least one draw") for name in ("draws", "candidates")),
            ({"labels": LABELS + 4}, "from 0 to 4"),
        ],
    ),
    "severity_sweep": (
        with_labels(core.severity_sweep),
        [
            *(({"names": wrong}, "expected corruptions") for wrong in ([], ["fog", "snow"])),
            *(({"names": ["fog"], "severities": bad}, "expected severities") for bad in ([], [6], [-1], [math.nan])),
            ({"names": ["fog"], "candidates": 0}, "other class"),
            *(({"names": ["fog"], "labels": wrong}, "from 0 to 4") for wrong in (LABELS + 5, LABELS - 1)),
        ],
    ),
    "sparse_perturbation": (
        core.sparse_perturbation,
        [({name: wrong}, "expected") for name, wrong in
         (("lambdas", ()), ("lambdas", (0.5,)), ("lambdas", (1.0, math.inf)), ("bound", 0.0), ("bound", 1.5),
          ("max_loops", 0), ("steps", 0), ("kappa", 0.0))],
    ),
    "subspace_distances": (
        core.subspace_distances,
        [
            *(({name: wrong}, "at least one candidate") for name, wrong in
              (("candidates", 0), ("max_steps", 0), ("slides", -1))),
            ({"tolerance": 1.0}, "tolerance in"),
            ({"block": 40}, "expected a window of 1 to 8"),
        ],
    ),
    "support_statistics": (
        core.support_statistics,
        [({"seeds": 0, "draws": 5}, "at least one seed and one draw, got 0 and 5")],
    ),
    "traverse": (
        in_pairs(core.traverse),
        [
            *(({name: wrong}, "expected") for name, wrong in
              (("steps", 0), ("decay", 1.0), ("keep", -1), ("eps", 0.0), ("goal", -1.0), ("climb", -1.0),
               ("stall", 1.0), ("delta", -0.1), ("delta", 1.0), ("delta", torch.tensor([0.1, 0.2, 0.3])))),
            ({"mode": "equality", "delta": 0.0}, "expected"),
            ({"targets": IMAGES[:1]}, "pair them all"),
        ],
    ),
}  # fmt: skip
NEEDED: dict[str, dict[str, Any]] = {"severity_sweep": {"names": ["fog"]}}  # options without a default


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [(name, options, message) for name, (_, wrong) in CALLS.items() for options, message in wrong],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_wrong_options_are_refused_in_one_sentence(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        CALLS[name][0](CLASSIFIER, IMAGES, **options)
    assert str(refused.value).startswith("expected ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", CALLS)
def test_no_images_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        CALLS[name][0](CLASSIFIER, IMAGES[:0], **NEEDED.get(name, {}))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("wrong", ["a value that is not finite", "another shape"])
def test_images_that_do_not_fit_are_refused(name: str, wrong: str) -> None:
    images = IMAGES[:, :, :5] if wrong == "another shape" else IMAGES * math.nan
    with pytest.raises(ImageError, match="^expected "):
        CALLS[name][0](CLASSIFIER, images, **NEEDED.get(name, {}))
