"""Training modes of the demo models: what replaces a batch before the step: nothing, an attack, an augmentation.

Projected gradient descent looks for the worst image x + d with ||d||_2 <= r in [0, 1]: from a random start in the ball
it goes up the gradient of the cross-entropy in steps of length 2.5 r / steps and is put back into ball and box.

Reference: Madry, Makelov, Schmidt, Tsipras, Vladu, Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR
2018.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

Net = Callable[[Tensor], Tensor]  # from pixels to logits, as the network will be used
Mode = Callable[..., Tensor]  # net, pixels, labels, generator and the recipe's arguments


def standard(net: Net, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """The images as they are."""
    return pixels


def adversarial(
    net: Net, pixels: Tensor, labels: Tensor, generator: torch.Generator, *, radius: float, steps: int
) -> Tensor:
    """The worst images that projected gradient descent finds at most `radius` away."""
    return attack(net, pixels, labels, generator, radius=radius, steps=steps)[0]


def prime(
    net: Net,
    pixels: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    *,
    share: float = 1.0,
    spectral: float = 4.0,
    colour: float = 0.01,
) -> Tensor:
    """About `share` of the images mixed with PRIME's primitives of these strengths, drawn anew for each image."""
    from core.geometry.corruptions.prime import draw_prime

    chosen = torch.ones(len(pixels)) if share == 1 else torch.rand(len(pixels), generator=generator) < share
    rows = chosen.nonzero()[:, 0]
    mixed = pixels.clone()
    if len(rows):
        mixed[rows] = draw_prime(len(rows), pixels.shape[1:], generator, spectral=spectral, colour=colour)(pixels[rows])
    return mixed


MODES: Mapping[str, Mode] = {"standard": standard, "adversarial": adversarial, "prime": prime}


def attack(
    net: Net,
    pixels: Float[Tensor, "n c h w"],
    labels: Int64[Tensor, " n"],
    generator: torch.Generator,
    *,
    radius: float,
    steps: int,
) -> tuple[Float[Tensor, "n c h w"], Bool[Tensor, " n"]]:
    """Projected gradient descent in the ℓ2 ball, inside the pixel box.

    Args:
        net: from pixels to logits; its rows must not see each other.
        pixels: images in [0, 1].
        labels: their classes.
        generator: of the random start.
        radius: of the ball, ℓ2 pixel.
        steps: gradients taken.

    Returns:
        The last images, and which rows were misclassified there or at any earlier step.
    """
    start = torch.randn(pixels.shape, generator=generator)
    share = torch.rand(len(pixels), 1, 1, 1, generator=generator) ** (1 / pixels[0].numel())  # uniform in the ball
    found = (pixels + radius * share * _unit(start)).clamp(0, 1)
    fooled = torch.zeros(len(pixels), dtype=torch.bool)
    for _ in range(steps):
        with torch.enable_grad():
            found.requires_grad_()
            logits = net(found)
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), found)
        fooled |= logits.detach().argmax(1) != labels
        change = found.detach() + 2.5 * radius / steps * _unit(gradient) - pixels
        lengths = torch.linalg.vector_norm(change, dim=(1, 2, 3), keepdim=True)
        change = change * (radius / lengths.clamp_min(radius))
        found = (pixels + change).clamp(0, 1)  # cutting at the box only shortens the way
    with torch.no_grad():
        fooled |= net(found).argmax(1) != labels
    return found, fooled


def _unit(directions: Tensor) -> Tensor:
    """Each row divided by its ℓ2 length; 0 stays 0."""
    lengths: Tensor = torch.linalg.vector_norm(directions, dim=(1, 2, 3), keepdim=True)
    return directions / lengths.clamp_min(torch.finfo(directions.dtype).tiny)
