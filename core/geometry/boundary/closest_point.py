"""The point of a region's boundary that is nearest to an image.

Class s has the region where its signed margin F(x) = f_s(x) - max_{k != s} f_k(x) is positive; the boundary is F = 0,
its unit normal n = grad F / ||grad F|| points into the region. A point z of it is nearest to x in the norm p, to first
order, where x - z is the steepest way up,

    <x - z, n> = ||x - z||_p ||n||_q,    1/p + 1/q = 1,

which for p = 2 says that x - z and n are parallel. `closest_points` slides along the boundary until that holds: towards
the nearest point of the tangent plane, then along the ray from x back to F = 0. In the ℓ2 norm the step towards it is
divided by 1 + k D, with D = ||x - z|| and k the bend of the boundary along the step (positive where the boundary turns
away from x): undamped, an offset e becomes -k D e, which grows where k D > 1. Conjugate directions follow long valleys.

References: the damping is the Newton step for ||x - z||² on the boundary along one direction. Directions: Polak and
Ribière, Note sur la convergence de méthodes de directions conjuguées, 1969, with restarts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.geometry.common.fused_inference import folded
from core.models.classifier import Classifier

Norm = Literal[1, 2, "inf"]
NORMS: tuple[Norm, ...] = get_args(Norm)

Images = Float[Tensor, "n c h w"]
Rows = Float[Tensor, " n"]
Classes = Int[Tensor, " n"]

_DUAL: dict[Norm, float] = {1: float("inf"), 2: 2.0, "inf": 1.0}
_ALIGNED = 0.1  # degrees: at k = 0 an angle a costs a²/2 of the distance, here 1.5e-6
_LEAST_BEND = -0.75  # of k D: a boundary that closes around x makes the step at most 4 times as long
_LEAST_DAMPING = 2.0**-6  # below it a row has stalled
_STEEPER = 4.0  # how much steeper or flatter than the gradient says
_RETURNED = 1e-2  # of the distance: how far the last secant step along the ray may go
_SECTIONS = 60  # steps of a bracket; one in four halves it


class Slope(NamedTuple):
    """The signed margin of each row, its gradient, and the largest other class, which the gradient belongs to."""

    margin: Rows
    gradient: Images
    rival: Classes


class SignedMargin:
    """The signed margin of each row's own class, with a count of the images put forward and backward."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = folded(classifier)
        self.dtype = torch.promote_types(classifier.dtype, torch.float32)  # lengths need more digits than half has
        self.forwards = 0
        self.gradients = 0

    def logits(self, images: Images) -> Float[Tensor, "n k"]:
        """All logits."""
        self.forwards += len(images)
        return self._classifier(images.to(self._classifier.dtype)).to(self.dtype)

    def __call__(self, images: Images, source: Classes) -> Rows:
        """f_s - max_{k != s} f_k: NaN where a logit is not finite."""
        with torch.no_grad():
            return _ahead(self.logits(images), source)[0]

    def slope(self, images: Images, source: Classes) -> Slope:
        """The signed margin with its gradient: one forward, one backward."""
        with torch.no_grad():
            points = images.detach()
        with torch.enable_grad():
            points.requires_grad_()
            margin, rival = _ahead(self.logits(points), source)
            gradient = self._gradient(margin, points, keep=False)
        return Slope(margin.detach(), gradient, rival)

    def leads(self, images: Images, source: Classes, classes: Int[Tensor, "n j"]) -> Iterator[tuple[Rows, Images]]:
        """f_s - f_k and its gradient for each column k of `classes` in turn: one forward, j backwards of its graph.

        One backward for all columns (`is_grads_batched`) takes as long on the CPU (0.96 to 1.17 of the loop on the demo
        models), j times the memory, and a batching rule for every operation of the model.
        """
        with torch.enable_grad():
            points = images.detach().requires_grad_()
            logits = self.logits(points)
            own = logits.gather(1, source[:, None])
            leads = own - logits.gather(1, classes)
        for column in range(classes.shape[1]):
            with torch.enable_grad():
                lead = leads[:, column]
                gradient = self._gradient(lead, points, keep=column + 1 < classes.shape[1])
            yield lead.detach(), gradient

    def _gradient(self, lead: Tensor, points: Tensor, keep: bool) -> Tensor:
        """Of each row's value in its own image: rows do not see each other, so the sum has the same gradient."""
        self.gradients += len(points)
        if not lead.requires_grad:  # logits that do not depend on the image
            return torch.zeros_like(points)
        (gradient,) = torch.autograd.grad(lead.sum(), points, retain_graph=keep, materialize_grads=True)
        return gradient.detach().contiguous()


