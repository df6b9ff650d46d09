"""How well curvature distinguishes perturbed images from clean ones: an exhibit, with its uncertainty, not a defence.

Clean images are scored by `core.geometry.detector.scores`, and so is each after a perturbation: a step from x through
its nearest boundary point z to x + a (z - x) for several overshoots a; projected gradient descent within a ball of
radius a ||z - x||; the short perturbations of another attack; and images perturbed elsewhere by any attack, given as
pairs. Classifying images with a score above a threshold as perturbed gives, over all thresholds, the receiver operating
characteristic; its area (AUC) is the probability that a perturbed image scores higher than a clean one, 0.5 by chance.
Bands are percentiles over resampled images. Recovery is the share of perturbed images for which the class across their
nearest boundary is the class before the perturbation.

References: Fawzi et al., CVPR 2018, section 6; Efron and Tibshirani, An Introduction to the Bootstrap, 1993; attacks as
in `core.geometry.boundary.attacks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.attacks import Perturbed, projected_gradient, shortest_perturbation
from core.geometry.boundary.deepfool import BoundaryPoints, boundary_points
from core.geometry.boundary.signed_margin import per_row
from core.geometry.common.intervals import wilson
from core.geometry.detector.scores import PerturbationScores, detect_perturbed
from core.models.classifier import Classifier
from core.result import Context, Number, Result, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

Attack = Literal["overshoot", "projected gradient", "shortest"]
ATTACKS: tuple[Attack, ...] = get_args(Attack)
PAIRS = "pairs"  # the word for images that were perturbed elsewhere
NO_DEFENCE = (
    "An exhibit of curvature, not a defence: scores differ between models and attacks, fail for larger perturbations,"
    " and an attacker who knows them evades them."
)

_RATES = 101  # of false positives at which curves are kept


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionExhibit(Result):
    """Scores of n clean images and of the same after p perturbations, and how well these are distinguished."""

    attack: np.ndarray = quantity("", "p")  # words of ATTACKS, or PAIRS
    # a: length over the distance to the boundary; NaN for "shortest", the median over the images for PAIRS
    overshoot: np.ndarray = quantity("", "p")
    clean_nearest: np.ndarray = quantity("1/ℓ2 pixel", "n")
    clean_all: np.ndarray = quantity("1/ℓ2 pixel", "n")
    score_nearest: np.ndarray = quantity("1/ℓ2 pixel", "p n")  # NaN where the class did not change
    score_all: np.ndarray = quantity("1/ℓ2 pixel", "p n")
    changed: np.ndarray = quantity("", "p n")  # whether the perturbation changed the class
    auc: np.ndarray = quantity("", "p score")  # by the nearest boundary, by all
    auc_low: np.ndarray = quantity("", "p score")
    auc_high: np.ndarray = quantity("", "p score")
    false_positives: np.ndarray = quantity("", "r")  # rates at which the curves are kept
    true_positives: np.ndarray = quantity("", "p score r")
    true_positives_low: np.ndarray = quantity("", "p score r")
    true_positives_high: np.ndarray = quantity("", "p score r")
    recovery: np.ndarray = quantity("", "p")  # share of changed images whose class before was recovered
    confidence: float = quantity("")  # of the bands
    products: int = quantity("")
    fingerprint: str = quantity("", default="")

    @property
    def recovery_interval(self) -> tuple[np.ndarray, np.ndarray]:
        """(p,) both ends of the 95 % interval of `recovery` over images, by Wilson; NaN where no class changed."""
        count = self.changed.sum(1)
        return wilson(np.nan_to_num(self.recovery) * count, count)

    @property
    def caveat(self) -> str:
        """What has to accompany every picture of it."""
        return NO_DEFENCE

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """How well both scores detect perturbed images, and how often the class before them is recovered."""
        ends = self.recovery_interval
        for index, attack in enumerate(self.attack):
            length = self.overshoot[index]
            label = f"{attack}, {length:.3g} distances" if np.isfinite(length) else str(attack)
            yield Number(name=f"class changed, {label}", value=self.changed[index])
            for score, boundaries in enumerate(("the nearest boundary", "all boundaries")):
                auc, low, high = (float(each[index, score]) for each in (self.auc, self.auc_low, self.auc_high))
                yield Number(name=f"AUC by {boundaries}, {label}", value=auc, interval=(low, high))
            interval = float(ends[0][index]), float(ends[1][index])
            yield Number(name=f"class recovered, {label}", value=float(self.recovery[index]), interval=interval)


@counted
def detection_exhibit(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    *,
    overshoots: Sequence[float] = (1.02, 1.1, 1.5, 2.0, 3.0),
    attacks: Sequence[Attack] = ATTACKS,
    perturbed: Float[Tensor, "m c h w"] | None = None,
    probes: int = 16,
    classes: int = 9,
    confidence: float = 0.9,
    resamples: int = 500,
    scale: float | None = None,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> DetectionExhibit:
    """Score images before and after perturbations, and compare the scores.

    Args:
        classifier: the classifier.
        images: finite pixel values; those without a boundary point are left out of every comparison.
        overshoots: lengths of the perturbations over the distance to the boundary, above 1.
        attacks: out of "overshoot", "projected gradient" and "shortest"; may be empty if `perturbed` is given.
        perturbed: the same m = n images, perturbed elsewhere by any attack; scored, too, where their class has changed.
        probes: random directions of each score.
        classes: other classes of the second score; 0 leaves it out.
        confidence: of the bands.
        resamples: of the images, for the bands.
        scale: of differences for networks with kinks, in ℓ2 pixel.
        seed: of directions, starts and resamples.
        on_progress: called with the fraction done.

    Returns:
        Scores, curves, areas and recovery, to be shown with the `caveat`.

    Raises:
        ValueError: if an option is not one of those above, or fewer than two images have a boundary point.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    none_at_all = not attacks and perturbed is None
    if not all(a > 1 for a in overshoots) or none_at_all or not set(attacks) <= set(ATTACKS):
        raise ValueError(f"expected overshoots above 1 and attacks out of {ATTACKS}, got {overshoots} and {attacks}")
    if not overshoots and not set(attacks) <= {"shortest"}:
        raise ValueError("expected at least one overshoot, such as 1.1 times the distance to the boundary, got none")
    if not (0 < confidence < 1 and resamples >= 1):
        raise ValueError(f"expected a confidence in (0, 1) and resamples, got {confidence} and {resamples}")
    pixels = classifier.accept(images)
    given = None if perturbed is None else classifier.accept(perturbed)
    if given is not None and len(given) != len(pixels):
        raise ValueError(f"expected a perturbed image for each of {len(pixels)}, got {len(given)}; pass them in pairs")
    found = boundary_points(classifier, pixels)
    if found.found.sum() < 2:
        raise ValueError("expected at least two images with a boundary point, got fewer")

    def scores(rows: Tensor, points: BoundaryPoints | None = None) -> PerturbationScores:
        return detect_perturbed(classifier, rows, probes=probes, classes=classes, points=points, scale=scale, seed=seed)

    clean = scores(pixels, found)
    parts: list[PerturbationScores] = []
    trials = list(_trials(classifier, pixels, found, attacks, overshoots, seed))
    if given is not None:
        trials.append(_pairs(classifier, pixels, given, found))
    for number, trial in enumerate(trials, 1):
        on_progress(number / (1 + len(trials)))
        parts.append(scores(trial.perturbed.images))
    changed = np.stack([trial.perturbed.changed.cpu().numpy() & found.found for trial in trials])
    after = [
        np.stack([np.where(hit, getattr(part, name), np.nan) for part, hit in zip(parts, changed, strict=True)])
        for name in ("score_nearest", "score_all")
    ]
    curves = [
        [_curve(own, there, confidence, resamples, seed) for there in scored]
        for own, scored in zip((clean.score_nearest, clean.score_all), after, strict=True)
    ]
    rates: dict[str, Any] = {
        name: np.stack([[curve[name] for curve in column] for column in curves], 1) for name in curves[0][0]
    }
    recovered = [part.recovered_class == found.source_class for part in parts]
    return DetectionExhibit(
        attack=np.array([trial.attack for trial in trials]),
        overshoot=np.array([trial.overshoot for trial in trials]),
        clean_nearest=clean.score_nearest,
        clean_all=clean.score_all,
        score_nearest=after[0],
        score_all=after[1],
        changed=changed,
        **rates,
        false_positives=np.linspace(0, 1, _RATES),
        recovery=np.array(
            [hit[own].mean() if own.any() else np.nan for hit, own in zip(recovered, changed, strict=True)]
        ),
        confidence=confidence,
        fingerprint=classifier.fingerprint,
        **spent(products=True),
    )


