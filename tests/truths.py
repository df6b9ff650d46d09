"""Classifiers whose geometry is known on paper; all tiny, all exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from core.models.classifier import Classifier

SHAPES = ((1, 32, 32), (3, 32, 32))
DTYPES = (torch.float32, torch.float64)

BatchSize = Callable[[int], None]  # the fixture `batch_size` of tests/conftest.py


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


class Ellipsoid(nn.Module):
    """Class 0 inside the ellipsoid with one half axis per pixel: logits (1 - sum ((x - c) / a)², 0).

    Infinite half axes make it a cylinder: a ball in the subspace of the other pixels.
    """

    def __init__(self, centre: Tensor, half_axes: Tensor) -> None:
        super().__init__()
        self.centre, self.inverse = nn.Parameter(centre), nn.Parameter(1 / half_axes)

    def forward(self, images: Tensor) -> Tensor:
        inside = 1 - ((images - self.centre) * self.inverse).flatten(1).square().sum(1)
        return torch.stack([inside, torch.zeros_like(inside)], 1)


def nearest_on_ellipsoid(offset: Tensor, half_axes: Tensor) -> Tensor:
    """The nearest point of sum (z / a)² = 1 to a point y: z = a² y / (a² + m) with the m that puts it there, float64.

    The sum falls with m from infinity at -min a² to 0, so bisection finds m; for y off the planes of symmetry this z
    is the one nearest point, from inside (m < 0) and from outside.
    """
    y, squares = offset.flatten().double(), half_axes.flatten().double().square()
    low, high = -squares.min(), squares.min() + y.norm() * squares.sqrt().max()
    while ((squares.sqrt() * y / (squares + high)).square().sum()) > 1:
        high = 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        outside = (squares.sqrt() * y / (squares + middle)).square().sum() > 1
        low, high = (middle, high) if outside else (low, middle)
    return (squares * y / (squares + high)).view_as(offset)


def way_out_of_a_ball(offset: Tensor, radius: float, norm: int | str) -> float:
    """The smallest change, in a norm, that takes a point y from inside a ball around 0 to its surface.

    By sum (1): the largest |y_i| grows alone. Euclidean (2): R - |y|. By the largest ("inf"): all |y_i| grow by one t,
    sum (|y_i| + t)² = R².
    """
    sizes = offset.flatten().double().abs()
    left = radius**2 - float(sizes.square().sum())
    if norm == 2:
        return radius - float(sizes.norm())
    first, pixels = (float(sizes.max()), 1) if norm == 1 else (float(sizes.mean()), len(sizes))
    return (first**2 + left / pixels) ** 0.5 - first
