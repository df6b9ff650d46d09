"""Slices: label, logits, confidence and entropy of a classifier on a square grid of a plane.

On a plane x(a, b) = origin + a u + b v with orthonormal u, v, class k wins where its signed margin
s_k = z_k - max_{j != k} z_j is positive; the zero set of s_k is the boundary of its region, which contours follow.
The plain margin top1 - top2 >= 0 has a kink there and is never contoured at 0.

`full` evaluates every point. `adaptive` and `careful` evaluate a lattice and refine it towards the boundaries they find
(`core.geometry.planes.quadtree`): elsewhere labels are filled by cell, and logits and log-odds are bilinear;
`evaluated` marks the points that were evaluated.

Reference: planes through three images follow Somepalli et al., Can Neural Nets Learn the Same Model Twice?, CVPR 2022
(arXiv 2203.08124), here with axes that are orthonormal in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from skimage.measure import find_contours
from torch import Tensor
from torch.nn.functional import softplus

from core.geometry.planes.planes import Extent, Plane, float32_floor
from core.geometry.planes.progressive import Scan
from core.geometry.planes.quadtree import LevelProgress, Quadtree
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

Method = Literal["adaptive", "careful", "full"]
METHODS: tuple[Method, ...] = get_args(Method)

Scalar = Literal["margin", "confidence", "entropy"]
_SCALARS: tuple[Scalar, ...] = get_args(Scalar)

_BASE_CELLS = {"adaptive": 16, "careful": 8}  # grid steps along a base cell
_KAPPA = {"adaptive": 0.1, "careful": 1.0}
_SCALAR_VALUES = 1 << 22  # logits that scalars are computed of at once: 16 MiB in float32
_MOST_VALUES = 1 << 28  # logits kept while slicing: 1 GiB in float32; more are computed in a second pass


@dataclass(frozen=True, kw_only=True, eq=False)
class Slice(ClassifierResult):
    """Labels and scalars on a square grid of a plane; the row index is that of y, so row 0 is the lowest."""

    x: np.ndarray = quantity("ℓ2 pixel", "x")
    y: np.ndarray = quantity("ℓ2 pixel", "y")
    label: np.ndarray = quantity("", "y x")  # -1 where the logits are not finite
    confidence: np.ndarray = quantity("probability", "y x")
    entropy: np.ndarray = quantity("nat", "y x")
    margin: np.ndarray = quantity("logit", "y x")  # top1 - top2
    classes: np.ndarray = quantity("", "class")  # seen on this slice, ascending
    logits: np.ndarray = quantity("logit", "y x class")  # of the classes seen
    evaluated: np.ndarray = quantity("", "y x")  # where the classifier was evaluated
    outline: np.ndarray = quantity("ℓ2 pixel", "corner xy")  # of the part with all pixels in [0, 1]
    origin: np.ndarray = quantity("pixel", "c h w")
    u: np.ndarray = quantity("pixel", "c h w")
    v: np.ndarray = quantity("pixel", "c h w")
    x_label: str = quantity("")
    y_label: str = quantity("")
    method: str = quantity("")
    precision: str = quantity("", default="float32")  # of the arithmetic; float64 below the floor of float32
    home: tuple[float, float, float, float] | None = quantity("ℓ2 pixel", default=None)  # the plane's default extent
    targets: tuple[int, ...] = quantity("", default=())  # rows of the images that the spanning directions lead to
    paths: np.ndarray | None = quantity("ℓ2 pixel", "path point xyoff", default=None)  # x, y, off; NaN behind ends
    path_names: tuple[str, ...] = quantity("", default=())  # corruptions, or directions given by walks
    angle: float | None = quantity(
        "°", words="angle between the spanning directions", default=None
    )  # between the spanning directions, before orthogonalisation

    @property
    def plane(self) -> Plane:
        """The plane that was cut."""
        origin, u, v = (torch.from_numpy(axis) for axis in (self.origin, self.u, self.v))
        return Plane(origin, u, v, self.x_label, self.y_label)

    @property
    def extent(self) -> Extent:
        """x_min, x_max, y_min, y_max of the sampled points, in ℓ2 pixel units."""
        return float(self.x[0]), float(self.x[-1]), float(self.y[0]), float(self.y[-1])

    @property
    def step(self) -> float:
        """Distance between neighbouring grid points, in ℓ2 pixel units."""
        return float(self.x[-1] - self.x[0]) / (len(self.x) - 1)

    def signed_margin(self, k: int) -> np.ndarray:
        """z_k - max_{j != k} z_j on the grid: positive inside class k's region, zero on its boundary.

        Args:
            k: a class seen on this slice.

        Returns:
            (r, r) logit differences.

        Raises:
            ValueError: if class k does not occur on this slice.
        """
        where = np.flatnonzero(self.classes == k)
        if not len(where):
            raise ValueError(f"expected a class seen on this slice, got {k}; seen are {self.classes.tolist()}")
        return self._signed_margin(int(where[0]), (slice(None), slice(None)))

    def _signed_margin(self, position: int, window: tuple[slice, slice]) -> np.ndarray:
        """The signed margin of the class at this index of `classes` in a window of the grid."""
        logits, label = self.logits[window], self.label[window]
        top = np.full(label.shape, np.nan, logits.dtype)
        for place, k in enumerate(self.classes):
            np.copyto(top, logits[..., place], where=label == k)
        inside = label == self.classes[position]
        return np.where(inside, self.margin[window], logits[..., position] - top)

    def boundary_lines(self) -> dict[int, tuple[np.ndarray, ...]]:
        """The boundary of each class's region, as polylines to a fraction of a grid step.

        Returns:
            For each class seen, its lines (points, 2) in plane coordinates; a border between two classes is in both.
        """
        windows = [_around(self.label == k) for k in self.classes]
        return {
            int(k): self._polylines(self._signed_margin(index, window), 0.0, window)
            for index, (k, window) in enumerate(zip(self.classes, windows, strict=True))
        }

    def contours(self, field: Scalar | np.ndarray, levels: Sequence[float]) -> dict[float, tuple[np.ndarray, ...]]:
        """Lines of equal confidence, entropy, margin, or of another field on the grid.

        Args:
            field: "confidence", "entropy" (nats), "margin" (logits), or (r, r) values that are 0 on the boundary.
            levels: values of the lines; only above 0 for fields that are 0 on the boundary and have a kink there.

        Returns:
            For each level its lines (points, 2) in plane coordinates.

        Raises:
            ValueError: for another field, or a level that is not positive where it must be.
        """
        if isinstance(field, str) and field not in _SCALARS:
            raise ValueError(f"expected one of {', '.join(_SCALARS)} to contour, got {field!r}")
        kinked = not isinstance(field, str) or field == "margin"
        if kinked and min(levels, default=1.0) <= 0:
            raise ValueError("expected margin levels above 0, where the boundary lines already are")
        window = (slice(None), slice(None))
        values = getattr(self, field) if isinstance(field, str) else field
        return {float(level): self._polylines(values, level, window) for level in levels}

    def _polylines(self, field: np.ndarray, level: float, window: tuple[slice, slice]) -> tuple[np.ndarray, ...]:
        if min(field.shape) < 2:
            return ()
        corner = np.array([self.x[window[1]][0], self.y[window[0]][0]])
        return tuple(corner + line[:, ::-1] * self.step for line in find_contours(field.astype(np.float64), level))

    def shares(self) -> dict[int, float]:
        """The share of the grid's points in each class seen, largest first."""
        counts = {int(k): float((self.label == k).mean()) for k in self.classes}
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Shares of the classes, and the size of the square and of a grid step."""
        for k, share in self.shares().items():
            yield Number(name=f"share of {context.class_names[k]}", value=share)
        x_min, x_max, _, _ = self.extent
        yield Number(name="side of the square", value=x_max - x_min, unit="ℓ2 pixel")
        yield from self.quoted("step:step of the grid:ℓ2 pixel", *([] if self.angle is None else ["angle"]))


def _around(mask: np.ndarray) -> tuple[slice, slice]:
    """The smallest window of the grid that contains a mask and one point around it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)


