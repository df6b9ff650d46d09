"""All second derivatives of a margin at one point, as a matrix.

Its columns are the products with the pixels, so many at a time as go through together. Of a plain chain of layers
(`core.geometry.hessian.sequential`) much of that need not be run: a step along the pixels of a few rows of the image
changes only some rows of what the next layers see, and since the matrix is symmetric, the columns of a row of the image
are needed from that row downwards alone. Every layer therefore runs forwards on the rows a step reaches, and backwards
on those that what is still needed can reach.

    forwards    a convolution of kernel k, stride s and padding p takes the rows [a, b) to
                [⌈(a + p - k + 1) / s⌉, ⌊(b - 1 + p) / s⌋ + 1)
    backwards   the rows from a on come from those from ⌈(a + p - k + 1) / s⌉ on

Reference: Griewank and Walther, Evaluating Derivatives, SIAM 2008, chapter 7 (sparse tangents).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.geometry.hessian.products import HessianProducts
from core.geometry.hessian.sequential import Convolution, Normalised, Tape
from core.geometry.hessian.smooth_layers import TwiceDifferentiable, spread
from core.runtime import progress

_TILE = 256  # rows and columns that stay in the cache while they are transposed
_TOGETHER = 192  # columns that go through a plain chain at once on the CPU, where its parts still fit the cache


def hessian_matrix(
    products: HessianProducts,
    tick: Callable[[float], None] = lambda part: None,
    memory: Float[Tensor, " m"] | None = None,
) -> tuple[Float[Tensor, "d d"], float]:
    """All second derivatives at the first of some points.

    Args:
        products: of the second derivative, in the way they are computed.
        tick: told the fraction of columns done.
        memory: for d² values at least, which the matrix is put in; its own when None.

    Returns:
        The matrix made symmetric, and by how much it was not: the norm of the antisymmetric part over that of the
        symmetric one. Of a plain chain that is known for the pixels that go through together.
    """
    values = products.shape[1]
    if memory is None:
        memory = torch.empty(values**2, dtype=products.dtype, device=products.points.device)
    matrix = memory[: values**2].view(values, values)
    together = max(products.width, _TOGETHER)
    if (tape := products.tape) is not None and tape.steps and values <= together * products.points.shape[2]:
        products.cost.products += values
        with torch.autocast(matrix.device.type, enabled=False):
            return matrix, _by_rows(tape, matrix, together, tick)
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
    return _ratio(odd, even)


def tiles(size: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the tiles on and below the diagonal."""
    parts = [slice(start, min(start + _TILE, size)) for start in range(0, size, _TILE)]
    return [(rows, columns) for place, rows in enumerate(parts) for columns in parts[: place + 1]]


def _ratio(odd: Tensor, even: Tensor) -> float:
    """Of two norms, from their squares; NaN where they are."""
    odd_square, even_square = float(odd), float(even)
    return math.sqrt(odd_square / even_square) if even_square != 0 else 0.0


class _Rows(NamedTuple):
    """Of a feature map."""

    start: int
    end: int
    total: int


