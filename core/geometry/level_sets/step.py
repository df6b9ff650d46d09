"""One step of a walk along a level set of the confidence towards a target image.

A walker at x of class y, on its way to the target t, has the log-odds M of y and their gradient g. The next point is

    paper       clip(x + eta (v - <v, g> g / <g, g>) + a),  v = t - x,  a <- clip(a + eps (1 - p) g, -eps, eps)
    superlevel  the point of the box [0, 1]^d nearest to x + eta v with M + <g, x' - x> >= L + c
    equality    the point of the box nearest to x + eta v with M + <g, x' - x> = M_s

L is the log-odds of the lowest confidence allowed, p_s - delta, and M_s that of the source. The first line is the
published walk, (1 - p) g being the direction in which cross-entropy falls. The other two are projections onto a
half-space or a plane and the box at once, so that a walk in a convex set has exactly one place to come to rest: the
point of it that is nearest to t. A projection clip(x + eta v + l g) is found by Newton's method in l: the rise <g, x' -
x> is concave and piecewise linear in l > 0, so that the iteration approaches from one side and ends after finitely many
steps. c is what the last step fell short of its aim, times the square of how much shorter the next one is: curvature.

A superlevel walk that hugs its level from the start gets caught in corners of the set. So it comes down to L from the
inside: it first heads for M_s + climb, and what it aims for falls to L as (1 - eta)^(3k), three times as fast as the
way to the target. On the demo models no step is then refused, and the walks end nearer.

A point is accepted where its confidence p is allowed, p >= p_s - delta, or |p - p_s| <= delta on the level set, and,
but for the published walk, where it is nearer to the target than the last one accepted. One that is not allowed halves
eta; the first is corrected from where it is, the second sends the walker back to the last one accepted (a back-off).

References: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889), Algorithm 1. Projected gradient steps: Goldstein, Convex programming in Hilbert space, Bulletin
of the AMS 70, 1964.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

import torch
from torch import Tensor

from core.geometry.boundary.signed_margin import length, per_row
from core.geometry.level_sets.log_odds import LogOdds, level_below

Mode = Literal["superlevel", "equality", "paper"]
MODES: tuple[Mode, ...] = get_args(Mode)
WALKING, REACHED, FLAT, STALLED, BLOCKED, BUDGET, NO_LEVEL, UNDEFINED = range(8)  # how a walk stands

RECORDED = ("log_odds", "target_confidence", "distance", "cosine", "moved")  # after each step, where it ended

_NEAR = 1 / 255  # in every pixel: one grey value
_STALL_STEPS = 20  # must bring a walker nearer
_BACK_OFFS = 3  # in a row
_FAILURES = 2  # until a back-off
_DESCENT = 3  # times as fast as the way to the target shrinks, walks come down to the level
_GROWTH = 2.0  # of eta after an accepted point, up to where it began
_ROUNDING = 64  # in units of the last digit: how well log-odds are known
_NEWTON_STEPS = 8  # at most
_NEWTON_STEPS_UNSEEN = 3  # on a GPU, where nobody looks whether they are needed


@dataclass
class Walkers:
    """The state of walks under way, one row each."""

    pair: Tensor
    target: Tensor  # image
    source_class: Tensor
    target_class: Tensor
    at_source: Tensor  # log-odds
    level: Tensor  # log-odds
    delta: Tensor
    age: Tensor  # steps done
    status: Tensor
    point: Tensor  # image to look at next
    aim: Tensor  # its log-odds to first order, or what they were to be if that is more
    kept: Tensor  # image accepted last, and what was seen there
    value: Tensor  # log-odds
    gradient: Tensor  # image
    scale: Tensor  # length of the gradient times the distance: what log-odds could rise on the way, at most
    scalars: Tensor  # RECORDED, without the last
    top: Tensor  # class
    eta: Tensor
    failures: Tensor
    back_offs: Tensor
    mark: Tensor  # distance some steps ago
    push: Tensor  # image; a of the published walk, else empty
    left: Tensor  # share of its climb that a superlevel walk has left
    stride: Tensor  # from the image accepted last to the point
    history: Tensor  # (walkers, RECORDED, steps + 2), NaN where not there yet; the last is for those that are over

    def rows(self, which: Tensor) -> Walkers:
        """Some of them."""
        return Walkers(**{name: getattr(self, name)[which] for name in self._tensors()})

    def replace(self, which: Tensor, others: Walkers) -> None:
        """Replace these rows by others."""
        for name in self._tensors():  # out of place: `point` and `kept` may be one tensor
            setattr(self, name, getattr(self, name).index_copy(0, which, getattr(others, name)))

    def _tensors(self) -> list[str]:
        return [entry.name for entry in fields(self)]

    def record(self, column: Tensor, moved: Tensor) -> None:
        """Record the scalars of every walk, and how far it moved, in a column of its history."""
        now = torch.cat([self.scalars, moved[:, None]], 1)[..., None]
        self.history.scatter_(2, column.view(-1, 1, 1).expand_as(now), now)


@dataclass(frozen=True)
class LevelSetStep:
    """Takes walkers one step further: one forward and one backward of each.

    Args:
        odds: the log-odds.
        mode: one of the three walks.
        steps: largest number of steps of a walk.
        eta: share of the remaining way to the target that a step heads for.
        climb: how far above the log-odds of its source a superlevel walk begins.
        eps: largest change of a pixel by the published walk's push.
        goal: root mean square over pixels at which a walk has reached its target.
        stall: a walk ends when 20 steps bring it nearer by less than this share.
    """

    odds: LogOdds
    mode: Mode
    steps: int
    eta: float
    climb: float
    eps: float
    goal: float
    stall: float

    def start(
        self,
        pair: Tensor,
        sources: Tensor,
        targets: Tensor,
        source_class: Tensor,
        target_class: Tensor,
        at_source: Tensor,
        delta: Tensor,
    ) -> Walkers:
        """Walkers at their sources; one argument per row."""
        none, zeros = torch.zeros_like(pair), torch.zeros_like(at_source)
        table = torch.zeros((len(pair), len(RECORDED), self.steps + 2), dtype=sources.dtype, device=sources.device)
        return Walkers(
            pair=pair,
            target=targets,
            source_class=source_class,
            target_class=target_class,
            at_source=at_source,
            level=level_below(at_source, delta),
            delta=delta,
            age=none,
            status=torch.full_like(none, WALKING),
            point=sources,
            aim=at_source,
            kept=sources,
            value=at_source,
            gradient=torch.zeros_like(sources),
            scale=zeros,
            scalars=table[:, :-1, 0],
            top=source_class,
            eta=torch.full_like(zeros, self.eta),
            failures=none,
            back_offs=none,
            mark=torch.full_like(zeros, torch.inf),
            push=torch.zeros_like(sources) if self.mode == "paper" else sources.new_empty(len(pair), 0),
            left=torch.ones_like(zeros),
            stride=zeros,
            history=torch.full_like(table, torch.nan),
        )

    def __call__(self, walkers: Walkers) -> None:
        """Evaluate the proposed points, keep those allowed, propose the next ones."""
        w, point = walkers, walkers.point
        value, gradient, logits = self.odds.slope(point, w.source_class)
        way = w.target - point
        distance, steepness, along = length(way, 2), length(gradient, 2), _dot(way, gradient)
        usable = torch.isfinite(value) & torch.isfinite(steepness)
        walking, fresh = w.status == WALKING, w.age == 0
        allowed = usable & (self.allows(w, value) | fresh)
        nearer = (distance <= w.scalars[:, 2]) | fresh | (self.mode == "paper")
        accepted = walking & allowed & nearer
        self._accept(w, accepted, walking, value, gradient, logits, along, distance, steepness)
        failed, before = walking & ~allowed, w.eta
        w.eta = torch.where(accepted, (_GROWTH * w.eta).clamp(max=self.eta), torch.where(failed, w.eta / 2, w.eta))
        w.failures = torch.where(accepted, 0, w.failures + failed)
        back = failed & ((w.failures >= _FAILURES) | ~usable)
        w.failures = torch.where(back, 0, w.failures)
        w.back_offs = torch.where(accepted, 0, w.back_offs + back)
        self._end(w, walking, failed, steepness)
        self._propose(w, point, value, gradient, distance * steepness, back, before)
        w.stride, w.left = length(w.point - w.kept, 2), w.left * (1 - self.eta) ** _DESCENT
        w.age = w.age + (w.status == WALKING)

    def allows(self, w: Walkers, value: Tensor) -> Tensor:
        """Whether log-odds are those of an allowed confidence."""
        if self.mode == "superlevel":  # compared as log-odds: confidences near 1 have no digits
            return value >= w.level
        fall = w.at_source.sigmoid() - value.sigmoid()
        return fall <= w.delta if self.mode == "paper" else fall.abs() <= w.delta

    @staticmethod
    def _accept(
        w: Walkers,
        accepted: Tensor,
        walking: Tensor,
        value: Tensor,
        gradient: Tensor,
        logits: Tensor,
        along: Tensor,
        distance: Tensor,
        steepness: Tensor,
    ) -> None:
        """Keep these points, and record the state of every walk."""
        cosine = (along / (distance * steepness)).nan_to_num(0.0)
        towards = logits.softmax(1).gather(1, w.target_class[:, None])[:, 0]
        scalars = torch.stack([value, towards, distance, cosine], 1)
        w.kept, w.gradient = _choose(accepted, w.point, w.kept), _choose(accepted, gradient, w.gradient)
        w.value = torch.where(accepted, value, w.value)
        w.scale = torch.where(accepted, distance * steepness, w.scale)
        w.top = torch.where(accepted, logits.argmax(1), w.top)
        w.scalars = torch.where(accepted[:, None], scalars, w.scalars)
        w.record(torch.where(walking, w.age, w.history.shape[2] - 1), w.stride.where(accepted, 0.0))

    def _end(self, w: Walkers, walking: Tensor, failed: Tensor, steepness: Tensor) -> None:
        """Which walks are over, by the first reason that holds."""
        distance = w.scalars[:, 2]
        root = w.target[0].numel() ** 0.5
        near = distance <= _NEAR * root  # else some pixel is not
        if near.device.type != "cpu" or bool(near.any()):
            near = near & ((w.target - w.kept).flatten(1).abs().amax(1) < _NEAR)
        near = near | (distance <= self.goal * root)
        due = (w.age > 0) & (w.age % _STALL_STEPS == 0)
        stalled = due & (distance > (1 - self.stall) * w.mark)
        w.mark = torch.where(due | (w.age == 0), distance, w.mark)
        blocked = failed if self.mode == "paper" else w.back_offs >= _BACK_OFFS
        flat = steepness < torch.finfo(steepness.dtype).tiny ** 0.5  # its square is hardly a number any more
        status = w.status
        for reason, holds in (
            (BUDGET, w.age >= self.steps),
            (BLOCKED, blocked),
            (STALLED, stalled),
            (FLAT, flat & ~failed),
            (REACHED, near),
        ):  # the last one written is the first that counts
            status = torch.where(walking & holds, reason, status)
        w.status = status

    def _propose(
        self, w: Walkers, point: Tensor, value: Tensor, gradient: Tensor, scale: Tensor, back: Tensor, before: Tensor
    ) -> None:
        """The next point of each walker, from the one looked at, or from the one accepted last."""
        base, slope = _choose(back, w.kept, point), _choose(back, w.gradient, gradient)
        at = torch.where(back, w.value, value)
        if self.mode == "paper":
            w.push = (w.push + per_row(self.eps * at.neg().sigmoid()) * slope).clamp(-self.eps, self.eps)
            way = w.target - base
            along = _dot(way, slope) / _dot(slope, slope).clamp(min=torch.finfo(way.dtype).tiny)
            w.point = (base + self.eta * (way - per_row(along) * slope) + w.push).clamp(0, 1)
            return
        if self.mode == "equality":
            rise = w.at_source - at
        else:
            short = (w.aim - value).nan_to_num(0.0) * (w.eta / before).square()
            spare = torch.maximum(short, (w.at_source + self.climb - w.level) * w.left)
            stride = w.eta * torch.where(back, w.scale, scale)  # what is not needed costs no longer step
            known = _ROUNDING * torch.finfo(w.level.dtype).eps * (1 + w.at_source.abs())
            rise = torch.maximum(w.level + known - at, torch.minimum(w.level + spare - at, stride))
        there = torch.lerp(base, w.target, per_row(w.eta))
        w.point, risen = rise_in_box(base, there, slope, rise, exactly=self.mode == "equality")
        w.aim = at + torch.maximum(rise, risen)


def rise_in_box(
    base: Tensor,
    wanted: Tensor,
    gradient: Tensor,
    rise: Tensor,
    *,
    exactly: bool,
) -> tuple[Tensor, Tensor]:
    """The image in the box nearest to the one wanted among those where a linear function has risen enough.

    Args:
        base: (n, c, h, w) images in [0, 1], where the function is 0.
        wanted: (n, c, h, w) images in [0, 1].
        gradient: (n, c, h, w) of the function.
        rise: (n,) least value of the function; where the box holds none, the nearest to it that was met.
        exactly: its value instead.

    Returns:
        (n, c, h, w) images, and (n,) what the function is there.
    """
    limits = torch.finfo(gradient.dtype)
    found = free = wanted
    risen = _dot(gradient, wanted - base)
    least = 4 * limits.eps * torch.maximum(rise.abs(), risen.abs())
    reach = torch.zeros_like(rise)
    slope = _dot(gradient, gradient)
    seen = rise.device.type == "cpu"
    for step in range(_NEWTON_STEPS if seen else _NEWTON_STEPS_UNSEEN):
        lack = rise - risen
        going = (lack.abs() if exactly else lack) > least
        if seen and not bool(going.any()):
            break
        if step:  # pixels that stick at a wall rise no further
            slope = _dot(gradient.where(free == found, 0.0), gradient)
        going = going & (slope >= limits.tiny)
        reach = torch.where(going, reach + lack / slope.clamp(min=limits.tiny), reach)
        free = torch.addcmul(wanted, per_row(reach), gradient)
        found = free.clamp(0, 1)
        risen = _dot(gradient, found - base)
    return found, risen


def _choose(which: Tensor, images: Tensor, others: Tensor) -> Tensor:
    """Rows of `images` where `which`, else of `others`; on the CPU nothing is copied where all rows are the same."""
    if which.device.type == "cpu":
        if bool(which.all()):
            return images
        if not bool(which.any()):
            return others
    return torch.where(per_row(which), images, others)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    products: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    return products
