"""Progressive evaluation of a grid, coarse lattices first: there soon is a complete picture, only coarser.

The lattices of every 16th, 8th, 4th, 2nd point along both sides are nested. Their points are evaluated in this order,
each once, in one sequence cut at whole batches: m points in batches of b take ceil(m / b) b evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

_SPACINGS = (16, 8, 4, 2, 1)
_MOST_BATCHES = 64  # in one piece, whose values need memory next to the table until they are entered


class Scan:
    """Values at all points of a square grid.

    Args:
        evaluate: (m, 2) long indices (row, column) -> (m, f) values.
        side: points along one side of the grid.
        batch: points that are evaluated together; all calls but the last get a multiple of it.
        device: of the values.
    """

    def __init__(self, evaluate: Callable[[Tensor], Tensor], side: int, batch: int, device: torch.device) -> None:
        self._evaluate, self._side, self._batch, self._device = evaluate, side, batch, device
        self._table: Tensor | None = None
        self.spacings = tuple(spacing for spacing in _SPACINGS if spacing < side)  # of at least 2 x 2 points

    def run(self, on_level: Callable[[int], None]) -> None:
        """Evaluate every point.

        Args:
            on_level: called with the spacing at which the picture has become complete, finally 1.
        """
        order = self._order()
        finest = 0  # number of complete lattices
        for start, stop in self._pieces():
            places = order[start:stop]
            values = self._evaluate(torch.stack([places // self._side, places % self._side], 1))
            if self._table is None:
                self._table = values.new_empty((self._side**2, values.shape[1]))
            self._table[places] = values
            complete = sum(self.points(spacing) ** 2 <= stop for spacing in self.spacings)
            if complete > finest:
                finest = complete
                on_level(self.spacings[finest - 1])

    def points(self, spacing: int) -> int:
        """Points along one side of the lattice of a spacing."""
        return (self._side - 1) // spacing + 1

    def lattice(self, spacing: int) -> Tensor:
        """The values (s, s, f) on the lattice of a spacing, complete once `on_level` has named it.

        Raises:
            ValueError: if `run` has not evaluated anything yet.
        """
        if self._table is None:
            raise ValueError("expected a run before its lattice, got none")
        return self._table.view(self._side, self._side, -1)[::spacing, ::spacing]

    def _order(self) -> Tensor:
        """The points of the flattened grid, coarse lattices first and row by row in each."""
        steps = torch.arange(self._side, device=self._device)
        level = torch.stack([steps % spacing != 0 for spacing in self.spacings]).sum(0, dtype=torch.int8)
        return torch.maximum(level[:, None], level).flatten().argsort(stable=True)

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """Ranges of the order that end at whole batches, a lattice at a time and at most 64 batches long."""
        start = 0
        for spacing in self.spacings:
            end = min(self._side**2, -(-(self.points(spacing) ** 2) // self._batch) * self._batch)
            for begin in range(start, end, _MOST_BATCHES * self._batch):
                yield begin, min(end, begin + _MOST_BATCHES * self._batch)
            start = max(start, end)
