"""Maps whose local properties are known on paper, as classifiers of image-sized inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from core.models.classifier import Classifier
from tests import truths


def scaled_axes(values: Sequence[float], shape: Sequence[int], dtype: torch.dtype) -> Classifier:
    """Logits l_i x_i of the first pixels."""
    weight = torch.zeros((len(values), math.prod(shape)), dtype=torch.float64)
    weight[torch.arange(len(values)), torch.arange(len(values))] = torch.tensor(values, dtype=torch.float64)
    return truths.classifier(truths.Affine(weight, torch.zeros(len(values), dtype=torch.float64)), shape, dtype)


def rotation(shape: Sequence[int], scale: float, dtype: torch.dtype, seed: int = 0) -> Classifier:
    """As many logits as pixels: scale times an orthogonal matrix."""
    size = math.prod(shape)
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.linalg.qr(torch.randn((size, size), generator=generator, dtype=torch.float64))[0]
    return truths.classifier(truths.Affine(scale * matrix, torch.zeros(size, dtype=torch.float64)), shape, dtype)


class Length(nn.Module):
    """Logits (|x - c|, 1, 1): even around c."""

    def __init__(self, centre: Tensor) -> None:
        super().__init__()
        self.centre = nn.Parameter(centre)

    def forward(self, images: Tensor) -> Tensor:
        long = (images - self.centre).flatten(1).norm(dim=1)
        return torch.stack([long, torch.ones_like(long), torch.ones_like(long)], 1)


class Curved(nn.Module):
    """Logits (w.x + c |x - x0|², 0)."""

    def __init__(self, slope: Tensor, curvature: float, centre: Tensor) -> None:
        super().__init__()
        self.slope, self.curvature, self.centre = nn.Parameter(slope), curvature, nn.Parameter(centre)

    def forward(self, images: Tensor) -> Tensor:
        offset = (images - self.centre).flatten(1)
        height = offset @ self.slope.flatten() + self.curvature * offset.square().sum(1)
        return torch.stack([height, torch.zeros_like(height)], 1)


class Constant(nn.Module):
    """The same logits everywhere."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.tensor([1.0, 0.0, 0.5], dtype=images.dtype).expand(len(images), -1)


class Hinge(nn.Module):
    """Logits (relu(x_0 - c), 0), with the relu as a module."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(at, dtype=torch.float64))
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        height = self.relu(images.flatten(1)[:, :1] - self.at)
        return torch.cat([height, torch.zeros_like(height)], 1)


class Logarithm(nn.Module):
    """Logits (log x_0, 0): not finite for x_0 <= 0."""

    def forward(self, images: Tensor) -> Tensor:
        height = images.flatten(1)[:, :1].log()
        return torch.cat([height, torch.zeros_like(height)], 1)


def net(shape: Sequence[int], widths: Sequence[int] = (48, 24), classes: int = 5, seed: int = 3) -> nn.Sequential:
    """A chain of linear layers and ReLU, with weights from a seed."""
    sizes = (math.prod(shape), *widths, classes)
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for place, (wide, narrow) in enumerate(pairwise(sizes)):
        layer = nn.Linear(wide, narrow)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2 / wide) ** 0.5)
            layer.bias.copy_(0.1 * torch.randn(layer.bias.shape, generator=generator))
        layers += [layer, nn.ReLU()] if place < len(widths) else [layer]
    return nn.Sequential(*layers)