class _Trial(NamedTuple):
    attack: str
    overshoot: float
    perturbed: Perturbed


def _trials(
    classifier: Classifier,
    pixels: Tensor,
    found: BoundaryPoints,
    attacks: Sequence[Attack],
    overshoots: Sequence[float],
    seed: int,
) -> Iterator[_Trial]:
    """Every attack at every overshoot; images without a boundary point stay as they are."""
    points = torch.as_tensor(found.points).to(pixels)
    reached = torch.as_tensor(found.found).to(pixels.device)
    way = (points - pixels).where(per_row(reached), 0.0)
    for attack in attacks:
        if attack == "shortest":
            yield _Trial(attack, float("nan"), shortest_perturbation(classifier, pixels))
            continue
        for overshoot in overshoots:
            if attack == "overshoot":
                yield _Trial(attack, overshoot, _compared(classifier, pixels + overshoot * way, found))
            else:
                radius = overshoot * way.flatten(1).norm(dim=1)
                yield _Trial(attack, overshoot, projected_gradient(classifier, pixels, radius, seed=seed))


def _pairs(classifier: Classifier, pixels: Tensor, given: Tensor, found: BoundaryPoints) -> _Trial:
    """Images that were perturbed elsewhere, and their distances over those to the boundary."""
    length = (given - pixels).flatten(1).norm(dim=1).cpu().numpy()
    tiny = np.finfo(length.dtype).tiny  # an image may lie on the boundary
    overshoot = float(np.median(length[found.found] / np.maximum(found.distance[found.found], tiny)))
    return _Trial(PAIRS, overshoot, _compared(classifier, given, found))


