"""How similar two classifiers are on the same plane: labels, regions and boundaries.

With A and B the labels of two slices of one plane, over the points where both are defined: agreement is the share of
points with A = B, IoU_k = |A = k and B = k| / |A = k or B = k|, and the macro IoU its mean over the classes that occur
in A or B. Plain agreement is dominated by large regions; its value by chance, for independent A and B with the same
shares of classes, is sum_k share_A(k) share_B(k). From A to B class k gains the area where B = k and A != k, and loses
the area where A = k and B != k.

Boundaries are compared as lines: the distance from each point of one polyline to the other polyline, its mean over both
ways, and its maximum, the Hausdorff distance.

Reference: the share of agreeing points is the reproducibility score of Somepalli et al., Can Neural Nets Learn the Same
Model Twice?, CVPR 2022 (arXiv 2203.08124).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from core.geometry.planes.slices import Slice
from core.result import Result, quantity
from core.runtime.cost import counted, spent

_SAME = 1e-9  # two planes or extents that differ by less are equal: rounding in a file is far below
_CANDIDATES = 4  # nearest points of a line whose segments may contain the foot of a perpendicular


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement(Result):
    """Two slices of one plane compared, A before B; NaN where there is nothing to compare."""

    overall: float = quantity("")  # shares of points with equal labels
    in_box: float = quantity("")  # over points with all pixels in [0, 1]
    in_band: float = quantity("")  # over points near a boundary: either margin below `band`
    chance: float = quantity("")
    band: float = quantity("logit")
    band_share: float = quantity("")  # of all points
    classes: np.ndarray = quantity("", "class")  # that occur in either slice, ascending
    iou: np.ndarray = quantity("", "class")
    macro_iou: float = quantity("")
    area_a: np.ndarray = quantity("ℓ2² pixel", "class")
    area_b: np.ndarray = quantity("ℓ2² pixel", "class")
    gained: np.ndarray = quantity("ℓ2² pixel", "class")  # where B has the class and A has not
    lost: np.ndarray = quantity("ℓ2² pixel", "class")  # where A has the class and B has not
    boundary_mean: np.ndarray = quantity("ℓ2 pixel", "class")
    boundary_hausdorff: np.ndarray = quantity("ℓ2 pixel", "class")
    overall_boundary_mean: float = quantity("ℓ2 pixel")  # over the boundaries of all classes
    overall_boundary_hausdorff: float = quantity("ℓ2 pixel")
    true_class: int | None = quantity("")  # the next three are NaN without it
    true_iou: float = quantity("")
    true_gained: float = quantity("ℓ2² pixel")  # inside the pixel box
    true_lost: float = quantity("ℓ2² pixel")


@counted
def agreement(a: Slice, b: Slice, true_class: int | None = None, *, band: float = 1.0) -> Agreement:
    """Compare the labels of two classifiers on one plane.

    Args:
        a: a slice.
        b: a slice of the same plane, extent and resolution, by a classifier with the same classes.
        true_class: the true class, if there is one: its gain and loss inside the pixel box are reported.
        band: margin in logits below which a point counts as near a boundary.

    Returns:
        Scores of the whole square, the pixel box, the band and each class.

    Raises:
        ValueError: if the slices differ in plane, extent, resolution or number of classes.
    """
    _check_alike(a, b)
    defined = (a.label >= 0) & (b.label >= 0)
    equal = (a.label == b.label)[defined]
    near = ((a.margin < band) | (b.margin < band))[defined]
    in_box = _inside(a.outline, a.x, a.y)
    cell = a.step**2
    classes = np.unique(np.concatenate([a.label[defined], b.label[defined]])).astype(np.int64)
    in_a, in_b = ((side.label == classes[:, None, None]) & defined for side in (a, b))
    cells_a, cells_b = in_a.sum((1, 2)), in_b.sum((1, 2))
    iou = np.array([_iou(mine, theirs) for mine, theirs in zip(in_a, in_b, strict=True)])
    lines_a, lines_b = a.boundary_lines(), b.boundary_lines()
    distances = [_line_distances(lines_a.get(int(k), ()), lines_b.get(int(k), ())) for k in classes]
    everywhere = _line_distances(*(itertools.chain(*lines.values()) for lines in (lines_a, lines_b)))
    true_a, true_b = ((side.label == true_class) & defined for side in (a, b))
    return Agreement(
        overall=_share(equal),
        in_box=_share(equal[in_box[defined]]),
        in_band=_share(equal[near]),
        chance=float((cells_a / max(defined.sum(), 1)) @ (cells_b / max(defined.sum(), 1))) if len(classes) else np.nan,
        band=band,
        band_share=_share(near),
        classes=classes,
        iou=iou,
        macro_iou=_share(iou),
        area_a=cells_a * cell,
        area_b=cells_b * cell,
        gained=(in_b & ~in_a).sum((1, 2)) * cell,
        lost=(in_a & ~in_b).sum((1, 2)) * cell,
        boundary_mean=np.array([mean for mean, _ in distances], np.float64),
        boundary_hausdorff=np.array([most for _, most in distances], np.float64),
        overall_boundary_mean=everywhere[0],
        overall_boundary_hausdorff=everywhere[1],
        true_class=true_class,
        true_iou=_iou(true_a, true_b),
        true_gained=float((true_b & ~true_a & in_box).sum() * cell) if true_class is not None else float("nan"),
        true_lost=float((true_a & ~true_b & in_box).sum() * cell) if true_class is not None else float("nan"),
        **spent(),
    )


def _check_alike(a: Slice, b: Slice) -> None:
    """Raise unless two slices can be compared point by point.

    Raises:
        ValueError: if they cannot.
    """
    if a.num_classes != b.num_classes:
        raise ValueError(f"expected two models with the same classes, got {a.num_classes} and {b.num_classes} of them")
    if len(a.x) != len(b.x):
        raise ValueError(f"expected two slices of the same resolution, got {len(a.x)} and {len(b.x)} points a side")
    for name in ("origin", "u", "v", "x", "y"):
        mine, theirs = getattr(a, name), getattr(b, name)
        if mine.shape != theirs.shape or not np.allclose(mine, theirs, rtol=0, atol=_SAME):
            what = "extent" if name in ("x", "y") else "plane"
            raise ValueError(f"expected two slices of the same {what}, got two different ones; cut both by one recipe")


def _share(truths: np.ndarray) -> float:
    return float(truths.mean()) if len(truths) else float("nan")


def _iou(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Intersection over union; NaN for a class that occurs in neither."""
    union = int((mine | theirs).sum())
    return float((mine & theirs).sum() / union) if union else float("nan")


