"""The linear region of a piecewise linear network around an image, and where along a ray the next region begins.

A network of ReLU and max-pooling is affine as long as no unit changes side and no window another winner. All inputs of
such layers are then affine along a ray too, a + t a', so the first change is where the first of them comes to its kink:

    ReLU           t = -a / a'                              towards 0
    max-pooling    t = (a_w - a_i) / (a'_i - a'_w)          the winner w is overtaken by i

The least positive t over all units of all layers is exact: it does not come from comparing two points. Up to there the
network equals its linearisation, up to rounding. Kinks of functions outside modules are not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn
from torch.nn import functional as F

KINKED = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ReLU6, nn.MaxPool2d)


class Kink(NamedTuple):
    """The input of one layer with kinks."""

    module: nn.Module
    given: Tensor
    after: int  # number of watched layers run before it


def pattern(kink: Kink) -> Int8[Tensor, "n u"]:
    """The side of each unit: 0 or 1, for ReLU6 also 2; for max-pooling the place of the winner in its window."""
    if isinstance(kink.module, nn.MaxPool2d):
        return _windows(kink.module, kink.given, -torch.inf).argmax(2).flatten(1).to(torch.int8)
    side = (kink.given > 0).to(torch.int8)
    if isinstance(kink.module, nn.ReLU6):
        side = side + (kink.given > 6).to(torch.int8)
    return side.flatten(1)


def first_change(kinks: Sequence[Kink], moves: Sequence[Tensor]) -> Float[Tensor, " n"]:
    """The distance along each row's ray at which the first unit changes side, float64; infinite where none does.

    Args:
        kinks: the layers with their inputs a at the start of the rays.
        moves: the derivative a' of each input, of the same shape.
    """
    ends = [_first(kink, move) for kink, move in zip(kinks, moves, strict=True)]
    return torch.stack(ends).amin(0)


def _first(kink: Kink, move: Tensor) -> Tensor:
    here, along = kink.given.detach().double(), move.double()
    if isinstance(kink.module, nn.MaxPool2d):
        values, slopes = _windows(kink.module, here, -torch.inf), _windows(kink.module, along, 0.0)
        winner = values.argmax(2, keepdim=True)
        gap = values.gather(2, winner) - values
        closing = slopes - slopes.gather(2, winner)
        way = (gap / closing).where((closing > 0) & torch.isfinite(gap), torch.inf)
        return way.flatten(1).amin(1)
    thresholds = (0.0, 6.0) if isinstance(kink.module, nn.ReLU6) else (0.0,)
    ends = []
    for threshold in thresholds:
        gap = threshold - here
        # on the kink itself (gap 0) the side is that of not above: a rising unit leaves it at once
        way = (gap / along).where((along != 0) & ((gap * along > 0) | ((gap == 0) & (along > 0))), torch.inf)
        ends.append(way.flatten(1).amin(1))
    return torch.stack(ends).amin(0)


def _windows(module: nn.MaxPool2d, images: Tensor, around: float) -> Tensor:
    """All values of each window: (n c, windows, values of one) as (n, c windows, values)."""
    down, across = both(module.padding)
    padded = F.pad(images, (across, across, down, down), value=around)
    rows, channels = images.shape[:2]
    columns = F.unfold(
        padded.flatten(0, 1)[:, None],
        both(module.kernel_size),
        dilation=both(module.dilation),
        stride=both(module.stride),
    )
    return columns.transpose(1, 2).reshape(rows, channels * columns.shape[2], columns.shape[1])


def both(size: Any) -> tuple[int, int]:
    """The size down and across of what is given as one number or as two."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
