"""Distances to the boundary on a plane: along the rays from a point, and everywhere to first order.

From a start p of class k the profile is t(theta) = inf { t > 0 : s_k(p + t (cos theta u + sin theta v)) <= 0 }, with
the signed margin s_k = z_k - max_{j != k} z_j. It is bracketed on geometrically spaced radii and refined by the secant
with the Illinois rule (Dowell, Jarratt, BIT 11, 1971), which never leaves its bracket. A region that a ray enters and
leaves between two of those radii is missed. Distances in a plane are never smaller than in the whole space.

The end of the pixel box [0, 1]^d on a ray is known in closed form: t_max = min_i (d_i > 0 ? 1 - x_i : -x_i) / d_i.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import Slice
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.cost import count_passes, counted, spent
from core.runtime.progress import OnProgress, silent

_RADII = 32  # per ray, from a thousandth of its reach on; each is 25 % larger than the one before
_SMALLEST_RADIUS = 1e-3
_SECANT_STEPS = 6
_MOST_VALUES = 1 << 24  # of ray directions held at once to find the end of the pixel box: 128 MiB


class Crossing(NamedTuple):
    """A point where a ray meets the boundary."""

    distance: float  # ℓ2 over pixels
    angle: float  # radians


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundaryProfile(ClassifierResult):
    """The first change of class along rays of a plane, counter-clockwise from the plane's first axis."""

    angle: np.ndarray = quantity("rad", "ray")
    distance: np.ndarray = quantity("ℓ2 pixel", "ray")  # NaN where the class does not change within reach
    reached_class: np.ndarray = quantity("", "ray")  # -1 there
    limit: np.ndarray = quantity("ℓ2 pixel", "ray")  # where the ray leaves the pixel box
    reach: np.ndarray = quantity("ℓ2 pixel", "ray")  # how far the ray is followed
    source_class: int = quantity("")
    start: np.ndarray = quantity("ℓ2 pixel", "xy")  # in plane coordinates
    x_label: str = quantity("")
    y_label: str = quantity("")

    @property
    def found(self) -> np.ndarray:
        """Which rays meet a boundary within their reach."""
        return np.asarray(~np.isnan(self.distance))

    @property
    def smallest(self) -> float:
        """The smallest distance over the rays that meet a boundary; NaN where none does, like the next three."""
        return self._over_found(np.min)

    @property
    def median(self) -> float:
        """The median distance."""
        return self._over_found(np.median)

    @property
    def largest(self) -> float:
        """The largest distance."""
        return self._over_found(np.max)

    @property
    def anisotropy(self) -> float:
        """Largest over smallest distance: 1 for a circle around the start."""
        return self.largest / self.smallest if self.smallest > 0 else math.nan

    @property
    def nearest_boundary(self) -> Crossing:
        """The nearest crossing found in this plane; NaN where there is none."""
        if not self.found.any():
            return Crossing(math.nan, math.nan)
        ray = int(np.nanargmin(self.distance))
        return Crossing(float(self.distance[ray]), float(self.angle[ray]))

    def robust_fraction(self, radius: float) -> float:
        """The share of rays without a change of class up to a radius, or up to their reach where that is shorter.

        Args:
            radius: in ℓ2 pixel units.

        Returns:
            Between 0 and 1.
        """
        return float(np.mean(~(self.distance <= radius)))

    def _over_found(self, statistic: Callable[[np.ndarray], np.floating]) -> float:
        return float(statistic(self.distance[self.found])) if self.found.any() else math.nan

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Extremes of the distance, and the share of rays that reach each class."""
        yield from self.quoted(
            "smallest:smallest distance:ℓ2 pixel",
            "median:median distance:ℓ2 pixel",
            "largest:largest distance:ℓ2 pixel",
            "anisotropy:largest over smallest distance",
        )
        yield Number(name="share of rays that meet a boundary", value=float(self.found.mean()))
        for k in sorted(set(self.reached_class[self.found].tolist())):
            share = float((self.reached_class == k).mean())
            yield Number(name=f"share of rays that reach {context.class_names[k]}", value=share)


@counted
def boundary_profile(
    classifier: Classifier,
    plane: Plane,
    rays: int = 360,
    *,
    at: tuple[float, float] = (0.0, 0.0),
    reach: float | None = None,
    on_progress: OnProgress = silent,
) -> BoundaryProfile:
    """Measure how far the class stays the same in every direction of a plane.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        plane: the plane, of the classifier's input shape.
        rays: number of directions, evenly spaced over the full circle.
        at: the start of the rays, in plane coordinates (ℓ2 pixel units).
        reach: how far each ray is followed, in ℓ2 pixel units; to its end in the pixel box when None, which is 0 along
            rays that push a black or white pixel further out.
        on_progress: called with the fraction done.

    Returns:
        The profile. Distances of affine classifiers are exact up to rounding.

    Raises:
        ValueError: if there is no ray, the reach is not a positive length, or the start is not finite.
        ImageError: if the plane is not of the classifier's input shape.
    """
    if rays < 1:
        raise ValueError(f"expected at least one ray, got {rays}")
    if reach is not None and not 0 < reach < math.inf:
        raise ValueError(f"expected a reach of positive length, got {reach}")
    if not all(map(math.isfinite, at)):
        raise ValueError(f"expected a start at finite plane coordinates, got {at}")
    origin = plane.to_pixels(np.array([at]))[0]
    angle = torch.arange(rays, dtype=torch.float64) * (2 * math.pi / rays)
    compass = torch.stack([angle.cos(), angle.sin()], 1)
    limit = _box_ends(plane, origin, compass)
    furthest = limit if reach is None else torch.full_like(limit, reach)
    with torch.inference_mode():
        field = _Field(classifier, plane, origin, compass)
        distance, reached = _first_crossings(field, furthest, on_progress)
    return BoundaryProfile(
        angle=angle.numpy(),
        distance=distance.numpy(),
        reached_class=reached.to(torch.int32).numpy(),
        limit=limit.numpy(),
        reach=furthest.numpy(),
        source_class=field.source,
        start=np.array(at, np.float64),
        x_label=plane.x_label,
        y_label=plane.y_label,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def _box_ends(plane: Plane, origin: Tensor, compass: Tensor) -> Tensor:
    """How far each ray stays in the pixel box; 0 where it starts at a wall of the box and leads out."""
    pixels, axes = origin.flatten(), torch.stack([plane.u.flatten(), plane.v.flatten()])
    ends = []
    for part in compass.split(max(1, _MOST_VALUES // pixels.numel())):
        slope = part @ axes
        room = torch.where(slope > 0, 1 - pixels, pixels) / slope.abs()
        ends.append(room.where(slope != 0, torch.inf).amin(1).clamp(min=0))
    return torch.cat(ends)


class _Field:
    """The signed margin of the start's class along rays, and the runner-up."""

    def __init__(self, classifier: Classifier, plane: Plane, origin: Tensor, compass: Tensor) -> None:
        self._classifier, self._compass = classifier, compass
        self._logits = classifier.along(origin, torch.stack([plane.u, plane.v]))
        self._batches = classifier.batches()
        start = self._logits(torch.zeros(1, 2, device=classifier.device, dtype=classifier.dtype))[0]
        count_passes(forwards=1)
        if not bool(torch.isfinite(start).all()):
            raise ValueError("expected finite logits at the start of the rays, got NaN or infinity; choose another one")
        self.source = int(start.argmax())
        self.at_start = float(self._margin_and_runner_up(start[None])[0, 0])

    def __call__(self, rays: Tensor, radii: Tensor, on_progress: Callable[[float], None]) -> tuple[Tensor, Tensor]:
        """Signed margin, NaN where undefined, and the largest other class at (n,) radii of these rays."""
        points = radii[:, None] * self._compass[rays]
        found = self._batches(self._rows, points, on_progress)
        return found[:, 0], found[:, 1].long()

    def _rows(self, points: Tensor) -> Tensor:
        return self._margin_and_runner_up(self._logits(points.to(self._classifier.device, self._classifier.dtype)))

    def _margin_and_runner_up(self, logits: Tensor) -> Tensor:
        logits = logits.cpu().double()
        other, runner_up = logits.index_fill(1, torch.tensor([self.source]), -torch.inf).max(1)
        margin = (logits[:, self.source] - other).where(torch.isfinite(logits).all(1), torch.nan)
        return torch.stack([margin, runner_up.double()], 1)


