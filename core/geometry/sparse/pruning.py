"""Pruning: reduce a sparse perturbation that crosses the boundary to a 1-minimal one.

The items of a change are pixels, each with all its channels, or single entries. Where x' = x + r has the margin
F(x') < -kappa F(x), an item is free if restoring it alone keeps that margin. `prune` restores free items until
there is none: the change is then 1-minimal. It says nothing about two items at once, nor about other supports.

Each round first ranks the items by what restoring them costs. While there are many, the cost is taken from one gradient
and the cheapest are tried together, several counts side by side; the last rounds measure it, one forward per item, and
so prove 1-minimality. `exchange` then looks for smaller changes nearby: items kept move to the bounds of the box that
the gradient points to, a third more items join, those of the largest gain, and the pruning of that is kept if it needs
fewer items.

Reference: own; restoring pixels greedily after an attack is a common finishing step, for example in Croce and Hein,
Sparse and Imperceivable Adversarial Attacks, ICCV 2019 (CornerSearch works from single-pixel effects).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.boundary.signed_margin import Images, Rows
from core.geometry.sparse.counted_margin import Numbers, SparseProblem

_MEASURED = 12  # items: with as many or fewer, all are measured rather than estimated
_TRIED = 8  # counts of items restored together, side by side


class Pruned(NamedTuple):
    """A 1-minimal change of each row."""

    adversarial: Images
    items: Float[Tensor, " n"]  # how many are changed
    margin: Rows  # F there


def prune(problem: SparseProblem, numbers: Numbers, adversarial: Images) -> Pruned:
    """Restore items until none is free.

    Args:
        problem: the images and the unit of items.
        numbers: the image of each row.
        adversarial: rows with the margin demanded.

    Returns:
        1-minimal changes; each changes a subset of the given items by the same amounts.
    """
    at = problem.items(adversarial).clone()
    clean = problem.items(problem.images)
    _drop_estimated(problem, numbers, at, clean)
    margin = _drop_measured(problem, numbers, at, clean)
    changed = _changed(at, clean[numbers]).sum(1).to(margin.dtype)
    problem.counted.record(numbers, _pixels(problem, numbers, at))
    return Pruned(at.reshape(adversarial.shape), changed, margin)


def _drop_estimated(problem: SparseProblem, numbers: Tensor, at: Tensor, clean: Tensor) -> None:
    """Restore items together, cheapest first by the gradient, while that frees some and more than a few are left."""
    rows = (_changed(at, clean[numbers]).sum(1) > _MEASURED).nonzero()[:, 0]
    while len(rows):
        here, image = at[rows], clean[numbers[rows]]
        changed = _changed(here, image)
        _, gradient = problem.gradient(numbers[rows], here)
        cost = ((image - here) * gradient).sum(1).masked_fill(~changed, torch.inf)
        count = changed.sum(1)
        sizes = (count[:, None] * torch.arange(1, _TRIED + 1, device=at.device) // (_TRIED + 1)).clamp(min=1)
        place = first_places(cost, int(sizes.max()))
        accepted = _largest(problem, numbers[rows], here, image, place, sizes)
        at[rows] = _without(here, image, place, accepted)
        problem.counted.record(numbers[rows], _pixels(problem, numbers[rows], at[rows]))
        rows = rows[(accepted > 0) & (count - accepted > _MEASURED)]


def _drop_measured(problem: SparseProblem, numbers: Tensor, at: Tensor, clean: Tensor) -> Tensor:
    """Restore free items, cheapest first by measurement, until there is none; the margins then."""
    rows = torch.arange(len(numbers), device=at.device)
    while len(rows):
        here, image = at[rows], clean[numbers[rows]]
        cost = losses(problem, numbers[rows], here)
        free = (cost < -problem.demanded(numbers[rows])[:, None]).sum(1)
        halvings = max(1, int(free.max()).bit_length())
        sizes = free[:, None] // 2 ** torch.arange(halvings, device=at.device)
        several = sizes.where(sizes > 1, 0)
        place = first_places(cost, int(sizes.max()))
        accepted = _largest(problem, numbers[rows], here, image, place, several).maximum(free.clamp(max=1))
        at[rows] = _without(here, image, place, accepted)
        problem.counted.record(numbers[rows], _pixels(problem, numbers[rows], at[rows]))
        rows = rows[accepted > 0]
    return problem.margins(numbers, at)


def losses(problem: SparseProblem, numbers: Numbers, at: Float[Tensor, "n g p"]) -> Float[Tensor, "n p"]:
    """F with each changed item restored alone; infinite for items that are not changed."""
    clean = problem.items(problem.images)
    row, item = _changed(at, clean[numbers]).nonzero().unbind(1)

    def restored(part: slice) -> Tensor:
        chosen = at[row[part]]
        each = torch.arange(len(chosen), device=at.device)
        chosen[each, :, item[part]] = clean[numbers[row[part]], :, item[part]]
        return chosen.reshape(-1, *problem.images.shape[1:])

    found = torch.full((len(at), at.shape[2]), torch.inf, dtype=at.dtype, device=at.device)
    found[row, item] = problem.counted.of(numbers[row], restored).to(at.dtype).nan_to_num(torch.inf)
    return found


def first_places(cost: Float[Tensor, "n p"], width: int) -> Int[Tensor, "n p"]:
    """The ranks of the cheapest items of each row, from 0; p for all others, which are not sorted."""
    items = cost.shape[1]
    cheapest = cost.topk(min(width, items), 1, largest=False).indices
    numbers = torch.arange(cheapest.shape[1], device=cost.device).expand_as(cheapest)
    return torch.full_like(cost, items, dtype=torch.int64).scatter(1, cheapest, numbers)


def _largest(
    problem: SparseProblem, numbers: Tensor, at: Tensor, image: Tensor, place: Tensor, sizes: Tensor
) -> Tensor:
    """The largest of these numbers of cheapest items that can be restored together; 0 where none can."""
    row, column = (sizes > 0).nonzero().unbind(1)
    count = sizes[row, column]

    def restored(part: slice) -> Tensor:
        which = row[part]
        gone = (place[which] < count[part, None])[:, None]
        return torch.where(gone, image[which], at[which]).reshape(-1, *problem.images.shape[1:])

    margin = problem.counted.of(numbers[row], restored)
    return torch.zeros_like(sizes[:, 0]).scatter_reduce(
        0, row, count.where(margin < -problem.demanded(numbers[row]), 0), "amax"
    )


def _without(at: Tensor, image: Tensor, place: Tensor, count: Tensor) -> Tensor:
    """Rows with this many of their cheapest items restored."""
    return torch.where((place < count[:, None])[:, None], image, at)


def exchange(problem: SparseProblem, numbers: Numbers, found: Pruned, *, rounds: int) -> Pruned:
    """Search for changes with fewer items near those found.

    Args:
        problem: the images and the unit of items.
        numbers: the image of each row.
        found: 1-minimal changes.
        rounds: largest number of attempts; a row stops after the first one in vain.

    Returns:
        1-minimal changes with no more items than before.
    """
    kept = Pruned(*(each.clone() for each in found))
    rows = (kept.items > 1).nonzero()[:, 0]
    for _ in range(rounds):
        if not len(rows):
            break
        starts = _extended(problem, numbers[rows], kept.adversarial[rows])
        crosses = problem.counted(starts, numbers[rows]) < -problem.demanded(numbers[rows])
        rows, starts = rows[crosses], starts[crosses]
        if not len(rows):
            break
        tried = prune(problem, numbers[rows], starts)
        better = _cost(problem, numbers[rows], tried) < _cost(problem, numbers, kept)[rows]
        rows = rows[better]
        for mine, other in zip(kept, tried, strict=True):
            mine[rows] = other[better]
        rows = rows[kept.items[rows] > 1]
    return kept


def _cost(problem: SparseProblem, numbers: Tensor, found: Pruned) -> Tensor:
    """The number of items; for equal numbers, less where the margin is deeper, which lets more be restored."""
    depth = found.margin / problem.counted.clean_margin[numbers].clamp(min=torch.finfo(found.margin.dtype).tiny)
    return found.items + torch.sigmoid(depth)


def _extended(problem: SparseProblem, numbers: Tensor, adversarial: Tensor) -> Tensor:
    """Changes to prune anew: items kept at their bounds, with a third more."""
    at, clean = problem.items(adversarial), problem.items(problem.images)[numbers]
    low, high = problem.items(problem.low)[numbers], problem.items(problem.high)[numbers]
    changed = _changed(at, clean)
    _, gradient = problem.gradient(numbers, at)
    corner = torch.where(gradient > 0, low, torch.where(gradient < 0, high, at))
    kept = torch.where(changed[:, None], corner, at)
    gain = ((clean - corner) * gradient).sum(1).masked_fill(changed, -torch.inf)
    more = (changed.sum(1) // 3).clamp(min=2)
    place = first_places(-gain, int(more.max()))
    return torch.where((place < more[:, None])[:, None], corner, kept).reshape(-1, *problem.images.shape[1:])


def _changed(at: Tensor, clean: Tensor) -> Tensor:
    """The items that differ."""
    return (at != clean).any(1)


def _pixels(problem: SparseProblem, numbers: Tensor, at: Tensor) -> Tensor:
    """The number of pixels that differ."""
    return (at.reshape(-1, *problem.images.shape[1:]) != problem.images[numbers]).any(1).flatten(1).sum(1).double()
