"""Check whether straight segments stay inside a region, with denser samples where the margin could vanish.

Let F be the signed margin of the region's class along a segment, sampled at neighbouring points a gap apart. Where |F'|
is at most L, F stays positive in a gap whose two margins add up to more than L times the gap: two cones that overlap.
The check takes for L the steepest slope between neighbouring samples of the segment, halves every gap that this does
not cover or that is wider than a step, and stops at a finest gap. A margin <= 0 ends it: the segment leaves the region.

The check is evidence at a stated resolution, not a proof: L is observed, not bounded, and a sliver thinner than a gap
between points of large margin can be missed. `headroom` is the smallest ratio of the two margins to L times the gap;
above 1 the margin cannot vanish between samples unless it falls more steeply there than anywhere it was seen to.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.geometry.boundary.relabel import RegionMargin
from core.geometry.boundary.signed_margin import Rows

_BLIND = 2  # halvings before slopes are trusted
_MOST_HALVINGS = 40
FINEST = 2.0**-7  # of a step
_SAFETY = 1.25  # the two margins exceed L times the gap by this factor, where gaps are not yet the finest


class Checked(NamedTuple):
    """The check of each segment."""

    holds: Bool[Tensor, " n"]
    least: Rows  # the smallest margin met
    gap: Rows  # ℓ2 pixel: the widest between neighbouring samples
    headroom: Rows
    samples: Int[Tensor, " n"]


class _Gaps(NamedTuple):
    """Gaps between neighbouring samples: of which segment, from where to where, and the margins there."""

    segment: Int[Tensor, " g"]
    low: Float[Tensor, " g"]
    high: Float[Tensor, " g"]
    below: Float[Tensor, " g"]  # margin at `low`
    above: Float[Tensor, " g"]

    def rows(self, chosen: Tensor) -> _Gaps:
        return _Gaps(*(each[chosen] for each in self))

    def joined(self, other: _Gaps) -> _Gaps:
        return _Gaps(*(torch.cat(pair) for pair in zip(self, other, strict=True)))


def check_segments(
    margin: RegionMargin,
    images: Float[Tensor, "m c h w"],
    first: Int[Tensor, " n"],
    second: Int[Tensor, " n"],
    at_ends: Float[Tensor, "n 2"],
    classes: Int[Tensor, " n"],
    step: Rows,
) -> Checked:
    """Check many segments at once: each round is one batch of samples of all undecided segments.

    Args:
        margin: the signed margin, which counts its passes.
        images: images that include the ends of the segments.
        first: one end of each.
        second: the other.
        at_ends: the margins at both ends.
        classes: the class in whose region each segment should stay.
        step: widest gap of each, in ℓ2 pixel; the finest is 2^-7 of it.

    Returns:
        What was found; where a segment leaves the region, `gap` and `headroom` mean nothing.
    """
    lengths = (images[second] - images[first]).flatten(1).norm(dim=1)
    tiny = torch.finfo(lengths.dtype).tiny
    holds = (at_ends > margin.zero).all(1)
    least, max_slope = at_ends.amin(1), torch.zeros_like(lengths)
    samples = torch.zeros_like(classes)
    segment = holds.nonzero()[:, 0]
    zero = torch.zeros_like(lengths[segment])
    gaps = _Gaps(segment, zero, zero + 1, *at_ends[segment].unbind(1))
    for halving in range(_MOST_HALVINGS):
        wide = (gaps.high - gaps.low) * lengths[gaps.segment]
        slope = (gaps.above - gaps.below).abs() / wide.clamp(min=tiny)
        max_slope = max_slope.scatter_reduce(0, gaps.segment, slope, "amax")
        covered = gaps.below + gaps.above > _SAFETY * max_slope[gaps.segment] * wide
        limit = step[gaps.segment]
        open_ = (wide > limit) | (~covered & (wide > FINEST * limit))
        if halving < _BLIND:
            open_ = torch.ones_like(open_)
        halved = gaps.rows(open_)
        if not len(halved.segment):
            break
        middle = (halved.low + halved.high) / 2
        ends = first[halved.segment], second[halved.segment]
        found = margin.between(images, *ends, middle, classes[halved.segment])
        least = least.scatter_reduce(0, halved.segment, found.nan_to_num(-torch.inf), "amin")
        samples = samples.index_add(0, halved.segment, torch.ones_like(halved.segment))
        holds = holds & (least > margin.zero)
        left = _Gaps(halved.segment, halved.low, middle, halved.below, found)
        right = _Gaps(halved.segment, middle, halved.high, found, halved.above)
        gaps = gaps.rows(~open_).joined(left).joined(right)
        gaps = gaps.rows(holds[gaps.segment])
    wide = (gaps.high - gaps.low) * lengths[gaps.segment]
    rise = (max_slope[gaps.segment] * wide).clamp(min=tiny)
    nothing = torch.zeros_like(lengths)
    return Checked(
        holds,
        least,
        nothing.scatter_reduce(0, gaps.segment, wide, "amax"),
        (nothing + torch.inf).scatter_reduce(0, gaps.segment, (gaps.below + gaps.above) / rise, "amin"),
        samples,
    )
