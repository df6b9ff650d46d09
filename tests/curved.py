"""Boundaries whose curvatures are known on paper, laid into image space by a random orthonormal map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.geometry.hessian.products import HessianProducts
from core.models.classifier import Classifier
from tests import truths


class Surface(nn.Module):
    """Class 0 where F(Q (x - c)) > 0: logits (F, 0), for orthonormal rows Q (None: all pixels) and a centre c."""

    def __init__(self, rows: Tensor | None, centre: Tensor) -> None:
        super().__init__()
        self.rows, self.centre = None if rows is None else nn.Parameter(rows), nn.Parameter(centre)

    def forward(self, images: Tensor) -> Tensor:
        offset = (images - self.centre).flatten(1)
        inside = self.height(offset if self.rows is None else offset @ self.rows.T)
        return torch.stack([inside, torch.zeros_like(inside)], 1)

    def height(self, y: Tensor) -> Tensor:
        raise NotImplementedError


class Ball(Surface):
    """R² - |y|²: a ball, or with few coordinates a cylinder; `squash` takes an increasing function of it."""

    def __init__(
        self, rows: Tensor | None, centre: Tensor, radius: float, squash: bool = False, outside: bool = False
    ) -> None:
        super().__init__(rows, centre)
        self.radius, self.squash, self.side = radius, squash, -1 if outside else 1

    def height(self, y: Tensor) -> Tensor:
        inside = self.side * (self.radius**2 - y.square().sum(1))
        return torch.tanh(inside) if self.squash else inside


class Ellipsoid(Surface):
    """1 - sum (y / a)²."""

    def __init__(self, rows: Tensor, centre: Tensor, half_axes: Sequence[float]) -> None:
        super().__init__(rows, centre)
        self.half_axes = nn.Parameter(torch.tensor(half_axes, dtype=rows.dtype))

    def height(self, y: Tensor) -> Tensor:
        return 1 - (y / self.half_axes).square().sum(1)


class Graph(Surface):
    """y_0 - u^T A u / 2 of the other coordinates u: the graph of a quadric."""

    def __init__(self, rows: Tensor, centre: Tensor, matrix: Tensor) -> None:
        super().__init__(rows, centre)
        self.matrix = nn.Parameter(matrix)

    def height(self, y: Tensor) -> Tensor:
        u = y[:, 1:]
        return y[:, 0] - ((u @ self.matrix) * u).sum(1) / 2


class Torus(Surface):
    """r² - (sqrt(y_1² + y_2²) - R)² - y_3²: inside a tube of radius r around a circle of radius R."""

    def __init__(self, rows: Tensor, centre: Tensor, large: float, small: float) -> None:
        super().__init__(rows, centre)
        self.large, self.small = large, small

    def height(self, y: Tensor) -> Tensor:
        out = y[:, :2].square().sum(1).sqrt() - self.large
        return self.small**2 - out.square() - y[:, 2].square()


def rows(count: int, shape: Sequence[int], seed: int = 0) -> Tensor:
    """Random orthonormal rows Q (count, d), float64."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn((math.prod(shape), count), generator=generator, dtype=torch.float64)
    return torch.linalg.qr(drawn)[0].T.contiguous()


def centre(shape: Sequence[int]) -> Tensor:
    """The grey image: c."""
    return torch.full(tuple(shape), 0.5, dtype=torch.float64)


def at(surface: Surface, coordinates: Tensor) -> Tensor:
    """The images with coordinates y (n, m) and nothing along other directions, float64."""
    assert surface.rows is not None
    images = surface.centre.detach().double().flatten() + coordinates.double() @ surface.rows.detach().double()
    return images.view(-1, *surface.centre.shape)


def inward(surface: Surface, coordinates: Tensor, step: float) -> Tensor:
    """Coordinates (n, m) of surface points, moved by a length along the normal into class 0."""
    y = coordinates.double().requires_grad_()
    (gradient,) = torch.autograd.grad(surface.double().height(y).sum(), y)
    return (y + step * gradient / gradient.norm(dim=1, keepdim=True)).detach()


def classifier(surface: nn.Module, shape: Sequence[int], dtype: torch.dtype) -> Classifier:
    """A CPU classifier around a surface."""
    return truths.classifier(surface, shape, dtype)


class Kinked(nn.Module):
    """Two layers of relu: piecewise linear, with weights from a seed; `pool` puts a max-pool between."""

    def __init__(self, shape: Sequence[int], width: int = 24, classes: int = 3, pool: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.hidden = nn.Conv2d(shape[0], 6, 3, padding=1)
        self.pool = nn.MaxPool2d(2) if pool else nn.AvgPool2d(2)
        self.act, self.middle, self.also = (
            nn.ReLU(),
            nn.Linear(6 * (shape[1] // 2) * (shape[2] // 2), width),
            nn.LeakyReLU(),
        )
        self.head = nn.Linear(width, classes)
        with torch.no_grad():
            for parameter in self.parameters():
                size = max(1, parameter[0].numel()) if parameter.ndim > 1 else 1
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(drawn * (2 / size) ** 0.5 if parameter.ndim > 1 else 0.1 * drawn)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.pool(self.act(self.hidden(images - 0.5)))
        logits: Tensor = self.head(self.also(self.middle(hidden.flatten(1))))
        return logits


def second_derivatives(products: HessianProducts) -> Tensor:
    """All second derivatives (n, d, d) of the margins, by torch in float64, one image after another."""
    found, exact = [], products.classifier.to(dtype=torch.float64)
    for point, source, target in zip(products.points.double(), products.source, products.target, strict=True):

        def margin(flat: Tensor, source: Tensor = source, target: Tensor = target) -> Tensor:
            logits: Tensor = exact(flat.view(1, *exact.input_shape))[0]
            return logits[source] - logits[target]

        with sdpa_kernel(SDPBackend.MATH):  # the one that has them
            found.append(torch.func.hessian(margin)(point.flatten()))
    return torch.stack(found)
