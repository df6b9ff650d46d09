"""Signed margins of rows, each of which may move only inside a subspace.

A row is an image with a subspace S of its own. Inside S, the gradient of the signed margin F is its projection
P_S grad F: along any r in S, F changes by <P_S grad F, r>. A search that moves along projected gradients never leaves
S, and need not know about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.boundary.signed_margin import BatchedMargin, Images, Rows, Slope
from core.geometry.subspaces.subspaces import Subspaces
from core.models.classifier import Classifier

Numbers = Int[Tensor, " n"]  # of rows

_ROUNDING = 64  # in machine epsilons: a gradient with a smaller share of its length in the subspace has no part there


class Planes(NamedTuple):
    """The nearest of the linearised boundaries f_s = f_k of each row."""

    distance: Rows  # infinite where no boundary is met
    direction: Images  # of length 1, in which it lies; 0 where there is none
    classes: Int[Tensor, "n j"]  # k, the nearest one first


class ProjectedMargin(BatchedMargin):
    """Signed margins with projected gradients; rows are given by their numbers, in place of their classes.

    Args:
        classifier: whose margins.
        subspaces: where rows may move.
    """

    def __init__(self, classifier: Classifier, subspaces: Subspaces) -> None:
        super().__init__(classifier)
        self._subspaces = subspaces.to(classifier.device, self.dtype)
        self._source = self._which = torch.empty(0, dtype=torch.int64, device=classifier.device)

    def rows(self, source: Numbers, which: Numbers) -> None:
        """From now on, row i has the class `source[i]` and the subspace `which[i]`."""
        self._source, self._which = source, which

    def __call__(self, images: Images, rows: Numbers) -> Rows:
        """F of each row: NaN where a logit is not finite."""
        return super().__call__(images, self._source[rows])

    def slope(self, images: Images, rows: Numbers) -> Slope:
        """F of each row with its projected gradient: one forward, one backward."""
        margin, gradient, runner_up = super().slope(images, self._source[rows])
        return Slope(margin, self.projected(gradient, rows), runner_up)

    def projected(self, images: Images, rows: Numbers) -> Images:
        """The projection of each image onto its row's subspace."""
        return self._batched(lambda part, row: (self._subspaces.project(part, self._which[row]),), images, rows)[0]

    def nearest_planes(self, images: Images, rows: Numbers, classes: Int[Tensor, "n j"]) -> Planes:
        """The nearest of the linearised boundaries f_s = f_k inside each row's subspace.

        Args:
            images: points of linearisation.
            rows: their numbers.
            classes: the classes k of each row.

        Returns:
            The nearest boundary of each row.
        """

        def nearest(part: Tensor, row: Tensor, others: Tensor) -> tuple[Tensor, ...]:
            margins = self.class_margins(part, self._source[row], others)
            pairs = ((margin, self._subspaces.basis.coefficients(slope)) for margin, slope in margins)
            return self._nearest(pairs, row, others)

        return Planes(*self._batched(nearest, images, rows, classes))

    def nearest_planes_from(
        self,
        images: Float[Tensor, "m c h w"],
        source: Int[Tensor, " m"],
        classes: Int[Tensor, "m j"],
        rows: Numbers,
        owner: Numbers,
    ) -> Planes:
        """The same for rows that share few images: the gradients of each image are computed once.

        Args:
            images: m images.
            source: the class of each image.
            classes: the classes k of each image.
            rows: numbers of the rows.
            owner: the image of each row.

        Returns:
            As `nearest_planes`.
        """

        def slopes(part: Tensor, own: Tensor, others: Tensor) -> tuple[Tensor, ...]:
            pairs = [
                (margin, self._subspaces.basis.coefficients(s)) for margin, s in self.class_margins(part, own, others)
            ]
            margins, coefficients = zip(*pairs, strict=True)
            return torch.stack(margins, 1), torch.stack(coefficients, 1)

        margins, coefficients = self._batched(slopes, images, source, classes)

        def nearest(row: Tensor, image: Tensor) -> tuple[Tensor, ...]:
            pairs = ((margins[image, k], coefficients[image, k]) for k in range(margins.shape[1]))
            return self._nearest(pairs, row, classes[image])

        return Planes(*self._batched(nearest, rows, owner))

    def _nearest(self, margins: Iterable[tuple[Tensor, Tensor]], rows: Tensor, classes: Tensor) -> Planes:
        """The nearest of several planes, given by their margins and the coefficients of their whole gradients."""
        masks = self._subspaces.masks[self._which[rows]]
        least = _ROUNDING * torch.finfo(self.dtype).eps
        nearest = torch.full_like(rows, torch.inf, dtype=self.dtype)
        direction, distances = torch.zeros_like(masks, dtype=self.dtype), []
        for margin, coefficients in margins:
            part = coefficients * masks
            steepness = _length(part)
            steepness = steepness.where(steepness > least * _length(coefficients), 0.0)
            distances.append((margin.abs() / steepness).nan_to_num(torch.inf, posinf=torch.inf))
            closer = distances[-1] < nearest
            nearest = torch.where(closer, distances[-1], nearest)
            column = (-1, *(1,) * (part.ndim - 1))
            direction = torch.where(closer.view(column), part / steepness.view(column), direction)
        order = torch.stack(distances, 1).argsort(1)
        return Planes(nearest, -self._subspaces.basis.images(direction), classes.gather(1, order))


def _length(coefficients: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(coefficients.flatten(1), dim=1)
    return lengths
