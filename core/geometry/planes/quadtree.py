"""Adaptive evaluation of a grid: a quadtree that refines cells until it has followed every boundary it found.

A lattice of base cells is evaluated; a cell is refined to its midpoints while labels on it differ, down to one step of
the grid. Two additions make this reliable on curved boundaries:

- tracking: a cell is (re)opened when *any* point evaluated on its closed area disagrees, also a midpoint that belongs
  to a finer neighbour; so a boundary that was found is followed into cells whose corners agree;
- the kappa guard, from corner logits alone: with k the common label and D_j = z_k - z_j at the four corners, a cell is
  refined where min D_j < kappa (max D_j - min D_j) for some j; a bilinear field needs no guard.

It can miss a region that contains no lattice point, and so is thinner than one base cell, if the guard does not detect
it from the logits at the corners around it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.runtime.progress import OnProgress

_UNKNOWN_LOW, _UNKNOWN_HIGH = 32767, -1  # of unevaluated points, neutral for the smallest and largest label of a cell
_GUARD_VALUES = 1 << 24  # logits gathered at once by the guard: 64 MiB in float32


class Quadtree:
    """Labels and values on a square lattice, evaluated where they are needed.

    Args:
        evaluate: (m, 2) long indices (row, column) -> (m, f) values, whose first `num_classes` columns are logits.
        side: points along one side of the wanted grid.
        base: steps along one side of a base cell, a power of two.
        kappa: the guard; 0 for none.
        num_classes: number of logits.
        device: of masks and values.
    """

    def __init__(
        self,
        evaluate: Callable[[Tensor], Tensor],
        side: int,
        base: int,
        kappa: float,
        num_classes: int,
        device: torch.device,
    ) -> None:
        self._evaluate, self._kappa, self._num_classes, self._device = evaluate, kappa, num_classes, device
        self.base, self.side = base, side
        self.padded = -(-(side - 1) // base) * base + 1  # the lattice has whole cells, which may extend beyond the grid
        shape = (self.padded, self.padded)
        self._low = torch.full(shape, _UNKNOWN_LOW, dtype=torch.int16, device=device)
        self._high = torch.full(shape, _UNKNOWN_HIGH, dtype=torch.int16, device=device)
        self._slot = torch.full(shape, -1, dtype=torch.int32, device=device)
        self._values: Tensor | None = None
        self.count = 0
        self._sizes = [base >> level for level in range(base.bit_length())]
        self._exists, self._refined, self._guarded = (self._masks() for _ in range(3))
        self._exists[base].fill_(True)

    def _masks(self) -> dict[int, Tensor]:
        """A mask of the cells of each size."""
        sides = {size: (self.padded - 1) // size for size in self._sizes}
        return {s: torch.zeros((side, side), dtype=torch.bool, device=self._device) for s, side in sides.items()}

    def run(self, on_level: Callable[[int], None]) -> None:
        """Evaluate the base lattice, then refine level by level.

        Args:
            on_level: called with the spacing at which the picture has become complete: base, base / 2, ..., 1.
        """
        lattice = torch.arange(0, self.padded, self.base, device=self._device)
        self._add(torch.cartesian_prod(lattice, lattice))
        on_level(self.base)
        for size in self._sizes[:-1]:
            while self._refine_down_to(size):
                pass
            on_level(size // 2)

    def _refine_down_to(self, smallest: int) -> bool:
        """Refine every cell of at least this size that needs it; returns whether there was one."""
        grain = smallest // 2  # spacing of the lattice of midpoints of the smallest cells
        needed = torch.zeros_like(self._slot[::grain, ::grain], dtype=torch.bool)
        found = torch.zeros((), dtype=torch.bool, device=self._device)
        ranges = self._label_ranges(smallest)
        for size in sorted(ranges, reverse=True):
            low, high = ranges[size]
            waiting = self._exists[size] & ~self._refined[size]
            wanted = waiting & (low < high)
            if self._kappa > 0:
                wanted |= self._guard(size, waiting & ~wanted & ~self._guarded[size])
            self._refined[size] |= wanted
            self._exists[size // 2] |= wanted.repeat_interleave(2, 0).repeat_interleave(2, 1)
            stride = (size // 2) // grain
            _mark_midpoints(needed[::stride, ::stride], wanted)
            found |= wanted.any()
        needed &= self._slot[::grain, ::grain] < 0
        points = needed.nonzero() * grain
        if len(points):
            self._add(points)
        return bool(found)

    def _add(self, points: Tensor) -> None:
        """Evaluate points (m, 2) and enter their labels."""
        values = self._evaluate(points)
        logits = values[:, : self._num_classes]
        label = logits.argmax(1)
        label = label.where(torch.isfinite(logits).all(1), self._num_classes).to(torch.int16)  # undefined: its own
        rows, columns = points.unbind(1)
        self._low[rows, columns] = label
        self._high[rows, columns] = label
        slots = torch.arange(self.count, self.count + len(points), dtype=torch.int32, device=self._device)
        self._slot[rows, columns] = slots
        if self._values is None or self.count + len(points) > len(self._values):
            room = max(2 * (self.count + len(points)), 4096)
            grown = values.new_empty((room, values.shape[1]))
            if self._values is not None:
                grown[: self.count] = self._values[: self.count]
            self._values = grown
        self._values[self.count : self.count + len(points)] = values
        self.count += len(points)

    def _label_ranges(self, smallest: int) -> dict[int, tuple[Tensor, Tensor]]:
        """Smallest and largest label evaluated on each closed cell, for every size from `smallest` up."""
        grain = smallest // 2
        low = _pool(self._low[::grain, ::grain], torch.minimum)
        high = _pool(self._high[::grain, ::grain], torch.maximum)
        ranges = {smallest: (low, high)}
        for size in reversed(self._sizes[: self._sizes.index(smallest)]):
            low = torch.minimum(
                torch.minimum(low[::2, ::2], low[1::2, ::2]), torch.minimum(low[::2, 1::2], low[1::2, 1::2])
            )
            high = torch.maximum(
                torch.maximum(high[::2, ::2], high[1::2, ::2]), torch.maximum(high[::2, 1::2], high[1::2, 1::2])
            )
            ranges[size] = low, high
        return ranges

    def _guard(self, size: int, cells: Tensor) -> Tensor:
        """Which of these cells the kappa guard refines; each cell is tested once, when its corners are known."""
        slots = self._slot[::size, ::size]
        corners = torch.stack([slots[:-1, :-1], slots[:-1, 1:], slots[1:, :-1], slots[1:, 1:]], -1)
        cells = cells & (corners >= 0).all(-1)
        self._guarded[size] |= cells
        where = cells.nonzero()
        wanted = torch.zeros_like(cells)
        if self._values is None or not len(where):
            return wanted
        chosen = corners[where[:, 0], where[:, 1]].long()
        verdicts = []
        for part in chosen.split(max(1, _GUARD_VALUES // (4 * self._num_classes))):
            logits = self._values[part][..., : self._num_classes]  # (cells, 4, classes)
            label = logits[:, 0].argmax(1)
            margins = logits.gather(2, label[:, None, None].expand(-1, 4, 1)) - logits
            least, most = margins.amin(1), margins.amax(1)
            verdicts.append((least < self._kappa * (most - least)).any(1))
        wanted[where[:, 0], where[:, 1]] = torch.cat(verdicts)
        return wanted

    # -- the picture ----------------------------------------------------------------------------------------------

    def picture(self, spacing: int, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The picture on the lattice of a spacing; complete once `on_level` was called with it.

        Points that were not evaluated have the label of their cell, and values that are bilinear in it.

        Args:
            spacing: steps between the lattice points.
            columns: the columns of the values to return.

        Returns:
            label (s, s) with -1 where logits are not finite, values (s, s, len(columns)), evaluated (s, s).

        Raises:
            ValueError: if `run` has not evaluated anything yet.
        """
        if self._values is None:
            raise ValueError("expected a run before its picture, got none")
        table = self._values[: self.count, columns]
        slots = self._slot[:: self.base, :: self.base]
        label, values = self._low[:: self.base, :: self.base], table[slots.long()]
        for size in self._sizes[1 : self._sizes.index(spacing) + 1]:
            slots = self._slot[::size, ::size]
            known = slots >= 0
            where = known.nonzero(as_tuple=True)
            label = _spread(label).where(~known, self._low[::size, ::size])
            values = _between(values)
            values[where] = table[slots[where].long()]
        crop = (self.side - 1) // spacing + 1
        label = label.where(label != self._num_classes, -1)
        evaluated = self._slot[::spacing, ::spacing] >= 0
        return label[:crop, :crop], values[:crop, :crop], evaluated[:crop, :crop]

    def classes(self) -> Tensor:
        """The class indices seen so far on the wanted grid, sorted."""
        inside = slice(self.side), slice(self.side)  # the last cells may extend beyond it
        seen: Tensor = self._low[inside][self._slot[inside] >= 0].unique().long()
        return seen[seen < self._num_classes]


