"""What is claimed about level sets and blind spots, tested on the demo models.

Walks are as published: 100 steps, a delta of 0.2. All models of a data set walk from the same sources to the same
targets: images that all trained ones classify correctly and with confidence. Means and their intervals are taken over
sources, because the walks of one source are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core.geometry.common.sampling import stratified
from core.geometry.level_sets.image_distances import ImageDistances, image_distances
from core.geometry.level_sets.segments import linear_paths
from core.geometry.level_sets.star_likeness import StarLikeness, star_likeness
from core.geometry.level_sets.traverse import LevelSetPaths, traverse
from core.geometry.level_sets.triangles import triangle
from core.geometry.level_sets.widths import level_set_widths
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.reproduce.demo import DemoModel, Named, Study, partners
from core.reproduce.estimates import above, median, median_interval
from core.reproduce.report import Claim, Evidence, claim

PAPER = (
    "Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS 2023,"
    " arXiv 2310.19889"
)
COUNT = 12  # sources of each data set, drawn evenly from the classes
TRAINED = ("standard", "adversarial", "prime", "relu", "vit")
UNTRAINED = "untrained"
DELTA = 0.2  # what the confidence may lose: the publication's for large images
DELTAS = (0.0, 0.1, 0.2, 0.3)  # of its triangles
LATTICE = 10  # of its triangles
STEPS = 100  # its default for small images
SURE = 0.6  # least confidence of its targets
_POINTS = 21  # of segments
_DIRECTIONS = 32  # of widths
_FEWEST = 2  # sources, and classes of them, below which nothing is measured

_NEAR = 0.25  # of the way left: an end that is counted as near its target
_NEARLY_ALL = 0.9
_CLEAR = 0.05  # of confidence: a gap that is counted as one
_USUAL = ("standard", "relu", "vit")  # trained without an adversary and without PRIME
_SPOTS = 4  # targets of a source


def claims(study: Study) -> Iterator[Claim]:
    """Test the claims on models that were trained on the images of the set, and on untrained ones."""
    models = [DemoModel.load(source, study.device) for source in study.models]
    models = [model for model in models if model.training in (*TRAINED, UNTRAINED)]
    if not any(model.trained for model in models):
        raise ValueError(f"expected a model out of {', '.join(TRAINED)}, got {', '.join(study.models)}")
    walked: list[Walked] = []
    for data in dict.fromkeys(model.data for model in models):
        alike = [model for model in models if model.data == data]
        trained = [model.classifier for model in alike if model.trained]
        if not trained:  # targets are images that a trained model is sure of
            continue
        pairs = pairs_of(trained, alike[0].images, study.count, _SPOTS, study.seed)
        for model in alike:
            walked.append(walk(model.name, model.classifier, pairs, study.seed))
            study.on_progress(len(walked) / len(models))
    compared = partners(walked, "adversarial", "standard")
    for stated in (_near, _linear, _not_convex):
        yield stated(walked)
    yield _under_sensitive(compared)
    beside, wider = _width(walked), _wider(compared)
    if any(entry.holds is not None for entry in wider.evidence):
        yield replace(wider, evidence=beside.evidence + wider.evidence)
    study.on_progress(1.0)


@dataclass(frozen=True)
class Pairs:
    """Sources and targets of one data set; targets by source."""

    sources: Tensor
    targets: Tensor
    owner: np.ndarray  # row of the source of each target

    @property
    def starts(self) -> Tensor:
        """The source of each target."""
        return self.sources[torch.from_numpy(self.owner)]


@dataclass(frozen=True)
class Walked(Named):
    """What was measured on one model: published walks, and what lies between their ends."""

    classifier: Classifier
    pairs: Pairs
    scale: float  # losses are in shares of this: 1, or an untrained model's confidence
    paths: LevelSetPaths
    distances: ImageDistances
    star: StarLikeness
    straight: np.ndarray  # (pairs,) whether the straight way to the target itself keeps the confidence
    shares: Mapping[float, np.ndarray]  # by delta: (sources,) mean lattice share of triangles
    width: np.ndarray  # (sources,) 5 % quantile of widths at the first end
    width_at_source: np.ndarray

    def by_source(self, values: np.ndarray) -> np.ndarray:
        """The mean over the pairs of each source."""
        means: np.ndarray = np.bincount(self.pairs.owner, values) / np.bincount(self.pairs.owner)
        return means


def pairs_of(classifiers: Sequence[Classifier], images: ImageSet, count: int, spots: int, seed: int) -> Pairs:
    """Draw sources evenly from the classes, and targets of other classes for each.

    Args:
        classifiers: models that all have to be sure of the images.
        images: the whole set.
        count: number of sources.
        spots: number of targets of each source.
        seed: of the draw.

    Returns:
        The pairs.

    Raises:
        ValueError: if the models agree on too few images.
    """
    label = images.labels.numpy()
    predicted = [classifier.predict(images.pixels) for classifier in classifiers]
    sure = np.logical_and.reduce([(one.label == label) & (one.probabilities.max(1) > SURE) for one in predicted])
    known = np.where(sure, label, -1)
    sources = stratified(known, count, seed)
    if len(sources) < _FEWEST or len(np.unique(label[sources])) < _FEWEST:
        raise ValueError(f"expected images of two classes that all models are sure of, got {int(sure.sum())}")
    random = np.random.default_rng(seed)
    targets = [random.permutation(np.flatnonzero(sure & (label != label[row])))[:spots] for row in sources]
    owner = np.repeat(np.arange(len(sources)), [len(rows) for rows in targets])
    return Pairs(images.pixels[torch.from_numpy(sources)], images.pixels[np.concatenate(targets)], owner)


def walk(name: str, classifier: Classifier, pairs: Pairs, seed: int) -> Walked:
    """Measure one model.

    Args:
        name: such as photos/standard.
        classifier: the model.
        pairs: sources and targets.
        seed: of the directions of widths.

    Returns:
        What was measured.
    """
    starts = pairs.starts
    predicted = classifier.predict(pairs.sources)
    scale = float(np.median(predicted.probabilities.max(1))) if UNTRAINED in name else 1.0
    loss = DELTA * scale
    paths = traverse(classifier, starts, pairs.targets, "paper", loss, STEPS, keep=0)
    ends = _ends(pairs, paths)
    owner = torch.from_numpy(pairs.owner)
    star = star_likeness(classifier, pairs.sources, ends, owner, delta=loss, points=_POINTS)
    width, at_source = _widths(classifier, pairs, ends, loss, seed)
    return Walked(
        name=name,
        classifier=classifier,
        pairs=pairs,
        scale=scale,
        paths=paths,
        distances=image_distances(ends, pairs.targets, starts),
        star=star,
        straight=linear_paths(classifier, starts, pairs.targets, delta=loss, points=_POINTS).reach == 1,
        shares=triangle_shares(classifier, pairs, ends, scale),
        width=width,
        width_at_source=at_source,
    )


def triangle_shares(classifier: Classifier, pairs: Pairs, ends: Tensor, scale: float) -> dict[float, np.ndarray]:
    """By delta, the mean lattice share of all triangles of a source and two of its ends.

    Args:
        classifier: the model.
        pairs: whose sources are corners.
        ends: images, one per pair.
        scale: by which deltas are multiplied.

    Returns:
        (sources,) shares for each delta of `DELTAS`.
    """
    corners = np.array(
        [
            (source, first, second)
            for source in range(len(pairs.sources))
            for place, first in enumerate(np.flatnonzero(pairs.owner == source))
            for second in np.flatnonzero(pairs.owner == source)[place + 1 :]
        ]
    ).reshape(-1, 3)
    source, b, c = torch.from_numpy(corners).unbind(1)
    found = triangle(classifier, pairs.sources[source], ends[b], ends[c], LATTICE)
    count = np.bincount(corners[:, 0])
    return {delta: np.bincount(corners[:, 0], found.fraction(delta * scale)) / count for delta in DELTAS}


def _widths(
    classifier: Classifier, pairs: Pairs, ends: Tensor, loss: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Widths at the first end of each source and at the source itself, both across the way to the target."""
    first = torch.from_numpy(np.unique(pairs.owner, return_index=True)[1])
    ways = pairs.targets[first] - pairs.sources
    predicted = classifier.predict(pairs.sources)
    level = (predicted.probabilities.max(1) - loss).clip(1e-6, 1 - 1e-6).astype(np.float64)
    found = level_set_widths(
        classifier,
        torch.cat([ends[first], pairs.sources]),
        torch.cat([ways, ways]),
        np.tile(predicted.label, 2),
        np.tile(level, 2),
        directions=_DIRECTIONS,
        tolerance=0.01,
        seed=seed,
    )
    at_ends, at_sources = np.split(found.width(0.05), 2)
    return at_ends, at_sources


