"""PRIME: images mixed with chains of random primitives, to train classifiers that are robust to common corruptions.

Each image x runs through `width` chains; chain i applies d_i ~ U{1 .. depth} primitives, each drawn anew and uniformly
from the three of `core.geometry.corruptions.primitives`, and ends at a_i. The mixture is

    x̂ = (1 - m) x + m sum_i w_i a_i,    w ~ Dirichlet(1, ..., 1), m ~ Beta(1, 1),

with independent draws for each image. A `Prime` keeps its draws: it makes the same images again.

Reference: Modas, Rade, Ortiz-Jimenez, Moosavi-Dezfooli, Frossard, PRIME: a few primitives can boost robustness to
common corruptions, ECCV 2022 (arXiv 2112.13547), Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import ImageError
from core.geometry.corruptions.primitives import Colour, Spatial, Spectral, draw_colour, draw_spatial, draw_spectral

PRIMITIVES = ("spectral", "spatial", "colour")


@dataclass(frozen=True, eq=False)
class Prime:
    """The draws for n images; called with images, it mixes them.

    Attributes:
        shape: (c, h, w) of an image.
        kind: which primitive, an index into PRIMITIVES, each chain applies one after the other; -1 after its end.
        place: which of the drawn primitives of that kind, -1 after the chain's end.
        spectral: the filters, in the order of use.
        spatial: the displacements, in the order of use.
        colour: the colour curves, in the order of use.
        weights: w, one row per image.
        mix: m of each image.
    """

    shape: tuple[int, int, int]
    kind: Int[Tensor, "n width depth"]
    place: Int[Tensor, "n width depth"]
    spectral: Spectral
    spatial: Spatial
    colour: Colour
    weights: Float[Tensor, "n width"]
    mix: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.kind)

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The mixtures.

        Args:
            images: values in [0, 1], as many and of the shape the draw was made for.

        Returns:
            Images in [0, 1].

        Raises:
            ImageError: if number, shape or range differ.
        """
        if tuple(images.shape) != (len(self), *self.shape):
            expected, came = (" x ".join(map(str, shape)) for shape in ((len(self), *self.shape), images.shape))
            raise ImageError(f"expected images of {expected}, for which these were drawn, got {came}; draw anew")
        low, high = images.aminmax()
        if not bool((low >= 0) & (high <= 1)):
            raise ImageError("expected images in [0, 1], got others; remove the normalisation")
        ends = self._chains(images.detach())
        weights = (self.mix[:, None] * self.weights).to(images)
        mixed = torch.einsum("nw,nwp->np", weights, ends.flatten(2)).view_as(images)
        return mixed.add_((1 - self.mix).to(images).view(-1, 1, 1, 1) * images).clamp_(0, 1)

    def _chains(self, images: Tensor) -> Tensor:
        """Where each chain ends: (n, width, c, h, w)."""
        width = self.kind.shape[1]
        states = images.repeat_interleave(width, 0)
        kind, place = self.kind.flatten(0, 1).cpu().numpy(), self.place.flatten(0, 1).cpu().numpy()
        primitives: tuple[Spectral | Spatial | Colour, ...] = (self.spectral, self.spatial, self.colour)
        for step in range(kind.shape[1]):
            for number, primitive in enumerate(primitives):
                chosen = (kind[:, step] == number).nonzero()[0]
                if len(chosen):
                    drawn = torch.from_numpy(place[chosen, step]).to(states.device)
                    rows = torch.from_numpy(chosen).to(states.device)
                    states.index_copy_(0, rows, primitive(states.index_select(0, rows), drawn))
        return states.view(len(images), width, *images.shape[1:])


def draw_prime(
    count: int,
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    width: int = 3,
    depth: int = 3,
    spectral: float = 4.0,
    spatial: float = 1.0,
    colour: float = 0.01,
    cutoff: int = 100,
) -> Prime:
    """Draw chains of primitives and mixing weights for `count` images.

    Args:
        count: number of images.
        shape: (c, h, w) of an image.
        generator: source of the draws, which are made on its device.
        width: chains of an image.
        depth: largest number of primitives of a chain.
        spectral: the largest standard deviation s of a filter's coefficients.
        spatial: scales the variance T of displacements.
        colour: the largest variance T of a colour curve's coefficients.
        cutoff: the largest q of displacements (at most half the image's side) and of colour curves.

    Returns:
        The draw.

    Raises:
        ValueError: if a number is not positive, a strength is negative, or the cut-off is below 2.
    """
    if count < 1 or width < 1 or depth < 1:
        raise ValueError(f"expected at least one image, one chain and one primitive, got {count}, {width}, {depth}")
    channels, height, wide = shape
    device = generator.device
    kind = torch.randint(len(PRIMITIVES), (count, width, depth), generator=generator, device=device)
    lengths = torch.randint(1, depth + 1, (count, width, 1), generator=generator, device=device)
    kind[torch.arange(depth, device=device) >= lengths] = -1
    place = torch.full_like(kind, -1)
    used = []
    for number in range(len(PRIMITIVES)):
        chosen = kind == number
        used.append(int(chosen.sum()))
        place[chosen] = torch.arange(used[number], device=device)
    filters = draw_spectral(used[0], generator, strength=spectral)
    displacements = draw_spatial(used[1], (height, wide), generator, strength=spatial, cutoff=cutoff)
    curves = draw_colour(used[2], channels, generator, strength=colour, cutoff=cutoff)
    # independent exponential variables, divided by their sum, are uniform on the simplex
    shares = torch.empty(count, width, device=device).exponential_(generator=generator)
    mix = torch.rand(count, generator=generator, device=device)
    weights = shares / shares.sum(1, keepdim=True)
    return Prime((channels, height, wide), kind, place, filters, displacements, curves, weights, mix)


def prime(images: Float[Tensor, "n c h w"], generator: torch.Generator) -> Float[Tensor, "n c h w"]:
    """Mix images with freshly drawn primitives, all settings as in the paper for images of 32 x 32 pixels.

    Args:
        images: values in [0, 1].
        generator: source of the draws.

    Returns:
        Images in [0, 1], of the same shape.

    Raises:
        ImageError: if a value is outside [0, 1].
    """
    return draw_prime(len(images), images.shape[1:], generator)(images)
