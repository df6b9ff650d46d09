"""Zeros of a signed margin on segments, by bracketing, and the steps at which finished rows are removed."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from core.geometry.boundary.signed_margin import Classes, Images, SignedMargin, per_row

_SECTIONS = 60  # steps of a bracket; one in four halves it


def compaction_schedule(steps: int, device: torch.device) -> frozenset[int]:
    """Steps, of 1, 2, ..., after which finished rows are removed from the batch: every step on the CPU.

    On a GPU each check makes the processor wait for the device, while a finished row that stays costs its share of a
    step. There the steps are 1, 2, 3, 4, 6, 9, 13, ... and the last: early on many rows finish at once, later few do,
    and with checks 1.5 times apart at most a third of a row's steps are wasted.
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
    """Find where the margin is 0 between a point inside the region and one beyond its boundary.

    Regula falsi with the Illinois rule; each step stays half a tolerance away from both ends, so that the interval
    closes from both sides, and every fourth step halves it.

    Args:
        margin: the signed margin.
        inside: images with margin >= 0.
        beyond: images with margin <= 0.
        source: the class of each row.
        tolerance: length of the last interval, relative to the distance from `inside` to the boundary.

    Returns:
        The points, and which intervals were closed: those that contain undefined margins are not.
    """
    bracket = _Bracket(margin(inside, source), margin(beyond, source), tolerance)
    rows = torch.arange(len(inside), device=inside.device)
    drops = compaction_schedule(_SECTIONS, inside.device)
    for step in range(1, _SECTIONS + 1):
        at = bracket.middle(rows) if step % 4 == 0 else bracket.secant(rows)
        found = margin(inside[rows] + per_row(at) * (beyond[rows] - inside[rows]), source[rows])
        bracket.narrow(rows, at, found)
        if step in drops:
            rows = rows[~bracket.closed[rows]]
            if not len(rows):
                break
    return inside + per_row(bracket.zero()) * (beyond - inside), bracket.closed


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
        """The zero of the line through both (halved) margins, kept half a tolerance away from both ends."""
        low, high = self._low[rows], self._high[rows]
        least = self._tolerance * high / 2
        at = low + _secant_root(self._weights[0][rows], self._weights[1][rows]) * (high - low)
        return at.maximum(low + least).minimum(high - least)

    def narrow(self, rows: Tensor, at: Tensor, margin: Tensor) -> None:
        """Move one end of each of these intervals to a point inside it; undefined margins move neither."""
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
        """The zero of the line through both true margins."""
        return self._low + _secant_root(self._above, self._below) * (self._high - self._low)


def _secant_root(above: Tensor, below: Tensor) -> Tensor:
    """Where, between 0 and 1, the line from above >= 0 to below <= 0 is 0; 0.5 where that is undefined."""
    return (above / (above - below)).nan_to_num(0.5).clamp(0, 1)
