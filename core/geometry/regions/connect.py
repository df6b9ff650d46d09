"""Paths between images on which the predicted class never changes: are two images in one connected region?

The region of a class k is {x : F(x) > 0}, F = f_k - max_{j != k} f_j. A path between two images of it is a chain of
straight segments that stay inside. It is built from the straight segment: where a segment leaves the region, its middle
is moved into the region (DeepFool, aimed at k) and becomes an anchor, and both halves are checked in turn. A level of
this is one batch: all segments of all pairs are checked together, and all middles are moved together. Where a middle
does not shorten its gap, the search restarts from points around it; where that fails too, trees search for a way around
(`core.geometry.regions.rrt_connect`).

A path found is evidence at a stated resolution (`core.geometry.regions.segments`). A path not found is no evidence of
the contrary: the construction and its budget may have missed one. No result proves that a region is disconnected.

Reference: Fawzi, Moosavi-Dezfooli, Frossard, Soatto, Classification regions of deep neural networks, 2017 (arXiv
1705.09552), whose recursion is the first part of this; also in Empirical study of the topology and geometry of deep
networks, CVPR 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.relabel import RegionMargin
from core.geometry.regions.recursive_bisection import BUDGET, FOUND, STALLED, Growth, Limits
from core.models.classifier import Classifier
from core.result import ClassifierResult, quantity
from core.runtime.batches import Chunks, engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "straight": "The straight segment between both images stays in the region.",
        "bent": "The straight segment leaves the region; a path over anchors stays in it.",
        "searched": "A path was found after a search for a way around some gap.",
        "stalled": "Not found: a gap could not be closed, nor a way around it found. There may still be one.",
        "budget": "Not found within the levels and anchors allowed; allow more of them.",
        "other class": "The model gives the two images different classes: no region holds both.",
        "on the boundary": "The margin at an end is zero, up to rounding: it lies in no region.",
        "undefined": "A logit is not finite at an end.",
    }
)
_MOST_VALUES = 1 << 24  # pixels of the ends of a chunk of pairs: its anchors are several times as many


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionPaths(ClassifierResult):
    """Paths between n pairs of images inside the region of their class; NaN where none was found."""

    verdict: np.ndarray = quantity("", "n")  # "path found" or "not found"
    status: np.ndarray = quantity("", "n")  # a word of STATUSES
    anchors: np.ndarray = quantity(
        "pixel", "vertex c h w"
    )  # of all pairs: start, corners, end; ends alone if not found
    owner: np.ndarray = quantity("", "vertex")  # the pair of each
    anchor_margin: np.ndarray = quantity("logit", "vertex")
    distance: np.ndarray = quantity("ℓ2 pixel", "n", words="straight distance")  # between both images
    length: np.ndarray = quantity("ℓ2 pixel", "n", words="length of the path")  # of the path
    length_ratio: np.ndarray = quantity(
        "", "n", words="length of the path over the straight one"
    )  # of the path to the distance
    min_margin: np.ndarray = quantity("logit", "n", words="least margin on the path")  # smallest met on the path
    resolution: np.ndarray = quantity(
        "ℓ2 pixel", "n", words="widest gap between samples"
    )  # widest gap between neighbouring samples of the path
    headroom: np.ndarray = quantity("", "n")  # above 1: no zero between samples at any slope seen on its segment
    segments: np.ndarray = quantity("", "n", words="segments")  # of the path
    checked: np.ndarray = quantity("", "n")  # segments looked at on the way to it
    samples: np.ndarray = quantity("", "n")  # points of segments looked at
    levels: np.ndarray = quantity("", "n")  # rounds of the construction
    source_class: np.ndarray = quantity("", "n")  # of the start, -1 where undefined
    end_class: np.ndarray = quantity("", "n")
    seed: int = quantity("")

    @property
    def found(self) -> np.ndarray:
        """(n,) whether there is a path."""
        found: np.ndarray = self.verdict == "path found"
        return found

    def path(self, row: int) -> np.ndarray:
        """(m, c, h, w) start, corners and end of one pair's path; both ends alone where none was found."""
        vertices: np.ndarray = self.anchors[self.owner == row]
        return vertices


