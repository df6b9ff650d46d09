"""Is the level set around a source star-like, and is it convex?

A set is star-like about a source if every segment from there to a member stays inside, and convex if every segment
between members does. Sampled on the blind spots of a source, ends of walks on its level set (`core.geometry.
level_sets`), with reach and least confidence of segments as in `core.geometry.level_sets.segments`:

    star share      how many spots are seen from the source: reach 1
    limbs           groups of those seen, two being of one group if a chain of chords inside the set joins them
    convexity gap   mean of the least confidence on spokes (source to spot) minus that on chords (spot to spot)

A gap well above 0 with a star share near 1 is a star that is not convex. Superlevel walks end at the level itself,
where rounding decides what is seen: take ends of mode "equality" or "paper", or a delta above that of the walk.

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889), section on star-like sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.level_sets.log_odds import confidence
from core.geometry.level_sets.segments import Segments, check
from core.models.classifier import Classifier
from core.result import ClassifierResult, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent


@dataclass(frozen=True, kw_only=True, eq=False)
class StarLikeness(ClassifierResult):
    """How star-like and how convex the level sets around s sources are; NaN where undefined."""

    share: np.ndarray = quantity(
        "", "source", words="share of ends seen from the source"
    )  # of the spots seen from the source
    mean_reach: np.ndarray = quantity("", "source", words="mean reach of straight ways")  # of the spokes
    limbs: np.ndarray = quantity("", "source", words="limbs")
    gap: np.ndarray = quantity("", "source", words="convexity gap")  # convexity gap; NaN for fewer than two spots
    spoke_least: np.ndarray = quantity("", "spoke")  # least confidence between source and spot
    spoke_reach: np.ndarray = quantity("", "spoke")
    owner: np.ndarray = quantity("", "spoke")  # row of the source
    chord_least: np.ndarray = quantity("", "chord")  # least confidence between two spots
    chord_reach: np.ndarray = quantity("", "chord")
    chords: np.ndarray = quantity("", "chord end")  # rows of the two spots
    source_class: np.ndarray = quantity("", "source")
    delta: float = quantity("")


@counted
def star_likeness(
    classifier: Classifier,
    sources: Float[Tensor, "s c h w"],
    spots: Float[Tensor, "n c h w"],
    owner: Int[Tensor, " n"],
    *,
    delta: float = 0.05,
    points: int = 21,
    on_progress: OnProgress = silent,
) -> StarLikeness:
    """Measure star-likeness and convexity on the segments between sources and blind spots.

    All spokes and chords, m (m + 1) / 2 of a source with m spots, are one batch.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        sources: images; a class is the one the classifier gives to its source.
        spots: other images of the same classes, as a rule ends of walks in mode "equality" or "paper".
        owner: the row of each spot's source.
        delta: largest loss of confidence allowed.
        points: number of equally spaced points of a segment, both ends included.
        on_progress: called with the fraction done.

    Returns:
        Shares, reaches, limbs and gaps.

    Raises:
        ValueError: if there is no source or spot, an owner is no row of the sources, or an option is out of range.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    pixels, ends = classifier.accept(sources), classifier.accept(spots)
    owners = owner.to(classifier.device)
    if not len(pixels) or not len(ends) or len(owners) != len(ends):
        raise ValueError(f"expected sources and an owner for each spot, got {len(pixels)} and {len(owners)}")
    if not bool(((owners >= 0) & (owners < len(pixels))).all()):
        raise ValueError(f"expected owners that are rows of the {len(pixels)} sources, got {owners.tolist()[:9]}")
    check(delta, points)
    rows = owners.cpu().numpy()
    pairs = _chords(rows)
    chords = torch.from_numpy(pairs).to(owners.device)
    with torch.inference_mode(), torch.autocast(classifier.device.type, enabled=False):
        field = Segments(classifier, torch.cat([pixels, ends]))
        field.say(torch.arange(len(pixels), device=classifier.device), delta)
        spokes = torch.arange(len(ends), device=classifier.device)
        first = torch.cat([owners, len(pixels) + chords[:, 0]])
        second = len(pixels) + torch.cat([spokes, chords[:, 1]])
        value, reach = field.follow(first, second, torch.cat([owners, owners[chords[:, 0]]]), points, on_progress)
    least = confidence(value.double().cpu().numpy()).min(1)
    spoke_least, chord_least = np.split(least, [len(ends)])
    spoke_reach, chord_reach = np.split(reach.cpu().numpy(), [len(ends)])
    count = len(pixels)
    return StarLikeness(
        share=_mean(spoke_reach == 1, rows, count),
        mean_reach=_mean(spoke_reach, rows, count),
        limbs=_limbs(rows, spoke_reach == 1, pairs[chord_reach == 1], count),
        gap=_mean(spoke_least, rows, count) - _mean(chord_least, rows[pairs[:, 0]], count),
        spoke_least=spoke_least,
        spoke_reach=spoke_reach,
        owner=rows.astype(np.int32),
        chord_least=chord_least,
        chord_reach=chord_reach,
        chords=pairs.astype(np.int32),
        source_class=field.classes.to(torch.int32).cpu().numpy(),
        delta=delta,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def _chords(owner: np.ndarray) -> np.ndarray:
    """(m, 2) pairs of spots of one source, each once."""
    order = np.argsort(owner, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)
    return np.concatenate([group[np.stack(np.triu_indices(len(group), 1), 1)] for group in groups])


def _mean(values: np.ndarray, owner: np.ndarray, sources: int) -> np.ndarray:
    """The mean of the values of each source; NaN where it has none."""
    count = np.bincount(owner, minlength=sources)
    total = np.bincount(owner, values.astype(np.float64), minlength=sources)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, math.nan)


def _limbs(owner: np.ndarray, seen: np.ndarray, joined: np.ndarray, sources: int) -> np.ndarray:
    """(sources,) how many groups the spots seen from each make up, `joined` being pairs with a chord inside the set."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    both = joined[seen[joined].all(1)]
    graph = coo_array((np.ones(len(both)), both.T), shape=(len(owner), len(owner)))
    _, group = connected_components(graph, directed=False)
    visible = np.unique(np.stack([owner[seen], group[seen]], 1), axis=0)
    return np.bincount(visible[:, 0], minlength=sources).astype(np.int32)
