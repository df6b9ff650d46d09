"""Every image of a small format: exact distances to another label, without a search.

All q^N images of N values form an array with one axis per value. One step of the Hamming graph changes one value to any
other, so a set grows by one step when it spreads along each axis. An image's distance to
the complement of its class is the number of steps after which the complement has reached it: exact, for any partition.

By Harper, no set of black-and-white images keeps more of them than an initial segment of the simplicial order: images
by their number of white pixels, then those first whose first differing pixel is white.

Reference: Harper, Optimal numberings and isoperimetric problems on graphs, J. Combinatorial Theory 1, 1966.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from core.errors import ImageError
from core.geometry.limits.bounds import robustness_bound
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, Result, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

MOST_IMAGES = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class EveryImage(ClassifierResult):
    """All images of a small format with their labels, and how many values must change for another one."""

    label: np.ndarray = quantity("", "image")  # images by the bits of their number, the first value lowest
    distance: np.ndarray = quantity("values", "image")  # to the nearest image of another label; -1: there is none
    side: int = quantity("pixels")
    channels: int = quantity("")
    bits: int = quantity("")

    @property
    def values(self) -> int:
        """N, the values of an image."""
        return self.channels * self.side**2

    @property
    def counts(self) -> np.ndarray:
        """(k,) images of each class."""
        return np.bincount(self.label[self.label >= 0], minlength=self.num_classes)

    def survivors(self, k: int) -> np.ndarray:
        """(N + 1,) how many images of a class keep it under every change of t = 0 .. N values."""
        far = self.distance[self.label == k].astype(np.int64)
        far = np.where(far < 0, self.values + 1, far)
        by = np.bincount(np.minimum(far, self.values + 1), minlength=self.values + 2)
        return by[::-1].cumsum()[::-1][1:]

    def limit(self, k: int) -> np.ndarray:
        """(N + 1,) the largest share of a class of this size that any classifier can keep; 1 of an exempt class."""
        share = self.counts[k] / len(self.label)
        if not 0 < share <= 0.5:
            return np.ones(self.values + 1)
        sizes = np.arange(self.values + 1.0)
        return robustness_bound(self.side, self.channels, self.bits, 0.0, share, sizes=sizes).fraction

    @property
    def violations(self) -> int:
        """At how many sizes of change, over all classes, more images survive than any classifier could keep."""
        return sum(
            int((self.survivors(k) / self.counts[k] > self.limit(k) * (1 + 1e-9)).sum())
            for k in np.flatnonzero(self.counts).tolist()
        )

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Shares of all images, and how far they are from another label."""
        for k in np.flatnonzero(self.counts):
            yield Number(
                name=f"share of {context.class_names[int(k)]}", value=float(self.counts[k] / self.counts.sum())
            )
        known = self.distance[self.distance >= 0]
        if len(known):
            yield Number(name="mean distance to another label", value=float(known.mean()), unit="values")
        yield from self.quoted("violations:sizes of change at which a limit is broken")


