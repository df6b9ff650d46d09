"""RRT-connect: two trees grow inside a region from both sides of a gap until they meet.

Splitting a gap at its middle fails where the nearest point of the region lies back on one of its own sides, as between
the arms of a U. Then a tree grows from each side: from its nearest node towards a random point, as far as samples of
the way stay in the region; then the other tree grows towards each new node in the same way.

In thousands of dimensions the margin hardly depends on almost every random direction. So the search stays in the affine
subspace through both sides that is spanned by the gap and by gradients of the margin around it, the directions to which
the classifier is sensitive there.

Reference: Kuffner, LaValle, RRT-Connect: An efficient approach to single-query path planning, ICRA 2000.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.geometry.boundary.relabel import RegionMargin
from core.geometry.boundary.signed_margin import Images, dual_vector

_PROBES = 24  # gradients around a gap
_SPREADS = (0.02, 0.1, 0.3)  # of the gap, by turns: how far off it probes lie
_RANK = 1e-3  # of the largest singular value: what is smaller is no direction of its own
_STRIDE = 1.0  # gaps: most length of a way
_LOOKS = 16  # samples of a way
_DRAWS = 16  # random points an iteration
_WIDEST = 2.5  # gaps: how far off the middle random points lie at the end of the search


class Gaps(NamedTuple):
    """Pairs of points of a region with no way between them so far."""

    left: Images
    right: Images
    classes: Int[Tensor, " n"]


class Bridge(NamedTuple):
    """The corners between the sides of one gap; none where no way was found."""

    found: bool
    corners: Float[Tensor, "m c h w"]


class TreeSearch:
    """The search for ways across gaps, all of them at once.

    Args:
        margin: the signed margin, which counts its passes.
        gaps: the gaps to bridge.
        seed: seed of the random points; gaps share them, so that the way across a gap does not depend on the others.
        iterations: iterations of growth before a gap is given up.
    """

    def __init__(self, margin: RegionMargin, gaps: Gaps, seed: int, iterations: int) -> None:
        self._margin, self._gaps, self._iterations = margin, gaps, iterations
        self._generator = torch.Generator().manual_seed(seed)
        way = (gaps.right - gaps.left).flatten(1)
        self._length = way.norm(dim=1)
        self._middle = (gaps.left + gaps.right) / 2
        self._axes = self._span(way)  # (n, r, d), 0 where the rank is smaller

    def __call__(self) -> list[Bridge]:
        """Search until every gap is bridged or given up.

        Returns:
            One bridge for each gap.
        """
        count, rank, _ = self._axes.shape
        side = torch.zeros((count, rank), dtype=self._axes.dtype, device=self._axes.device)
        side[:, 0] = self._length / 2
        trees = _Tree(-side), _Tree(side)
        rows = torch.arange(count, device=side.device)
        meeting: dict[int, tuple[int, int]] = {}
        for iteration in range(self._iterations):
            grows, other = trees if iteration % 2 == 0 else trees[::-1]
            radius = 0.5 + (_WIDEST - 0.5) * iteration / self._iterations
            new = self._grow(grows, rows, *self._draws(rank, radius))
            for row, mine, yours in self._reach(grows, other, rows, new):
                meeting.setdefault(row, (mine, yours) if grows is trees[0] else (yours, mine))
            rows = torch.tensor([row for row in rows.tolist() if row not in meeting], device=rows.device).long()
            if not len(rows):
                break
        return [self._bridge(trees, row, meeting.get(row)) for row in range(count)]

    def _span(self, way: Tensor) -> Tensor:
        """Orthonormal axes for each gap: along it, then the directions of gradients around it."""
        gaps, d = self._gaps, way.shape[1]
        at = torch.linspace(0, 1, _PROBES, dtype=way.dtype, device=way.device)
        noise = torch.randn((_PROBES, d), generator=self._generator, dtype=torch.float64).to(way)
        spread = torch.tensor(_SPREADS, dtype=way.dtype, device=way.device).repeat(_PROBES)[:_PROBES]
        noise = noise / noise.norm(dim=1, keepdim=True) * spread[:, None]
        basis = (way / self._length[:, None])[:, None]
        gradients = []
        for k in range(_PROBES):
            there = gaps.left.flatten(1) + at[k] * way + self._length[:, None] * noise[k]
            slope = self._margin.slope(there.view_as(gaps.left), gaps.classes).gradient
            gradients.append(dual_vector(slope, 2).flatten(1).nan_to_num(0.0))
        seen = torch.stack(gradients, 1)
        seen = seen - (seen @ basis.transpose(1, 2)) @ basis
        _, values, directions = torch.linalg.svd(seen, full_matrices=False)
        felt = values > _RANK * _PROBES**0.5
        width = int(felt.sum(1).max()) if felt.numel() else 0
        return torch.cat([basis, (directions * felt[..., None])[:, :width]], 1)

    def _draws(self, rank: int, radius: float) -> tuple[Tensor, Tensor]:
        """Random directions (draws, rank) and how far to go along each, in gaps."""
        drawn = torch.randn((_DRAWS, _PROBES + 1), generator=self._generator, dtype=torch.float64)
        size = torch.rand((_DRAWS, 1), generator=self._generator, dtype=torch.float64)
        return drawn[:, :rank].to(self._axes), (radius * size.sqrt()).to(self._axes)

    def _got(self, rows: Tensor, starts: Tensor, ends: Tensor, exist: Bool[Tensor, "n m"], samples: int) -> Tensor:
        """How many samples of each way lie in the region before the first that does not, without its start; (n, m)."""
        row, column = exist.nonzero().unbind(1)
        share = torch.arange(1, samples + 1, dtype=starts.dtype, device=starts.device) / samples
        inside = []
        for k, m in zip(row.split(_PIECE), column.split(_PIECE), strict=True):
            points = torch.lerp(starts[k, m][:, None], ends[k, m][:, None], share[:, None]).flatten(0, 1)
            number = rows[k].repeat_interleave(samples)
            inside.append(self._margin(self._pixels(number, points), self._gaps.classes[number]) > self._margin.zero)
        got = torch.zeros_like(exist, dtype=torch.int64)
        if inside:
            got[row, column] = torch.cat(inside).view(-1, samples).long().cumprod(1).sum(1)
        return got

    def _pixels(self, rows: Tensor, at: Tensor) -> Tensor:
        middle = self._middle[rows]
        return middle + torch.einsum("nr,nrd->nd", at, self._axes[rows]).view_as(middle)

    def _grow(self, tree: _Tree, rows: Tensor, drawn: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Grow from the nearest nodes towards random points; numbers of the new nodes, and which exist."""
        length = self._length[rows]
        aims = drawn * self._axes[rows].any(2)[:, None]  # along the axes that this gap has
        aims = aims / aims.norm(dim=2, keepdim=True) * size * length[:, None, None]
        near, nodes = tree.nearest(rows, aims)
        way = aims - nodes
        far = way.norm(dim=2, keepdim=True).clamp(min=torch.finfo(way.dtype).tiny)
        ends = nodes + way * (_STRIDE * length[:, None, None] / far).clamp(max=1)
        got = self._got(rows, nodes, ends, torch.ones_like(near, dtype=torch.bool), _LOOKS)
        ends = torch.lerp(nodes, ends, (got / _LOOKS)[..., None].to(nodes))
        return tree.add(rows, ends, near, got > 0), got > 0

    def _reach(
        self, grown: _Tree, other: _Tree, rows: Tensor, new: tuple[Tensor, Tensor]
    ) -> list[tuple[int, int, int]]:
        """Grow the other tree towards the new nodes; the gaps in which it reaches one."""
        numbers, exist = new
        ends = grown.at(rows, numbers)
        near, nodes = other.nearest(rows, ends)
        got = self._got(rows, nodes, ends, exist, _LOOKS)
        stop = torch.lerp(nodes, ends, (got / _LOOKS)[..., None].to(nodes))
        through = exist & (got == _LOOKS)
        other.add(rows, stop, near, exist & (got > 0) & ~through)
        hits = through.any(1)
        place = through.long().argmax(1)
        chosen = [each.gather(1, place[:, None])[:, 0] for each in (numbers, near)]
        found = zip(hits.tolist(), rows.tolist(), *(each.tolist() for each in chosen), strict=True)
        return [(row, mine, yours) for hit, row, mine, yours in found if hit]

    def _bridge(self, trees: tuple[_Tree, _Tree], row: int, meeting: tuple[int, int] | None) -> Bridge:
        """The corners between both sides, without those that a straight segment can skip."""
        if meeting is None:
            return Bridge(False, self._middle[:0])
        left, right = (tree.branch(row, node) for tree, node in zip(trees, meeting, strict=True))
        points = torch.cat([left.flip(0), right])
        kept = [0]
        number = torch.tensor([row], device=points.device)
        while kept[-1] < len(points) - 1:  # to the last point that is seen from here
            here = kept[-1]
            ends = points[here + 1 :]
            every = torch.ones((1, len(ends)), dtype=torch.bool, device=points.device)
            seen = self._got(number, points[here].expand_as(ends)[None], ends[None], every, _LOOKS)[0] == _LOOKS
            seen[0] = True  # a way that a tree went
            kept.append(here + 1 + int(seen.nonzero()[-1, 0]))
        corners = points[kept[1:-1]]
        return Bridge(True, self._pixels(number.expand(len(corners)), corners))


