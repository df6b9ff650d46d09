"""Classifiers that keep as many labels as possible, with distances known on paper: what limits are compared with.

Over M values, the largest odd number of all N, with levels 0 .. q - 1 and q = 2^bits, all three cut the images
of a format into two classes of exactly one half each:

- `majority`: more than half of the M values lie in the upper half of the levels. Every value has a vote: nothing keeps
  more labels against changes of t values at one bit, surv(t) = 2 P(Bin(M, 1/2) <= (M - 1)/2 - t), at any N.
- `sum`: the M levels add up to more than (q - 1) M / 2. The order of the limits in ℓ1 and in changed values is reached.
- `one value`: the first value lies in the upper half of the levels. For deep images it keeps surv(rho) = 1 - 2 rho in
  every norm but p = 0, which touches the ℓ2 limit at rho = 0 whatever the resolution is; one changed value undoes it.

So the best shape depends on the norm: every pixel votes against few large changes, a single one decides against many
small ones. Distances below are exact: least changes on the grid of levels after which the label differs.

References: Dai, Gifford, Fundamental limits on the robustness of image classifiers, ICLR 2023 (its Theorem 2 takes the
sum). Harper, Optimal numberings and isoperimetric problems on graphs, J. Combinatorial Theory 1, 1966.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from core.geometry.limits.bounds import NORMS, robustness_bound
from core.models.classifier import Classifier

Extremal = Literal["majority", "sum", "one value"]
EXTREMAL: tuple[Extremal, ...] = get_args(Extremal)

_RESOLVED = 1e-12  # survival of `sum` below it is rounding of a Fourier transform
_MOST_SUMS = 1 << 24  # levels that a sum can have, for its exact distribution


def extremal_label(kind: Extremal, levels: Int[Tensor, "n v"], bits: int) -> Bool[Tensor, " n"]:
    """Which of the two classes images fall into.

    Args:
        kind: one of EXTREMAL.
        levels: of all values of each image, 0 to 2^bits - 1.
        bits: of each value.

    Returns:
        Whether it is the upper class.

    Raises:
        ValueError: if no such classifier is known.
    """
    q, odd = 2**bits, _odd(levels.shape[1])
    if kind == "one value":
        upper: Tensor = levels[:, 0] >= q // 2
    elif kind == "majority":
        upper = (levels[:, :odd] >= q // 2).sum(1) > odd // 2
    elif kind == "sum":
        upper = 2 * levels[:, :odd].sum(1) > (q - 1) * odd
    else:
        raise ValueError(f"expected a classifier out of {', '.join(EXTREMAL)}, got {kind!r}")
    return upper


def extremal_size(kind: Extremal, levels: Int[Tensor, "n v"], bits: int, norm: float) -> Float[Tensor, " n"]:
    """The least change on the grid after which the label differs, of each image.

    `majority`: as many values as there are surplus votes must cross the middle, the cheapest ones. `sum`: the excess D
    is taken from the values, each as far as it has room: the roomiest ones for p = 0, anyhow for p = 1, evenly for
    p = 2 and infinity (unit steps of a convex cost, from the lowest level up).

    Args:
        kind: one of EXTREMAL.
        levels: of all values of each image, 0 to 2^bits - 1.
        bits: of each value.
        norm: 0, 1, 2 or infinity.

    Returns:
        Sizes in pixels of [0, 1], float64; values changed for p = 0.

    Raises:
        ValueError: if no such classifier or norm is known.
    """
    upper = extremal_label(kind, levels, bits)
    if norm not in NORMS:
        raise ValueError(f"expected a norm out of 0, 1, 2 and infinity, got {norm}")
    q, odd = 2**bits, _odd(levels.shape[1])
    # seen from above: the lower class is the mirror image of the upper one
    down = torch.where(upper[:, None], levels[:, :odd], q - 1 - levels[:, :odd])
    if kind == "one value":
        return _norm_of((down[:, :1] - q // 2 + 1).double(), norm, q)
    if kind == "majority":
        cost = torch.where(down >= q // 2, down - q // 2 + 1, q)  # of those below the middle none is needed
        votes = (down >= q // 2).sum(1) - odd // 2
        cost, _ = cost.sort(1)
        needed = torch.arange(odd, device=levels.device) < votes[:, None]
        return _norm_of(torch.where(needed, cost, 0).double(), norm, q)
    excess = down.sum(1) - ((q - 1) * odd - 1) // 2
    if norm == 1:
        length: Tensor = excess.double() / (q - 1)
        return length
    if norm == 0:
        room, _ = down.sort(1, descending=True)
        changed: Tensor = (room.cumsum(1) < excess[:, None]).sum(1) + 1
        return changed.double()
    return _even_steps(down, excess, norm, q)


def _odd(count: int) -> int:
    """The values that are looked at: without a tie."""
    return count if count % 2 else count - 1


def _norm_of(steps: Float[Tensor, "n v"], norm: float, q: int) -> Float[Tensor, " n"]:
    """The norm of changes given in levels."""
    if norm == 0:
        return (steps > 0).sum(1).double()
    length: Tensor = torch.linalg.vector_norm(steps, ord=norm, dim=1) / (q - 1)
    return length


def _even_steps(room: Int[Tensor, "n v"], excess: Int[Tensor, " n"], norm: float, q: int) -> Float[Tensor, " n"]:
    """The norm of the most even way to take an excess from values with so much room each."""
    ordered, _ = room.sort(1)
    low, high = torch.zeros_like(excess), torch.full_like(excess, q - 1)
    before = torch.nn.functional.pad(ordered.cumsum(1), (1, 0))
    squares = torch.nn.functional.pad(ordered.square().cumsum(1), (1, 0))
    count = room.shape[1]

    def taken(level: Tensor) -> tuple[Tensor, Tensor]:
        """What is taken when every value gives up to a level, and how many values have at most that much room."""
        below = torch.searchsorted(ordered, level[:, None], right=True)[:, 0]
        return before.gather(1, below[:, None])[:, 0] + (count - below) * level, below

    for _ in range(q.bit_length()):  # the largest level that does not take more than the excess
        middle = (low + high + 1) // 2
        enough = taken(middle)[0] > excess
        low, high = torch.where(enough, low, middle), torch.where(enough, middle - 1, high)
    total, below = taken(low)
    left = excess - total  # this many values with more room give one step more
    if norm == math.inf:
        return (low + (left > 0)).double() / (q - 1)
    cost = squares.gather(1, below[:, None])[:, 0] + (count - below) * low.square() + left * (2 * low + 1)
    return cost.double().sqrt() / (q - 1)


def extremal_survival(kind: Extremal, count: int, bits: int, norm: float, sizes: np.ndarray) -> np.ndarray:
    """The share of either class that survives every change of a size, from the distribution of the distance.

    Args:
        kind: one of EXTREMAL.
        count: N, the values of an image.
        bits: of each value.
        norm: 0, 1, 2 or infinity.
        sizes: of the changes.

    Returns:
        (s,) natural logarithms of shares; NaN where no closed form is known: use `extremal_size` on a sample.
    """
    size, q, odd = np.asarray(sizes, np.float64), 2**bits, _odd(count)
    if kind == "one value":  # its distance in levels is uniform on 1 .. q/2
        steps = np.minimum(np.where(size >= 1, q, 0) if norm == 0 else np.floor(size * (q - 1) * (1 + 1e-12)), q // 2)
        with np.errstate(divide="ignore"):
            log_share: np.ndarray = np.log1p(-2.0 * steps / q)
        return log_share
    if (kind == "majority" and (norm == 0 or bits == 1)) or (kind == "sum" and bits == 1):
        whole = np.where(size >= 1, odd, 0) if norm == np.inf else size**norm * (1 + 1e-12) if norm > 0 else size
        # what is left of one half of the cube of M bits after t flips: H2 with equality
        steps = np.floor(whole)
        left = robustness_bound(1, odd, 1, 0.0, 0.5, sizes=steps).log_fraction[1] if odd > 1 else np.zeros(len(steps))
        return np.where(steps > odd // 2, -np.inf, left)
    if kind == "sum" and norm == 1 and (q - 1) * odd < _MOST_SUMS:
        return _sum_survival(np.floor(size * (q - 1) * (1 + 1e-12)), odd, q)
    return np.full(len(size), np.nan)


def _sum_survival(steps: np.ndarray, odd: int, q: int) -> np.ndarray:
    """Logarithm of 2 P(S - (T - 1)/2 > steps) for the sum S of `odd` levels, of at most T, by its Fourier transform."""
    total = (q - 1) * odd
    length = total + 1
    angle = np.pi * np.arange(length // 2 + 1) / length
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(angle == 0, 1.0, np.sin(q * angle) / (q * np.sin(angle)))
    phase = np.exp(-1j * angle * total)  # about total / 2 the distribution is even and its transform real
    density = np.fft.irfft(one**odd * phase, length)
    tail = 2 * np.cumsum(density.clip(min=0)[::-1])[::-1]  # P(S >= k), from the far end
    place = (total - 1) // 2 + steps.astype(np.int64) + 1
    share = np.where(place <= total, tail[np.minimum(place, total)], 0.0)
    with np.errstate(divide="ignore"):
        return np.where(share > _RESOLVED, np.minimum(np.log(share), 0.0), np.nan)


class _Votes(nn.Module):
    """Logits (-s, s) of a classifier whose upper class is s > 0."""

    def __init__(self, kind: Extremal, bits: int) -> None:
        super().__init__()
        self.kind, self.levels = kind, 2**bits

    def forward(self, images: Tensor) -> Tensor:
        values = images.flatten(1)
        odd = _odd(values.shape[1])
        if self.kind == "one value":
            score = values[:, 0] - 0.5
        elif self.kind == "majority":
            score = (values[:, :odd] > 0.5).to(values.dtype).sum(1) - odd / 2
        else:
            score = (values[:, :odd] - 0.5).sum(1)
        return torch.stack([-score, score], 1)


def extremal_classifier(kind: Extremal, shape: Sequence[int], bits: int) -> Classifier:
    """The classifier itself, for attacks that are to be graded against its exact distances.

    Args:
        kind: one of EXTREMAL.
        shape: (c, h, w) of an image.
        bits: of each value.

    Returns:
        A classifier of two classes on the CPU in float64.

    Raises:
        ValueError: if no such classifier is known.
    """
    if kind not in EXTREMAL:
        raise ValueError(f"expected a classifier out of {', '.join(EXTREMAL)}, got {kind!r}")
    return Classifier(_Votes(kind, bits).double(), shape, ("lower", "upper"), name=kind, device="cpu")