@counted
def slice_plane(
    classifier: Classifier,
    plane: Plane,
    extent: Extent,
    resolution: int = 256,
    method: Method = "adaptive",
    *,
    on_progress: OnProgress = silent,
) -> Slice:
    """Evaluate a classifier on a square grid of a plane.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        plane: the plane, of the classifier's input shape.
        extent: (x_min, x_max, y_min, y_max) in plane coordinates (ℓ2 pixel units), square; both ends are sampled.
        resolution: points along each side, at least 2.
        method: "full" evaluates every point. "adaptive" (base cells of 16 steps, kappa 0.1) can miss isolated regions
            thinner than 16 steps, "careful" (8 steps, kappa 1) those thinner than 8. Where float32 does not resolve a
            grid step (`planes.float32_floor`), the classifier runs in float64.
        on_progress: called with the fraction done and, between levels, a coarser `Slice`.

    Returns:
        The slice; `forwards` counts forward passes in images, padding of the last batch included.

    Raises:
        ValueError: if the extent is not a finite square, the resolution or method is not one of those above.
        ImageError: if the plane is not of the classifier's input shape.
    """
    grid = _Grid(classifier, plane, extent, resolution)
    if method not in METHODS:
        raise ValueError(f"expected a method out of {', '.join(METHODS)}, got {method!r}")
    with torch.inference_mode():
        cut = _full if method == "full" else _adaptive
        return cut(grid.classifier, grid, method, on_progress)