@torch.no_grad()
def _by_rows(tape: Tape, matrix: Tensor, together: int, tick: Callable[[float], None]) -> float:
    """Fill the matrix for a plain chain; returns by how much it is not symmetric."""
    channels, height, width = tape.sizes[0]
    every = matrix.view(channels, height * width, channels, height * width)
    odd = torch.zeros((), dtype=torch.float64, device=matrix.device)
    even = torch.zeros_like(odd)
    step = max(1, together // (channels * width))
    for top in range(0, height, step):
        tick(top / height)
        bottom = min(top + step, height)
        found = _columns(tape, _Rows(top, bottom, height)).view(channels, -1, channels, (height - top) * width)
        start, end = top * width, bottom * width
        own = found[..., : end - start].reshape(channels * (end - start), -1)  # the pixels among themselves
        half, mean = (own - own.T).div_(2), (own + own.T).div_(2)
        odd += half.square().sum(dtype=torch.float64)
        even += mean.square().sum(dtype=torch.float64)
        every[:, start:end, :, start:end] = mean.view(channels, end - start, channels, -1)
        for one in range(channels):
            for other in range(channels):
                rest = found[one, :, other, end - start :]
                every[one, start:end, other, end:] = rest
                every[other, end:, one, start:end] = rest.T
    return _ratio(odd, even)


def _columns(tape: Tape, rows: _Rows) -> Float[Tensor, "b d"]:
    """H e of all pixels e in some rows of the image, in the rows of the image from the first of these on."""
    progress.batch_begins()
    channels, _, width = tape.sizes[0]
    count = channels * (rows.end - rows.start) * width
    first = next(iter(tape.slopes.values()))
    along = torch.eye(count, dtype=first.dtype, device=first.device).view(count, channels, -1, width)
    seen: list[_Rows | None] = []  # rows that a step reaches of what enters each layer; None: all
    bent: list[Tensor] = []
    now: _Rows | None = rows
    for place, step in enumerate(tape.steps):
        seen.append(now)
        if isinstance(step, TwiceDifferentiable):
            bent.append(along * _part(tape.bends[place], now))
            if place < len(tape.steps) - 1:
                along = along * _part(tape.slopes[place], now)
        elif now is None or isinstance(step, Normalised):
            along = step.along(along)
        elif isinstance(step, Convolution):
            along, now = _along(step.layer, along, now, tape.sizes[place + 1][1])
        else:
            along, now = step.along(_padded(along, now.start, now.total - now.end)), None
    back = along
    for place, step in reversed(list(enumerate(tape.steps))):
        now, size = seen[place], tape.sizes[place]
        if isinstance(step, TwiceDifferentiable):
            here = bent.pop()
            if place == len(tape.steps) - 1:
                back = here if now is None else _padded(here, 0, now.total - now.end)
            else:
                back = back * (tape.slopes[place] if now is None else tape.slopes[place][:, :, now.start :])
                (back if now is None else back[:, :, : now.end - now.start]).add_(here)
        elif now is None or isinstance(step, Normalised):
            back = step.back(back, size)
        elif isinstance(step, Convolution) and (behind := seen[place + 1]) is not None:
            back = _back(step.layer, back, now, behind.start, size[2])
        else:
            back = step.back(back, size)[:, :, now.start :]
    return back.reshape(count, -1)


def _part(kept: Tensor, rows: _Rows | None) -> Tensor:
    return kept if rows is None else kept[:, :, rows.start : rows.end]


def _padded(values: Tensor, above: int, below: int) -> Tensor:
    """With rows of zeros, or without some, where a number is negative."""
    if above == below == 0:
        return values
    if -above >= values.shape[2] or -below >= values.shape[2]:  # none of them is left
        size = list(values.shape)
        size[2] += above + below
        return values.new_zeros(size)
    return nn.functional.pad(values, (0, 0, above, below))


def _along(layer: nn.Conv2d, values: Tensor, rows: _Rows, height: int) -> tuple[Tensor, _Rows]:
    """The rows of a convolution that some rows reach, and which they are of so many: at least one."""
    kernel, stride, padding = _reach(layer, 0)
    start = min(max(0, -((kernel - 1 - padding - rows.start) // stride)), height - 1)
    end = max(start + 1, min(height, (rows.end - 1 + padding) // stride + 1))
    above = rows.start - (start * stride - padding)
    below = (end - 1) * stride - padding + kernel - rows.end
    found = nn.functional.conv2d(
        _padded(values, above, below),
        layer.weight,
        None,
        layer.stride,
        (0, int(layer.padding[1])),
        layer.dilation,
        layer.groups,
    )
    return found, _Rows(start, end, height)


def _back(layer: nn.Conv2d, gradient: Tensor, rows: _Rows, first: int, width: int) -> Tensor:
    """W^T g in the rows from the first of these on, from the rows of g from another first one on."""
    _, stride, padding = _reach(layer, 0)
    across, step, beside = _reach(layer, 1)
    if (found := spread(gradient, layer)) is not None:
        found = nn.functional.pad(found, (-beside, width + beside - found.shape[3]))
    else:
        lost = width + 2 * beside - (gradient.shape[3] - 1) * step - across  # columns that strides leave out
        found = nn.functional.conv_transpose2d(
            gradient, layer.weight, None, layer.stride, (0, beside), (0, lost), layer.groups, layer.dilation
        )
    top = first * stride - padding
    return _padded(found, top - rows.start, rows.total - top - found.shape[2])


def _reach(layer: nn.Conv2d, axis: int) -> tuple[int, int, int]:
    """How much a kernel covers, its stride and the padding."""
    return layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1, layer.stride[axis], int(layer.padding[axis])
