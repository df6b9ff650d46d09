"""How often noise inside a subspace changes the class, compared with noise in all of image space.

From an image at distance D, a tangent step of length t along a direction of curvature k meets the boundary, to second
order, where D + k t² / 2 = 0: at t = sqrt(2 D / |k|) for k < 0, nowhere for k > 0. Noise in the span of the directions
with k < 0 changes the class first, noise in that of k > 0 last, and mixing both signs hides the effect: with ten
directions of curvature -1, ten of +1, D = 1 and noise of length 2, the class changes always, never, and in 4.9 % of the
draws.

References: Fawzi et al., CVPR 2018, section 5; Moosavi-Dezfooli et al., ICLR 2018 (noise in shared directions, the same
for all images, is a universal perturbation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.geometry.curvature.profile import CurvatureProfile
from core.models.classifier import Classifier
from core.result import Result, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

_MOST_VALUES = 1 << 24  # of noise made at once


@dataclass(frozen=True, kw_only=True, eq=False)
class SubspaceNoise(Result):
    """The share of draws of noise that change the class of n images, by subspace and length."""

    flipped: np.ndarray = quantity("", "n s l")
    length: np.ndarray = quantity("ℓ2 pixel", "l")
    spans: tuple[str, ...] = quantity("")  # names of the s subspaces
    dimension: np.ndarray = quantity("", "s")
    draws: int = quantity("")
    fingerprint: str = quantity("", default="")

    @property
    def rate(self) -> np.ndarray:
        """(s, l) the mean over images."""
        return np.asarray(self.flipped.mean(0))

    @property
    def error(self) -> np.ndarray:
        """(s, l) standard error of that mean, from image to image; NaN for one image."""
        if len(self.flipped) < 2:
            return np.full(self.flipped.shape[1:], np.nan)
        return np.asarray(self.flipped.std(0, ddof=1) / len(self.flipped) ** 0.5)


@counted
def subspace_noise(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    spans: Mapping[str, Tensor | None],
    lengths: Sequence[float],
    *,
    draws: int = 32,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> SubspaceNoise:
    """Add noise of given lengths, uniform over the directions of each subspace, to images.

    Args:
        classifier: the classifier.
        images: finite pixel values; changes are counted from the class that the classifier predicts for them.
        spans: for each name orthonormal directions, (m, c, h, w) for all images or (n, m, c, h, w) for each its own;
            None for all of image space. In a subspace shared by all images, all get the same noise.
        lengths: of the noise, in ℓ2 pixel.
        draws: of noise, for each subspace; the same draws at every length.
        seed: of the noise.
        on_progress: called with the fraction done.

    Returns:
        The shares of draws that change the class; images with noise are not clipped to the pixel box.

    Raises:
        ValueError: if there is no image, subspace, length or draw, or a length is not positive.
        ImageError: if a value is not finite or a shape does not fit.
    """
    sizes = np.array(lengths, np.float64)
    pixels = classifier.accept(images)
    if not len(pixels) or not spans or not len(sizes) or draws < 1 or not bool((sizes > 0).all()):
        raise ValueError("expected images, subspaces, positive lengths and at least one draw, got none of one of them")
    device, count, values = classifier.device, len(pixels), pixels[0].numel()
    flat = pixels.flatten(1).double()
    flipped = np.zeros((count, len(spans), len(sizes)))
    dimension = np.zeros(len(spans), np.int64)
    with torch.inference_mode():
        runner = classifier.batches()
        logits = runner(classifier, pixels)
        source = logits.argmax(1)
        chunk = max(1, _MOST_VALUES // (count * values))
        for place, (name, basis) in enumerate(spans.items()):
            generator = torch.Generator().manual_seed(seed)
            bases = None if basis is None else _fitting(name, basis, pixels)
            dimension[place] = values if bases is None else bases.shape[-2]
            for start in range(0, draws, chunk):
                many = min(chunk, draws - start)
                drawn = torch.randn((many, int(dimension[place])), generator=generator, dtype=torch.float64)
                unit = (drawn / drawn.norm(dim=1, keepdim=True)).to(device)
                noise = unit.expand(1, -1, -1) if bases is None else unit @ bases  # (n or 1, draws, d)
                for at, size in enumerate(sizes.tolist()):
                    on_progress((place + (start + many * at / len(sizes)) / draws) / len(spans))
                    moved = (flat[:, None] + size * noise).view(-1, *pixels.shape[1:]).to(pixels.dtype)
                    label = runner(classifier, moved).argmax(1).view(count, many)
                    flipped[:, place, at] += (label != source[:, None]).sum(1).cpu().numpy() / draws
    return SubspaceNoise(
        flipped=flipped,
        length=sizes,
        spans=tuple(spans),
        dimension=dimension,
        draws=draws,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def _fitting(name: str, basis: Tensor, pixels: Tensor) -> Tensor:
    """Orthonormal directions as (n or 1, m, d), float64.

    Raises:
        ImageError: if they do not fit the images, or are not orthonormal.
    """
    shapes = (tuple(pixels.shape[1:]), (len(pixels), *pixels.shape[1:]))
    own = tuple(basis.shape)
    if own[1:] != shapes[0] and (own[:1], own[2:]) != ((len(pixels),), shapes[0]):
        raise ImageError(f"expected directions of images {shapes[0]} for {name!r}, got {own}")
    flat = (
        basis.detach()
        .to(pixels.device, torch.float64)
        .reshape(-1 if basis.ndim == 5 else 1, own[-4], pixels[0].numel())
    )
    products = flat @ flat.mT
    if not torch.allclose(products, torch.eye(own[-4], dtype=products.dtype, device=products.device), atol=1e-4):
        raise ImageError(f"expected orthonormal directions for {name!r}, got others; orthogonalise them")
    return flat


def curvature_spans(profile: CurvatureProfile, count: int = 10, seed: int = 0) -> dict[str, Tensor]:
    """Tangent subspaces at every image's own boundary point, for a comparison of noise in them.

    Args:
        profile: with directions from both ends, of images that all have a boundary point.
        count: dimension of each subspace.
        seed: of random directions.

    Returns:
        "convex" (the smallest curvatures, usually k < 0), "concave" (the largest), "curved" (of largest magnitude among
        the directions kept), "flat" (random ones orthogonal to the directions kept) and "random", each of shape
        (n, count, c, h, w), tangential and orthonormal.

    Raises:
        ValueError: if an image has no directions, or fewer than `count`.
    """
    directions = torch.from_numpy(profile.directions).double().flatten(2)
    if count < 1 or directions.shape[1] < count or not bool(torch.isfinite(directions).all()):
        raise ValueError(
            f"expected {count} directions of every image, got fewer; keep more, and leave out images without"
        )
    rows, kept, values = directions.shape
    magnitude = torch.from_numpy(profile.direction_curvatures).abs()
    curved = magnitude.topk(count, 1).indices[:, :, None].expand(-1, -1, values)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn((rows, count, values), generator=generator, dtype=torch.float64)
    normals = torch.from_numpy(profile.normals).double().flatten(1)[:, None]
    spans = {
        "convex": directions[:, kept - count :],
        "concave": directions[:, :count],
        "curved": directions.gather(1, curved),
        "flat": _without(drawn, torch.cat([normals, directions], 1)),
        "random": _without(drawn, normals),
    }
    shape = (rows, count, *profile.directions.shape[2:])
    return {name: torch.linalg.qr(span.mT)[0].mT.reshape(shape) for name, span in spans.items()}


def _without(vectors: Tensor, others: Tensor) -> Tensor:
    """The vectors' parts that are orthogonal to others, which are nearly orthonormal."""
    for _ in range(2):  # twice, since the others are orthonormal only up to rounding
        vectors = vectors - (vectors @ others.mT) @ others
    return vectors
