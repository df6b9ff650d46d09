"""The effect of each pixel of a sparse change: its rank, the margin on the way, its reliance and its capacity.

For an image x of class s with margin F, and a change r with its support S:

- the curve is F with the first 0, 1, 2, ... pixels of S changed, in the order given;
- the reliance of p in S is F(x + r with p restored) - F(x + r);
- the capacity of any pixel, with the gradient g of a margin, is G_p = sum over its channels of |g| times the room that
  the box leaves in the direction in which the margin falls: the geometry's forecast of the support;
- the amplitude is the least share t of the change, x + t r, at which F = 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from core.geometry.boundary.bracketing import zero_between
from core.geometry.boundary.signed_margin import Images, length
from core.geometry.sparse.counted_margin import SparseProblem
from core.geometry.sparse.pruning import first_places, losses
from core.geometry.sparse.sparsefool import FOUND, FirstPlane

_ENCLOSED = 1e-4  # of the amplitude
_LEVELS = 255  # values of a channel in an image file


def pictures(
    problem: SparseProblem,
    adversarial: Images,
    rows: Int[Tensor, " m"],
    place: Int[Tensor, "n h w"] | None,
    planes: FirstPlane,
) -> dict[str, Tensor]:
    """Measure changes that cross pixel by pixel, and the boundary points near their images.

    Args:
        problem: the images.
        adversarial: the images with their changes.
        rows: rows that cross.
        place: (n, h, w) order in which pixels entered; decreasing reliance when None.
        planes: the boundary near each image.

    Returns:
        Arrays by the names of the fields of `core.geometry.sparse.sparse_perturbation.SparsePerturbation`; NaN, or -1,
        where there is no change or no boundary point. One forward per pixel for each of curve and reliance.
    """
    images, low, high = problem.images, problem.low, problem.high
    places = torch.full_like(images[:, 0], torch.nan)
    known = (planes.status == FOUND).view(-1, 1, 1, 1)
    forecast = _capacity(planes.normal * planes.steepness.view(-1, 1, 1, 1), images, low, high)
    channels = problem.counted.channels // images.shape[1]  # 1, or of tied images all
    found = {
        "boundary": planes.point.where(known, torch.nan).repeat(1, channels, 1, 1),
        "dense": planes.normal.where(known, torch.nan).repeat(1, channels, 1, 1) / channels**0.5,
        "capacity_at_boundary": forecast.where(known[:, 0], torch.nan),
        "capacity": places.clone(),
        "reliance": places.clone(),
        "rank": torch.full_like(places, -1, dtype=torch.int64),
        "curve": places[:, 0, :1].clone(),
        "amplitude": places[:, 0, 0].clone(),
        "target_class": torch.full_like(planes.status, -1),
        "survives_rounding": torch.zeros_like(planes.status, dtype=torch.bool),
    }
    if len(rows):
        measured = _measure(problem, rows, adversarial[rows], None if place is None else place[rows])
        target = measured["target_class"][:, None]
        ((_, gradient),) = problem.counted.class_margins(images[rows], rows, target)
        measured["capacity"] = _capacity(-gradient, images[rows], low[rows], high[rows])
        found["curve"] = found["curve"].repeat(1, measured["curve"].shape[1])
        for name, values in measured.items():
            found[name][rows] = values
    return found


def _measure(problem: SparseProblem, numbers: Tensor, adversarial: Tensor, place: Tensor | None) -> dict[str, Tensor]:
    """Fields of the rows that cross."""
    counted, images = problem.counted, problem.images[numbers]
    by_pixel = problem._replace(unit="pixel")
    logits = counted.all_logits(adversarial, numbers)
    own = logits.gather(1, counted.source[numbers][:, None])
    other, target = logits.scatter(1, counted.source[numbers][:, None], -torch.inf).max(1)
    rise = losses(by_pixel, numbers, adversarial.flatten(2)) - (own - other[:, None])
    support = (adversarial != images).any(1).flatten(1)
    first = -rise if place is None else place.flatten(1).to(rise.dtype)
    most = int(support.sum(1).max())
    rank = first_places(first.masked_fill(~support, torch.inf), most).where(support, -1)
    rounded = (adversarial.double() * _LEVELS).round().div(_LEVELS) if adversarial.device.type != "mps" else adversarial
    shape = (len(numbers), *images.shape[2:])
    return {
        "rank": rank.view(shape),
        "curve": _curve(problem, numbers, adversarial, rank),
        "reliance": rise.where(support, torch.nan).view(shape),
        "amplitude": _amplitude(problem, numbers, adversarial),
        "target_class": target,
        "survives_rounding": counted(rounded.to(adversarial.dtype), numbers) < 0,
    }


def _curve(problem: SparseProblem, numbers: Tensor, adversarial: Tensor, rank: Tensor) -> Tensor:
    """F with the first pixels changed, from none to all."""
    count = (rank >= 0).sum(1)
    steps = torch.arange(int(count.max()) + 1, device=rank.device)
    row, several = (steps <= count[:, None]).nonzero().unbind(1)
    changed, clean = adversarial.flatten(2), problem.images[numbers].flatten(2)

    def partly(part: slice) -> Tensor:
        kept = (rank[row[part]] < several[part, None])[:, None]
        return torch.where(kept, changed[row[part]], clean[row[part]]).reshape(-1, *adversarial.shape[1:])

    curve = torch.full((len(rank), len(steps)), torch.nan, dtype=adversarial.dtype, device=rank.device)
    curve[row, several] = problem.counted.of(numbers[row], partly)
    return curve


def _amplitude(problem: SparseProblem, numbers: Tensor, adversarial: Tensor) -> Tensor:
    """The share of the change at which the margin is 0; where there are several, one of them."""
    images = problem.images[numbers]
    point, closed = zero_between(problem.counted, images, adversarial, numbers, _ENCLOSED)
    return (length(point - images, 2) / length(adversarial - images, 2)).where(closed, torch.nan)


def _capacity(towards: Tensor, images: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How far each pixel can lower, to first order, a margin whose gradient is -towards."""
    room = torch.where(towards > 0, high - images, images - low)
    return (towards.abs() * room).sum(1)
