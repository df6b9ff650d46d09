"""All second derivatives of a margin at one point, as a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.hessian.products import HessianProducts

_TILE = 256  # rows and columns that stay in the cache while they are transposed


def hessian_matrix(
    products: HessianProducts,
    tick: Callable[[float], None] = lambda part: None,
    memory: Float[Tensor, " m"] | None = None,
) -> tuple[Float[Tensor, "d d"], float]:
    """All second derivatives at the first of some points.

    Args:
        products: products of the second derivative with directions.
        tick: called with the fraction of columns done.
        memory: a buffer of at least d² values that holds the matrix; a new one when None.

    Returns:
        The symmetric part of the matrix, and the norm of the antisymmetric part over that of the symmetric one.
    """
    values = products.shape[1]
    if memory is None:
        memory = torch.empty(values**2, dtype=products.dtype, device=products.points.device)
    matrix = memory[: values**2].view(values, values)
    for start in range(0, values, products.width):
        tick(start / values)
        end = min(start + products.width, values)
        pixels = torch.zeros((1, end - start, values), dtype=matrix.dtype, device=matrix.device)
        pixels[0, torch.arange(end - start), torch.arange(start, end)] = 1
        matrix[start:end] = products(pixels)[0]
    return matrix, symmetrise(matrix)


def symmetrise(matrix: Float[Tensor, "k k"]) -> float:
    """Make a matrix symmetric in place; returns the norm of its antisymmetric part over that of the symmetric one."""
    odd = torch.zeros((), dtype=torch.float64, device=matrix.device)
    even = torch.zeros_like(odd)
    for rows, columns in tiles(len(matrix)):
        one, other = matrix[rows, columns], matrix[columns, rows].T
        half, mean = (one - other).div_(2), (one + other).div_(2)
        times = 1 if rows == columns else 2
        odd += times * half.square().sum(dtype=torch.float64)
        even += times * mean.square().sum(dtype=torch.float64)
        one.copy_(mean)
        other.copy_(mean)
    return math.sqrt(float(odd / even)) if even != 0 else 0.0


def tiles(size: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the tiles on and below the diagonal."""
    parts = [slice(start, min(start + _TILE, size)) for start in range(0, size, _TILE)]
    return [(rows, columns) for index, rows in enumerate(parts) for columns in parts[: index + 1]]