@counted
def every_image(classifier: Classifier, side: int, *, bits: int = 1, on_progress: OnProgress = silent) -> EveryImage:
    """Evaluate a classifier on every image of a small format, and measure all distances between its classes.

    Args:
        classifier: any `core.models.classifier.Classifier`; if its images are larger, small ones are enlarged to them
            by repeating pixels, grey in all channels: that, too, is a classifier of small images.
        side: pixels per side of the small images, which have one channel.
        bits: bits of each value.
        on_progress: called with the fraction done.

    Returns:
        Labels and exact distances. `forwards` counts forward passes, in images.

    Raises:
        ValueError: if there are more than 65,536 images of this format, or none.
        ImageError: if the classifier's images are smaller.
    """
    count = side**2
    if side < 1 or bits < 1 or (1 << min(bits * count, 30)) > MOST_IMAGES:
        raise ValueError(f"expected at most {MOST_IMAGES:,} images, such as 4 x 4 at 1 bit, got {side} at {bits} bits")
    height, width = classifier.input_shape[1:]
    if min(height, width) < side:
        raise ImageError(f"expected images of at least {side} x {side}, got {height} x {width}; take a smaller side")
    rows = torch.arange(height, device=classifier.device) * side // height
    columns = torch.arange(width, device=classifier.device) * side // width
    q, total = 2**bits, 2 ** (bits * count)
    powers = q ** torch.arange(count, device=classifier.device)

    def labels(numbers: torch.Tensor) -> torch.Tensor:
        levels = (numbers[:, None] // powers) % q
        small = (levels.to(classifier.dtype) / (q - 1)).view(-1, 1, side, side)
        logits = classifier(small[:, :, rows][:, :, :, columns].expand(-1, *classifier.input_shape))
        return logits.argmax(1).where(torch.isfinite(logits).all(1), -1)

    with torch.inference_mode():
        batches = classifier.batches()
        numbers = torch.arange(total, device=classifier.device)
        label = batches(labels, numbers, lambda part: on_progress(0.95 * part)).cpu().numpy().astype(np.int16)
    return EveryImage(
        label=label,
        distance=class_distance(label, count, bits),
        side=side,
        channels=1,
        bits=bits,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def class_distance(label: np.ndarray, values: int, bits: int = 1) -> np.ndarray:
    """How many values of each image must change for another label.

    Args:
        label: (..., q^N) of all images of a format, by number; one classifier per row.
        values: N.
        bits: of each value.

    Returns:
        int8 (..., q^N); -1 where all images have one label.
    """
    distance = np.full(label.shape, -1, np.int8)
    for k in np.unique(label):
        inside = label == k
        distance = np.where(inside, complement_distance(inside, values, bits), distance)
    return distance


def complement_distance(inside: np.ndarray, values: int, bits: int = 1) -> np.ndarray:
    """How many values of each image must change to leave a class.

    Args:
        inside: (..., q^N) which images belong to it, by number; one class per row.
        values: N.
        bits: of each value.

    Returns:
        int8 (..., q^N): 0 outside of the class, -1 where it holds all images.
    """
    batch, q = inside.shape[:-1], 2**bits
    reached = ~inside.reshape(*batch, *(q,) * values)
    distance = np.where(reached, 0, -1).astype(np.int8)
    axes = range(len(batch), len(batch) + values)
    for step in range(1, values + 1):
        spread = reached
        for axis in axes:  # what one changed value reaches: not one after the other, each from where it was
            spread = spread | reached.any(axis, keepdims=True)
        if (spread == reached).all():
            break
        distance[spread & ~reached] = step
        reached = spread
    return distance.reshape(inside.shape)


def best_survivors(values: int) -> np.ndarray:
    """The most black-and-white images that a class of each size can keep, by Harper's theorem.

    Args:
        values: N, at most 16 pixels.

    Returns:
        (2^N + 1, N + 1) for classes of 0 .. 2^N images and changes of t = 0 .. N pixels.

    Raises:
        ValueError: if there are too many images.
    """
    if not 1 <= values <= 16:
        raise ValueError(f"expected 1 to 16 values, got {values}")
    sizes = np.arange((1 << values) + 1)
    white = (sizes[:-1, None] >> np.arange(values)) & 1
    mirrored = white @ (1 << np.arange(values)[::-1])
    order = np.lexsort((-mirrored, white.sum(1)))  # by white pixels, then those with early white pixels first
    first = np.argsort(order).reshape((2,) * values)  # the shortest segment that has reached each image
    best = np.empty((len(sizes), values + 1), np.int64)
    for t in range(values + 1):
        # the neighbourhood of a segment of k images holds what is reached by k images or fewer
        reached = np.searchsorted(np.sort(first.ravel()), sizes, side="left")
        best[:, t] = np.searchsorted(reached, sizes, side="right") - 1
        spread = first
        for axis in range(values):
            spread = np.minimum(spread, first.min(axis, keepdims=True))
        first = spread
    return best


@dataclass(frozen=True, kw_only=True, eq=False)
class EveryClass(Result):
    """All classes of a tiny format: the most images any of them keeps, beside the limits."""

    most: np.ndarray = quantity("images", "members changed")  # over all classes of that many images
    best: np.ndarray = quantity("images", "members changed")  # of Harper's segments
    classes: np.ndarray = quantity("", "members")  # number of classes with that many images
    checks: int = quantity("")  # of a class at a number of changed values against H1, H2 and G
    violations: np.ndarray = quantity("", "bound")
    tightest: np.ndarray = quantity("", "bound")  # the largest measured share over the bound, where the latter is < 1


@counted
def every_class(values: int = 4) -> EveryClass:
    """Take every subset of the black-and-white images of a tiny format as a class, and count its survivors.

    Args:
        values: N, 2 to 4 pixels; 4 are the 2 x 2 images with their 65,536 subsets.

    Returns:
        The most survivors by size of class and of change, and how often a limit was broken, which must be never.

    Raises:
        ValueError: if there are too many subsets.
    """
    if not 2 <= values <= 4:
        raise ValueError(f"expected 2 to 4 values, got {values}")
    images = 1 << values
    subsets = ((np.arange(1 << images)[:, None] >> np.arange(images)) & 1).astype(bool)
    distance = complement_distance(subsets, values)
    members = subsets.sum(1)
    sizes = np.arange(values + 1)
    survives = subsets[:, :, None] & ((distance[:, :, None] > sizes) | (distance[:, :, None] < 0))
    kept = survives.sum(1)
    most = np.zeros((images + 1, values + 1), np.int64)
    np.maximum.at(most, members, kept)
    checks, violations, tightest = 0, np.zeros(3, np.int64), np.zeros(3)
    for m in range(1, images // 2 + 1):
        chosen = kept[members == m] / m
        limits = robustness_bound(1, values, 1, 0.0, m / images, sizes=sizes.astype(np.float64)).log_fraction
        bound = np.exp(np.where(np.isneginf(limits), -745.0, limits))  # e^-745 is the least number there is
        checks += chosen.size
        violations += (chosen[None] > bound[:, None] * (1 + 1e-12)).sum((1, 2))
        says = bound < 1
        tightest = np.maximum(tightest, np.where(says, most[m] / m / np.where(says, bound, 1.0), 0.0).max(1))
    return EveryClass(
        most=most,
        best=best_survivors(values),
        classes=np.bincount(members, minlength=images + 1),
        checks=checks,
        violations=violations,
        tightest=tightest,
        **spent(),
    )