_PIECE = 256  # ways whose points are pixels at once


class _Tree:
    """One tree for each gap: its nodes, and the node each one grew from."""

    def __init__(self, roots: Tensor) -> None:
        self._nodes = roots[:, None].clone()
        self._parents = torch.zeros_like(roots[:, :1]).long()
        self._count = torch.ones_like(self._parents[:, 0])

    def at(self, rows: Tensor, numbers: Tensor) -> Tensor:
        """Nodes (rows, m, r) by their numbers (rows, m)."""
        return self._nodes[rows[:, None], numbers]

    def nearest(self, rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """The number of the nearest node to each of the points (rows, m, r), and the node."""
        far = torch.cdist(points, self._nodes[rows], compute_mode="donot_use_mm_for_euclid_dist")
        known = torch.arange(self._nodes.shape[1], device=rows.device) < self._count[rows][:, None]
        numbers = far.where(known[:, None], torch.inf).argmin(2)
        return numbers, self.at(rows, numbers)

    def add(self, rows: Tensor, points: Tensor, parents: Tensor, chosen: Bool[Tensor, "n m"]) -> Tensor:
        """Add the chosen points; numbers of all, those not chosen have their parent's."""
        need = int((self._count[rows] + chosen.sum(1)).max())
        if need > self._nodes.shape[1]:
            room = 2 * need - self._nodes.shape[1]
            self._nodes = torch.nn.functional.pad(self._nodes, (0, 0, 0, room))
            self._parents = torch.nn.functional.pad(self._parents, (0, room))
        numbers = self._count[rows][:, None] + chosen.long().cumsum(1) - 1
        row, column = chosen.nonzero().unbind(1)
        places = rows[row], numbers[row, column]
        self._nodes[places], self._parents[places] = points[row, column], parents[row, column]
        self._count[rows] += chosen.sum(1)
        return numbers.where(chosen, parents)

    def branch(self, row: int, node: int) -> Tensor:
        """From a node to the root."""
        numbers = [node]
        while numbers[-1]:
            numbers.append(int(self._parents[row, numbers[-1]]))
        return self._nodes[row, numbers]
