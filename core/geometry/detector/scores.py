"""Scores that distinguish a slightly perturbed image from a clean one by the curvature of the boundary near it.

The statistic is the mean principal curvature at the nearest boundary point, estimated from random tangent unit vectors:

    score = 1 / T sum_t v_t^T S v_t,    E score = tr S / (d - 1).

Where regions are convex on balance it is negative for clean images. A small step across the boundary lands in the
other class, near the same boundary point with the roles of the classes swapped: the sign changes. So a high score means
"perturbed", and the class on the other side of the nearest boundary is the guess for the class before. A second score
averages the same over the boundaries to several other classes.

This illustrates curvature; it is no defence. Scores are not comparable across models and attacks, the argument about
signs fails where another point of the boundary is the nearest, and an attacker who knows the score evades it.

References: Fawzi, Moosavi-Dezfooli, Frossard, Soatto, CVPR 2018 (arXiv 1705.09552), section 6; on evading detectors:
Carlini and Wagner, Adversarial examples are not easily detected, 2017 (arXiv 1705.07263).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.class_pairs import PairMargin, pair_points
from core.geometry.boundary.deepfool import BoundaryPoints, boundary_points
from core.geometry.hessian.lanczos import hutchinson
from core.geometry.hessian.second_derivatives import Plan, operators_at, plan_for, require_smooth
from core.geometry.hessian.shape_operator import ShapeOperator
from core.models.classifier import Classifier
from core.result import Result, quantity
from core.runtime.batches import engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent


@dataclass(frozen=True, kw_only=True, eq=False)
class PerturbationScores(Result):
    """Scores of n images by curvature, and guesses of their classes before; NaN and -1 without a boundary point."""

    score_nearest: np.ndarray = quantity("1/ℓ2 pixel", "n")  # mean curvature at the nearest boundary; high: perturbed
    error_nearest: np.ndarray = quantity("1/ℓ2 pixel", "n")  # standard error from the random directions
    score_all: np.ndarray = quantity("1/ℓ2 pixel", "n")  # mean of it over the boundaries to other classes
    boundaries: np.ndarray = quantity("", "n")  # how many of those were found
    recovered_class: np.ndarray = quantity("", "n")  # the class across the nearest boundary
    source_class: np.ndarray = quantity("", "n")
    distance: np.ndarray = quantity("ℓ2 pixel", "n")  # to the nearest boundary
    probes: int = quantity("")
    scale: float = quantity("ℓ2 pixel")  # h of differences, NaN where second derivatives are exact
    products: int = quantity("")
    fingerprint: str = quantity("", default="")


@counted
def detect_perturbed(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    *,
    probes: int = 16,
    classes: int = 9,
    points: BoundaryPoints | None = None,
    method: Literal["auto", "exact", "differences"] = "auto",
    scale: float | None = None,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> PerturbationScores:
    """Score images by the mean curvature of the boundaries around them.

    Args:
        classifier: the classifier.
        images: finite pixel values, nominally in [0, 1].
        probes: number T of random directions, one product each.
        classes: number of other classes that the second score averages, those with the largest logits; 0 leaves it out.
        points: boundary points of these images, if they are known.
        method: as in `core.geometry.curvature.profile.curvature_profile`.
        scale: of differences, in ℓ2 pixel.
        seed: of the random directions.
        on_progress: called with the fraction done.

    Returns:
        Scores, their standard errors and the guess for the class before. Which score means "perturbed" depends on the
        model: `core.geometry.detector.evaluation` measures it.

    Raises:
        ValueError: if no probe is allowed, the number of classes is negative, or exact curvatures are asked for of a
            network with kinks.
        ImageError: if a value is not finite or the shape is not the classifier's.

    Reference:
        Fawzi et al., CVPR 2018, section 6.
    """
    if probes < 1 or classes < 0:
        raise ValueError(f"expected at least one probe and no negative number of classes, got {probes} and {classes}")
    pixels = classifier.accept(images)
    require_smooth(classifier, method)
    found = points if points is not None else boundary_points(classifier, pixels)
    rows = found.found.nonzero()[0]
    score, error, score_all = (np.full(len(pixels), np.nan) for _ in range(3))
    boundaries = np.zeros(len(pixels), np.int32)
    on_progress(0.2)
    plan = plan_for(classifier, found, method, scale, "auto")
    operators, _ = operators_at(classifier, found, method, scale)
    for some, operator in operators:
        mean = hutchinson(operator, probes, seed)
        score[some], error[some] = mean.value.cpu().numpy(), mean.error.cpu().numpy()
    classes = min(classes, classifier.num_classes - 1)
    if classes and len(rows):
        device = classifier.device
        most = max(1, classifier.batches().size // classes)
        for start in range(0, len(rows), most):
            on_progress(0.4 + 0.6 * start / len(rows))
            some = rows[start : start + most]
            own = torch.as_tensor(found.source_class[some]).long().to(device)
            images = pixels[torch.as_tensor(some, device=device)]
            each = _curvatures_around(classifier, plan, images, own, classes, probes, seed)
            score_all[some] = each.nanmean(1).cpu().numpy()
            boundaries[some] = torch.isfinite(each).sum(1).to(torch.int32).cpu().numpy()
    return PerturbationScores(
        score_nearest=score,
        error_nearest=error,
        score_all=score_all,
        boundaries=boundaries,
        recovered_class=found.target_class,
        source_class=found.source_class,
        distance=found.distance,
        probes=probes,
        scale=plan.scale,
        fingerprint=classifier.fingerprint,
        **spent(products=True),
    )


def _curvatures_around(
    classifier: Classifier, plan: Plan, pixels: Tensor, source: Tensor, classes: int, probes: int, seed: int
) -> Tensor:
    """(n, classes) the mean curvatures of the boundaries to other classes; NaN where none was found."""
    margin = PairMargin(classifier)
    with engine_mode(pixels.device):
        images = pixels.clone().to(margin.dtype)
        logits = margin.logits(images).scatter(1, source[:, None], -torch.inf)
        targets = logits.topk(classes, 1).indices.flatten()
        own = source.repeat_interleave(classes)
        reached = pair_points(margin, images.repeat_interleave(classes, 0), own, targets)
        curvature = torch.full(reached.distance.shape, torch.nan, dtype=torch.float64, device=pixels.device)
        where = reached.found.nonzero()[:, 0]
        if len(where):
            products = plan.products(classifier, reached.points[where], own[where], targets[where])
            curvature[where] = hutchinson(ShapeOperator(products), probes, seed).value
    return curvature.view(-1, classes)
