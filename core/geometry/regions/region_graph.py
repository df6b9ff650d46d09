"""The component graph: which images of a set are joined by paths inside the region of their class.

Images are nodes; a path found between two of one predicted class is an edge (`core.geometry.regions.connect`). Images
joined by a chain of edges lie in one connected region, up to the resolution of the paths. The number of components of a
class is an upper bound: two components are images between which no path has been found so far, never a proof that there
is none.

Reference: the paths are those of Fawzi, Moosavi-Dezfooli, Frossard, Soatto, Classification regions of deep neural
networks, 2017 (arXiv 1705.09552).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.cluster.hierarchy import DisjointSet
from torch import Tensor

from core.geometry.regions.connect import RegionPaths, connect
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

OUTCOMES = ("straight", "bent", "searched", "not found", "not tried", "other class")
_STRAIGHT, _BENT, _SEARCHED, _MISSING, _WAITING, _OTHER = range(6)
_OF_STATUS = {"straight": _STRAIGHT, "bent": _BENT, "searched": _SEARCHED}


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionGraph(ClassifierResult):
    """Paths between all pairs of m images of one predicted class, and the components they make."""

    outcome: np.ndarray = quantity("", "image image")  # place in OUTCOMES; symmetric, "straight" on the diagonal
    length_ratio: np.ndarray = quantity("", "image image")  # NaN where there is no path
    min_margin: np.ndarray = quantity("logit", "image image")
    component: np.ndarray = quantity("", "image")  # number of it, by first image; -1 where the class is undefined
    source_class: np.ndarray = quantity("", "image")  # -1 where undefined
    confidence: np.ndarray = quantity("", "image")
    row: np.ndarray = quantity("", "image")  # in the set; 0, 1, ... where there is none
    resolution: float = quantity("ℓ2 pixel", default=float("nan"))  # widest gap between samples of any path
    pairs: int = quantity("", words="pairs of one class")  # of one class
    tried: int = quantity("", words="pairs tried")  # of these, so far
    seed: int = quantity("")

    @property
    def found(self) -> int:
        """Pairs with a path."""
        return int(np.isin(self.outcome[np.triu_indices_from(self.outcome, 1)], (_STRAIGHT, _BENT, _SEARCHED)).sum())

    @property
    def missing(self) -> np.ndarray:
        """(m, 2) pairs tried without a path."""
        return np.argwhere(np.triu(self.outcome == _MISSING, 1))

    @property
    def components(self) -> dict[int, int]:
        """How many components each class seen has, so far."""
        defined = [int(k) for k in np.unique(self.source_class) if k >= 0]
        return {k: len(np.unique(self.component[self.source_class == k])) for k in defined}

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """How many pairs are joined."""
        yield Number(name="images", value=float(len(self.component)))
        yield from self.quoted("pairs", "tried", "found:pairs with a path")
        upper = np.triu_indices(len(self.component), 1)
        ratios, least = self.length_ratio[upper], self.min_margin[upper]
        if np.isfinite(ratios).any():
            yield Number(name="length of paths over the straight one, median", value=float(np.nanmedian(ratios)))
            yield Number(name="least margin on a path", value=float(np.nanmin(least)), unit="logit")


@counted
def region_graph(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    *,
    step: float = 1 / 64,
    max_levels: int = 24,
    max_anchors: int = 256,
    restarts: int = 4,
    search: int = 96,
    seed: int = 0,
    chunk: int = 16,
    on_progress: OnProgress = silent,
) -> RegionGraph:
    """Look for paths between all pairs of images of one predicted class.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: finite pixel values; the class of each is the one the classifier gives it.
        step: see `core.geometry.regions.connect.connect`.
        max_levels: see there.
        max_anchors: see there.
        restarts: see there.
        search: see there.
        seed: see there.
        chunk: pairs between two reports.
        on_progress: called with the fraction of pairs tried and, each time, the graph so far.

    Returns:
        The graph.

    Raises:
        ValueError: if there are fewer than two images, the chunk is below 1, or `connect` refuses an option.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    pixels = classifier.accept(images)
    if len(pixels) < 2 or chunk < 1:
        raise ValueError(f"expected two or more images and a chunk of at least 1, got {len(pixels)} and {chunk}")
    graph = _Graph(classifier, pixels)
    for start in range(0, len(graph.pairs), chunk):
        on_progress(start / len(graph.pairs), graph.result(classifier, seed) if start else None)
        pairs = graph.pairs[start : start + chunk]
        first, second = torch.as_tensor(pairs, device=pixels.device).unbind(1)
        graph.enter(
            pairs,
            connect(
                classifier,
                pixels[first],
                pixels[second],
                step=step,
                max_levels=max_levels,
                max_anchors=max_anchors,
                restarts=restarts,
                search=search,
                seed=seed,
            ),
        )
    return graph.result(classifier, seed)


class _Graph:
    def __init__(self, classifier: Classifier, pixels: Tensor) -> None:
        predicted = classifier.predict(pixels)
        self._class, self._confidence = predicted.label.astype(np.int32), predicted.confidence
        count = len(pixels)
        alike = (self._class[:, None] == self._class) & (self._class >= 0)
        self.pairs = np.argwhere(np.triu(alike, 1))
        self._outcome = np.where(alike, _WAITING, _OTHER).astype(np.int8)
        np.fill_diagonal(self._outcome, np.where(self._class >= 0, _STRAIGHT, _OTHER))
        self._ratio, self._margin = np.full((count, count), np.nan), np.full((count, count), np.nan)
        self._joined = DisjointSet(range(count))
        self._resolution = float("nan")
        self._tried = 0

    def enter(self, pairs: np.ndarray, found: RegionPaths) -> None:
        both = np.concatenate([pairs, pairs[:, ::-1]])
        code = np.array([_OF_STATUS.get(word, _MISSING) for word in found.status.tolist()], np.int8)
        for table, values in (
            (self._outcome, code),
            (self._ratio, found.length_ratio),
            (self._margin, found.min_margin),
        ):
            table[both[:, 0], both[:, 1]] = np.tile(values, 2)
        for first, second in pairs[found.found].tolist():
            self._joined.merge(first, second)
        if found.found.any():
            self._resolution = float(np.fmax(self._resolution, found.resolution[found.found].max()))
        self._tried += len(pairs)

    def result(self, classifier: Classifier, seed: int) -> RegionGraph:
        count = len(self._class)
        roots = [self._joined[k] for k in range(count)]
        numbers = {root: number for number, root in enumerate(dict.fromkeys(roots))}
        component = np.array([numbers[root] for root in roots], np.int32)
        return RegionGraph(
            outcome=self._outcome.copy(),
            length_ratio=self._ratio.copy(),
            min_margin=self._margin.copy(),
            component=np.where(self._class >= 0, component, -1).astype(np.int32),
            source_class=self._class,
            confidence=self._confidence,
            row=np.arange(count, dtype=np.int32),
            resolution=self._resolution,
            pairs=len(self.pairs),
            tried=self._tried,
            num_classes=classifier.num_classes,
            seed=seed,
            fingerprint=classifier.fingerprint,
            **spent(),
        )