@claim(
    f"Walks that keep the confidence within {DELTA:g} end near images of other classes: blind spots.",
    PAPER,
    f"counted as near: less than {_NEAR:g} of the way left for the median walk. A published walk ends at its first step"
    " that leaves, and is not corrected for curvature; in a few thousand pixels the direction across the level set"
    " costs more of the way than in many. Untrained: it loses shares of its own confidence",
)
def _near(one: Walked) -> Iterator[Evidence]:
    ratio = np.where(np.isfinite(one.paths.ratio), one.paths.ratio, 1.0)
    interval = median_interval(ratio)
    rmse, start = median(one.distances.rmse), median(one.distances.start_rmse)
    likeness = f"SSIM {median(one.distances.ssim):.2f}, at the start {median(one.distances.start_ssim):.2f}"
    largest = f"l-infinity {median(one.distances.largest):.2f}, {median(one.distances.start_largest):.2f}"
    yield Evidence(
        model=one.name,
        quantity=f"left of the way, median of {len(ratio)} walks (rms {rmse:.3f} of {start:.3f}; {largest};"
        f" {likeness})",
        value=median(ratio),
        interval=interval,
        control=median(one.paths.floor),
        control_name="the schedule's floor",
        holds=bool(interval and interval[1] < _NEAR) if one.trained else None,
    )
    known = np.isfinite(one.paths.end_confidence)
    if known.any():
        yield Evidence(
            model=one.name,
            quantity="final confidence in the source's class, median",
            value=median(one.paths.end_confidence[known]),
            control=median(one.paths.source_confidence[known]),
            control_name="at the source",
        )


