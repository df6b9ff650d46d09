"""The point of a region's boundary that is nearest to an image.

The region of class s is where its signed margin F(x) = f_s(x) - max_{k != s} f_k(x) is positive; its boundary is F = 0,
whose unit normal n = grad F / ||grad F|| points into the region. A boundary point z is nearest to x in the norm p, to
first order, where x - z is the direction of steepest ascent,

    <x - z, n> = ||x - z||_p ||n||_q,    1/p + 1/q = 1,

which for p = 2 says that x - z and n are parallel. `closest_points` slides along the boundary until that holds: towards
the nearest point of the tangent plane, then along the ray from x back to F = 0. In the ℓ2 norm the step towards it is
divided by 1 + k D, with D = ||x - z|| and k the curvature of the boundary along the step (positive where the boundary
turns away from x): undamped, an offset e becomes -k D e, which grows where k D > 1. Conjugate directions follow long
valleys.

The damping is the Newton step for ||x - z||² on the boundary along one direction.

Reference: for the directions, Polak and Ribière, Note sur la convergence de méthodes de directions conjuguées, 1969,
with restarts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from core.geometry.boundary.bracketing import compaction_schedule
from core.geometry.boundary.signed_margin import (
    Classes,
    Images,
    Norm,
    Rows,
    SignedMargin,
    dual_length,
    dual_vector,
    length,
    per_row,
    row_dot,
)

_ALIGNED = 0.1  # degrees: at k = 0 an angle a costs a²/2 of the distance, here 1.5e-6
_LEAST_CURVATURE = -0.75  # of k D: a boundary that closes around x makes the step at most 4 times as long
_LEAST_DAMPING = 2.0**-6  # with less, a row has stalled
_STEEPER = 4.0  # largest ratio of the secant's slope to the gradient's, or its inverse
_RETURNED = 1e-2  # longest last secant step along the ray, relative to the distance


def alignment(displacement: Images, normal: Images, norm: Norm) -> Rows:
    """The angle between image - point and the normal, in degrees: 0 where the point is nearest to first order.

    In a norm p its cosine is <x - z, n> / (||x - z||_p ||n||_q); for p = 2 this is the usual angle.

    Args:
        displacement: point - image; where it is 0, so is the angle.
        normal: of any length, into the image's region; where it is 0, the angle is NaN.
        norm: p.
    """
    far = length(displacement, norm)
    cosine = -row_dot(displacement, normal) / (far * dual_length(normal, norm))
    return cosine.clamp(-1, 1).arccos().rad2deg().where(far > 0, 0.0)


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
        norm: the norm in which distances are minimised.
        max_steps: most slides of one point.
        tick: called with the fraction done, now and then.

    Returns:
        Points with F = 0 to a small fraction of the distance, none further away than before, and the number of slides
        tried for each.
    """
    way = points - images  # held instead of the points: it is shorter, and so has more digits
    slides = torch.zeros_like(source)
    damping = torch.ones_like(way[:, 0, 0, 0])
    before = torch.zeros_like(way), torch.zeros_like(way)
    running = torch.ones_like(source, dtype=torch.bool)
    rows = torch.arange(len(images), device=images.device)
    drops = compaction_schedule(max_steps, images.device)
    for step in range(1, max_steps + 1):
        here = _Slide(margin, images[rows], way[rows], source[rows], norm)
        moves = running[rows] & (here.angle > _ALIGNED)  # also False where the gradient vanished: then it is NaN
        direction, reach = here.direction(before[0][rows], before[1][rows])
        new, shorter = here.follow(direction, reach * damping[rows])
        accepted = moves & shorter
        column = per_row(accepted)
        way[rows] = torch.where(column, new, here.way)
        before[0][rows] = torch.where(column, here.toward, torch.zeros_like(new))
        before[1][rows] = torch.where(column, direction, torch.zeros_like(new))
        damping[rows] = torch.where(accepted, (2 * damping[rows]).clamp(max=1), damping[rows] / 2)
        slides[rows] += moves
        running[rows] = moves & (damping[rows] >= _LEAST_DAMPING)
        if step in drops:
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
        depth = -row_dot(way, self.gradient) / steepness  # of the tangent plane, seen from the image
        self.toward = -per_row(depth) * dual_vector(self.gradient, norm) - way  # tangential, to its nearest point

    def direction(self, toward: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """The direction of the step and the part of it to go, from `toward` and `direction` of the step before.

        Both are 0 where there was none.
        """
        if self._norm != 2:
            return self.toward, torch.ones_like(self.distance)
        before = row_dot(toward, toward)
        grown = row_dot(self.toward, self.toward - toward) / before
        share = grown.clamp(min=0).where(before > 0, 0.0)
        normal = dual_vector(self.gradient, 2)
        chosen = self.toward + per_row(share) * (direction - per_row(row_dot(direction, normal)) * normal)
        useful = row_dot(chosen, self.toward) > 0
        chosen = torch.where(per_row(useful), chosen, self.toward)
        square = row_dot(chosen, chosen)
        reach = (row_dot(chosen, self.toward) / square).nan_to_num(0.0)  # to where the tangent plane is nearest
        probe = self._margin(self._images + self.way + per_row(reach) * chosen, self._source)
        moved = reach.square() * square
        curvature = 2 * (probe - self.at) / (length(self.gradient, 2) * moved) * self.distance  # k D, over this length
        return chosen, reach / (1 + curvature.nan_to_num(0.0).clamp(min=_LEAST_CURVATURE))

    def follow(self, direction: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
        """Go that far, then back to F = 0 along the ray from the image; returns new ways, and which are shorter.

        On the ray x + t w the margin changes by <grad F, w> per t: one step with that slope, then one with the
        secant's. Where both margins are within the noise of the logits, the secant is meaningless: it is used only
        where it is near the slope.
        """
        way = self.way + per_row(reach) * direction
        slope = row_dot(self.gradient, way)
        first = self._margin(self._images + way, self._source)
        t = 1 - first / slope
        second = self._margin(self._images + per_row(t) * way, self._source)
        secant = (second - first) / (t - 1)
        likely = (secant / slope > 1 / _STEEPER) & (secant / slope < _STEEPER)
        correction = second / torch.where(likely, secant, slope)
        t = t - correction
        shorter = t * length(way, self._norm) < self.distance
        return per_row(t) * way, shorter & (correction.abs() <= _RETURNED) & (t > 0)
