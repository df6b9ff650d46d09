"""Sigma-zero: gradient descent on a smooth count of changed items, with a threshold that adapts.

For the change d of an image, with |d_p| the Euclidean length of item p (a pixel over its channels, or one entry), the
number of changed items is replaced by s(d) = sum |d_p|² / (|d_p|² + sigma), sigma = 1e-3. Adam descends on

    max(F(x + d) / F(x) + 2 kappa, 0) + s(d) / p,

with the gradient of each image divided by its largest value, a step length that falls from 1 to 1/10 as a cosine, d
kept in the pixel box, and items whose largest entry is below tau set to 0. tau begins at 0.3 and moves by 0.01 times
the step length after each step: up where the other class wins, down where it does not. The change of fewest items with
F < -kappa F(x) is kept. Dividing by F(x) makes the balance of both terms independent of the scale of the logits.

Reference: Cinà, Villani, Pintor, Schönherr, Biggio, Pelillo, σ-zero: gradient-based optimization of ℓ0-norm adversarial
examples, ICLR 2025 (arXiv 2402.01879), Algorithm 1; there items are entries, and logits are taken as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from core.geometry.boundary.bracketing import compaction_schedule
from core.geometry.boundary.signed_margin import Images
from core.geometry.sparse.counted_margin import Numbers, SparseProblem
from core.geometry.sparse.sparsefool import FOUND, NO_DIRECTION, NOT_REACHED, UNDEFINED

_SIGMA = 1e-3
_THRESHOLD, _THRESHOLD_STEP = 0.3, 0.01
_LAST_STEP = 0.1  # the step length at the end, relative to the first one
_MEMORY = 0.9, 0.999  # of Adam
_TINY = 1e-8


class Descent(NamedTuple):
    """The result of the descent for each image."""

    adversarial: Images  # the image itself where nothing was
    status: Int[Tensor, " n"]
    steps: Int[Tensor, " n"]


def sigma_zero(
    problem: SparseProblem, numbers: Numbers, start: Images, *, steps: int, tick: Callable[[float], None]
) -> Descent:
    """Descend from `start` for each of these images.

    Args:
        problem: the images, their box and the unit of items.
        numbers: numbers of the images.
        start: the starting points, in the box.
        steps: steps of Adam; an image that is down to one item stops early.
        tick: called with the fraction done.

    Returns:
        The changes of fewest items that cross.
    """
    clean = problem.items(problem.images[numbers])
    low, high = problem.items(problem.low[numbers]) - clean, problem.items(problem.high[numbers]) - clean
    change = problem.items(start) - clean
    scale = problem.margins(numbers, clean)
    scale = scale.where(scale > 0, 1.0)
    first, second = torch.zeros_like(change), torch.zeros_like(change)
    threshold = torch.full_like(scale, _THRESHOLD)
    best, count = clean.clone(), torch.full_like(scale, torch.inf)
    status, taken = torch.full_like(numbers, NOT_REACHED), torch.zeros_like(numbers)
    rows = torch.arange(len(numbers), device=numbers.device)
    drops = compaction_schedule(steps, start.device)
    for step in range(1, steps + 1):
        at = clean[rows] + change[rows]
        margin, gradient = problem.gradient(numbers[rows], at)
        crosses = _keep(problem, numbers, rows, at, margin, clean, best, count)
        flat = (gradient == 0).flatten(1).all(1) & ~crosses
        lost = ~(margin.isfinite() & gradient.flatten(1).isfinite().all(1))
        stuck = torch.where(lost, UNDEFINED, torch.where(flat, NO_DIRECTION, NOT_REACHED))
        status[rows] = torch.where(torch.isfinite(count[rows]), FOUND, stuck)
        taken[rows] = step
        descent = _slope(change[rows], margin, gradient, scale[rows], problem.demanded(numbers[rows]))
        descent = descent / descent.flatten(1).abs().amax(1).clamp(min=_TINY)[:, None, None]
        length = _LAST_STEP + (1 - _LAST_STEP) * (1 + math.cos(math.pi * (step - 1) / steps)) / 2
        first[rows] = _MEMORY[0] * first[rows] + (1 - _MEMORY[0]) * descent
        second[rows] = _MEMORY[1] * second[rows] + (1 - _MEMORY[1]) * descent.square()
        mean, spread = first[rows] / (1 - _MEMORY[0] ** step), second[rows] / (1 - _MEMORY[1] ** step)
        moved = change[rows] - length * mean / (spread.sqrt() + _TINY)
        moved = moved.maximum(low[rows]).minimum(high[rows])
        threshold[rows] = (threshold[rows] + torch.where(crosses, 1, -1) * _THRESHOLD_STEP * length).clamp(0, 1)
        small = moved.abs().amax(1, keepdim=True) < threshold[rows].view(-1, 1, 1)
        change[rows] = moved.masked_fill(small, 0.0)
        if step in drops:
            tick(step / steps)
            rows = rows[(count[rows] > 1) & (status[rows] != UNDEFINED) & (status[rows] != NO_DIRECTION)]
            if not len(rows):
                break
    if len(rows):
        at = clean[rows] + change[rows]
        _keep(problem, numbers, rows, at, problem.margins(numbers[rows], at), clean, best, count)
        status[rows] = status[rows].where(~torch.isfinite(count[rows]), FOUND)
    return Descent(best.reshape(start.shape), status, taken)


def _keep(
    problem: SparseProblem,
    numbers: Tensor,
    rows: Tensor,
    at: Tensor,
    margin: Tensor,
    clean: Tensor,
    best: Tensor,
    count: Tensor,
) -> Tensor:
    """Keep the rows that cross with fewer items than before; returns those that cross."""
    changed = at != clean[rows]
    items = changed.any(1).sum(1).to(margin.dtype)
    crosses = margin < -problem.demanded(numbers[rows])
    fewer = crosses & (items < count[rows])
    best[rows] = torch.where(fewer[:, None, None], at, best[rows])
    count[rows] = torch.where(fewer, items, count[rows])
    pixels = changed.reshape(len(rows), -1, *problem.images.shape[2:]).any(1).flatten(1).sum(1).to(margin.dtype)
    problem.counted.record(numbers[rows], pixels.where(crosses, torch.inf))
    return crosses


def _slope(change: Tensor, margin: Tensor, gradient: Tensor, scale: Tensor, demanded: Tensor) -> Tensor:
    """The gradient of the loss; the smooth count's is 2 sigma d / (|d_p|² + sigma)² / p."""
    hinge = (margin + 2 * demanded > 0) / scale
    size = change.square().sum(1, keepdim=True)
    count = 2 * _SIGMA * change / (size + _SIGMA).square() / change.shape[2]
    return hinge[:, None, None] * gradient.nan_to_num(0.0) + count
