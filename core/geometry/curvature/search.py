"""The search for the principal curvatures at boundary points: all of them, or the ends of the spectrum.

All curvatures come from a matrix for each point, whose columns are computed batch by batch; a number of them, or both
ends, from block Lanczos for all points at once, with the density of the spectrum by quadrature
(`core.geometry.hessian.lanczos`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from core.geometry.hessian.lanczos import Ends, Side, Watch, extreme_eigenvalues, quadrature
from core.geometry.hessian.second_derivatives import Plan
from core.geometry.hessian.shape_operator import ShapeOperator
from core.models.classifier import Classifier
from core.runtime.batches import scratch

PROBES, STEPS = 8, 40  # of the density


class Extent(NamedTuple):
    """How much of the spectrum is wanted."""

    whole: bool
    kept: int
    side: Side
    tolerance: float


class CurvatureSearch:
    """Computes the curvatures at boundary points."""

    def __init__(self, classifier: Classifier, plan: Plan, extent: Extent, seed: int, density: bool) -> None:
        self.classifier, self.extent, self.density = classifier, extent, density
        self._plan, self._seed = plan, seed
        self.backend: str = plan.backend or "none"

    def operator(self, points: Tensor, source: Tensor, target: Tensor) -> ShapeOperator:
        """The shape operators at points."""
        products = self._plan.products(self.classifier, points, source, target)
        self.backend = products.backend
        return ShapeOperator(products)

    def block(self, rows: int) -> int:
        """Directions per step: more of them fill a GPU where there are few rows, but need more products."""
        return max(1, min(16, 64 // rows)) if self.classifier.device.type == "cuda" else 1

    def ends(
        self,
        operator: ShapeOperator,
        tick: Callable[[float], None],
        watch: Watch = lambda rows, values, residual: None,
    ) -> tuple[Tensor, Ends]:
        """All wanted curvatures (n, k), and those with directions; `watch` as in `extreme_eigenvalues`."""
        extent = self.extent
        if not extent.whole:
            ends = extreme_eigenvalues(
                operator,
                extent.kept,
                side=extent.side,
                tolerance=extent.tolerance,
                block=self.block(operator.shape[0]),
                seed=self._seed,
                tick=tick,
                watch=watch,
            )
            return ends.values, ends
        every, kept = [], []
        rows, values = operator.shape
        memory = scratch(values**2, operator.dtype, operator.device)
        for row in range(rows):

            def column(part: float, row: int = row) -> None:
                tick((row + 0.95 * part) / rows)

            matrix = operator.matrix(row, self._seed, column, memory)
            found, ends = matrix.eigenvalues(extent.kept, extent.side, self._seed)
            every.append(found)
            watch(torch.tensor([row], device=operator.device), found[None], torch.zeros_like(found)[None])
            kept.append(ends)
            tick((row + 1) / rows)
        return torch.stack(every), Ends(*(torch.cat(parts) for parts in zip(*kept, strict=True)))

    def quadrature(self, operator: ShapeOperator) -> tuple[Tensor, Tensor]:
        """Nodes and weights of the density of all curvatures; none where it is not wanted."""
        if not self.density:
            none = operator.gradient.new_empty((operator.shape[0], 0))
            return none, none
        density = quadrature(operator, PROBES, STEPS, self._seed)
        return density.nodes, density.weights
