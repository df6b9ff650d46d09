"""Regions of a plane whose connectedness is known, laid into image space by a random orthonormal map."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tests.curved import Surface


class Annulus(Surface):
    """1 < |y| < 2: class 0 in a ring."""

    def height(self, y: Tensor) -> Tensor:
        return 0.25 - (y.square().sum(1).clamp(min=1e-12).sqrt() - 1.5).square()


class TwoDiscs(Surface):
    """Discs of radius 1 around (-2, 0) and (2, 0)."""

    def height(self, y: Tensor) -> Tensor:
        left, right = ((y - torch.tensor([side, 0.0]).to(y)).square().sum(1) for side in (-2.0, 2.0))
        return 1 - torch.minimum(left, right)


class Corridor(Surface):
    """Points within a width of a polyline through these corners: of a U, say."""

    def __init__(self, rows: Tensor, centre: Tensor, corners: Tensor, width: float) -> None:
        super().__init__(rows, centre)
        self.corners, self.width = nn.Parameter(corners), width

    def height(self, y: Tensor) -> Tensor:
        starts, ways = self.corners[:-1], self.corners[1:] - self.corners[:-1]
        offset = y[:, None] - starts
        along = ((offset * ways).sum(2) / ways.square().sum(1)).clamp(0, 1)
        return self.width**2 - (offset - along[..., None] * ways).square().sum(2).amin(1)


U = ((-1.0, 0.0), (-1.0, -2.0), (1.0, -2.0), (1.0, 0.0))


class TwoMoons(Surface):
    """Log-ratio of sums of Gaussians at points of two interleaved half circles: class 0 is the upper moon."""

    def __init__(self, rows: Tensor, centre: Tensor, width: float = 0.2) -> None:
        super().__init__(rows, centre)
        angle = torch.linspace(0, math.pi, 40, dtype=rows.dtype)
        self.upper = nn.Parameter(torch.stack([angle.cos(), angle.sin()], 1))
        self.lower = nn.Parameter(torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1))
        self.width = width

    def height(self, y: Tensor) -> Tensor:
        sums = [
            torch.logsumexp(-(y[:, None] - moon).square().sum(2) / (2 * self.width**2), 1)
            for moon in (self.upper, self.lower)
        ]
        return sums[0] - sums[1]