def _ahead(logits: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    own = logits.gather(1, source[:, None])
    other, rival = logits.scatter(1, source[:, None], -torch.inf).max(1)
    return (own[:, 0] - other).where(torch.isfinite(logits).all(1), torch.nan), rival


def length(displacement: Images, norm: Norm) -> Rows:
    """The p-norm of each row."""
    norms: Rows = torch.linalg.vector_norm(displacement.flatten(1), float(norm), 1)
    return norms


def dual_length(gradient: Images, norm: Norm) -> Rows:
    """The q-norm of each row, 1/p + 1/q = 1: how fast a linear function grows per step of p-norm 1."""
    norms: Rows = torch.linalg.vector_norm(gradient.flatten(1), _DUAL[norm], 1)
    return norms


def steepest(gradient: Images, norm: Norm) -> Images:
    """The step of p-norm 1 along which a linear function grows fastest; 0 where its gradient is 0.

    The gradient over its length for p = 2, its signs for p = inf, its largest entry alone for p = 1.
    """
    if norm == "inf":
        return gradient.sign()
    if norm == 2:
        return gradient / _column(length(gradient, 2).clamp(min=torch.finfo(gradient.dtype).tiny))
    flat = gradient.flatten(1)
    largest = flat.abs().argmax(1, keepdim=True)
    return torch.zeros_like(flat).scatter(1, largest, flat.gather(1, largest).sign()).view_as(gradient)


def looks(steps: int, device: torch.device) -> frozenset[int]:
    """After which of the steps 1, 2, ... the finished rows are looked for and dropped: all of them on the CPU.

    On a GPU each look makes the processor wait for the device, while a finished row left in costs its share of a step:
    1, 2, 3, 4, 6, 9, 13, ... and the last. Early on many rows finish at once; later few do, and with looks 1.5 times
    apart at most a third of a row's steps are in vain.
    """
    if device.type == "cpu":
        return frozenset(range(1, steps + 1))
    chosen, step = {steps}, 1
    while step < steps:
        chosen.add(step)
        step = max(step + 1, int(1.5 * step))
    return frozenset(chosen)


def zero_between(
    margin: SignedMargin, inside: Images, beyond: Images, source: Classes, tolerance: float
) -> tuple[Images, Bool[Tensor, " n"]]:
    """Where the margin is 0 between a point inside the region and one beyond its boundary.

    Regula falsi with the Illinois rule; a step is kept half a tolerance away from both ends, so that the interval
    closes from both sides, and every fourth one halves it.

    Args:
        margin: the signed margin.
        inside: images with margin >= 0.
        beyond: images with margin <= 0.
        source: the class of each row.
        tolerance: length of the last interval, relative to the way from `inside` to the boundary.

    Returns:
        The points, and which intervals were closed: not those with undefined margins in them.
    """
    bracket = _Bracket(margin(inside, source), margin(beyond, source), tolerance)
    rows = torch.arange(len(inside), device=inside.device)
    looked = looks(_SECTIONS, inside.device)
    for step in range(1, _SECTIONS + 1):
        at = bracket.middle(rows) if step % 4 == 0 else bracket.secant(rows)
        found = margin(inside[rows] + _column(at) * (beyond[rows] - inside[rows]), source[rows])
        bracket.narrow(rows, at, found)
        if step in looked:
            rows = rows[~bracket.closed[rows]]
            if not len(rows):
                break
    return inside + _column(bracket.zero()) * (beyond - inside), bracket.closed


class _Bracket:
    """Intervals [low, high] with a margin >= 0 at low and <= 0 at high, one per row."""

    def __init__(self, above: Tensor, below: Tensor, tolerance: float) -> None:
        self._tolerance = tolerance
        self._low, self._high = torch.zeros_like(above), torch.ones_like(above)
        self._above, self._below = above, below
        self._weights = above.clone(), below.clone()  # margins as the Illinois rule halves them
        self._side = torch.zeros_like(above)  # which end moved last: 1 low, -1 high
        self.closed = (above == 0) | (below == 0)

    def middle(self, rows: Tensor) -> Tensor:
        """The middle of the interval."""
        return (self._low[rows] + self._high[rows]) / 2

    def secant(self, rows: Tensor) -> Tensor:
        """Where the line through both (halved) margins is 0, but half a tolerance away from both ends."""
        low, high = self._low[rows], self._high[rows]
        least = self._tolerance * high / 2
        at = low + _part(self._weights[0][rows], self._weights[1][rows]) * (high - low)
        return at.maximum(low + least).minimum(high - least)

    def narrow(self, rows: Tensor, at: Tensor, margin: Tensor) -> None:
        """Move one end of each of these intervals to a point inside it; undefined margins move none."""
        inside, beyond = margin > 0, margin <= 0
        side = inside.to(margin.dtype) - beyond.to(margin.dtype)
        again = (side == self._side[rows]) & (side != 0)
        above, below = self._weights
        above[rows] = torch.where(inside, margin, torch.where(again, above[rows] / 2, above[rows]))
        below[rows] = torch.where(beyond, margin, torch.where(again, below[rows] / 2, below[rows]))
        self._low[rows] = low = torch.where(inside, at, self._low[rows])
        self._above[rows] = torch.where(inside, margin, self._above[rows])
        self._high[rows] = high = torch.where(beyond, at, self._high[rows])
        self._below[rows] = torch.where(beyond, margin, self._below[rows])
        self._side[rows] = side
        narrow = high - low <= 1.01 * self._tolerance * high  # the ends are rounded
        self.closed[rows] = self.closed[rows] | narrow | (margin == 0)

    def zero(self) -> Tensor:
        """Where the line through both true margins is 0."""
        return self._low + _part(self._above, self._below) * (self._high - self._low)


def _part(above: Tensor, below: Tensor) -> Tensor:
    """Where, between 0 and 1, the line from above >= 0 to below <= 0 is 0; in the middle where that is undefined."""
    return (above / (above - below)).nan_to_num(0.5).clamp(0, 1)


def _column(values: Tensor) -> Tensor:
    """One value per row, to be multiplied with images."""
    return values.view(-1, 1, 1, 1)


def alignment(displacement: Images, normal: Images, norm: Norm) -> Rows:
    """The angle between image - point and the normal, in degrees: 0 where the point is nearest to first order.

    In a norm p, the angle with cosine <x - z, n> / (||x - z||_p ||n||_q), which for p = 2 is the usual one.

    Args:
        displacement: point - image; where it is 0, so is the angle.
        normal: of any length, into the image's region; where it is 0, the angle is NaN.
        norm: p.
    """
    across = -(displacement * normal).flatten(1).sum(1)
    far, steepness = length(displacement, norm), dual_length(normal, norm)
    cosine = (across / (far * steepness)).clamp(-1, 1)
    return cosine.arccos().rad2deg().where(far > 0, 0.0)


def closest_points(
    margin: SignedMargin,
    images: Images,
    points: Images,
    source: Classes,
    *,
    norm: Norm,
    max_steps: int,
    tick: Callable[[float], None],
) -> tuple[Images, Int[Tensor, " n"]]:
    """Slide points along the boundary towards the images.

    Args:
        margin: the signed margin.
        images: the images.
        points: a point of the boundary for each.
        source: the class of each image.
        norm: the norm in which to be near.
        max_steps: most slides of one point.
        tick: told the fraction done, now and then.

    Returns:
        Points with F = 0 to a small fraction of the distance, none further than it was, and the slides tried for each.
    """
    way = points - images  # kept instead of the points: it is shorter, and so has more digits
    slides = torch.zeros_like(source)
    damping = torch.ones_like(way[:, 0, 0, 0])
    before = torch.zeros_like(way), torch.zeros_like(way)
    running = torch.ones_like(source, dtype=torch.bool)
    rows = torch.arange(len(images), device=images.device)
    looked = looks(max_steps, images.device)
    for step in range(1, max_steps + 1):
        here = _Slide(margin, images[rows], way[rows], source[rows], norm)
        moves = running[rows] & (here.angle > _ALIGNED)  # also False where the gradient vanished: then it is NaN
        direction, reach = here.direction(before[0][rows], before[1][rows])
        new, shorter = here.follow(direction, reach * damping[rows])
        accepted = moves & shorter
        column = _column(accepted)
        way[rows] = torch.where(column, new, here.way)
        before[0][rows] = torch.where(column, here.toward, torch.zeros_like(new))
        before[1][rows] = torch.where(column, direction, torch.zeros_like(new))
        damping[rows] = torch.where(accepted, (2 * damping[rows]).clamp(max=1), damping[rows] / 2)
        slides[rows] += moves
        running[rows] = moves & (damping[rows] >= _LEAST_DAMPING)
        if step in looked:
            tick(step / max_steps)
            rows = rows[running[rows]]
            if not len(rows):
                break
    return images + way, slides


class _Slide:
    """One step along the boundary from each of n points, given by their ways from the images."""

    def __init__(self, margin: SignedMargin, images: Tensor, way: Tensor, source: Tensor, norm: Norm) -> None:
        self._margin, self._images, self._source, self._norm = margin, images, source, norm
        self.way = way
        self.distance = length(way, norm)
        self.at, self.gradient, _ = margin.slope(images + way, source)
        self.angle = alignment(way, self.gradient, norm)
        steepness = dual_length(self.gradient, norm)
        depth = -(way * self.gradient).flatten(1).sum(1) / steepness  # of the tangent plane, seen from the image
        self.toward = -_column(depth) * steepest(self.gradient, norm) - way  # tangential: to its nearest point

    def direction(self, toward: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Where to go from here, and how much of it, given what was wanted and done one step before (0: nothing)."""
        if self._norm != 2:
            return self.toward, torch.ones_like(self.distance)
        grown = _dot(self.toward, self.toward - toward) / _dot(toward, toward)
        share = grown.clamp(min=0).where(_dot(toward, toward) > 0, 0.0)
        normal = steepest(self.gradient, 2)
        chosen = self.toward + _column(share) * (direction - _column(_dot(direction, normal)) * normal)
        useful = _dot(chosen, self.toward) > 0
        chosen = torch.where(_column(useful), chosen, self.toward)
        reach = (_dot(chosen, self.toward) / _dot(chosen, chosen)).nan_to_num(0.0)  # to where the plane is nearest
        probe = self._margin(self._images + self.way + _column(reach) * chosen, self._source)
        moved = reach.square() * _dot(chosen, chosen)
        bend = 2 * (probe - self.at) / (length(self.gradient, 2) * moved) * self.distance  # k D, as seen at this length
        return chosen, reach / (1 + bend.nan_to_num(0.0).clamp(min=_LEAST_BEND))

    def follow(self, direction: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
        """Go that far, then back to F = 0 along the ray from the image; new ways, and which are shorter.

        On the ray x + t w the margin falls by <grad F, w> per t: one step with that slope, then one with the secant's.
        Where both points are at the noise of the logits the secant means nothing: it may not be far from the slope.
        """
        way = self.way + _column(reach) * direction
        slope = _dot(self.gradient, way)
        first = self._margin(self._images + way, self._source)
        t = 1 - first / slope
        second = self._margin(self._images + _column(t) * way, self._source)
        secant = (second - first) / (t - 1)
        likely = (secant / slope > 1 / _STEEPER) & (secant / slope < _STEEPER)
        correction = second / torch.where(likely, secant, slope)
        t = t - correction
        shorter = (correction.abs() <= _RETURNED) & (t * length(way, self._norm) < self.distance)
        return _column(t) * way, shorter & (t > 0)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)
