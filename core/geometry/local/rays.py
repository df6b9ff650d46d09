"""How far a label holds along rays from an image, in both senses of each direction.

Along x + t v the class is evaluated at radii that grow by equal factors up to a reach. Bisection encloses the boundary
between the last radius of the image's own class and the first one of another class. A ray whose class never changes at
these radii is *censored*: its distance is at least the reach, as far as the radii can tell, and it must be drawn as
such, not dropped. A region of another class between two radii is missed.
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
        outputs: outputs of the classifier; about 26 forwards per ray.
        images: starts of the rays.
        vectors: m unit vectors for each image, or one set for all (r = 1).
        reach: length of the rays, in ℓ2 pixel.

    Returns:
        The distance of the first change that the radii see, ahead and behind.

    Raises:
        ValueError: if the reach is not a positive length.
    """
    if not 0 < reach < float("inf"):
        raise ValueError(f"expected a reach of positive length, got {reach}")
    radii = (reach * _NEAREST ** torch.linspace(1, 0, _RADII, dtype=torch.float64)).tolist()
    _, seen = outputs.around(images, vectors, ((*radii, *(-radius for radius in radii))))
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
        count, each = len(images), vectors.shape[1]
        sign = 1.0 - 2.0 * (found // (count * each)).to(images.dtype)
        row, way = found // each % count, found % each

        def ask(part: Tensor, radius: Tensor) -> Tensor:
            step = (sign[part] * radius.to(images.dtype))[:, None]
            moved = step * vectors[row[part] if len(vectors) > 1 else 0, way[part]]
            logits = outputs.classifier(images[row[part]] + moved.view(-1, *images.shape[1:]))
            count_passes(forwards=len(part))
            return logits.argmax(1).masked_fill(~torch.isfinite(logits).all(1), -1)

        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            with torch.no_grad():
                parts = torch.arange(len(found), device=images.device).split(outputs.size)
                predicted = torch.cat([ask(part, middle[part]) for part in parts])
            same = predicted == own[found]
            low, high = middle.where(same, low), high.where(same, middle)
            there = there.where(same | (predicted < 0), predicted)
        distance[found], reached[found] = (low + high) / 2, there
    reached = reached.where(~distance.isnan(), -1)
    return Rays(distance.view(2, *seen.shape[1:]), reached.view(2, *seen.shape[1:]))
