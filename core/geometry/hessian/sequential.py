"""Second derivatives of networks that are a plain chain of layers, without torch's graph.

The logits are A_L φ(... φ(A_1 x)), each A a convolution or a matrix with its shift, each φ a smooth activation. At a
fixed point let z be what enters an activation and g what the margin's gradient is behind it. Along a direction v

    forwards    dz = A dh,  dh' = φ'(z) dz
    backwards   dg_z = φ'(z) dg + g φ''(z) dz,  dg' = A^T dg_z,

beginning with dh = v and dg = 0, since the margin is linear in the logits: dg at the image is H v. Behind the last
activation nothing has to be run. φ'(z) and g φ''(z) are kept, so that a product is two runs through the A and three
multiplications per value: what torch's graph computes, without the hundred steps of its bookkeeping, which take as long
as small layers do.

Reference: Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6, 1994.
"""

from __future__ import annotations

import copy
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.geometry.hessian.smooth_layers import LinearConvolution, TwiceDifferentiable, convolve, transpose
from core.models.classifier import Classifier
from core.runtime import progress


@runtime_checkable
class Affine(Protocol):
    """x -> A x + b."""

    def forward(self, values: Tensor) -> Tensor:
        """A x + b."""

    def along(self, vectors: Tensor) -> Tensor:
        """A v."""

    def back(self, gradient: Tensor, size: torch.Size) -> Tensor:
        """A^T g, of the size (c, h, w), or (values,), that one x has."""


class Normalised(NamedTuple):
    """What comes before the first layer."""

    shift: Tensor
    scale: Tensor

    def forward(self, values: Tensor) -> Tensor:
        """A x + b."""
        return (values - self.shift) * self.scale

    def along(self, vectors: Tensor) -> Tensor:
        """A v."""
        return vectors * self.scale

    def back(self, gradient: Tensor, size: torch.Size) -> Tensor:
        """A^T g."""
        return gradient * self.scale


class Convolution(NamedTuple):
    """A convolution with zeros around."""

    layer: nn.Conv2d

    def forward(self, values: Tensor) -> Tensor:
        """A x + b."""
        return convolve(values, self.layer, self.layer.bias)

    def along(self, vectors: Tensor) -> Tensor:
        """A v."""
        return convolve(vectors, self.layer, None)

    def back(self, gradient: Tensor, size: torch.Size) -> Tensor:
        """A^T g."""
        return transpose(gradient, self.layer, torch.Size((len(gradient), *size)))


class _Matrix(NamedTuple):
    layer: nn.Linear

    def forward(self, values: Tensor) -> Tensor:
        return nn.functional.linear(values, self.layer.weight, self.layer.bias)

    def along(self, vectors: Tensor) -> Tensor:
        return nn.functional.linear(vectors, self.layer.weight)

    def back(self, gradient: Tensor, size: torch.Size) -> Tensor:
        return gradient @ self.layer.weight


class _Flat(NamedTuple):
    def forward(self, values: Tensor) -> Tensor:
        return values.flatten(1)

    def along(self, vectors: Tensor) -> Tensor:
        return vectors.flatten(1)

    def back(self, gradient: Tensor, size: torch.Size) -> Tensor:
        return gradient.view(-1, *size)


Step = Affine | TwiceDifferentiable


def steps_of(eased: Classifier) -> tuple[Step, ...] | None:
    """The layers of a classifier in their order, from the pixels to the logits.

    Args:
        eased: a classifier whose activations and convolutions `second_backward.eased` has replaced.

    Returns:
        The layers; None where it is no plain chain of convolutions, matrices and smooth activations.
    """
    layers = _layers(eased.module)
    if layers is None:
        return None
    normalised = [Normalised(*eased.normalisation)] if eased.normalisation is not None else []
    return *normalised, *layers