def _first_crossings(field: _Field, reach: Tensor, on_progress: OnProgress) -> tuple[Tensor, Tensor]:
    """Distance of the first zero of the margin along each ray and the class behind it; NaN and -1 where none is found.

    Where the first event of a ray is a point with logits that are not finite, its first zero is undefined, too.
    """
    rays = len(reach)
    spacing = _SMALLEST_RADIUS ** torch.linspace(1, 0, _RADII, dtype=torch.float64)
    radii = reach[:, None] * spacing
    every = torch.arange(rays).repeat_interleave(_RADII)
    steps = _RADII + _SECANT_STEPS
    margin, runner_up = field(every, radii.flatten(), lambda part: on_progress(part * _RADII / steps))
    margin, runner_up = margin.view(rays, _RADII), runner_up.view(rays, _RADII)
    event = ~(margin > 0)
    first = event.to(torch.uint8).argmax(1, keepdim=True)
    found = (event.any(1) & (margin.gather(1, first)[:, 0] <= 0)).nonzero()[:, 0]
    distance = torch.full((rays,), torch.nan, dtype=torch.float64)
    reached = torch.full((rays,), -1)
    if len(found):
        start = torch.tensor([[0.0, field.at_start]], dtype=torch.float64).expand(rays, 2)
        radii = torch.cat([start[:, :1], radii], 1)[found]
        margin = torch.cat([start[:, 1:], margin], 1)[found]
        before = first[found]  # the start is now the first column, so the event itself is one column later
        behind = before + 1
        bracket = _Bracket(
            low=radii.gather(1, before)[:, 0],
            above=margin.gather(1, before)[:, 0],
            high=radii.gather(1, behind)[:, 0],
            below=margin.gather(1, behind)[:, 0],
            runner_up=runner_up[found].gather(1, before)[:, 0],
        )
        for step in range(_SECANT_STEPS):
            on_progress((_RADII + step) / steps)
            at = bracket.secant()
            bracket.narrow(at, *field(found, at, lambda part: None))
        distance[found], reached[found] = bracket.zero(), bracket.runner_up
    return distance, reached


