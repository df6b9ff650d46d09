"""Places of new images on an existing map, by their neighbours among its images.

A new image has its k nearest images j of the map at distances d_j, and to each the weight w_j = exp(-d_j / sigma), with
sigma such that the weights add up to log2 k. It starts at the weighted mean of their places y_j and moves downhill on

    sum_j (w_j / sum w) [-log q(|y - y_j|)  -  5 mean_i log(1 - q(|y - y_i|))],    q(d) = 1 / (1 + a d^(2b)),

the second mean over the images of the map: umap-learn's own objective for new images, with its sampling of that mean
replaced by the mean itself. So an image gets the same place whatever is placed with it, and no seed matters.

An image of the map stays where it is, and what is nearly that image comes near: where the nearest image is much nearer
than the others, d_1 / mean_{j>1} d_j = r < 1/2, the place is drawn to y_1 by the share 1 - (2 r)², and is y_1 itself
where r is rounding.

A place always lies near other images, however far the new image is from all of them: the *ratio* says that, the mean
distance to its neighbours over what is typical for the images of the map.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from core.geometry.maps.layout import memberships

_STEPS = 100
_STRIDE = 0.25  # of the first step, falling to 0: as in umap-learn's transform
_REPULSION = 5.0  # negative samples per edge there
_CLIP = 4.0
_FIELD = 1000  # images that repel; larger maps are thinned to this number
_TINY = 1e-12
_ALIKE = 0.5  # r of near duplicates; of two photographs it is 0.7 or more
_ROUNDING = 1e-3  # r of the image itself, computed in another batch
_MOST_VALUES = 1 << 17  # pairs of new images and images of the map that are looked at together: they stay in the cache


def place(
    positions: Float[Tensor, "n 2"],
    distance: Float[Tensor, "m k"],
    index: Int64[Tensor, "m k"],
    a: float,
    b: float,
    *,
    steps: int = _STEPS,
) -> Float[Tensor, "m 2"]:
    """Place new images on a map.

    Args:
        positions: of the images of the map.
        distance: distances of the new images to their nearest ones there, ascending.
        index: the numbers of these.
        a: see `core.geometry.maps.layout.curve`.
        b: see there.
        steps: of the descent; 0 for the weighted mean of the neighbours' places.

    Returns:
        Places, float64; NaN where a distance is not finite.
    """
    positions = positions.float()  # as umap-learn's are
    field = positions[:: -(-len(positions) // _FIELD)]
    weights = memberships(distance.nan_to_num(), math.log2(distance.shape[1] + 1), local=False)
    shares = (weights / weights.sum(1, keepdim=True)).float()
    block = max(1, _MOST_VALUES // (len(field) + distance.shape[1]))
    placed = [
        _descend(positions[index[start : start + block]], shares[start : start + block], field, a, b, steps)
        for start in range(0, len(distance), block)
    ]
    found = torch.cat(placed) if placed else positions[:0]
    return found.double().where(torch.isfinite(distance).all(1, keepdim=True), torch.nan)


def _descend(near: Tensor, shares: Tensor, field: Tensor, a: float, b: float, steps: int) -> Tensor:
    at = (shares[:, :, None] * near).sum(1)
    for step in range(steps):
        along = [at[:, axis : axis + 1] - near[:, :, axis] for axis in (0, 1)]
        square = (along[0].square() + along[1].square()).clamp(min=_TINY)
        power = a * square.log().mul_(b).exp_()
        pull = -2 * b * power / (square * (1 + power)) * shares
        away = [at[:, axis : axis + 1] - field[:, axis] for axis in (0, 1)]
        square = (away[0].square() + away[1].square()).clamp(min=_TINY)
        push = 2 * b / ((1e-3 + square) * (1 + a * square.log().mul_(b).exp_()))
        move = [
            (pull * along[axis]).clamp_(-_CLIP, _CLIP).sum(1)
            + _REPULSION * (push * away[axis]).clamp_(-_CLIP, _CLIP).mean(1)
            for axis in (0, 1)
        ]
        at = at + _STRIDE * (1 - step / steps) * torch.stack(move, 1)
    return at


def anchored(
    places: Float[Tensor, "m 2"],
    positions: Float[Tensor, "n 2"],
    distance: Float[Tensor, "m k"],
    index: Int64[Tensor, "m k"],
) -> Float[Tensor, "m 2"]:
    """Move images that are, or nearly are, images of the map to the places of those.

    Args:
        places: as `place` finds them.
        positions: of the images of the map.
        distance: Euclidean distances of the new images to their nearest ones there, ascending; two at least.
        index: the numbers of these.

    Returns:
        Places, float64; NaN stays NaN.
    """
    others = distance[:, 1:].mean(1)
    r = torch.where(distance[:, 0] > 0, distance[:, 0] / others, 0.0)
    share = (1 - (r / _ALIKE).square()).clamp(0, 1).where(r >= _ROUNDING, 1.0)[:, None]
    own = positions[index[:, 0]].double().where(torch.isfinite(places), torch.nan)
    return torch.where(share == 1, own, share * own + (1 - share) * places)


def distance_ratio(distance: Float[Tensor, "m k"], typical: float) -> Float[Tensor, " m"]:
    """How far new images are from their neighbours, relative to the images of the map.

    Args:
        distance: distances to the nearest images of the map.
        typical: the median, over the images of the map, of their mean distance to the same number of neighbours.

    Returns:
        1 for as far as usual; infinite where the images of the map coincide and a new one does not.
    """
    mean = distance.double().mean(1)
    return torch.where(mean > 0, mean / typical, 0.0) if typical > 0 else torch.where(mean > 0, torch.inf, 0.0)