@counted
def connect(
    classifier: Classifier,
    starts: Float[Tensor, "n c h w"],
    ends: Float[Tensor, "m c h w"],
    *,
    step: float = 1 / 64,
    max_levels: int = 24,
    max_anchors: int = 256,
    restarts: int = 4,
    search: int = 96,
    overshoot: float = 0.02,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> RegionPaths:
    """Look for a path between each start and its end on which the predicted class never changes.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        starts: finite pixel values; the class is the one the classifier gives them.
        ends: as many, of the same class each; a pair of two classes is a row with the status "other class".
        step: widest gap between samples of a segment, relative to the distance between start and end; gaps are finer
            where the margin could vanish between samples, down to 2^-7 of it.
        max_levels: rounds of splitting before a pair is given up.
        max_anchors: corners of a pair before it is given up.
        restarts: points around a middle that did not shorten its gap from which to try again.
        search: rounds in which trees grow around a gap; 0 for no such search.
        overshoot: how much longer steps into the region are than to its linearised boundary.
        seed: seed of restarts and searches.
        on_progress: called with the fraction of pairs that are decided.

    Returns:
        The paths. `forwards` and `gradients` count forward and backward passes of the classifier, in images.

    Raises:
        ValueError: if there is no pair, an end is missing, or an option is out of range.
        ImageError: if a value is not finite or the shape is not the classifier's.

    Reference:
        Fawzi, Moosavi-Dezfooli, Frossard, Soatto, Classification regions of deep neural networks, 2017.
    """
    if not (0 < step <= 1 and 0 < overshoot < math.inf):
        raise ValueError(f"expected a step in (0, 1] and an overshoot above 0, got {step} and {overshoot}")
    if max_levels < 1 or max_anchors < 1 or restarts < 0 or search < 0:
        raise ValueError(
            "expected at least one level and one anchor, and no fewer than 0 restarts and searches, got"
            f" {max_levels}, {max_anchors}, {restarts} and {search}"
        )
    pixels, others = classifier.accept(starts), classifier.accept(ends)
    if not len(pixels) or len(pixels) != len(others):
        raise ValueError(f"expected an end for each of one or more starts, got {len(others)} and {len(pixels)}")
    limits = Limits(step, max_levels, max_anchors, restarts, search, overshoot, seed)
    with engine_mode(classifier.device):
        margin = RegionMargin(classifier)
        table = _Table(margin, limits, pixels.clone().to(margin.dtype), others.clone().to(margin.dtype))
        table.fill(on_progress)
    return RegionPaths(
        **table.arrays(),
        num_classes=classifier.num_classes,
        seed=seed,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


class _Table:
    def __init__(self, margin: RegionMargin, limits: Limits, starts: Tensor, ends: Tensor) -> None:
        self._margin, self._limits = margin, limits
        self._ends = torch.stack([starts, ends], 1)  # n 2 c h w
        logits = margin.all_logits(self._ends.flatten(0, 1))
        classes = logits.argmax(1).where(torch.isfinite(logits).all(1), -1).view(-1, 2)
        self._source, self._end = classes.unbind(1)
        count = len(starts)
        self._status = np.full(count, "undefined", dtype="<U15")
        self._status[((self._source >= 0) & (self._end >= 0)).cpu().numpy()] = "other class"
        self._numbers = {name: np.full(count, np.nan) for name in (("length", "min_margin", "resolution", "headroom"))}
        self._counts = {name: np.zeros(count, np.int32) for name in ("segments", "checked", "samples", "levels")}
        self._paths: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def fill(self, on_progress: OnProgress) -> None:
        """Connect all pairs whose ends have the same class, in chunks that fit in memory."""
        rows = ((self._source == self._end) & (self._source >= 0)).nonzero()[:, 0]
        at_ends = self._margin(self._ends[rows].flatten(0, 1), self._source[rows].repeat_interleave(2)).view(-1, 2)
        inside = (at_ends > self._margin.zero).all(1)
        self._status[rows[~inside].cpu().numpy()] = "on the boundary"
        rows = rows[inside]
        Chunks(_MOST_VALUES, each=self._ends[0].numel())(
            len(rows), lambda part, tick: self._connect(rows[part], tick), on_progress
        )

    def _connect(self, rows: Tensor, tick: Callable[[float], None]) -> None:
        growth = Growth(self._margin, self._limits, self._ends[rows], self._source[rows])
        growth.run(tick)
        words = {BUDGET: "budget", STALLED: "stalled"}
        for place, row in enumerate(rows.tolist()):
            for name, values in growth.counts.items():
                self._counts[name][row] = int(values[place])
            outcome = int(growth.outcome[place])
            if outcome != FOUND:
                self._status[row] = words[outcome]
                continue
            images, margins = growth.path(place)
            straight = "straight" if len(images) == 2 else "bent"
            self._status[row] = "searched" if bool(growth.searched[place]) else straight
            self._paths[row] = images.cpu().numpy(), margins.cpu().numpy()
            self._counts["segments"][row] = len(images) - 1
            self._numbers["length"][row] = float((images[1:] - images[:-1]).double().flatten(1).norm(dim=1).sum())
            for name, values in growth.numbers.items():
                self._numbers[name][row] = float(values[place])

    def arrays(self) -> dict[str, Any]:
        count = len(self._ends)
        ends = self._ends.cpu().numpy()
        missing = np.full(2, np.nan, ends.dtype)
        paths = [self._paths.get(row, (ends[row], missing)) for row in range(count)]
        distance = (self._ends[:, 1] - self._ends[:, 0]).double().flatten(1).norm(dim=1).cpu().numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(distance > 0, self._numbers["length"] / distance, self._numbers["length"] + 1)
        found = np.isin(self._status, ("straight", "bent", "searched"))
        return {
            "verdict": np.where(found, "path found", "not found"),
            "status": self._status,
            "anchors": np.concatenate([images for images, _ in paths]),
            "anchor_margin": np.concatenate([margins for _, margins in paths]).astype(np.float64),
            "owner": np.repeat(np.arange(count, dtype=np.int32), [len(images) for images, _ in paths]),
            "distance": distance,
            "length_ratio": ratio,
            "source_class": self._source.to(torch.int32).cpu().numpy(),
            "end_class": self._end.to(torch.int32).cpu().numpy(),
            **self._numbers,
            **self._counts,
        }