class _Bracket:
    """Intervals [low, high] with a margin >= 0 at low and <= 0 at high, one per ray."""

    def __init__(self, low: Tensor, above: Tensor, high: Tensor, below: Tensor, runner_up: Tensor) -> None:
        self.low, self.above, self.high, self.below, self.runner_up = low, above, high, below, runner_up
        self._closest = below.abs()  # |margin| at the point that named the runner-up
        self._weights = above.clone(), below.clone()  # margins as the Illinois rule halves them
        self._side = torch.zeros_like(low)  # which end moved last: 1 low, -1 high

    def secant(self) -> Tensor:
        """The zero of the line through both (halved) margins."""
        return _zero_between(self.low, self._weights[0], self.high, self._weights[1])

    def zero(self) -> Tensor:
        """The zero of the line through both true margins."""
        return _zero_between(self.low, self.above, self.high, self.below)

    def narrow(self, at: Tensor, margin: Tensor, runner_up: Tensor) -> None:
        """Move one end of each interval to a point inside it; undefined margins move neither."""
        inside, beyond = margin > 0, margin <= 0
        above, below = self._weights
        halved_above = torch.where(self._side == -1, above / 2, above)  # high moves twice in a row
        halved_below = torch.where(self._side == 1, below / 2, below)
        self._weights = (
            torch.where(inside, margin, torch.where(beyond, halved_above, above)),
            torch.where(beyond, margin, torch.where(inside, halved_below, below)),
        )
        self.low, self.above = torch.where(inside, at, self.low), torch.where(inside, margin, self.above)
        self.high, self.below = torch.where(beyond, at, self.high), torch.where(beyond, margin, self.below)
        self._side = torch.where(inside, 1.0, torch.where(beyond, -1.0, self._side))
        closer = margin.abs() <= self._closest
        self.runner_up = torch.where(closer, runner_up, self.runner_up)
        self._closest = torch.where(closer, margin.abs(), self._closest)


