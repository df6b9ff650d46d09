"""How faithful a map is: which neighbours it keeps, invents and loses.

Let U_k(i) be the k nearest images of i in the map, V_k(i) those in the space that was mapped, r(i, j) the rank of j
among all others by distance from i in that space, and s(i, j) its rank in the map. Then

    trustworthiness = 1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in U_k(i), not in V_k(i)} (r(i, j) - k)

falls where the map shows neighbours that are none, continuity is the same with the map and the space changing places
and falls where it tears neighbours apart, and neighbour agreement is the mean share |U_k(i) n V_k(i)| / k, which is
k / (n - 1) by chance. Label agreement is the share of images whose class most of their k neighbours have.

Reference: Venna, Kaski, Neighborhood preservation in nonlinear projection methods, ICANN 2001.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.linalg import orthogonal_procrustes
from scipy.stats import spearmanr
from torch import Tensor

_BLOCK = 256  # rows whose ranks are found together
_PAIRS = 400  # images whose pairs are compared for the correlation of distances


@dataclass(frozen=True, kw_only=True)
class MapQuality:
    """Six numbers about a map; NaN where there are too few images, or nothing to compare."""

    trustworthiness: float
    continuity: float
    neighbour_agreement: float
    correlation: float  # Spearman's, of the distances in the space with those in the map
    label_agreement: tuple[float, float, float]  # in the map, in the space, by chance
    predicted_agreement: tuple[float, float, float]  # the same for the predicted class


_NOTHING = MapQuality(
    trustworthiness=math.nan,
    continuity=math.nan,
    neighbour_agreement=math.nan,
    correlation=math.nan,
    label_agreement=(math.nan,) * 3,
    predicted_agreement=(math.nan,) * 3,
)


def map_quality(
    far: Callable[[Tensor], Float[Tensor, "b n"]],
    positions: Float[Tensor, "n 2"],
    labels: Int[Tensor, " n"],
    predicted: Int[Tensor, " n"],
    *,
    neighbours: int = 10,
    seed: int = 0,
) -> MapQuality:
    """Compare a map with the space it is of.

    Args:
        far: maps numbers of images to their distances, in the space, to all images.
        positions: positions on the map.
        labels: the class of each image; -1 where unknown: such images are left out of the agreement.
        predicted: the predicted class, -1 where undefined.
        neighbours: k; at most fewer than half of the images.
        seed: seed of the images whose pairs are correlated.

    Returns:
        The numbers.
    """
    n = len(positions)
    k = min(neighbours, (n - 1) // 2)
    if k < 1:
        return _NOTHING
    drawn = positions.double().cpu()
    invented = lost = kept = widest = 0.0
    near_there, near_here = [], []
    for start in range(0, n, _BLOCK):
        rows = torch.arange(start, min(start + _BLOCK, n))
        away = far(rows).cpu().double()
        widest = max(widest, float(away.where(torch.isfinite(away), 0.0).max()))
        there, here = _ranks(away, rows), _ranks(torch.cdist(drawn[rows], drawn), rows)
        invented += float((there - k).clamp(min=0)[here <= k].sum())
        lost += float((here - k).clamp(min=0)[there <= k].sum())
        kept += float(((there <= k) & (here <= k)).sum()) - len(rows)  # each is its own nearest
        near_there.append(there.argsort(dim=1)[:, 1 : k + 1])
        near_here.append(here.argsort(dim=1)[:, 1 : k + 1])
    if not widest:  # all images are the same one: none is nearer than another
        return _NOTHING
    worst = n * k * (2 * n - 3 * k - 1) / 2
    beside = torch.cat(near_here), torch.cat(near_there)
    return MapQuality(
        trustworthiness=1 - invented / worst,
        continuity=1 - lost / worst,
        neighbour_agreement=kept / (n * k),
        correlation=_correlation(far, drawn, seed),
        label_agreement=_label_agreement(labels.cpu(), *beside),
        predicted_agreement=_label_agreement(predicted.cpu(), *beside),
    )


def _ranks(far: Tensor, rows: Tensor) -> Tensor:
    """The rank of each image by distance from each row, 1 for the nearest other one, 0 for itself; ties by number."""
    far = far.clone()
    far[torch.arange(len(rows)), rows] = -torch.inf
    return far.argsort(dim=1, stable=True).argsort(dim=1)


def _label_agreement(labels: Tensor, in_map: Tensor, in_space: Tensor) -> tuple[float, float, float]:
    """The share of images whose class most neighbours have, in the map, in the space, and if neighbours were random."""
    known = labels >= 0
    if not bool(known.any()):
        return (math.nan,) * 3
    classes = int(labels.max()) + 1
    shares = []
    for near in (in_map, in_space):
        around = labels[near]
        votes = torch.zeros(len(labels), classes).scatter_add_(1, around.clamp(min=0), (around >= 0).float())
        shares.append(float((votes.argmax(1) == labels)[known].float().mean()))
    counts = torch.bincount(labels[known], minlength=classes).double()
    return shares[0], shares[1], float(counts.max() / counts.sum())


def _correlation(far: Callable[[Tensor], Tensor], drawn: Tensor, seed: int) -> float:
    """Spearman's rank correlation of distances between pairs, of all images or of some."""
    n = len(drawn)
    chosen = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:_PAIRS].sort().values
    upper = torch.triu_indices(len(chosen), len(chosen), 1)
    there = far(chosen).cpu()[:, chosen][upper[0], upper[1]].numpy()
    here = torch.cdist(drawn[chosen], drawn[chosen])[upper[0], upper[1]].numpy()
    if not np.ptp(there) or not np.ptp(here):
        return math.nan
    return float(spearmanr(there, here).statistic)


def stability(maps: Sequence[np.ndarray], *, neighbours: int = 10) -> tuple[np.ndarray, float]:
    """How much a map depends on its seed.

    All maps are laid over the first by the best shift, rotation, reflection and size (Procrustes).

    Args:
        maps: two or more maps of the same images, each (n, 2).
        neighbours: k of the agreement.

    Returns:
        (n,) how far each image lies from its mean place, root mean square over the maps, as a share of the map's own
        root mean square radius; and the mean share of k neighbours that the first map has in common with another.

    Raises:
        ValueError: if there are fewer than two maps.
    """
    if len(maps) < 2:
        raise ValueError(f"expected at least two maps to compare, got {len(maps)}")
    centred = [one - one.mean(0) for one in np.asarray(maps, np.float64)]
    radius = float(np.sqrt((centred[0] ** 2).sum(1).mean())) or 1.0
    laid = [centred[0]]
    for one in centred[1:]:
        turn, scale = orthogonal_procrustes(one, centred[0])
        laid.append(one @ turn * scale / ((one**2).sum() or 1.0))
    spread = np.sqrt(((np.stack(laid) - np.mean(laid, 0)) ** 2).sum(2).mean(0)) / radius
    k = min(neighbours, len(centred[0]) - 1)
    rows = torch.arange(len(centred[0]))
    near = [_ranks(torch.cdist(*(torch.from_numpy(one),) * 2), rows) <= k for one in centred]
    return spread, float(np.mean([float((near[0] & other).sum() - len(rows)) / (k * len(rows)) for other in near[1:]]))
