"""Signed margins of rows that may move inside a subspace each.

A row is an image with a subspace S of its own. For what stays in S, the gradient of the signed margin F is its
projection P_S grad F: along any r in S, F changes by <P_S grad F, r>. Handed projected gradients, a search that moves
along gradients never leaves S, and need not know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.boundary.signed_margin import Images, Rows, SignedMargin, Slope
from core.geometry.subspaces.subspaces import Subspaces
from core.models.classifier import Classifier
from core.runtime.batches import Chunks

Numbers = Int[Tensor, " n"]  # of rows

_MOST_VALUES = 1 << 22  # pixels of a batch: 27 images of 3 x 224 x 224, for each of which a graph is kept
_ROUNDING = 64  # of the dtype's: a gradient with less of its length in the subspace has none there


class Planes(NamedTuple):
    """The nearest of the linearised boundaries f_s = f_k of each row."""

    distance: Rows  # infinite where no boundary is met
    direction: Images  # of length 1, in which it lies; 0 where there is none
    classes: Int[Tensor, "n j"]  # k, the nearest one first


class ProjectedMargin(SignedMargin):
    """Signed margins with projected gradients; rows are named by their numbers, in place of their classes.

    Batches are as large as the classifier likes best, or as memory allows, however many rows there are.

    Args:
        classifier: whose margins.
        subspaces: where rows may move.
    """

    def __init__(self, classifier: Classifier, subspaces: Subspaces) -> None:
        super().__init__(classifier)
        self._subspaces = subspaces.to(classifier.device, self.dtype)
        self._chunks = Chunks(min(classifier.batches().size, _MOST_VALUES // subspaces.whole))
        self._source = self._which = torch.empty(0, dtype=torch.int64, device=classifier.device)

    def rows(self, source: Numbers, which: Numbers) -> None:
        """From now on, row i has the class `source[i]` and the subspace `which[i]`."""
        self._source, self._which = source, which

    def all_logits(self, images: Images) -> Float[Tensor, "n k"]:
        """All logits, batch by batch."""
        return self._batched(lambda part: (self.logits(part),), images)[0]

    def __call__(self, images: Images, rows: Numbers) -> Rows:
        """F of each row: NaN where a logit is not finite."""
        margin = super().__call__
        return self._batched(lambda part, row: (margin(part, self._source[row]),), images, rows)[0]

    def slope(self, images: Images, rows: Numbers) -> Slope:
        """F of each row with its projected gradient: one forward, one backward."""
        slope = super().slope

        def projected(part: Tensor, row: Tensor) -> tuple[Tensor, ...]:
            margin, gradient, runner_up = slope(part, self._source[row])
            return margin, self._project(gradient, row), runner_up

        return Slope(*self._batched(projected, images, rows))

    def projected(self, images: Images, rows: Numbers) -> Images:
        """The projection of each image onto its row's subspace."""
        return self._batched(lambda part, row: (self._project(part, row),), images, rows)[0]

    def nearest_planes(self, images: Images, rows: Numbers, classes: Int[Tensor, "n j"]) -> Planes:
        """Where the nearest of the linearised boundaries f_s = f_k is, without leaving the subspaces.

        Args:
            images: where to linearise.
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
        """The same for rows that start at few images: each image's gradients are computed once.

        Args:
            images: m images.
            source: the class of each.
            classes: the classes k of each.
            rows: numbers of the rows.
            owner: the image of each of these.

        Returns:
            As of `nearest_planes`.
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
        """Of several planes, given by the margin and the coefficients of its gradient in all of space each."""
        masks = self._subspaces.masks[self._which[rows]]
        least = _ROUNDING * torch.finfo(self.dtype).eps
        nearest, direction = (
            torch.full_like(rows, torch.inf, dtype=self.dtype),
            torch.zeros_like(masks, dtype=self.dtype),
        )
        distances = []
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

    def _project(self, images: Tensor, rows: Tensor) -> Tensor:
        return self._subspaces.project(images, self._which[rows])

    def _batched(self, function: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> tuple[Tensor, ...]:
        """Apply a function to the rows of its inputs, batch by batch; the batch is halved where memory runs out."""
        parts = self._chunks(len(inputs[0]), lambda rows, _: function(*(each[rows] for each in inputs)))
        return parts[0] if len(parts) == 1 else tuple(torch.cat(each) for each in zip(*parts, strict=True))


def _length(coefficients: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(coefficients.flatten(1), dim=1)
    return lengths
