"""Classifiers whose geometry is known on paper; all tiny, all exact."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.classifier import Classifier

SHAPES = ((1, 32, 32), (3, 32, 32))
DTYPES = (torch.float32, torch.float64)


class Affine(nn.Module):
    """Logits W x + b: flat boundaries."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T + self.bias


class Ball(nn.Module):
    """Class 0 inside the ball of this radius around a centre image, class 1 outside: logits (r² - |x - c|², 0)."""

    def __init__(self, centre: Tensor, radius: float) -> None:
        super().__init__()
        self.centre, self.radius = nn.Parameter(centre), radius

    def forward(self, images: Tensor) -> Tensor:
        inside = self.radius**2 - (images - self.centre).flatten(1).square().sum(1)
        return torch.stack([inside, torch.zeros_like(inside)], 1)


class NearestCentre(nn.Module):
    """Class of the nearest of k centre images, as affine logits 2 c . x - |c|²: a power diagram on every plane."""

    def __init__(self, centres: Tensor) -> None:
        super().__init__()
        self.centres = nn.Parameter(centres)

    def forward(self, images: Tensor) -> Tensor:
        centres = self.centres.flatten(1)
        return 2 * images.flatten(1) @ centres.T - centres.square().sum(1)


class Stripes(nn.Module):
    """Two classes alternating along a unit direction with this period: logits ±sin(2 pi d . x / period)."""

    def __init__(self, direction: Tensor, period: float) -> None:
        super().__init__()
        self.direction, self.period = nn.Parameter(direction), period

    def forward(self, images: Tensor) -> Tensor:
        wave = torch.sin(2 * torch.pi * (images.flatten(1) @ self.direction.flatten()) / self.period)
        return torch.stack([wave, -wave], 1)


class Discs(nn.Module):
    """Class 1 inside discs around points of a plane, class 0 elsewhere; the score slopes, or stays flat until close.

    Args:
        origin: the image at plane coordinates 0.
        axes: (2, c, h, w) orthonormal axes.
        centres: (m, 2) plane coordinates.
        radius: of every disc.
        spike: a narrow Gaussian bump, which leaves almost no trace a few widths away, instead of a slope.
    """

    def __init__(self, origin: Tensor, axes: Tensor, centres: Tensor, radius: float, spike: bool = False) -> None:
        super().__init__()
        self.origin, self.axes, self.centres = map(nn.Parameter, (origin, axes, centres))
        self.radius, self.spike = radius, spike

    def forward(self, images: Tensor) -> Tensor:
        points = (images - self.origin).flatten(1) @ self.axes.flatten(1).T
        distance = torch.cdist(points, self.centres).amin(1) / self.radius
        inside = torch.exp(-0.5 * (2 * distance).square()) - torch.e**-2 if self.spike else 1 - distance
        return torch.stack([torch.zeros_like(inside), inside], 1)


def classifier(module: nn.Module, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Classifier:
    """A CPU classifier around a truth, in the dtype asked for."""
    return Classifier(module.to(dtype), shape, device="cpu")


def images(count: int, shape: Sequence[int], seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random images in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, *shape), generator=generator, dtype=dtype)


def unit(shape: Sequence[int], seed: int = 0) -> Tensor:
    """A random direction of length 1, float64."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    return direction / direction.norm()