def _fine_enough(classifier: Classifier, step: float) -> Classifier:
    """The classifier, in float64 where float32 does not resolve this step and the device has float64."""
    coarse = classifier.dtype in (torch.float32, torch.float16, torch.bfloat16)
    if coarse and step < float32_floor(classifier.input_shape) and classifier.device.type != "mps":
        return classifier.to(dtype=torch.float64)
    return classifier


class _Grid:
    """The grid points of a slice and the classifier's fields at them."""

    def __init__(self, classifier: Classifier, plane: Plane, extent: Extent, resolution: int) -> None:
        x_min, x_max, y_min, y_max = extent
        width, height = x_max - x_min, y_max - y_min
        if not all(map(math.isfinite, extent)) or width <= 0 or abs(width - height) > 1e-6 * width:
            raise ValueError(f"expected a finite square extent (x_min, x_max, y_min, y_max), got {extent}")
        if resolution < 2:
            raise ValueError(f"expected a resolution of at least 2 points, got {resolution}")
        self.plane, self.extent, self.resolution = plane, extent, resolution
        self.step = width / (resolution - 1)
        self.classifier = classifier = _fine_enough(classifier, self.step)
        self.fingerprint = classifier.fingerprint
        self.outline = plane.box_polygon()
        # coordinates are relative to the middle of the extent, so that deep zooms far from the origin keep their digits
        middle = np.array([[(x_min + x_max) / 2, (y_min + y_max) / 2]])
        self.logits = classifier.along(plane.to_pixels(middle)[0], torch.stack([plane.u, plane.v]))

    def at(self, points: Tensor) -> Tensor:
        """All logits at (n, 2) grid indices (row, column)."""
        offsets = (points.flip(1).double() - (self.resolution - 1) / 2) * self.step
        return self.logits(offsets.to(self.classifier.dtype))

    def slice_of(
        self, label: Tensor, values: Tensor, evaluated: Tensor, classes: Tensor, spacing: int, method: str
    ) -> Slice:
        """A `Slice` from its fields; `values` are the logits of the classes seen and the scalars of `_with_scalars`.

        With o = m - S the log-odds of the winner, confidence is p = 1 / (1 + exp(-o)) and entropy h(p) + (1 - p) H.
        """
        margin, others, entropy = values[..., -3:].unbind(-1)
        odds = margin - others
        confidence = odds.sigmoid()
        entropy = confidence * softplus(-odds) + (1 - confidence) * (softplus(odds) + entropy)
        positions = np.arange(0, self.resolution, spacing) * self.step
        return Slice(
            x=self.extent[0] + positions,
            y=self.extent[2] + positions,
            label=label.to(torch.int32).cpu().numpy(),
            logits=values[..., :-3].contiguous().cpu().numpy(),
            margin=margin.contiguous().cpu().numpy(),
            confidence=confidence.cpu().numpy(),
            entropy=entropy.cpu().numpy(),
            classes=classes.cpu().numpy(),
            evaluated=evaluated.cpu().numpy(),
            outline=self.outline,
            origin=self.plane.origin.numpy(),
            u=self.plane.u.numpy(),
            v=self.plane.v.numpy(),
            x_label=self.plane.x_label,
            y_label=self.plane.y_label,
            num_classes=self.classifier.num_classes,
            precision=str(self.classifier.dtype).removeprefix("torch."),
            fingerprint=self.fingerprint,
            method=method,
            **spent(),
        )


def _with_scalars(logits: Tensor, keep: Tensor | None = None) -> Tensor:
    """Logits (n, all, or the classes kept), followed by three scalars.

    The scalars are smooth wherever the label is constant, so that they may be interpolated: the margin m, the log S of
    the sum of the other classes' weights, relative to the runner-up, and the entropy H among these.
    """
    top, which = logits.topk(2, 1)
    behind = logits - top[:, 1:]
    weights = behind.exp().scatter(1, which[:, :1], 0)
    total = weights.sum(1, keepdim=True)
    others = total.log()
    entropy = others - (weights * behind).sum(1, keepdim=True) / total
    kept = logits if keep is None else logits[:, keep]
    return torch.cat([kept, top[:, :1] - top[:, 1:], others, entropy], 1)


