"""Recursive bisection of paths inside regions: open segments are checked, and their middles become anchors.

Every pair of images has a chain of vertices, at first both images. An open segment is checked; where it leaves the
region, a middle inside the region splits it into two open ones. See `core.geometry.regions.connect`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.boundary.relabel import RegionMargin, deepen, enter
from core.geometry.boundary.signed_margin import Images, dual_vector
from core.geometry.common.random_streams import Stream
from core.geometry.regions.rrt_connect import Gaps, TreeSearch
from core.geometry.regions.segments import Checked, check_segments

GROWING, FOUND, STALLED, BUDGET = 0, 1, 2, 3

_SHRINKS = 0.95  # of a segment: as long as its longer part may be for a middle to count
_AROUND = (0.01, 0.1, 0.3, 1.0)  # of a segment: how far off its middle restarts begin, by turns
_DEPTH = 0.03  # of a segment: how far beyond its boundary a middle is moved into the region
_LONGER = (0.02, 0.5, 0.2, 0.5)  # overshoots of restarts, at least: short steps along a flat slope may never arrive
_STEPS_IN = 60  # into the region, from a middle
_SEARCHES = 2  # rounds of searches, before a pair is given up
_LEAST = 1e-6  # of the distance of a pair: shorter segments are not split


class Limits(NamedTuple):
    """The options of `connect`."""

    step: float
    max_levels: int
    max_anchors: int
    restarts: int
    search: int
    overshoot: float
    seed: int


class _Segments(NamedTuple):
    """Segments by the numbers of their ends and of their pair."""

    first: Int[Tensor, " m"]
    second: Int[Tensor, " m"]
    pair: Int[Tensor, " m"]

    def rows(self, chosen: Tensor) -> _Segments:
        return _Segments(*(each[chosen] for each in self))

    def joined(self, other: _Segments) -> _Segments:
        return _Segments(*(torch.cat(both) for both in zip(self, other, strict=True)))


class Growth:
    """The chains of some pairs.

    Args:
        margin: the signed margin, which counts its passes.
        limits: the options.
        ends: both images of each pair, of the same class.
        classes: that class.
    """

    def __init__(
        self, margin: RegionMargin, limits: Limits, ends: Float[Tensor, "n 2 c h w"], classes: Int[Tensor, " n"]
    ) -> None:
        self._margin, self._limits, self._classes = margin, limits, classes
        count, device = len(ends), ends.device
        pairs = torch.arange(count, device=device)
        self._vertices = ends.flatten(0, 1)
        self._owner = pairs.repeat_interleave(2)
        self._next = 2 * pairs.repeat_interleave(2) + 1  # the vertex that follows each in its chain
        self._margins = margin(self._vertices, classes[self._owner])
        self._distance = (ends[:, 1] - ends[:, 0]).flatten(1).norm(dim=1)
        self._open = _Segments(2 * pairs, 2 * pairs + 1, pairs)
        self._gaps = self._open.rows(pairs[:0])
        self.outcome = torch.full_like(classes, GROWING)
        self.searched = torch.zeros_like(classes, dtype=torch.bool)
        numbers = torch.zeros_like(self._distance)
        self.numbers = {"min_margin": numbers + torch.inf, "resolution": numbers, "headroom": numbers + torch.inf}
        self.counts = {name: torch.zeros_like(classes) for name in ("checked", "samples", "levels")}
        self._searches = 0

    def run(self, tick: Callable[[float], None]) -> None:
        """Grow until every pair is decided."""
        while bool((self.outcome == GROWING).any()):
            tick(float((self.outcome != GROWING).double().mean()))
            self._level()
            if not len(self._open.pair):
                self._search()

    def path(self, pair: int) -> tuple[Tensor, Tensor]:
        """The vertices of a pair's chain in their order, and their margins."""
        following, mine = self._next.tolist(), [2 * pair]
        while mine[-1] != 2 * pair + 1:
            mine.append(following[mine[-1]])
        return self._vertices[mine], self._margins[mine]

    def _level(self) -> None:
        """Check all open segments, and split those that leave their region."""
        open_ = self._open
        self.counts["levels"][open_.pair.unique()] += 1
        checked = check_segments(
            self._margin,
            self._vertices,
            open_.first,
            open_.second,
            self._margins[torch.stack([open_.first, open_.second], 1)],
            self._classes[open_.pair],
            self._limits.step * self._distance[open_.pair],
        )
        self._note(open_, checked)
        leaves = open_.rows(~checked.holds)
        self._open = open_.rows(leaves.pair[:0])
        if len(leaves.pair):
            self._split(leaves)
        self._decide()

    def _note(self, segments: _Segments, checked: Checked) -> None:
        one = torch.ones_like(segments.pair)
        self.counts["checked"].index_add_(0, segments.pair, one)
        self.counts["samples"].index_add_(0, segments.pair, checked.samples)
        held, pair = checked.holds, segments.pair[checked.holds]
        for name, values, worst in (
            ("min_margin", checked.least, "amin"),
            ("resolution", checked.gap, "amax"),
            ("headroom", checked.headroom, "amin"),
        ):
            self.numbers[name] = self.numbers[name].scatter_reduce(0, pair, values[held], worst)

    def _split(self, segments: _Segments) -> None:
        """Split segments at middles inside the region; a segment without such a middle is a gap."""
        first, second = self._vertices[segments.first], self._vertices[segments.second]
        lengths = (second - first).flatten(1).norm(dim=1)
        middle, margins, good = self._middles(segments, (first + second) / 2, lengths, self._limits.overshoot)
        if self._limits.restarts and not bool(good.all()):
            self._restart(segments, lengths, good, middle, margins)
        good &= lengths > _LEAST * self._distance[segments.pair]
        self._gaps = self._gaps.joined(segments.rows(~good))
        self._insert(segments.rows(good), middle[good], margins[good])

    def _middles(
        self, segments: _Segments, at: Images, lengths: Tensor, overshoot: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Points near these that are inside, their margins, and which of them shorten their segments."""
        found = enter(
            self._margin,
            at,
            self._classes[segments.pair],
            reach=lengths / 2,  # the ends, which are inside, are as near as that to the middle
            max_steps=_STEPS_IN,
            overshoot=overshoot,
        )
        found = deepen(self._margin, found, self._classes[segments.pair], _DEPTH * lengths)
        return found.images, found.margin, found.inside & (self._longer(segments, found.images) <= _SHRINKS * lengths)

    def _longer(self, segments: _Segments, middle: Tensor) -> Tensor:
        """The length of the longer part of each segment that is split there."""
        parts = [(middle - self._vertices[end]).flatten(1).norm(dim=1) for end in segments[:2]]
        return torch.maximum(*parts)

    def _restart(self, segments: _Segments, lengths: Tensor, good: Tensor, middle: Tensor, margins: Tensor) -> None:
        """Try again from points around the middles that failed; keep the one that shortens a segment most."""
        rows = (~good).nonzero()[:, 0]
        again = segments.rows(rows)
        centre = (self._vertices[again.first] + self._vertices[again.second]) / 2
        stream = Stream(centre, "restart", self._limits.seed)
        least = torch.full_like(lengths[rows], torch.inf)
        for k in range(self._limits.restarts):
            away = _AROUND[k % len(_AROUND)] * lengths[rows]
            start = centre + away.view(-1, 1, 1, 1) * dual_vector(stream.normal(*centre.shape[1:]), 2)
            overshoot = max(self._limits.overshoot, _LONGER[k % len(_LONGER)])
            images, margin, inside = self._middles(again, start, lengths[rows], overshoot)
            longer = self._longer(again, images).where(inside, torch.inf)
            better = longer < least
            least = torch.minimum(longer, least)
            chosen = rows[better]
            middle[chosen], margins[chosen], good[chosen] = images[better], margin[better], True

    def _insert(self, segments: _Segments, middle: Tensor, margins: Tensor) -> None:
        """Insert vertices in the middle of segments; both halves become open."""
        new = torch.arange(len(middle), device=middle.device) + len(self._vertices)
        self._vertices = torch.cat([self._vertices, middle])
        self._margins = torch.cat([self._margins, margins])
        self._owner = torch.cat([self._owner, segments.pair])
        self._next = torch.cat([self._next, segments.second])
        self._next[segments.first] = new
        self._open = self._open.joined(_Segments(segments.first, new, segments.pair))
        self._open = self._open.joined(_Segments(new, segments.second, segments.pair))

    def _decide(self) -> None:
        """Pairs without an open segment or a gap are found; those with too many vertices or levels are given up."""
        growing = self.outcome == GROWING
        vertices = torch.bincount(self._owner, minlength=len(growing))
        open_ = torch.bincount(self._open.pair, minlength=len(growing))
        gaps = torch.bincount(self._gaps.pair, minlength=len(growing))
        done = growing & (open_ + gaps == 0)
        self.outcome[done] = FOUND
        most = (self._searches + 1) * self._limits.max_levels
        spent = (vertices - 2 > self._limits.max_anchors) | ((self.counts["levels"] >= most) & (open_ > 0))
        self.outcome[growing & ~done & spent] = BUDGET
        self._forget()

    def _forget(self) -> None:
        """Drop open segments and gaps of decided pairs."""
        self._open = self._open.rows(self.outcome[self._open.pair] == GROWING)
        self._gaps = self._gaps.rows(self.outcome[self._gaps.pair] == GROWING)

    def _search(self) -> None:
        """Search for ways around the remaining gaps; corners become vertices, a gap without a way ends its pair."""
        gaps = self._gaps
        self._gaps = gaps.rows(gaps.pair[:0])
        if not len(gaps.pair):
            return
        if self._searches == _SEARCHES or not self._limits.search:
            self.outcome[gaps.pair] = STALLED
            self._forget()
            return
        self._searches += 1
        sides = Gaps(self._vertices[gaps.first], self._vertices[gaps.second], self._classes[gaps.pair])
        bridges = TreeSearch(self._margin, sides, self._limits.seed + self._searches, self._limits.search)()
        bridged = torch.tensor([bridge.found for bridge in bridges], device=gaps.pair.device)
        self.outcome[gaps.pair[~bridged]] = STALLED
        for row, bridge in enumerate(bridges):
            if bridge.found and int(self.outcome[gaps.pair[row]]) == GROWING:
                self.searched[gaps.pair[row]] = True
                self._chain(gaps.rows(torch.tensor([row], device=gaps.pair.device)), bridge.corners)
        self._forget()

    def _chain(self, gap: _Segments, corners: Tensor) -> None:
        """Insert corners between both ends of one gap; the segments between them become open."""
        count = len(corners)
        new = torch.arange(count, device=corners.device) + len(self._vertices)
        pair = gap.pair.expand(count)
        self._vertices = torch.cat([self._vertices, corners])
        self._margins = torch.cat([self._margins, self._margin(corners, self._classes[pair])])
        self._owner = torch.cat([self._owner, pair])
        chain = torch.cat([gap.first, new, gap.second])
        self._next = torch.cat([self._next, chain[2:]])
        self._next[gap.first] = chain[1:2]
        self._open = self._open.joined(_Segments(chain[:-1], chain[1:], gap.pair.expand(count + 1)))
