"""What is measured on a demo model for the claims about level sets: published walks, and what lies between their ends.

All models of a data set walk from the same sources to the same targets: images that every one of them classifies
correctly and is sure of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from core.geometry.level_sets.image_distances import ImageDistances
    from core.geometry.level_sets.star_likeness import StarLikeness
    from core.geometry.level_sets.traverse import LevelSetPaths
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier

TRAINED = ("standard", "adversarial", "prime", "relu", "vit")
UNTRAINED = "untrained"
DELTA = 0.2  # what the confidence may lose: the publication's for large images
DELTAS = (0.0, 0.1, 0.2, 0.3)  # of its triangles
LATTICE = 10  # of its triangles
STEPS = 100  # its default for small images
SURE = 0.6  # least confidence of its targets
_POINTS = 21  # of segments
_DIRECTIONS = 32  # of widths
_FEWEST = 2  # sources that two classes offer, below which there is nothing to say


@dataclass(frozen=True)
class Pairs:
    """Sources and targets of one data set; targets by source."""

    sources: Tensor
    targets: Tensor
    owner: np.ndarray  # row of the source of each target


@dataclass(frozen=True)
class Walked:
    """What was measured on one model."""

    name: str  # such as photos/standard-1
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

    @property
    def data(self) -> str:
        """The data set, such as photos."""
        return self.name.split("/")[0]

    @property
    def training(self) -> str:
        """How it was trained: standard, adversarial, prime, ..."""
        return self.name.split("/")[1].split("-")[0]

    @property
    def seed(self) -> str:
        """The number behind its name, empty for the first."""
        return self.name.partition("-")[2]

    def by_source(self, values: np.ndarray) -> np.ndarray:
        """The mean over the pairs of each source."""
        means: np.ndarray = np.bincount(self.pairs.owner, values) / np.bincount(self.pairs.owner)
        return means


def pairs_of(classifiers: Sequence[Classifier], images: ImageSet, count: int, spots: int, seed: int) -> Pairs:
    """Sources drawn evenly from the classes, and for each targets of other classes.

    Args:
        classifiers: models that have to be sure of all of them.
        images: the whole set.
        count: how many sources.
        spots: how many targets for each.
        seed: of the draw.

    Returns:
        The pairs.

    Raises:
        ValueError: if the models agree on too few images.
    """
    from core.geometry.common.sampling import stratified

    label = images.labels.numpy()
    said = [classifier.predict(images.pixels) for classifier in classifiers]
    sure = np.logical_and.reduce([(one.label == label) & (one.probabilities.max(1) > SURE) for one in said])
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
        pairs: from where to where.
        seed: of the directions of widths.

    Returns:
        What was measured.
    """
    from core.geometry.level_sets.image_distances import image_distances
    from core.geometry.level_sets.segments import linear_paths
    from core.geometry.level_sets.star_likeness import star_likeness
    from core.geometry.level_sets.traverse import traverse

    starts = pairs.sources[torch.from_numpy(pairs.owner)]
    said = classifier.predict(pairs.sources)
    scale = float(np.median(said.probabilities.max(1))) if UNTRAINED in name else 1.0
    loss = DELTA * scale
    paths = traverse(classifier, starts, pairs.targets, "paper", loss, STEPS, keep=0)
    ends = torch.from_numpy(paths.endpoints).to(starts.dtype)
    ends = torch.where(torch.isfinite(ends), ends, starts)  # a walk that never began is still at its source
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
    from core.geometry.level_sets.triangles import triangle

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
    """Widths at the first end of each source, and at the source, across the same ways."""
    from core.geometry.level_sets.widths import level_set_widths

    first = torch.from_numpy(np.unique(pairs.owner, return_index=True)[1])
    ways = pairs.targets[first] - pairs.sources
    said = classifier.predict(pairs.sources)
    level = (said.probabilities.max(1) - loss).clip(1e-6, 1 - 1e-6).astype(np.float64)
    found = level_set_widths(
        classifier,
        torch.cat([ends[first], pairs.sources]),
        torch.cat([ways, ways]),
        np.tile(said.label, 2),
        np.tile(level, 2),
        directions=_DIRECTIONS,
        tolerance=0.01,
        seed=seed,
    )
    at_ends, at_sources = np.split(found.width(0.05), 2)
    return at_ends, at_sources
