"""Signed margins of rows that belong to numbered images, counting queries per image.

A search tries many points of one image: multipliers, candidates, points with one pixel restored. Each is a row with the
number of its image, which determines the class of the margin and is charged for the forward and backward passes. Rows
are evaluated in batches of the classifier's preferred size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.boundary.signed_margin import Images, Rows, SignedMargin, Slope
from core.models.classifier import Classifier

Numbers = Int[Tensor, " n"]  # of images
Unit = Literal["pixel", "entry"]
UNITS: tuple[Unit, ...] = get_args(Unit)

_BITS = 4.0  # roundings of the largest logit in a margin
_MOST_VALUES = 1 << 22  # pixels of a batch: 27 images of 3 x 224 x 224, for each of which a graph may be kept


class CountedMargin(SignedMargin):
    """Signed margins of numbered images, which take the image number where `SignedMargin` expects the class.

    Args:
        classifier: the classifier.
        size: largest number of rows in a batch.
        tied: images have one channel, repeated for each channel of the classifier.
    """

    def __init__(self, classifier: Classifier, size: int, tied: bool = False) -> None:
        super().__init__(classifier)
        self._size, self._tied = size, tied
        self.channels = classifier.input_shape[0]
        self.num_classes = classifier.num_classes
        self.source = self.forwards_of = self.gradients_of = torch.empty(0, dtype=torch.int64)
        self.clean_margin = self.rounding = torch.empty(0)
        self.best = torch.empty(0)
        self.records: list[tuple[Tensor, Tensor]] = []

    def open(self, images: Images) -> Float[Tensor, "n k"]:
        """Begin with these images, numbered in their order: their logits, whose largest names each one's class.

        Its `clean_margin` F(x) and the `rounding` of such margins are kept: they are the scale of each image's logits.
        """
        self.forwards_of = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        self.gradients_of = torch.zeros_like(self.forwards_of)
        self.best = torch.full((len(images),), torch.nan, dtype=torch.float64, device=images.device)
        self.records = [(self.best.clone(), self.gradients_of.clone())]
        logits = self.all_logits(images, torch.arange(len(images), device=images.device))
        self.source = logits.argmax(1)
        two = logits.topk(2, 1).values
        self.clean_margin = two[:, 0] - two[:, 1]
        self.rounding = _BITS * torch.finfo(self._classifier.dtype).eps * logits.abs().amax(1)
        return logits

    def logits(self, images: Images) -> Float[Tensor, "n k"]:
        """All logits of one batch."""
        return super().logits(images.expand(-1, self.channels, -1, -1) if self._tied else images)

    def all_logits(self, images: Images, numbers: Numbers) -> Float[Tensor, "n k"]:
        """All logits, batch by batch."""
        self._charge(self.forwards_of, numbers)
        return torch.cat([self.logits(part) for part in images.split(self._size)])

    def __call__(self, images: Images, numbers: Numbers) -> Rows:
        """F of each row: NaN where a logit is not finite."""
        return self.of(numbers, lambda part: images[part])

    def of(self, numbers: Numbers, rows: Callable[[slice], Images]) -> Rows:
        """F of rows that are made batch by batch, because all together would not fit in memory."""
        self._charge(self.forwards_of, numbers)
        margin = super().__call__
        parts = [slice(start, start + self._size) for start in range(0, len(numbers), self._size)]
        found = [margin(rows(part), self.source[numbers[part]]) for part in parts]
        return torch.cat(found) if found else torch.empty(0, dtype=self.dtype, device=numbers.device)

    def slope(self, images: Images, numbers: Numbers) -> Slope:
        """F of each row, its gradient, and the largest other class: one forward, one backward."""
        self._charge(self.forwards_of, numbers)
        self._charge(self.gradients_of, numbers)
        slope = super().slope
        parts = zip(images.split(self._size), numbers.split(self._size), strict=True)
        found = [slope(part, self.source[number]) for part, number in parts]
        return Slope(*(torch.cat(each) for each in zip(*found, strict=True)))

    def class_margins(
        self, images: Images, numbers: Numbers, classes: Int[Tensor, "n j"]
    ) -> Iterator[tuple[Rows, Images]]:
        """f_s - f_k and its gradient for each column k of `classes` in turn."""
        self._charge(self.forwards_of, numbers)
        self._charge(self.gradients_of, numbers, classes.shape[1])
        return super().class_margins(images, self.source[numbers], classes)

    def record(self, numbers: Numbers, counts: Float[Tensor, " n"]) -> None:
        """Record the number of pixels these images are down to, and the gradients that every image has cost so far."""
        worst = torch.full_like(self.best, torch.inf).scatter_reduce(0, numbers, counts.double(), "amin")
        self.best = self.best.fmin(worst.where(torch.isfinite(worst), torch.nan))
        self.records.append((self.best.clone(), self.gradients_of.clone()))

    def _charge(self, account: Tensor, numbers: Tensor, times: int = 1) -> None:
        account.index_add_(0, numbers, torch.full_like(numbers, times))


class SparseProblem(NamedTuple):
    """Images with their box, the margin demanded (as a share kappa of F(x)) and the unit whose number is minimised."""

    counted: CountedMargin
    images: Images
    low: Images
    high: Images
    kappa: float
    unit: Unit

    def items(self, images: Images) -> Float[Tensor, "n g p"]:
        """Rows as p items of g values: pixels with their channels, or single entries."""
        return images.flatten(2) if self.unit == "pixel" else images.flatten(1)[:, None]

    def demanded(self, numbers: Numbers) -> Rows:
        """The margin demanded of each row, in logits: kappa F(x), but no less than rounding."""
        return (self.kappa * self.counted.clean_margin).maximum(self.counted.rounding)[numbers]

    def margins(self, numbers: Numbers, at: Float[Tensor, "n g p"]) -> Rows:
        """F of rows given by items."""
        return self.counted(at.reshape(-1, *self.images.shape[1:]), numbers)

    def gradient(self, numbers: Numbers, at: Float[Tensor, "n g p"]) -> tuple[Rows, Float[Tensor, "n g p"]]:
        """F of rows given by items, and its gradient."""
        margin, gradient, _ = self.counted.slope(at.reshape(-1, *self.images.shape[1:]), numbers)
        return margin, self.items(gradient)


def batch_size(classifier: Classifier) -> int:
    """Rows in a batch: the classifier's preferred size, or fewer where memory is short."""
    return max(1, min(classifier.batches().size, _MOST_VALUES // math.prod(classifier.input_shape)))