def _zero_between(low: Tensor, above: Tensor, high: Tensor, below: Tensor) -> Tensor:
    """The zero of the line through (low, above) and (high, below), kept between them; low where the line is flat."""
    fall = above - below
    part = (above / fall).where(fall > 0, 0.0).clamp(0, 1)
    return low + part * (high - low)


# -- to first order ---------------------------------------------------------------------------------------------------


def linearised_distance(slice: Slice) -> np.ndarray:
    """Distance to the boundary to first order, |s_k| / ||grad s_k||, with k the label of each point.

    The gradient is that in the plane, by second-order differences on the grid: central, one-sided at the frame. Where
    logits are affine and the runner-up stays the same, this is the distance to its boundary line; nearer to a smooth
    boundary than one step h it is exact to O(h^2). Where the classifier was not evaluated at every point, differences
    are taken on the finest lattice around a point on which it was, and the slope is bilinear between the points of that
    lattice.

    Args:
        slice: of at least 3 points a side; for fewer, all is NaN.

    Returns:
        (r, r) lengths in ℓ2 pixel units; NaN where a label that is needed is undefined, or the gradient is 0.
    """
    distance = np.full(slice.label.shape, np.nan)
    if len(slice.label) < 3 or not len(slice.classes):
        return distance
    fits = [d for d in (16, 8, 4, 2) if (len(slice.label) - 1) // d >= 2 and slice.evaluated[::d, ::d].all()]
    spacing = 1 if slice.evaluated.all() else max(fits, default=1)
    slope = _slope(slice, spacing)
    while spacing > 1:
        spacing //= 2
        finer, known = _slope(slice, spacing), _evaluated_around(slice.evaluated[::spacing, ::spacing])
        between = _between(slope, len(finer))
        slope = np.where(known | np.isnan(between), finer, between)
    np.divide(slice.margin, slope, out=distance, where=(slope > 0) & (slice.label >= 0))
    return distance


def _stencil(side: int) -> tuple[np.ndarray, np.ndarray]:
    """For each point the first of three consecutive points, with itself in the middle or at an end; and the weights."""
    weights = np.tile([-0.5, 0.0, 0.5], (side, 1))
    weights[0], weights[-1] = (-1.5, 2.0, -0.5), (0.5, -2.0, 1.5)
    return (np.arange(side) - 1).clip(0, side - 3), weights


def _slope(slice: Slice, spacing: int) -> np.ndarray:
    """||grad s_k|| at the points of a lattice, per ℓ2 pixel unit, from differences on it; NaN where undefined."""
    lattice = np.s_[::spacing, ::spacing]
    label, margin, logits = slice.label[lattice], slice.margin[lattice], slice.logits[lattice]
    position = np.searchsorted(slice.classes, label).clip(max=len(slice.classes) - 1)[..., None]
    top = np.take_along_axis(logits, position, 2)[..., 0].astype(np.float64)
    top[label < 0] = np.nan

    def margin_at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The signed margin of each point's label at the point in these rows and columns."""
        there = np.ix_(rows, columns)
        behind = np.take_along_axis(logits[there], position, 2)[..., 0] - top[there]
        return np.asarray(np.where(label[there] == label, margin[there], behind))

    every = np.arange(len(label))
    first, weights = _stencil(len(label))
    along_x = np.sum([weights[:, place] * margin_at(every, first + place) for place in range(3)], 0)
    along_y = np.sum([weights[:, place, None] * margin_at(first + place, every) for place in range(3)], 0)
    return np.asarray(np.hypot(along_x, along_y) / (slice.step * spacing))


def _evaluated_around(evaluated: np.ndarray) -> np.ndarray:
    """Where all points of both stencils were evaluated."""
    first, _ = _stencil(len(evaluated))
    return np.asarray(np.all([evaluated[first + k] & evaluated[:, first + k] for k in range(3)], 0))


def _between(values: np.ndarray, side: int) -> np.ndarray:
    """Values on the lattice of half the spacing, bilinear; beyond the last point, the value there."""
    for axis in (0, 1):
        values = np.swapaxes(values, 0, axis)
        finer = np.repeat(values, 2, 0)
        finer[1:-1:2] = (values[:-1] + values[1:]) / 2
        values = np.swapaxes(finer[:side], 0, axis)
    return values
