"""From one image to another, pixel by pixel: how few pixels change the classifier's decision, and ours.

The limits never look inside the classifier, so they hold for people too: of nearly all images of a format, O(n) changed
pixels of the n x n there are change what the image means. An overlay paints some pixels of the second image over the
first, starting with those in which the two differ most (ℓ2 over channels); random orders of the same pixels are the
control. The classifier's answer after each pixel is measured. Whether the meaning has changed is for the eye to judge.

Reference: Dai, Gifford, Fundamental limits on the robustness of image classifiers, ICLR 2023, and its project page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, per_sample, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlay(ClassifierResult):
    """A classifier's answers while ever more pixels of second images are painted over first images."""

    first: np.ndarray = quantity("pixel", "n c h w")
    second: np.ndarray = quantity("pixel", "n c h w")
    rank: np.ndarray = quantity("", "n order h w", formerly="place")  # of each pixel in an order; first: by difference
    pixels: np.ndarray = quantity("pixels", "step")  # painted over
    label: np.ndarray = quantity("", "n order step")  # -1 where a logit is not finite
    own: np.ndarray = quantity("", "n order step")  # probability of the first image's class
    other: np.ndarray = quantity("", "n order step")  # probability of the second image's class

    @property
    def side(self) -> int:
        """N, the longer side of an image in pixels."""
        return int(max(self.first.shape[2:]))

    def needed(self) -> np.ndarray:
        """(n, o) the fewest painted pixels with the second image's class; NaN where the images have one class."""
        return self._first_at(self.label == self.label[:, :1, -1:])

    def left(self) -> np.ndarray:
        """(n, o) the fewest painted pixels with another class than the first image's."""
        return self._first_at((self.label != self.label[:, :1, :1]) & (self.label >= 0))

    def _first_at(self, there: np.ndarray) -> np.ndarray:
        known = there.any(2) & (self.label[:, :, 0] != self.label[:, :, -1])
        return np.where(known, self.pixels[there.argmax(2)], np.nan)

    def painted(self, row: int, count: int) -> np.ndarray:
        """The first image of a row (c, h, w) with this many pixels of the second one, in the first order."""
        image: np.ndarray = np.where(self.rank[row, 0] < count, self.second[row], self.first[row])
        return image

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Painted pixels until the label changes."""
        for label, values in (("the second image's class", self.needed()), ("another class", self.left())):
            for order, painted in (("by difference", values[:, :1]), ("random orders", values[:, 1:])):
                if painted.size:
                    yield Number(name=f"pixels to {label}, {order}", value=per_sample(painted), unit="pixels")


@counted
def overlay(
    classifier: Classifier,
    first: Float[Tensor, "n c h w"],
    second: Float[Tensor, "n c h w"],
    *,
    orders: int = 8,
    steps: int = 1024,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> Overlay:
    """Paint the pixels of images over others, in order, and evaluate the classifier on the way.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        first: the images to paint over.
        second: one image for each, whose pixels are painted.
        orders: random orders in addition to that by difference.
        steps: evaluations of the classifier, at evenly spaced numbers of pixels; at most one per pixel.
        seed: seed of the random orders.
        on_progress: called with the fraction done.

    Returns:
        Labels and probabilities. `forwards` counts forward passes, in images.

    Raises:
        ValueError: if there is no pair, or a number is out of range.
        ImageError: if an image is not the classifier's.
    """
    one, two = classifier.accept(first), classifier.accept(second)
    if not len(one) or len(one) != len(two) or orders < 0 or steps < 1:
        raise ValueError(
            f"expected pairs of images, orders and steps, got {len(one)}, {len(two)}, {orders} and {steps}"
        )
    count, (height, width) = len(one), classifier.input_shape[1:]
    size = height * width
    generator = torch.Generator().manual_seed(seed)
    key = torch.rand((count, orders, size), generator=generator).to(one)
    by = -(two - one).square().sum(1).flatten(1)
    order = torch.cat([by[:, None], key], 1).argsort(dim=2, stable=True)
    rank = torch.empty_like(order).scatter_(2, order, torch.arange(size, device=one.device).expand_as(order))
    pixels = torch.linspace(0, size, min(steps, size) + 1, dtype=torch.float64).round().long().to(one.device)
    shape = (count, 1 + orders, len(pixels))
    rows = torch.arange(int(np.prod(shape)), device=one.device)

    def ask(row: Tensor) -> Tensor:
        step, route, pair = row % shape[2], row // shape[2] % shape[1], row // (shape[1] * shape[2])
        taken = (rank[pair, route] < pixels[step, None]).view(-1, 1, height, width)
        return classifier(torch.where(taken, two[pair], one[pair]))

    with torch.inference_mode():
        logits = classifier.batches()(ask, rows, on_progress).double().view(*shape, -1)
        finite = torch.isfinite(logits).all(3)
        label = logits.argmax(3).where(finite, -1)
        chance = logits.softmax(3).where(finite[..., None], torch.nan)
        ends = [label[:, 0, at].clamp(min=0).view(-1, 1, 1, 1).expand(*shape, 1) for at in (0, -1)]
        own, other = (chance.gather(3, k)[..., 0] for k in ends)
    return Overlay(
        first=one.cpu().numpy(),
        second=two.cpu().numpy(),
        rank=rank.view(count, -1, height, width).cpu().numpy().astype(np.int32),
        pixels=pixels.cpu().numpy(),
        label=label.cpu().numpy().astype(np.int16),
        own=own.float().cpu().numpy(),
        other=other.float().cpu().numpy(),
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )
