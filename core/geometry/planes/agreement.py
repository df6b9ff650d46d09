"""How alike two classifiers are on the same plane: labels, regions and boundaries.

With A and B the labels of two slices of one plane, over the points where both are defined: agreement is the share of
points with A = B, IoU_k = |A = k and B = k| / |A = k or B = k|, and the macro IoU its mean over the classes that either
says anywhere. Plain agreement is ruled by large regions; what it would be by chance, if A and B kept their shares of
classes and had nothing else in common, is sum_k share_A(k) share_B(k). From A to B class k gains the area where B says
k and A does not, and loses the reverse.

Boundaries are compared as lines: the distance from each point of one polyline to the other polyline, its mean over both
ways, and its maximum, the Hausdorff distance.

Reference: the share of agreeing points is the reproducibility score of Somepalli et al., Can Neural Nets Learn the Same
Model Twice?, CVPR 2022 (arXiv 2203.08124).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from core.geometry.planes.slices import Slice
from core.result import Result, quantity
from core.runtime.cost import counted, spent

_SAME = 1e-9  # two planes or extents closer than this are one: rounding after a file is far below
_CANDIDATES = 4  # nearest points of a line whose segments may hold the foot of a perpendicular


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement(Result):
    """Two slices of one plane compared, A before B; NaN where there is nothing to compare."""

    overall: float = quantity("")  # shares of points with equal labels
    in_box: float = quantity("")  # of those with all pixels in [0, 1]
    in_band: float = quantity("")  # of those near a boundary: either margin below `band`
    chance: float = quantity("")
    band: float = quantity("logit")
    band_share: float = quantity("")  # of all points
    classes: np.ndarray = quantity("", "class")  # that either says, ascending
    iou: np.ndarray = quantity("", "class")
    macro_iou: float = quantity("")
    area_a: np.ndarray = quantity("ℓ2² pixel", "class")
    area_b: np.ndarray = quantity("ℓ2² pixel", "class")
    gained: np.ndarray = quantity("ℓ2² pixel", "class")  # B says the class and A does not
    lost: np.ndarray = quantity("ℓ2² pixel", "class")  # A says the class and B does not
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
    """Compare what two classifiers say on one plane.

    Args:
        a: a slice.
        b: a slice of the same plane, extent and resolution, by a classifier with the same classes.
        true_class: the class that is right here, if one is: its gain and loss inside the pixel box are reported.
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
    says_a = [(a.label == k) & defined for k in classes]
    says_b = [(b.label == k) & defined for k in classes]
    pairs = list(zip(says_a, says_b, strict=True))
    cells_a, cells_b = (np.array([says.sum() for says in side], np.int64) for side in (says_a, says_b))
    iou = np.array([_iou(mine, theirs) for mine, theirs in pairs])
    lines_a, lines_b = a.boundary_lines(), b.boundary_lines()
    distances = [_line_distances(lines_a.get(int(k), ()), lines_b.get(int(k), ())) for k in classes]
    everywhere = _line_distances(
        *([line for group in lines.values() for line in group] for lines in (lines_a, lines_b))
    )
    right_a, right_b = ((side.label == true_class) & defined for side in (a, b))
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
        gained=np.array([_area(theirs & ~mine, cell) for mine, theirs in pairs]),
        lost=np.array([_area(mine & ~theirs, cell) for mine, theirs in pairs]),
        boundary_mean=np.array([mean for mean, _ in distances], np.float64),
        boundary_hausdorff=np.array([most for _, most in distances], np.float64),
        overall_boundary_mean=everywhere[0],
        overall_boundary_hausdorff=everywhere[1],
        true_class=true_class,
        true_iou=_iou(right_a, right_b),
        true_gained=_area(right_b & ~right_a & in_box, cell) if true_class is not None else float("nan"),
        true_lost=_area(right_a & ~right_b & in_box, cell) if true_class is not None else float("nan"),
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


def _area(points: np.ndarray, cell: float) -> float:
    return float(points.sum() * cell)


def _iou(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Intersection over union; NaN for a class that neither says."""
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
    """Polylines that tell how far a point is from them."""

    def __init__(self, lines: Iterable[np.ndarray]) -> None:
        parts = [line for line in lines if len(line)]
        self.points = np.concatenate(parts) if parts else np.empty((0, 2))
        ends = np.cumsum([len(part) for part in parts]).astype(np.int64)
        follows = np.arange(len(self.points)) + 1
        follows[ends - 1] -= 1  # the last point of a line stands for itself
        self._next = follows
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
