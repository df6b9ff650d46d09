"""What is measured on a demo model for the claims about limits: drawn images, tiny ones, and painted ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.reproduce.report import Evidence

if TYPE_CHECKING:
    from core.geometry.limits.survival import Survival
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier

LEFT = 0.01  # of a class: where sizes are read off
FEW = 4.0  # sides of an image: so many pixels are still few
_DRAWS = 1000  # of the bootstrap


def exponent(sides: Sequence[int], sizes: Sequence[float]) -> float:
    """The slope of sizes over sides, both in logarithms."""
    return float(np.polyfit(np.log(sides), np.log(sizes), 1)[0])


def largest_half(counts: np.ndarray, total: int) -> int:
    """The largest class that the limits apply to."""
    return int(np.where(2 * counts <= total, counts, -1).argmax())


def searched(classifier: Classifier, images: ImageSet, count: int, seed: int, bits: int) -> Survival:
    """The smallest changes found for drawn images, the noise cut into halves, and for images of the set."""
    from core.geometry.common.sampling import stratified
    from core.geometry.limits.survival import survival

    chosen = images[stratified(images.labels.numpy(), count, seed)]
    return survival(classifier, chosen.pixels, bits=bits, partition="halved", count=count, draws=1000, seed=seed)


def lost(name: str, classifier: Classifier, found: Survival, seed: int) -> list[Evidence]:
    """How many drawn images lose their label within the limit, and what stands beside that."""
    import torch

    from core.geometry.limits.bounds import size_at
    from core.geometry.limits.survival import clopper_pearson, uniform_levels

    share = (float(found.share[0]), float(found.share[1]))
    limit = size_at(1, found.values, 8, 0, share, survivors=LEFT)
    best = found.least(0.0)
    lost = int((best <= limit).sum())
    low, high = (float(end) for end in clopper_pearson(np.array(lost), len(best)))
    walk = np.nan_to_num(found.size[0, :, 0], nan=np.inf)
    of_set = found.least(0.0, of_set=True)
    levels = uniform_levels(1000, found.values, 8, torch.Generator().manual_seed(seed))
    pixels = (levels.float() / 255).view(-1, *found.shape)
    labels = classifier.predict(pixels).label
    most = np.bincount(labels[labels >= 0], minlength=classifier.num_classes).max() / len(labels)
    return [
        Evidence(
            model=name,
            quantity=f"drawn images that lose their label within {limit:.0f} of {found.values} values",
            value=lost / len(best),
            interval=(low, high),
            control=float((walk <= limit).mean()),
            control_name="by random walks alone",
            holds=high >= 1 - LEFT,
        ),
        Evidence(
            model=name,
            quantity="values changed, median",
            value=float(np.median(best)),
            control=float(np.median(of_set)) if np.isfinite(np.median(of_set)) else float("nan"),
            control_name="images of the set, another population",
        ),
        Evidence(model=name, quantity="noise under its most frequent label", value=float(most)),
    ]


def _interval(count: int, statistic: Callable[[np.ndarray], float]) -> tuple[float, float]:
    """The 95 % interval of a statistic of rows, by the bootstrap."""
    draws = np.random.default_rng(0).integers(0, count, (_DRAWS, count))
    low, high = np.nanquantile([statistic(rows) for rows in draws], [0.025, 0.975])
    return float(low), float(high)


def deeper(name: str, deep: Survival, flat: Survival) -> Evidence:
    """How the smallest changes found at 8 bits compare with those at 1 bit."""
    from core.geometry.limits.bounds import size_at

    after, before = deep.least(2.0), flat.least(2.0)
    few = min(len(after), len(before))
    low, high = _interval(few, lambda rows: float(np.median(after[rows % len(after)]) / np.median(before[rows])))
    limits = [size_at(1, deep.values, bits, 2, 0.5, survivors=0.5) for bits in (8, 1)]
    return Evidence(
        model=name,
        quantity="median ℓ2 size at 8 bits over 1 bit",
        value=float(np.median(after) / np.median(before)),
        interval=(low, high),
        control=limits[0] / limits[1],
        control_name="the same of the limit",
        holds=high < 1,
    )


def enumerated(name: str, classifier: Classifier) -> Evidence:
    """How much of a class survives one changed pixel of 3 x 3, exactly."""
    from core.geometry.limits.enumeration import every_image

    found = every_image(classifier, 3)
    k = largest_half(found.counts, len(found.label))
    known = found.counts[k] > 0 and 2 * found.counts[k] <= len(found.label)
    return Evidence(
        model=name,
        quantity="share of its largest class of at most half that survives one changed pixel",
        value=float(found.survivors(k)[1] / found.counts[k]) if known else float("nan"),
        control=float(found.limit(k)[1]) if known else float("nan"),
        control_name="limit for a class of that size",
        holds=found.violations == 0,
    )


def _pairs(classifier: Classifier, images: ImageSet, count: int, seed: int) -> tuple[ImageSet, ImageSet]:
    """Images of two classes each, as the model sees them."""
    from core.geometry.common.sampling import stratified

    chosen = stratified(images.labels.numpy(), min(4 * count, len(images)), seed)
    label = classifier.predict(images[chosen].pixels).label
    order = np.random.default_rng(seed).permutation(len(chosen))
    rows = [
        (int(chosen[a]), int(chosen[b]))
        for a, b in enumerate(order)
        if label[a] != label[b] and min(label[a], label[b]) >= 0
    ]
    if not rows:
        raise ValueError(f"expected images of two classes, got one from {classifier.name}; leave this model out")
    first, second = zip(*rows[:count], strict=True)
    return images[list(first)], images[list(second)]


def _median(needed: np.ndarray) -> float:
    """The median, where what was not reached is infinite."""
    return float(np.quantile(np.nan_to_num(needed, nan=np.inf), 0.5, method="inverted_cdf"))


def painted(name: str, classifier: Classifier, images: ImageSet, count: int, seed: int) -> Evidence:
    """How many pixels of another image it takes."""
    from core.geometry.limits.overlay import overlay

    first, second = _pairs(classifier, images, count, seed)
    found = overlay(classifier, first.pixels, second.pixels, orders=1, steps=256, seed=seed)
    sides = found.needed() / found.side
    low, high = _interval(len(sides), lambda rows: _median(sides[rows, 0]))
    return Evidence(
        model=name,
        quantity="pixels until the model says the second image's class, in sides, median",
        value=_median(sides[:, 0]),
        interval=(low, high),
        control=_median(sides[:, 1]),
        control_name="the same pixels in a random order",
        holds=high <= FEW,
    )


def growth(name: str, classifier: Classifier, images: ImageSet, count: int, seed: int) -> Evidence:
    """How that number grows with the resolution."""
    from torch import nn
    from torch.nn import functional as F

    from core.geometry.limits.overlay import overlay
    from core.models.classifier import Classifier

    first, second = _pairs(classifier, images, count, seed)
    sides, needed = (8, 16, 32), []
    for side in sides:
        scale = classifier.input_shape[1] // side
        small = Classifier(
            nn.Sequential(nn.Upsample(scale_factor=scale), classifier.module),
            (classifier.input_shape[0], side, side),
            classifier.class_names,
            classifier.mean,
            classifier.std,
            device=classifier.device,
        )
        one, two = (F.avg_pool2d(each.pixels, scale) for each in (first, second))
        needed.append(overlay(small, one, two, orders=1, steps=256, seed=seed).needed())
    both = np.stack(needed, 2)  # pair, order, side
    both = both[np.isfinite(both).all((1, 2))]
    if len(both) < 2:
        return Evidence(model=name, quantity="exponent of pixels over the side", value=float("nan"))

    def slope(rows: np.ndarray, order: int = 0) -> float:
        return exponent(sides, [max(1.0, float(np.median(both[rows, order, k]))) for k in range(len(sides))])

    everything = np.arange(len(both))
    low, high = _interval(len(both), slope)
    return Evidence(
        model=name,
        quantity="exponent over the side of the pixels until the second image's class",
        value=slope(everything),
        interval=(low, high),
        control=slope(everything, 1),
        control_name="the same pixels in a random order",
        holds=high < 1.5,
    )