@claim(
    "A source is linearly connected to its blind spots: on the straight way the confidence stays.",
    PAPER,
    f"counted as connected: {_NEARLY_ALL:.0%} of the ways or more, and more than to the targets. Ways are looked at in"
    " 21 points",
)
def _linear(one: Walked) -> Iterator[Evidence]:
    words = f"share of straight ways from source to blind spot that stay within {DELTA:g}, mean over sources"
    control = one.by_source(one.straight.astype(np.float64))
    name = "straight ways to the targets themselves"
    found = above(one.name, words, one.star.share, control, name, decides=one.trained)
    yield replace(found, holds=None if found.holds is None else found.holds and found.value >= _NEARLY_ALL)


@claim(
    "For models trained as usual the level set is not convex: between two blind spots the confidence falls.",
    PAPER,
    f"counted as not convex: a gap of {_CLEAR:g} or more whose interval is above 0. Models trained otherwise stand"
    " beside. A published walk may raise the confidence, so that spots are surer than their source, which pulls the gap"
    " down. Triangles have lattices of 10 steps",
)
def _not_convex(one: Walked) -> Iterator[Evidence]:
    spokes = one.by_source(one.star.spoke_least)
    between = one.pairs.owner[one.star.chords[:, 0]]
    chords = np.bincount(between, one.star.chord_least, len(spokes)) / np.bincount(between, minlength=len(spokes))
    gap = float(np.mean(spokes - chords))
    decides = one.training in _USUAL
    words = f"least confidence between source and spot (gap {gap:.3f})"
    found = above(one.name, words, spokes, chords, "between two spots", decides=decides)
    yield replace(found, holds=found.holds and gap >= _CLEAR if decides else None)
    shares = {delta: float(values.mean()) for delta, values in one.shares.items()}
    others = ", ".join(f"{share:.2f} within {delta:g}" for delta, share in shares.items() if delta != DELTA)
    words = f"lattice share of triangles within {DELTA:g} ({others})"
    yield Evidence(model=one.name, quantity=words, value=shares[DELTA])


