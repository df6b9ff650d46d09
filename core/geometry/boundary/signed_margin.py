"""The signed margin of each image's class, its gradient, and lengths in three norms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.models.classifier import Classifier
from core.runtime.batches import Chunks
from core.runtime.cost import count_passes

Norm = Literal[1, 2, "inf"]

NORMS: tuple[Norm, ...] = get_args(Norm)

Images = Float[Tensor, "n c h w"]

Rows = Float[Tensor, " n"]

Classes = Int[Tensor, " n"]

_DUAL: dict[Norm, float] = {1: float("inf"), 2: 2.0, "inf": 1.0}
_MOST_VALUES = 1 << 22  # pixels of a batch: 27 images of 3 x 224 x 224, with a graph for each


class Slope(NamedTuple):
    """The signed margin of each row, its gradient, and the runner-up: the other class with the largest logit."""

    margin: Rows
    gradient: Images
    runner_up: Classes


class SignedMargin:
    """The signed margin of each row's own class."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.dtype = torch.promote_types(classifier.dtype, torch.float32)  # half precision is too coarse for lengths

    def logits(self, images: Images) -> Float[Tensor, "n k"]:
        """All logits."""
        count_passes(forwards=len(images))
        return self._classifier(images.to(self._classifier.dtype)).to(self.dtype)

    def __call__(self, images: Images, source: Classes) -> Rows:
        """f_s - max_{k != s} f_k: NaN where a logit is not finite."""
        with torch.no_grad():
            return self._margin_and_runner_up(self.logits(images), source)[0]

    def slope(self, images: Images, source: Classes) -> Slope:
        """The signed margin with its gradient: one forward, one backward."""
        with torch.enable_grad():
            points = images.detach().requires_grad_()
            margin, runner_up = self._margin_and_runner_up(self.logits(points), source)
            gradient = self._gradient(margin, points, keep=False)
        return Slope(margin.detach(), gradient, runner_up)

    def class_margins(
        self, images: Images, source: Classes, classes: Int[Tensor, "n j"]
    ) -> Iterator[tuple[Rows, Images]]:
        """f_s - f_k and its gradient for each column k of `classes` in turn: one forward, j backwards of its graph.

        One backward for all columns (`is_grads_batched`) takes as long on the CPU (0.96 to 1.17 of the loop on the demo
        models), needs j times the memory, and a batching rule for every operation of the model.
        """
        with torch.enable_grad():
            points = images.detach().requires_grad_()
            logits = self.logits(points)
            own = logits.gather(1, source[:, None])
            margins = own - logits.gather(1, classes)
        for column in range(classes.shape[1]):
            with torch.enable_grad():
                margin = margins[:, column]
                gradient = self._gradient(margin, points, keep=column + 1 < classes.shape[1])
            yield margin.detach(), gradient

    def _gradient(self, values: Tensor, points: Tensor, keep: bool) -> Tensor:
        """The gradient of each row's value in its own image; since rows are independent, that of the sum."""
        count_passes(gradients=len(points))
        if not values.requires_grad:  # logits that do not depend on the image
            return torch.zeros_like(points)
        (gradient,) = torch.autograd.grad(values.sum(), points, retain_graph=keep, materialize_grads=True)
        return gradient.detach().contiguous()

    def _margin_and_runner_up(self, logits: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        own = logits.gather(1, source[:, None])
        other, runner_up = logits.scatter(1, source[:, None], -torch.inf).max(1)
        return (own[:, 0] - other).where(torch.isfinite(logits).all(1), torch.nan), runner_up


class BatchedMargin(SignedMargin):
    """Signed margins of any number of rows, batch by batch.

    A batch has the number of images at which the classifier is fastest, or fewer where memory asks for it.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        self._chunks = Chunks(min(classifier.batches().size, _MOST_VALUES // math.prod(classifier.input_shape)))

    def all_logits(self, images: Images) -> Float[Tensor, "n k"]:
        """All logits, batch by batch."""
        return self._batched(lambda part: (self.logits(part),), images)[0]

    def __call__(self, images: Images, source: Classes) -> Rows:
        """The signed margin of each row: NaN where a logit is not finite."""
        margin = super().__call__
        return self._batched(lambda part, own: (margin(part, own),), images, source)[0]

    def slope(self, images: Images, source: Classes) -> Slope:
        """The signed margin of each row with its gradient: one forward, one backward."""
        return Slope(*self._batched(super().slope, images, source))

    def _batched(self, function: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> tuple[Tensor, ...]:
        """Apply a function to the rows of its inputs, batch by batch; the batch is halved where memory runs out."""
        parts = self._chunks(len(inputs[0]), lambda rows, _: function(*(each[rows] for each in inputs)))
        return parts[0] if len(parts) == 1 else tuple(torch.cat(each) for each in zip(*parts, strict=True))


def length(displacement: Images, norm: Norm | float) -> Rows:
    """The p-norm of each row."""
    norms: Rows = torch.linalg.vector_norm(displacement.flatten(1), float(norm), 1)
    return norms


def dual_length(gradient: Images, norm: Norm) -> Rows:
    """The q-norm of each row, 1/p + 1/q = 1: how fast a linear function grows per step of p-norm 1."""
    return length(gradient, _DUAL[norm])


def dual_vector(gradient: Images, norm: Norm) -> Images:
    """The dual vector of a gradient: the step of p-norm 1 along which a linear function grows fastest.

    It is the gradient over its length for p = 2, its signs for p = inf, the sign of its largest entry alone for p = 1;
    0 where the gradient is 0.
    """
    if norm == "inf":
        return gradient.sign()
    if norm == 2:
        return gradient / per_row(length(gradient, 2).clamp(min=torch.finfo(gradient.dtype).tiny))
    flat = gradient.flatten(1)
    largest = flat.abs().argmax(1, keepdim=True)
    return torch.zeros_like(flat).scatter(1, largest, flat.gather(1, largest).sign()).view_as(gradient)


def per_row(values: Tensor) -> Tensor:
    """One value per row, shaped to broadcast against images."""
    return values.view(-1, 1, 1, 1)


def row_dot(a: Images, b: Images) -> Rows:
    """The inner product of each pair of rows."""
    return (a * b).flatten(1).sum(1)