def _full(classifier: Classifier, grid: _Grid, method: str, on_progress: OnProgress) -> Slice:
    """Evaluate every point of the grid; report a picture of each coarser lattice.

    Where the logits of all classes do not fit, a first pass finds the classes that win, a second one their logits.
    """
    side, count, batches = grid.resolution, classifier.num_classes, classifier.batches()
    passes = 1 if side**2 * count <= _MOST_VALUES else 2
    evaluated = 0

    def put_through(rows: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
        nonlocal evaluated
        done, whole = evaluated, passes * side**2
        values = batches(rows, points, lambda part: on_progress((done + part * len(points)) / whole))
        evaluated += len(points)
        return values

    def picture(label: Tensor, values: Tensor, classes: Tensor, spacing: int) -> Slice:
        """A slice from labels and values, which are the logits of these classes, followed by the scalars."""
        seen = label[label >= 0].unique()
        scalars = torch.arange(len(classes), len(classes) + 3, device=classifier.device)
        values = values[..., torch.cat([torch.searchsorted(classes, seen), scalars])]
        return grid.slice_of(label, values, torch.ones(label.shape, dtype=torch.bool), seen, spacing, method)

    def from_all(values: Tensor, spacing: int) -> Slice:
        return picture(_labels(values[..., :count]), values, torch.arange(count, device=classifier.device), spacing)

    def show(make: Callable[[int], Slice], spacing: int) -> None:
        if on_progress is not silent and spacing > 1:
            on_progress(evaluated / (passes * side**2), make(spacing))

    def fields(keep: Tensor | None = None) -> Callable[[Tensor], Tensor]:
        return lambda points: _with_scalars(grid.at(points), keep)

    scan = partial(Scan, side=side, batch=batches.size, device=classifier.device)
    if passes == 1:
        whole = scan(lambda points: put_through(fields(), points))
        whole.run(lambda spacing: show(lambda spacing: from_all(whole.lattice(spacing), spacing), spacing))
        return from_all(whole.lattice(1), 1)

    coarsest: list[Tensor] = []  # all values of the first piece: enough for the first picture

    def labels(points: Tensor) -> Tensor:
        if coarsest:
            return put_through(lambda part: _labels(grid.at(part))[:, None], points)
        coarsest.append(put_through(fields(), points))
        return _labels(coarsest[0][:, :count])[:, None]

    def on_first(spacing: int) -> None:
        if spacing == first.spacings[0]:
            across = first.points(spacing)
            show(lambda spacing: from_all(coarsest[0][: across**2].view(across, across, -1), spacing), spacing)
        coarsest[0] = coarsest[0][:0].clone()

    first = scan(labels)
    first.run(on_first)
    label = first.lattice(1)[..., 0]
    classes = label[label >= 0].unique()
    second = scan(lambda points: put_through(fields(classes), points))

    def again(spacing: int) -> Slice:
        return picture(label[::spacing, ::spacing], second.lattice(spacing), classes, spacing)

    second.run(lambda spacing: show(again, spacing))
    return again(1)


def _labels(logits: Tensor) -> Tensor:
    """The winning class along the last axis, -1 where logits are not finite."""
    return logits.argmax(-1).where(torch.isfinite(logits).all(-1), -1)


def _adaptive(classifier: Classifier, grid: _Grid, method: str, on_progress: OnProgress) -> Slice:
    """Evaluate the points that a quadtree needs; report a picture at every level."""
    batches = classifier.batches()
    base = _BASE_CELLS[method]
    progress = LevelProgress(base.bit_length(), on_progress)

    def evaluate(points: Tensor) -> Tensor:
        """Logits batch by batch, then the scalars of many batches at once, since each call has a cost."""
        logits = batches(grid.at, points, progress.within_level)
        return torch.cat([_with_scalars(part) for part in logits.split(max(1, _SCALAR_VALUES // logits.shape[1]))])

    tree = Quadtree(
        evaluate,
        grid.resolution,
        base,
        _KAPPA[method],
        classifier.num_classes,
        classifier.device,
    )

    def picture(spacing: int) -> Slice:
        classes = tree.classes()
        scalars = torch.arange(classifier.num_classes, classifier.num_classes + 3, device=classifier.device)
        label, values, evaluated = tree.picture(spacing, torch.cat([classes, scalars]))
        return grid.slice_of(label, values, evaluated, classes, spacing, method)

    def on_level(spacing: int) -> None:
        progress.level += 1
        if on_progress is not silent and 1 < spacing < grid.resolution:  # of at least 2 x 2 points
            on_progress(progress.done(0.0), picture(spacing))

    tree.run(on_level)
    return picture(1)