def _inside(outline: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points of a grid lie in a convex polygon, counter-clockwise."""
    inside = np.full((len(y), len(x)), len(outline) >= 3)
    for here, there in zip(outline, np.roll(outline, -1, 0), strict=True):
        side = there - here
        inside &= side[0] * (y[:, None] - here[1]) - side[1] * (x - here[0]) >= 0
    return inside


def _line_distances(a: Iterable[np.ndarray], b: Iterable[np.ndarray]) -> tuple[float, float]:
    """Mean, over both ways, and maximum of the distances from the points of each set of polylines to the other set."""
    first, second = _Polylines(a), _Polylines(b)
    if not len(first.points) or not len(second.points):
        return float("nan"), float("nan")
    there, back = second.distances(first.points), first.distances(second.points)
    return float((there.mean() + back.mean()) / 2), float(max(there.max(), back.max()))


class _Polylines:
    """A set of polylines, for the distances of points to them."""

    def __init__(self, lines: Iterable[np.ndarray]) -> None:
        parts = [line for line in lines if len(line)]
        self.points = np.concatenate(parts) if parts else np.empty((0, 2))
        ends = np.cumsum([len(part) for part in parts]).astype(np.int64)
        self._next = np.arange(len(self.points)) + 1
        self._next[ends - 1] -= 1  # the last point of a line is its own neighbour
        self._previous = np.arange(len(self.points)) - 1
        self._previous[np.concatenate([[0], ends[:-1]])[: len(parts)]] += 1

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Distance of each point to the segments at the nearest points of the lines."""
        count = min(_CANDIDATES, len(self.points))
        nearest = cKDTree(self.points).query(points, k=count)[1].reshape(len(points), count)
        found: np.ndarray = np.full(len(points), np.inf)
        for candidate in nearest.T:
            for other in (self._previous[candidate], self._next[candidate]):
                start, side = self.points[candidate], self.points[other] - self.points[candidate]
                along = ((points - start) * side).sum(1) / np.maximum((side**2).sum(1), 1e-300)
                foot = start + along.clip(0, 1)[:, None] * side
                found = np.minimum(found, np.linalg.norm(points - foot, axis=1))
        return found