def _layers(module: nn.Module) -> list[Step] | None:
    if module._forward_hooks or module._forward_pre_hooks:
        return None
    if type(module) is nn.Sequential:
        parts = [_layers(part) for part in module]
        return None if any(part is None for part in parts) else [step for part in parts for step in part or ()]
    if isinstance(module, TwiceDifferentiable):
        return [module]
    if isinstance(module, LinearConvolution):
        return [Convolution(module.convolution)]
    if type(module) is nn.Linear:
        return [_Matrix(module)]
    if type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        return [_Flat()]
    if type(module) in (nn.Identity, nn.Dropout, nn.Dropout2d):  # in eval mode
        return []
    return None


class Tape:
    """φ'(z) and g φ''(z) of every activation at n points, for the margin between two classes.

    Args:
        steps: of the classifier.
        points: (n, c, h, w) where.
        source: (n,) the class whose logit counts for.
        target: (n,) the class whose logit counts against.

    Attributes:
        steps: the layers up to the last activation; behind it nothing bends.
        sizes: (c, h, w), or (values,), of what enters each.
        slopes: φ'(z) of the activations, by their place.
        bends: g φ''(z).
        gradient: (n, c, h, w) of the margin.
    """

    def __init__(
        self,
        steps: tuple[Step, ...],
        points: Float[Tensor, "n c h w"],
        source: Int[Tensor, " n"],
        target: Int[Tensor, " n"],
    ) -> None:
        last = max((place for place, step in enumerate(steps) if isinstance(step, TwiceDifferentiable)), default=-1)
        with torch.no_grad():
            values, sizes = points, []
            slopes: dict[int, Tensor] = {}
            bends: dict[int, Tensor] = {}
            for place, step in enumerate(steps):
                sizes.append(values.shape[1:])
                if isinstance(step, TwiceDifferentiable):
                    values, slopes[place], bends[place] = step.derivatives(values)
                else:
                    values = step.forward(values)
            gradient = torch.zeros_like(values)
            gradient.scatter_(1, source[:, None], 1.0).scatter_add_(1, target[:, None], -torch.ones_like(gradient))
            for place, step in reversed(list(enumerate(steps))):
                if isinstance(step, TwiceDifferentiable):
                    bends[place].mul_(gradient)
                    gradient = gradient * slopes[place]
                else:
                    gradient = step.back(gradient, sizes[place])
        self.steps, self.sizes, self.slopes, self.bends = steps[: last + 1], sizes, slopes, bends
        self.gradient = gradient

    def select(self, rows: Int[Tensor, " m"]) -> Tape:
        """The same of some of the points."""
        chosen = copy.copy(self)
        chosen.slopes, chosen.bends = (
            {place: kept[rows] for place, kept in every.items()} for every in (self.slopes, self.bends)
        )
        chosen.gradient = self.gradient[rows]
        return chosen

    @torch.no_grad()
    def products(self, vectors: Float[Tensor, "n b d"]) -> Float[Tensor, "n b d"]:
        """H v of b directions at each point."""
        progress.batch_begins()
        rows, block, _ = vectors.shape
        if not self.steps:
            return torch.zeros_like(vectors)

        def of_points(kept: Tensor) -> Tensor:
            return kept if block == 1 else kept[:, None]

        def by_points(values: Tensor) -> Tensor:
            return values if block == 1 else values.unflatten(0, (rows, block))

        def one_by_one(values: Tensor) -> Tensor:
            return values if block == 1 else values.flatten(0, 1)

        along = vectors.reshape(rows * block, *self.sizes[0])
        bent: list[Tensor] = []
        last = len(self.steps) - 1
        for place, step in enumerate(self.steps):
            if not isinstance(step, TwiceDifferentiable):
                along = step.along(along)
                continue
            each = by_points(along)
            bent.append(each * of_points(self.bends[place]))
            if place < last:
                along = one_by_one(each * of_points(self.slopes[place]))
        back = along
        for place, step in reversed(list(enumerate(self.steps))):
            if not isinstance(step, TwiceDifferentiable):
                back = step.back(back, self.sizes[place])
            elif place == last:
                back = one_by_one(bent.pop())
            else:
                back = one_by_one(torch.addcmul(bent.pop(), by_points(back), of_points(self.slopes[place])))
        return back.reshape(vectors.shape)
