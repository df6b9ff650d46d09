"""SparseFool: crossing the boundary along few axes, by planes that follow it.

DeepFool finds a point x_B of the boundary near a point z, with the unit normal n towards the other class. The smallest
sparse change in the pixel box that gains

    b = lambda <n, x_B - z> + 2 kappa F(x) / ||grad F||

along n (`core.geometry.sparse.box_solver`) leads to the next z. Where the boundary is curved that point may still be on
the source side: then DeepFool starts again from there, until the margin demanded, F < -kappa F(x), is met at
x + 1.02 (z - x) in the box. lambda >= 1 pushes the plane beyond the boundary: fewer loops, more pixels; several lambdas
run side by side, and where the box is too small for a push, the plane stays where it is. The order "l1" goes on from z,
as published; "l0" and "pixel" solve again from the image, with x in place of z in b, since from z they would count only
what is new. They go on from z too after four loops, or once a plane cannot be reached from the image: where the classes
part at a minimum of several pixels, each plane knows only one of them.

Where a boundary point lies behind (b <= 0), the plane is the margin's linearisation at z instead. A plane is where the
margin's linearisation at x_B is 0, so that what DeepFool left of it is counted too. With each loop lambda grows by a
fifth; and DeepFool heads for the class chosen at the image, later for the runner-up at the point where it stands.

References: Modas, Moosavi-Dezfooli, Frossard, SparseFool: a few pixels make a big difference, CVPR 2019 (arXiv
1811.02248), Algorithm 2; DeepFool: see `core.geometry.boundary.deepfool`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.boundary.bracketing import compaction_schedule, zero_between
from core.geometry.boundary.signed_margin import Images, Rows, dual_vector, length, per_row, row_dot
from core.geometry.sparse.box_solver import SparseOrder, solve
from core.geometry.sparse.counted_margin import Numbers, SparseProblem

TargetRule = Literal["l2", "l0"]
TARGET_RULES: tuple[TargetRule, ...] = get_args(TargetRule)

FOUND, STALLED, INFEASIBLE, NOT_REACHED, NO_DIRECTION, UNDEFINED = range(6)  # how a row ended; better ones first
_RUNNING = -1

_CANDIDATES: dict[TargetRule, int] = {"l2": 4, "l0": 9}  # classes weighed at the image, those with the largest logits
_OVERSHOOT = 0.02  # as in the DeepFool and SparseFool experiments
_FLOOR = 1e-4  # ℓ2 pixel: shorter steps stall on ties
_STEPS = 50  # of DeepFool, from one point
_PATIENCE = 1  # loops that a row is given after another row of its image has arrived
_EAGER = 1.2  # growth of lambda per loop: without it, one of eight demo photographs never arrives
_FRESH = 4  # loops that solve from the image, before they go on from z in every order
_ENCLOSED = 1e-4  # length of the interval around the first boundary point, relative to its distance


class FirstPlane(NamedTuple):
    """DeepFool's boundary point near each image, and the boundary's plane there."""

    point: Images
    normal: Images  # of length 1, towards the other class
    steepness: Rows  # of the margin
    status: Int[Tensor, " n"]  # FOUND, or why there is none


class Attempts(NamedTuple):
    """The rows of a search: one per image and multiplier."""

    number: Numbers  # of the image
    multiplier: Rows  # lambda
    adversarial: Images  # the image itself where none was found
    place: Int[Tensor, "n h w"]  # at which each pixel came in the solver's order
    status: Int[Tensor, " n"]
    loops: Int[Tensor, " n"]


def first_planes(
    problem: SparseProblem,
    logits: Float[Tensor, "n k"],
    start: Images,
    *,
    rule: TargetRule,
    order: SparseOrder,
) -> FirstPlane:
    """DeepFool from the images themselves, or from beside them.

    Args:
        problem: the images and their box.
        logits: at the images, finite.
        start: starting points.
        rule: head for the class whose linearised boundary is nearest ("l2"), or crossed with the fewest items ("l0").
        order: order that defines these items.

    Returns:
        The planes; 0 where there is none.
    """
    counted, images = problem.counted, problem.images
    status = torch.full_like(counted.source, _RUNNING)
    way, beyond = start - images, start.clone()
    candidates = min(_CANDIDATES[rule], logits.shape[1] - 1)
    others = logits.scatter(1, counted.source[:, None], -torch.inf).topk(candidates, 1).indices
    rows = torch.arange(len(images), device=images.device)
    drops = compaction_schedule(_STEPS, images.device)
    for step in range(1, _STEPS + 1):
        clean = images[rows]
        margins = list(counted.class_margins(clean + way[rows], rows, others[rows]))
        chosen = _headed_for(problem, margins, order if rule == "l0" else None) if step == 1 else 0 * rows
        if step == 1:
            others = others.gather(1, chosen[:, None])
        margin = torch.stack([each for each, _ in margins], 1).gather(1, chosen[:, None])[:, 0]
        slope = torch.stack([each for _, each in margins], 1)[torch.arange(len(rows), device=rows.device), chosen]
        size = (margin.abs() / length(slope, 2)).clamp(min=_FLOOR)
        runs = status[rows] == _RUNNING
        goes = runs & torch.isfinite(size)
        on = torch.where(per_row(goes), way[rows] - per_row(size) * dual_vector(slope, 2), way[rows])
        there = clean + (1 + _OVERSHOOT) * on
        crossed = goes & (counted(there, rows) < 0)
        way[rows] = on
        beyond[rows] = torch.where(per_row(crossed), there, beyond[rows])
        status[rows] = torch.where(crossed, FOUND, torch.where(runs & ~goes, NO_DIRECTION, status[rows]))
        if step in drops:
            rows = rows[status[rows] == _RUNNING]
            if not len(rows):
                break
    return _planes(problem, beyond, status.where(status != _RUNNING, NOT_REACHED))


def _headed_for(problem: SparseProblem, margins: Sequence[tuple[Tensor, Tensor]], order: SparseOrder | None) -> Tensor:
    """The class to head for: the nearest to first order, or the one that this order crosses with the fewest items."""
    distance = torch.stack(
        [(margin.abs() / length(slope, 2)).nan_to_num(torch.inf, torch.inf) for margin, slope in margins]
    )
    if order is not None:
        count = torch.stack([_items(problem, -slope, margin, order) for margin, slope in margins])
        distance = count + distance / (1 + distance.clamp(max=1 / _FLOOR))  # of equal counts, the nearer one
    return distance.nan_to_num(torch.inf).argmin(0)


def _items(problem: SparseProblem, towards: Tensor, margin: Tensor, order: SparseOrder) -> Tensor:
    """The items needed to cross the linearised boundary of a class; infinite where the box is too small."""
    counted: SparseOrder = "pixel" if order == "pixel" else "l0"
    found = solve(towards, margin, problem.low - problem.images, problem.high - problem.images, counted)
    changed = (found.change != 0).flatten(2)
    count = changed.any(1).sum(1) if counted == "pixel" else changed.flatten(1).sum(1)
    return count.to(margin.dtype).where(found.feasible, torch.inf)


def _planes(problem: SparseProblem, beyond: Tensor, status: Tensor) -> FirstPlane:
    """Enclose the boundary between the images and points beyond it, and take its gradient there."""
    counted, images = problem.counted, problem.images
    point, normal, steepness = images.clone(), torch.zeros_like(images), torch.zeros_like(images[:, 0, 0, 0])
    rows = (status == FOUND).nonzero()[:, 0]
    if len(rows):
        at, closed = zero_between(counted, images[rows], beyond[rows], rows, _ENCLOSED)
        _, gradient, _ = counted.slope(at, rows)
        steep = length(gradient, 2)
        known = closed & (steep > 0) & steep.isfinite()
        point[rows], normal[rows], steepness[rows] = at, -dual_vector(gradient, 2), steep
        status[rows] = torch.where(known, FOUND, torch.where(closed, NO_DIRECTION, UNDEFINED))
    lost = per_row(status != FOUND)
    return FirstPlane(point.masked_fill(lost, 0), normal.masked_fill(lost, 0), steepness, status)


def sparsefool(
    problem: SparseProblem,
    first: FirstPlane,
    *,
    order: SparseOrder,
    multipliers: Sequence[float],
    max_loops: int,
    tick: Callable[[float], None],
) -> Attempts:
    """Run SparseFool from each image with each multiplier.

    Args:
        problem: the images, their box and the margin demanded.
        first: their first planes.
        order: size that the solver minimises.
        multipliers: lambdas, at least 1 each.
        max_loops: planes before a row is given up.
        tick: called with the fraction done.

    Returns:
        A row per image and multiplier, multiplier by multiplier.
    """
    search = _Search(problem, first, order, multipliers, max_loops)
    most = max_loops * (2 + _STEPS)
    drops = compaction_schedule(most, problem.images.device)
    rows = search.running()
    for step in range(1, most + 1):
        if not len(rows):
            break
        search.advance(rows)
        if step in drops or step % _STEPS == 0:
            rows = search.running()
            tick(float(search.loops.max()) / max_loops)
    return search.attempts()


class _Search:
    """Rows, each in one of two phases: DeepFool walks on from z, or a plane has been met and is solved against.

    A step is one gradient, at z + way, and one test forward for every row, whichever phase it is in.
    """

    def __init__(
        self,
        problem: SparseProblem,
        first: FirstPlane,
        order: SparseOrder,
        multipliers: Sequence[float],
        max_loops: int,
    ) -> None:
        self._margin, self._images, self._low, self._high = (
            problem.counted,
            problem.images,
            problem.low,
            problem.high,
        )
        self._order, images = order, problem.images
        count, device = len(images), images.device
        self._number = torch.arange(count, device=device).repeat(len(multipliers))
        self._multiplier = torch.tensor(multipliers, dtype=images.dtype, device=device).repeat_interleave(count)
        self._demanded = problem.demanded(self._number)
        self._z = images[self._number]
        self._way, self._adversarial = torch.zeros_like(self._z), self._z.clone()
        self._walks = torch.zeros_like(self._number, dtype=torch.bool)
        self._steps, self.loops = torch.zeros_like(self._number), torch.zeros_like(self._number)
        self._ends = torch.full_like(self.loops, max_loops)
        self._onward = torch.full_like(self._walks, order == "l1")
        self._again, self._hurried = torch.zeros_like(self._walks), torch.zeros_like(self._walks)
        self._arrived = torch.zeros_like(first.status, dtype=torch.bool)  # images, by any of their rows
        self._place = torch.full((len(self._number), *images.shape[2:]), -1, device=device)
        self._status = first.status[self._number].where(first.status[self._number] != FOUND, _RUNNING)
        rows = self.running()
        if len(rows):
            numbers = self._number[rows]
            depth = row_dot(first.normal, first.point - images)
            self._cross(rows, depth[numbers], first.normal[numbers], first.steepness[numbers])
            self._judge(rows, self._candidate(rows))

    def running(self) -> Tensor:
        """The rows that have not ended."""
        return (self._status == _RUNNING).nonzero()[:, 0]

    def advance(self, rows: Tensor) -> None:
        """One step of these rows; those that have ended meanwhile stay as they are."""
        at = self._z[rows] + self._way[rows]
        margin, gradient, _ = self._margin.slope(at, self._number[rows])
        steepness = length(gradient, 2)
        lost = ~((steepness > 0) & steepness.isfinite() & margin.isfinite())
        self._status[rows] = self._status[rows].where(~lost | (self._status[rows] != _RUNNING), NO_DIRECTION)
        normal = -dual_vector(gradient, 2)
        walks = self._walks[rows]
        # on a GPU, asking which rows have met a plane would cost a wait: there all are solved, and some in vain
        met = torch.arange(len(rows)) if at.is_cuda else (~walks).nonzero()[:, 0]
        self._walk(rows, walks, (margin.abs() / steepness).clamp(min=_FLOOR), normal)
        base = self._base(rows[met])
        depth = margin[met] / steepness[met] + row_dot(normal[met], at[met] - base)
        self._cross(rows[met], depth, normal[met], steepness[met])
        ahead = self._z[rows] + (1 + _OVERSHOOT) * self._way[rows]
        self._judge(rows, torch.where(per_row(walks), ahead, self._candidate(rows)))

    def attempts(self) -> Attempts:
        """The rows as they are now; those that still run have stalled."""
        status = self._status.where(self._status != _RUNNING, STALLED)
        return Attempts(self._number, self._multiplier, self._adversarial, self._place, status, self.loops)

    def _base(self, rows: Tensor) -> Tensor:
        """Where a solution starts from."""
        return torch.where(per_row(self._onward[rows]), self._z[rows], self._images[self._number[rows]])

    def _candidate(self, rows: Tensor) -> Tensor:
        """A little further than z, in the box."""
        number = self._number[rows]
        start = self._images[number]
        further = start + (1 + _OVERSHOOT) * (self._z[rows] - start)
        return further.maximum(self._low[number]).minimum(self._high[number])

    def _walk(self, rows: Tensor, walks: Tensor, size: Tensor, normal: Tensor) -> None:
        """A DeepFool step of those rows that walk."""
        goes = walks & (self._status[rows] == _RUNNING)
        self._way[rows] = self._way[rows] + per_row(size.where(goes, 0.0)) * normal.nan_to_num(0.0)
        self._steps[rows] += goes

    def _cross(self, rows: Tensor, depth: Tensor, normal: Tensor, steepness: Tensor) -> None:
        """Solve against the planes at this depth seen from where solutions start; those behind are met again at z."""
        goes = ~self._walks[rows] & (self._status[rows] == _RUNNING)
        base, number = self._base(rows), self._number[rows]
        low, high = self._low[number] - base, self._high[number] - base
        reach = row_dot(normal.abs(), torch.where(normal > 0, high, -low))
        least = depth.clamp(min=0) + 2 * self._demanded[rows] / steepness
        push = self._multiplier[rows] * _EAGER ** self.loops[rows].to(depth.dtype)
        pushed = least + (push - 1) * depth.clamp(min=0)
        found = solve(normal, torch.where(pushed > reach, least, pushed), low, high, self._order)
        elsewhere = (self._way[rows] != 0).flatten(1).any(1) | (self.loops[rows] == 0)
        short = goes & ~found.feasible & ~self._onward[rows] & (self.loops[rows] > 0)
        self._again[rows] = again = (goes & elsewhere & (depth < 0)) | short
        solved, moves = goes & ~again, goes & ~again & found.feasible
        self._place[rows] = torch.where(moves[:, None, None], self._placed(rows, found.place), self._place[rows])
        self._z[rows] = torch.where(per_row(moves), base + found.change, self._z[rows])
        self._way[rows] = torch.where(per_row(goes), torch.zeros_like(base), self._way[rows])
        self.loops[rows] += solved
        self._onward[rows] = self._onward[rows] | short | (self.loops[rows] >= _FRESH)
        self._status[rows] = torch.where(solved & ~found.feasible, INFEASIBLE, self._status[rows])

    def _placed(self, rows: Tensor, place: Tensor) -> Tensor:
        """The places of pixels; where solutions go on from z, those of earlier loops come first."""
        number, before = self._number[rows], self._place[rows]
        changed = (self._z[rows] != self._images[number]).any(1)
        later = place + 1 + before.where(changed, -1).flatten(1).amax(1).view(-1, 1, 1)
        return torch.where(self._onward[rows].view(-1, 1, 1), torch.where(changed, before, later), place)

    def _judge(self, rows: Tensor, test: Tensor) -> None:
        """Update the state of rows by their tests: boundary crossed, margin reached, or back to DeepFool."""
        number, walks = self._number[rows], self._walks[rows]
        margin = self._margin(test, number)
        runs = self._status[rows] == _RUNNING
        crossed = runs & walks & (margin < 0)
        solved = runs & ~walks & ~self._again[rows]
        found = solved & (margin < -self._demanded[rows])
        self._adversarial[rows] = torch.where(per_row(found), test, self._adversarial[rows])
        self._walks[rows] = torch.where(crossed, False, torch.where(solved & ~found, True, walks))
        self._steps[rows] = self._steps[rows].where(walks, 0)
        self._arrived.index_put_((number,), found, accumulate=True)
        soon = self._arrived[number] & ~self._hurried[rows]
        self._hurried[rows] = self._hurried[rows] | soon
        ends = self._ends[rows].where(~soon, self._ends[rows].minimum(self.loops[rows] + _PATIENCE))
        self._ends[rows] = ends
        status = torch.where(runs & walks & ~crossed & (self._steps[rows] >= _STEPS), NOT_REACHED, self._status[rows])
        status = torch.where(solved & ~found & (self.loops[rows] >= ends), STALLED, status)
        self._status[rows] = torch.where(found, FOUND, torch.where(runs & margin.isnan(), UNDEFINED, status))
        pixels = (test != self._images[number]).any(1).flatten(1).sum(1).to(margin.dtype)
        self._margin.record(number, pixels.where(found, torch.inf))
