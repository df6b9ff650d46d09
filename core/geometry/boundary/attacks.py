"""Two attacks to test detectors with: perturbations of a given length, and perturbations that are as short as possible.

*Projected gradient descent* lowers the signed margin F inside a ball of a given radius, by normalised gradient steps
from a random start, each projected back onto the ball. *Decoupled direction and norm* looks for a short perturbation:
the direction follows the gradient, and the length shrinks by a factor where the class has changed and grows where it
has not. Neither is clipped to the pixel box: they cross the boundary of the unclipped classifier.

References: Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018; Rony et al.,
Decoupling direction and norm for efficient gradient-based L2 adversarial attacks, CVPR 2019, Algorithm 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.geometry.boundary.signed_margin import SignedMargin, dual_vector, length, per_row
from core.models.classifier import Classifier
from core.runtime.batches import engine_mode


class Perturbed(NamedTuple):
    """Perturbed images, and whether their class has changed."""

    images: Float[Tensor, "n c h w"]
    changed: Bool[Tensor, " n"]


def projected_gradient(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    radius: Float[Tensor, " n"],
    *,
    steps: int = 40,
    seed: int = 0,
) -> Perturbed:
    """Minimise the signed margin within ℓ2 balls, by projected gradient descent.

    Args:
        classifier: the classifier; the attack leaves the class that it predicts for each image.
        images: finite pixel values.
        radius: of each ball, in ℓ2 pixel.
        steps: number of descent steps, each of 2.5 radii over that number.
        seed: of the random start.

    Returns:
        The points of smallest margin that were met.

    Raises:
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    pixels, margin, source = _prepared(classifier, images)
    size = per_row(radius.to(pixels))
    generator = torch.Generator().manual_seed(seed)
    with engine_mode(classifier.device):
        start = torch.randn((1, *pixels.shape[1:]), generator=generator, dtype=torch.float64).to(pixels)
        way = (dual_vector(start, 2) * size / 2).expand_as(pixels).clone()
        best, least = way.clone(), torch.full_like(pixels[:, 0, 0, 0], torch.inf)
        for _ in range(steps):
            at, gradient, _ = margin.slope(pixels + way, source)
            best, least = _better(best, least, way, at)
            way = way - 2.5 / steps * size * dual_vector(gradient, 2)
            way = way * (size / per_row(length(way, 2)).clamp(min=torch.finfo(way.dtype).tiny)).clamp(max=1)
        best, least = _better(best, least, way, margin(pixels + way, source))
    return Perturbed(pixels + best, least < 0)


def shortest_perturbation(
    classifier: Classifier, images: Float[Tensor, "n c h w"], *, steps: int = 100, shrink: float = 0.05
) -> Perturbed:
    """Look for short ℓ2 perturbations that change the class, by decoupled direction and norm.

    Args:
        classifier: the classifier; the attack leaves the class that it predicts for each image.
        images: finite pixel values.
        steps: number of search steps, whose size falls from 1 to 0.01 along a cosine.
        shrink: relative change of the length in a step.

    Returns:
        Images with the shortest perturbations met; the images themselves where the class never changed.

    Raises:
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    pixels, margin, source = _prepared(classifier, images)
    with engine_mode(classifier.device):
        way, size = torch.zeros_like(pixels), torch.ones_like(pixels[:, 0, 0, 0])
        best, least = torch.zeros_like(pixels), torch.full_like(size, torch.inf)
        for step in range(steps):
            at, gradient, _ = margin.slope(pixels + way, source)
            crossed = at < 0
            best, least = _better(best, least, way, torch.where(crossed, length(way, 2), torch.inf))
            stride = 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2
            turned = way - stride * dual_vector(gradient, 2)
            size = size * torch.where(crossed, 1 - shrink, 1 + shrink)
            way = dual_vector(turned, 2) * per_row(size)
        crossed = margin(pixels + way, source) < 0
        best, least = _better(best, least, way, torch.where(crossed, length(way, 2), torch.inf))
    return Perturbed(pixels + best, torch.isfinite(least))


def _prepared(classifier: Classifier, images: Tensor) -> tuple[Tensor, SignedMargin, Tensor]:
    margin = SignedMargin(classifier)
    pixels = classifier.accept(images).to(margin.dtype)
    with torch.no_grad():
        return pixels, margin, margin.logits(pixels).argmax(1)


def _better(best: Tensor, least: Tensor, way: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    lower = value < least
    return way.where(per_row(lower), best), torch.where(lower, value, least)