def _pool(labels: Tensor, pick: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`pick` over 3 x 3 windows with stride 2: the closed cells of twice the lattice's spacing."""
    rows = pick(pick(labels[:-2:2], labels[1::2]), labels[2::2])
    return pick(pick(rows[:, :-2:2], rows[:, 1::2]), rows[:, 2::2])


def _mark_midpoints(points: Tensor, cells: Tensor) -> None:
    """Mark the 3 x 3 lattice points of each marked cell."""
    rows = torch.zeros((points.shape[0], cells.shape[1]), dtype=torch.bool, device=points.device)
    rows[:-1:2] |= cells
    rows[1::2] |= cells
    rows[2::2] |= cells
    points[:, :-1:2] |= rows
    points[:, 1::2] |= rows
    points[:, 2::2] |= rows


def _spread(label: Tensor) -> Tensor:
    """Labels on the lattice of half the spacing: new points take the label of their left or lower neighbour."""
    return label.repeat_interleave(2, 0).repeat_interleave(2, 1)[:-1, :-1]


def _between(values: Tensor) -> Tensor:
    """Values on the lattice of half the spacing: new points take the mean of their neighbours."""
    side = 2 * len(values) - 1
    finer = values.new_empty((side, side, values.shape[2]))
    finer[::2, ::2] = values
    torch.lerp(values[:-1], values[1:], 0.5, out=finer[1::2, ::2])
    torch.lerp(finer[:, :-2:2], finer[:, 2::2], 0.5, out=finer[:, 1::2])
    return finer


class LevelProgress:
    """The fraction done of a tree whose number of points is not known in advance.

    Each level has about twice as many points as the one before: level i of n ends at 2^i / 2^n.
    """

    def __init__(self, levels: int, on_progress: OnProgress) -> None:
        self._levels, self._on_progress, self._so_far = levels, on_progress, 0.0
        self.level = 0

    def done(self, fraction: float) -> float:
        """The fraction done of the tree at this fraction of the current round; it never decreases."""
        start = 2.0**self.level
        self._so_far = max(self._so_far, (start * (1 + fraction) - 1) / (2.0 ** (self._levels + 1)))
        return self._so_far

    def within_level(self, fraction: float) -> None:
        """Report progress inside a round of evaluations."""
        self._on_progress(self.done(fraction))
