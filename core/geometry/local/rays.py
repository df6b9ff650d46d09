"""How far a label holds along rays from an image, in both senses of each direction.

Along x + t v the class is asked at radii that grow by equal factors up to a reach. Between the last radius of the own
class and the first of another one the boundary is enclosed by halving. A ray whose class never changes on these radii
is *censored*: its distance is at least the reach, as far as the radii can tell, and it must be drawn as such, not
dropped. A region of another class that lies between two radii is missed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.local.jacobian import Outputs
from core.runtime.cost import count_passes

_RADII = 16
_NEAREST = 1 / 256  # of the reach: the first radius
_HALVINGS = 10  # the bracket ends at 1 / 2000 of the distance


class Rays(NamedTuple):
    """Where each ray meets the first other class: ahead (v) and behind (-v)."""

    distance: Float[Tensor, "2 n m"]  # float64; NaN where the class never changed up to the reach, or is undefined
    reached: Int[Tensor, "2 n m"]  # -1 there


def label_rays(
    outputs: Outputs, images: Float[Tensor, "n c h w"], vectors: Float[Tensor, "r m d"], reach: float
) -> Rays:
    """Follow rays until the class changes.

    Args:
        outputs: of the classifier; about 26 forwards per ray.
        images: where the rays start.
        vectors: m unit vectors for each image, or one set for all (r = 1).
        reach: how far, in ℓ2 pixel.

    Returns:
        The distance of the first change that the radii see, ahead and behind.

    Raises:
        ValueError: if the reach is not a positive length.
    """
    if not 0 < reach < float("inf"):
        raise ValueError(f"expected a reach of positive length, got {reach}")
    radii = (reach * _NEAREST ** torch.linspace(1, 0, _RADII, dtype=torch.float64)).tolist()
    steps = (*radii, *(-radius for radius in radii))
    _, seen = outputs.around(images, vectors, steps)
    _, here = outputs.around(images, torch.zeros_like(vectors[:, :1]), (0.0,))
    source = here[0]  # (n, 1)
    classes = seen.view(2, _RADII, *seen.shape[1:]).transpose(0, 1).flatten(1)  # radii, then sense, image, direction
    own = source.expand(2, *seen.shape[1:]).flatten()
    left = classes != own
    first = left.to(torch.uint8).argmax(0)
    reached = classes.gather(0, first[None])[0]
    found = (left.any(0) & (reached >= 0) & (own >= 0)).nonzero()[:, 0]  # an undefined point ends a ray as well
    distance = torch.full(own.shape, torch.nan, dtype=torch.float64, device=images.device)
    if len(found):
        table = torch.tensor([0.0, *radii], dtype=torch.float64, device=images.device)
        low, high, there = table[first[found]], table[first[found] + 1], reached[found]
        asked = _Asked(outputs, images, vectors, found, own[found])
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            predicted = asked(middle)
            same = predicted == own[found]
            low, high = middle.where(same, low), high.where(same, middle)
            there = there.where(same | (predicted < 0), predicted)
        distance[found], reached[found] = (low + high) / 2, there
    reached = reached.where(~distance.isnan(), -1)
    return Rays(distance.view(2, *seen.shape[1:]), reached.view(2, *seen.shape[1:]))


class _Asked:
    """The class at one radius of each of some rays, numbered by sense, image and direction."""

    def __init__(self, outputs: Outputs, images: Tensor, vectors: Tensor, rays: Tensor, own: Tensor) -> None:
        count, each = len(images), vectors.shape[1]
        self._outputs, self._images, self._vectors = outputs, images, vectors
        self._sign = 1.0 - 2.0 * (rays // (count * each)).to(images.dtype)
        self._row, self._way = rays // each % count, rays % each

    def __call__(self, radius: Tensor) -> Tensor:
        parts = []
        for part in torch.arange(len(radius), device=radius.device).split(self._outputs.size):
            row, way = self._row[part], self._way[part]
            step = (self._sign[part] * radius[part].to(self._sign))[:, None]
            moved = self._images[row] + (step * self._vectors[row if len(self._vectors) > 1 else 0, way]).view(
                -1, *self._images.shape[1:]
            )
            with torch.no_grad():
                logits = self._outputs.classifier(moved)
            count_passes(forwards=len(part))
            parts.append(logits.argmax(1).masked_fill(~torch.isfinite(logits).all(1), -1))
        return torch.cat(parts)
