"""Directions along which images are perturbed; the distribution they are drawn from decides the results.

- *sphere*: uniform on the unit sphere of R^D. In thousands of dimensions all such directions have nearly the same gain,
  which flatters a classifier.
- *subspace*: uniform on the unit sphere of one random subspace of few dimensions.
- *pixels*: one value of one pixel each, without repetition.
- *dct*: uniform on the unit sphere of one block of 8 x 8 spatial frequencies, the blocks taken in turn.
- *attack*: the ends of projected gradient descent from random starts, different for every image.

Every direction v stands for the pair v and -v.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.signed_margin import SignedMargin, dual_vector, length
from core.geometry.subspaces.subspaces import frequency_blocks
from core.models.classifier import Classifier

Sampler = Literal["sphere", "subspace", "pixels", "dct", "attack"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)

_BLOCK = 8  # frequencies per side
_STEPS = 8  # of projected gradient descent
_STRIDE = 2.5  # radii that all steps together are long


class Directions(NamedTuple):
    """Unit vectors, and the subspace in which they lie."""

    vectors: Float[Tensor, "r m d"]  # r = n, or 1 where all images share them
    basis: Float[Tensor, "k d"] | None  # orthonormal rows; None: all of image space

    def of(self, rows: slice) -> Float[Tensor, "r m d"]:
        """The vectors of these images."""
        return self.vectors[rows] if len(self.vectors) > 1 else self.vectors


def directions(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    count: int,
    sampler: Sampler = "sphere",
    *,
    dimension: int = 8,
    radius: float = 0.5,
    seed: int = 0,
) -> Directions:
    """Draw directions of length 1.

    Args:
        classifier: the classifier that *attack* works against.
        images: the images to perturb; only *attack* depends on them.
        count: number of directions, each of which stands for v and -v.
        sampler: the distribution, see the module.
        dimension: dimension of the random subspace.
        radius: radius of the ball of *attack*, in ℓ2 pixel.
        seed: seed of the draw.

    Returns:
        The directions, on the images' device and in their dtype.

    Raises:
        ValueError: if there are fewer than two directions, the sampler is unknown, or it needs more dimensions or
            pixels than the image has.
    """
    size = math.prod(classifier.input_shape)
    if count < 2:
        raise ValueError(f"expected at least 2 directions, got {count}")
    if sampler not in SAMPLERS:
        raise ValueError(f"expected one of the samplers {', '.join(SAMPLERS)}, got {sampler!r}")
    if sampler == "subspace" and not 2 <= dimension <= size:
        raise ValueError(f"expected a subspace of 2 to {size} dimensions, got {dimension}")
    if sampler == "pixels" and count > size:
        raise ValueError(f"expected at most {size} values to change one by one, got {count}; take fewer directions")
    generator = torch.Generator().manual_seed(seed)
    if sampler == "attack":
        return _attacked(classifier, images, count, radius, generator)
    basis = None
    if sampler == "subspace":
        drawn = torch.randn((size, dimension), generator=generator, dtype=torch.float64)
        basis = torch.linalg.qr(drawn)[0].T
        vectors = torch.randn((count, dimension), generator=generator, dtype=torch.float64) @ basis
    elif sampler == "pixels":
        vectors = torch.zeros((count, size), dtype=torch.float64)
        vectors[torch.arange(count), torch.randperm(size, generator=generator)[:count]] = 1.0
    else:
        vectors = torch.randn((count, size), generator=generator, dtype=torch.float64)
        if sampler == "dct":
            family = frequency_blocks(classifier.input_shape, min(_BLOCK, *classifier.input_shape[1:]))
            which = torch.arange(count) % len(family)
            family = family.to(torch.device("cpu"), torch.float64)
            vectors = family.project(vectors.view(-1, *classifier.input_shape), which).flatten(1)
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    return Directions(vectors[None].to(images), None if basis is None else basis.to(images))


def _attacked(
    classifier: Classifier, images: Tensor, count: int, radius: float, generator: torch.Generator
) -> Directions:
    """Normalised gradient descent of the signed margin inside the ball, all images and starts together."""
    margin = SignedMargin(classifier)
    rows, size = len(images), max(1, min(classifier.batches().size, (1 << 22) // images[0].numel()))
    with torch.no_grad():
        source = margin.logits(images).argmax(1)
    starts = torch.randn((count, *images.shape[1:]), generator=generator, dtype=torch.float64).to(images)
    found = images.new_empty((rows * count, images[0].numel()))
    for start in range(0, rows * count, size):
        number = torch.arange(start, min(start + size, rows * count), device=images.device)
        image, named = images[number // count], source[number // count]
        way = dual_vector(starts[number % count], 2) * radius
        for _ in range(_STEPS):
            gradient = margin.slope(image + way, named).gradient
            way = way - _STRIDE / _STEPS * radius * dual_vector(gradient, 2)
            way = way * (radius / length(way, 2).view(-1, 1, 1, 1)).clamp(max=1)
        found[number] = dual_vector(way, 2).flatten(1)
    return Directions(found.view(rows, count, -1), None)
