"""The smallest change inside a box that crosses a hyperplane, solved exactly by one sort.

Given a normal w, a needed gain b and bounds l <= 0 <= u on the change r of an image, the problem is

    min size(r)   subject to   <w, r> >= b,   l <= r <= u.

An entry has the room rho = u where w > 0, -l where w < 0, and can gain g = |w| rho. Where the sum of g is less than b
there is no such change. Otherwise, with the entries in an order, each is moved to its bound in turn and the last one
only as far as is left. The orders that minimise a size:

- "l1", the sum of |r|: by decreasing |w| (the fractional knapsack, and the greedy loop of SparseFool's LinearSolver);
- "l0", the entries changed: by decreasing g, since k entries never gain more than the k largest gains;
- "pixel", the pixels changed: by decreasing G = sum of g over the channels of a pixel, all of which move.

The two dense sizes fill all entries at once, r = min(t s, rho) sign(w), up to the t at which the gain is b: "l2", the
Euclidean length, with s = |w|, and "linf", the largest |r|, with s = 1. The gain is piecewise linear in t, its corners
are rho / s, so that t follows from sums over the sorted corners.

References: Dantzig, Discrete-variable extremum problems, Operations Research 5, 1957, for the knapsack; Modas,
Moosavi-Dezfooli, Frossard, SparseFool: a few pixels make a big difference, CVPR 2019, Algorithm 1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from core.geometry.boundary.signed_margin import Images, Rows

SparseOrder = Literal["pixel", "l0", "l1"]
SPARSE_ORDERS: tuple[SparseOrder, ...] = get_args(SparseOrder)
Order = Literal["pixel", "l0", "l1", "l2", "linf"]
ORDERS: tuple[Order, ...] = get_args(Order)


class Solution(NamedTuple):
    """The change of each row, whether there is one, and the place at which each pixel came."""

    change: Images  # 0 where the box is too small
    feasible: Bool[Tensor, " n"]
    place: Int[Tensor, "n h w"]  # 0 first; of a pixel's entries, the first one's


def solve(weight: Images, needed: Rows, low: Images, high: Images, order: Order) -> Solution:
    """Find the smallest change r with <weight, r> >= needed and low <= r <= high.

    Args:
        weight: the normal of each row's hyperplane.
        needed: b; where it is not above 0, no change is needed; where it is NaN, there is none.
        low: the least change of each entry, at most 0.
        high: the largest change of each entry, at least 0.
        order: the size to be minimised, one of ORDERS.

    Returns:
        The changes. Sums are in float64 where the device has it: of 150 000 entries, float32 loses the last ones.
    """
    exact = weight.dtype if weight.device.type == "mps" else torch.float64
    steepness = weight.to(exact).abs()
    room = torch.where(weight > 0, high, -low).to(exact).where(weight != 0, 0.0)
    gain = steepness * room
    wanted = needed.to(exact).clamp(min=0)[:, None]
    feasible = gain.flatten(1).sum(1) >= wanted[:, 0]
    if order in ("l2", "linf"):
        along = steepness if order == "l2" else torch.ones_like(steepness)
        size = _filled_together(along.flatten(1), steepness.flatten(1), room.flatten(1), wanted).view_as(room)
        value, order_of = gain, _sorted(gain)
    else:
        value = gain.sum(1, keepdim=True) if order == "pixel" else gain
        key = steepness.where(room > 0, 0.0) if order == "l1" else value
        order_of = _sorted(key)
        size = _filled_in_turn(order_of, value.flatten(1), wanted).view_as(value) * room
    change = torch.where(feasible.view(-1, 1, 1, 1), size, 0.0) * weight.sign()
    return Solution(
        change.to(weight.dtype).maximum(low).minimum(high), feasible, _places(order_of).view_as(value).amin(1)
    )


def _sorted(key: Tensor) -> Tensor:
    """The items of each row by decreasing key; ties keep their order."""
    return key.flatten(1).argsort(dim=1, descending=True, stable=True)


def _filled_in_turn(order: Tensor, value: Tensor, needed: Tensor) -> Tensor:
    """The share, 0 to 1, of each item's value that is used when items are taken in this order until they suffice."""
    taken = value.gather(1, order)
    before = taken.cumsum(1) - taken
    tiny = torch.finfo(value.dtype).tiny
    share = ((needed - before) / taken.clamp(min=tiny)).clamp(0, 1).where(taken > 0, 0.0)
    return torch.zeros_like(share).scatter(1, order, share)


def _filled_together(along: Tensor, steepness: Tensor, room: Tensor, needed: Tensor) -> Tensor:
    """min(t along, room) with the t that gains what is needed; t is found between two corners of the gain."""
    corner = (room / along).nan_to_num(0.0)  # 0 / 0: an entry without weight has no room either
    order = corner.argsort(dim=1)
    full = (steepness * room).gather(1, order).cumsum(1)
    rate = (steepness * along).gather(1, order)
    left = rate.flip(1).cumsum(1).flip(1)  # the slope of the gain up to each corner
    before = torch.nn.functional.pad(full[:, :-1], (1, 0))
    reached = before + corner.gather(1, order) * left
    at = torch.searchsorted(reached, needed).clamp(max=reached.shape[1] - 1)
    t = ((needed - before.gather(1, at)) / left.gather(1, at)).nan_to_num(0.0).clamp(min=0)
    return (t * along).minimum(room)


def _places(order: Tensor) -> Tensor:
    """The place of each item in an order: its inverse, without sorting again."""
    numbers = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.zeros_like(order).scatter(1, order, numbers)