def _compared(classifier: Classifier, images: Tensor, found: BoundaryPoints) -> Perturbed:
    """Perturbed images, and whether the classifier's prediction has changed."""
    changed = classifier.predict(images).label != found.source_class
    return Perturbed(images, torch.as_tensor(changed).to(images.device))


def _curve(clean: np.ndarray, perturbed: np.ndarray, confidence: float, resamples: int, seed: int) -> dict[str, Any]:
    """The receiver operating characteristic of two samples of scores, with bands; NaN where one of them is empty."""
    from sklearn.metrics import roc_auc_score, roc_curve

    clean, perturbed = clean[np.isfinite(clean)], perturbed[np.isfinite(perturbed)]
    grid = np.linspace(0, 1, _RATES)
    curves = ("true_positives", "true_positives_low", "true_positives_high")
    if not len(clean) or not len(perturbed):
        unknown = dict.fromkeys(("auc", "auc_low", "auc_high"), np.nan)
        return unknown | dict.fromkeys(curves, np.full(_RATES, np.nan))
    truth, score = np.repeat([0, 1], [len(clean), len(perturbed)]), np.concatenate([clean, perturbed])
    false, true, _ = roc_curve(truth, score)
    generator = np.random.default_rng(seed)
    beats = (perturbed[:, None] > clean) + 0.5 * (perturbed[:, None] == clean)
    weights = [
        generator.multinomial(len(each), np.full(len(each), 1 / len(each)), resamples) / len(each)
        for each in (perturbed, clean)
    ]
    areas = np.einsum("rp,pc,rc->r", weights[0], beats, weights[1], optimize=True)
    # at the thresholds of the whole sample, where resampled rates are weighted sums
    above = np.sort(score)[::-1]
    tops, falses = (share @ (each[:, None] >= above) for share, each in zip(weights, (perturbed, clean), strict=True))
    rates = np.stack([np.interp(grid, np.r_[0, x], np.r_[0, y]) for x, y in zip(falses, tops, strict=True)])
    tails = (50 * (1 - confidence), 50 * (1 + confidence))
    low, high = np.percentile(areas, tails).tolist()
    values = np.interp(grid, false, true), *np.percentile(rates, tails, 0)
    area = {"auc": float(roc_auc_score(truth, score)), "auc_low": low, "auc_high": high}
    return area | dict(zip(curves, values, strict=True))