@claim(
    "Adversarially trained models are under-sensitive: more of the triangles between blind spots stays.",
    PAPER,
    "decided on triangles whose corners lie equally far from the source in both models, the longer way cut to the"
    " length of the shorter: a walk that stays put would win the share",
)
def _under_sensitive(compared: tuple[Walked, Walked]) -> Iterator[Evidence]:
    strong, plain = compared
    name, beside = strong.name, plain.name
    equal = [
        triangle_shares(one.classifier, one.pairs, _shortened(one, other), 1.0)[DELTA]
        for one, other in ((strong, plain), (plain, strong))
    ]
    yield above(name, f"share of triangles of equal reach within {DELTA:g}", equal[0], equal[1], beside)
    words = f"share of triangles within {DELTA:g}, each with its own ends"
    yield above(name, words, strong.shares[DELTA], plain.shares[DELTA], beside, decides=False)
    ratios = [one.by_source(np.nan_to_num(one.paths.ratio, nan=1.0)) for one in compared]
    yield above(name, "left of the way, mean", ratios[0], ratios[1], beside, decides=False)
    lengths = [one.by_source(_lengths(one).numpy()) for one in compared]
    radius = {"photos": 1.0, "digits": 2.0}.get(strong.data, math.nan)
    words = f"length of the way from source to blind spot, ℓ2 (trained against up to {radius:g})"
    yield above(name, words, lengths[0], lengths[1], beside, decides=False)


def _ends(pairs: Pairs, paths: LevelSetPaths) -> Tensor:
    """The ends of all walks; a walk that never began is still at its source."""
    ends = torch.from_numpy(paths.endpoints).to(pairs.sources.dtype)
    return torch.where(torch.isfinite(ends), ends, pairs.starts)


def _lengths(one: Walked) -> Tensor:
    lengths: Tensor = (_ends(one.pairs, one.paths) - one.pairs.starts).double().flatten(1).norm(dim=1)
    return lengths


def _shortened(one: Walked, other: Walked) -> Tensor:
    """The ends of one model's walks, moved straight back until none is farther from its source than the other's."""
    part = (_lengths(other) / _lengths(one).clamp(min=1e-12)).clamp(max=1.0)
    starts = one.pairs.starts
    return torch.lerp(starts, _ends(one.pairs, one.paths), part.to(starts.dtype).view(-1, 1, 1, 1))


_WIDER = (
    "At blind spots the level sets of adversarially trained models are wider.",
    PAPER,
    "32 random directions orthogonal to the way and to the gradient, lengths after clipping to the pixel box; in"
    " thousands of dimensions nearly every direction is a tangent one",
)


@claim(*_WIDER)
def _width(one: Walked) -> Iterator[Evidence]:
    words = "width of the level set at a blind spot, which 95 % of tangent directions have, ℓ2, mean"
    yield above(one.name, words, one.width, one.width_at_source, "at the source", decides=False)


@claim(*_WIDER)
def _wider(compared: tuple[Walked, Walked]) -> Iterator[Evidence]:
    strong, plain = compared
    yield above(strong.name, "the same", strong.width, plain.width, plain.name)
