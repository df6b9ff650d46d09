"""What is claimed about limits on every classifier: exponents of theorems, exact counts, and what searches find.

Images are drawn uniformly from all images of a format. Where a model gives nearly all noise one label, the classes are
the halves above and below the median of that label's lead, which is a classifier, too; its labels are reported as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.geometry.common.sampling import stratified
from core.geometry.limits.bounds import size_at
from core.geometry.limits.enumeration import every_class, every_image
from core.geometry.limits.extremal import EXTREMAL, Extremal, extremal_classifier, extremal_size, extremal_survival
from core.geometry.limits.minimal_changes import Witnesses
from core.geometry.limits.overlay import overlay
from core.geometry.limits.survival import Survival, clopper_pearson, survival, uniform_levels
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.reproduce.demo import DemoModel, Study
from core.reproduce.estimates import bootstrap, lower_median
from core.reproduce.report import Claim, Evidence, claim

LIMITS = "Dai, Gifford, Fundamental limits on the robustness of image classifiers, ICLR 2023, arXiv 2112.04033"
COUNT = 60  # images searched, and pairs of images painted over, for each model

_LEFT = 0.01  # of a class: where sizes are read off
_FEW = 4.0  # sides of an image: up to this many pixels are few
_SIDES = (16, 32, 64, 128, 256, 512)
_CLOSE = 0.03  # between two exponents
_EXHIBIT_SIDE, _EXHIBIT_IMAGES = 16, 60
_ANY = "every classifier"


def claims(study: Study) -> Iterator[Claim]:
    """Test the claims, first those about all classifiers, then those about demo models."""
    orders = (1, "", "1 bit"), (8, "H1", "8 bits, by H1"), (8, "", "8 bits, smallest bound")
    yield _orders((*order, p) for order in orders for p in (0.0, 1.0, 2.0))
    yield _optimal((("majority", 1, 0.0), ("majority", 8, 0.0), ("sum", 8, 1.0), ("majority", 1, 2.0)))
    yield _depth()
    yield _exact(study.seed)
    yield _graded((kind, study.seed) for kind in EXTREMAL)
    measured = list(study.each(_measure))
    for stated in (_lost, _deeper, _enumerated, _painted):
        yield stated(measured)
    yield _growth(one for one in measured if one.model.data == "digits")


@dataclass(frozen=True)
class Measured:
    """The smallest changes found on one model at 8 bits and at 1 bit, and how many images, with which seed."""

    model: DemoModel
    deep: Survival
    flat: Survival
    count: int
    seed: int


def _measure(model: DemoModel, count: int, seed: int) -> Measured:
    """Search the smallest changes of drawn images, their classes cut into halves, and of images of the set."""
    chosen = model.images[stratified(model.images.labels.numpy(), count, seed)].pixels
    deep, flat = (
        survival(model.classifier, chosen, bits=bits, partition="halved", count=count, draws=1000, seed=seed)
        for bits in (8, 1)
    )
    return Measured(model, deep, flat, count, seed)


# -- about all classifiers --------------------------------------------------------------------------------------------


def exponent(sides: Sequence[int], sizes: Sequence[float]) -> float:
    """The slope of sizes over sides, both in logarithms."""
    return float(np.polyfit(np.log(sides), np.log(sizes), 1)[0])


@claim(
    "The size of change that nearly all images of a class do not survive grows like n^(1/max(p, 1)).",
    LIMITS,
    f"fitted over sides {_SIDES[0]} to {_SIDES[-1]}, three channels, a class of one half; proved, not measured; at 8"
    " bits lengths (G) give less for small sides, so the smallest bound bends: its fit is no order",
)
def _orders(order: tuple[int, str, str, float]) -> Iterator[Evidence]:
    bits, bound, words, p = order
    value = exponent(_SIDES, [size_at(side, 3, bits, p, 0.5, survivors=_LEFT, bound=bound) for side in _SIDES])
    yield Evidence(
        model=_ANY,
        quantity=f"exponent over the side of the size that leaves 1 %, p = {p:g}, {words}",
        value=value,
        control=2.0 if p < 2 else 1.0,
        control_name="that of the largest change there is",
        holds=value <= 1 / max(p, 1.0) + _CLOSE if bits == 1 or bound else None,
    )


def _kept_size(kind: Extremal, count: int, bits: int, p: float, far: float) -> float:
    """The size at which an extremal classifier keeps 1 %, from the distribution of its distances."""
    steps = np.arange(0.0, far + 1) if p == 0 else np.linspace(0.0, far, 4001)
    kept = np.exp(extremal_survival(kind, count, bits, p, steps))
    return float(steps[np.argmax(kept <= _LEFT)])


@claim(
    "The order is optimal: a vote of all values keeps most labels against smaller changes.",
    LIMITS,
    "distributions of the distances in closed form",
)
def _optimal(extremal: tuple[Extremal, int, float]) -> Iterator[Evidence]:
    kind, bits, p = extremal
    sides = (16, 32, 64, 128)
    bound = "H1" if bits > 1 else ""
    limits = [size_at(side, 1, bits, p, 0.5, survivors=_LEFT, bound=bound) for side in sides]
    kept = [_kept_size(kind, side**2, bits, p, far) for side, far in zip(sides, limits, strict=True)]
    value, control = exponent(sides, kept), exponent(sides, limits)
    yield Evidence(
        model=f"exhibit/{kind}",
        quantity=f"exponent of the size that leaves 1 %, p = {p:g}, {bits} bit; {kept[-1] / limits[-1]:.2f} of"
        f" the limit at side {sides[-1]}",
        value=value,
        control=control,
        control_name="that of the limit",
        holds=abs(value - control) <= 2 * _CLOSE,
    )


def _depth() -> Claim:
    depths = (2, 4, 6, 8, 10, 12)
    sizes = [size_at(32, 3, bits, 2, 0.5, survivors=_LEFT) for bits in depths]
    counted = [size_at(32, 3, bits, 0, 0.5, survivors=_LEFT, bound="H1") for bits in depths]
    falls = all(after <= before for before, after in pairwise(sizes))
    return Claim(
        statement="The limit in ℓ2 falls with the bit depth, to a length that no longer depends on it.",
        reference=LIMITS,
        evidence=(
            Evidence(
                model=_ANY,
                quantity="ℓ2 size that leaves 1 % of 32 x 32 x 3 images, 12 bits over 2 bits",
                value=sizes[-1] / sizes[0],
                control=counted[-1] / counted[0],
                control_name="the same of changed values, which depth does not enter",
                holds=falls and sizes[-1] < 0.5 * sizes[0],
            ),
            Evidence(
                model=_ANY,
                quantity="the same, 12 bits over 10 bits",
                value=sizes[-1] / sizes[-2],
                control=counted[-1] / counted[-2],
                control_name="the same of changed values",
                holds=sizes[-1] > 0.9 * sizes[-2],
            ),
        ),
    )


def largest_half(counts: np.ndarray, total: int) -> int:
    """The largest class that the limits apply to."""
    return int(np.where(2 * counts <= total, counts, -1).argmax())


def _exact(seed: int) -> Claim:
    every = every_class(4)
    evidence = [
        Evidence(
            model="2 x 2 images, all 65,536 classes",
            quantity=f"limits broken in {every.checks:,} counts of survivors; largest share over its limit"
            f" {every.tightest.max():.3g}",
            value=float(every.violations.sum()),
            control=float((every.most != every.best).sum()),
            control_name="sizes at which Harper's segment is not the best class",
            holds=not every.violations.any() and bool((every.most == every.best).all()),
        )
    ]
    for number in range(3):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number)
            net = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3))
        found = every_image(Classifier(net, (1, 4, 4), device="cpu"), 4)
        k = largest_half(found.counts, len(found.label))
        evidence.append(
            Evidence(
                model=f"random perceptron{f'-{number}' if number else ''}",
                quantity="of its largest class of at most half of all 4 x 4 images, survive one changed pixel",
                value=float(found.survivors(k)[1] / found.counts[k]),
                control=float(found.limit(k)[1]),
                control_name="limit for a class of that size",
                holds=found.violations == 0,
            )
        )
    return Claim(
        statement="Counted exactly, no class of any classifier keeps more than the limits.",
        reference="Harper 1966, McDiarmid 1989, for the limits of this package",
        evidence=tuple(evidence),
    )


@claim(
    "The searches never find less than the exact distance, and on the median at most twice as much.",
    "a check of what measures the claims below",
    f"{_EXHIBIT_SIDE} x {_EXHIBIT_SIDE} images at 8 bits; `majority` and `one value` have a slope in one value or none",
)
def _graded(exhibit: tuple[Extremal, int]) -> Iterator[Evidence]:
    kind, seed = exhibit
    model = extremal_classifier(kind, (1, _EXHIBIT_SIDE, _EXHIBIT_SIDE), 8)
    levels = uniform_levels(_EXHIBIT_IMAGES, _EXHIBIT_SIDE**2, 8, torch.Generator().manual_seed(seed))
    search = Witnesses(model, 8, walks=2, seed=seed)
    flat = search.flat(levels)
    label = search.label(flat)
    found = search.sizes(flat, label, flat, label, lambda part: None).size.numpy()
    ratio = np.nan_to_num(found[..., 0], nan=np.inf) / extremal_size(kind, levels, 8, 0.0).numpy()
    best = ratio.min(0)
    yield Evidence(
        model=f"exhibit/{kind}",
        quantity="values changed by the best witness over the least number, median",
        value=float(np.median(best)),
        control=float(np.median(ratio[0])),
        control_name="by random walks alone",
        holds=bool((best >= 1 - 1e-9).all()) and float(np.median(best)) <= 2,
    )


# -- about demo models ------------------------------------------------------------------------------------------------


@claim(
    "All but a tiny share of a class of at most half of all images loses its label when as few values change as the"
    " limit says.",
    LIMITS,
    "the noise cut at the median of the leading logit, so that a class of about one half is there; witnesses are upper"
    " bounds",
)
def _lost(one: Measured) -> Iterator[Evidence]:
    model, found = one.model, one.deep
    share = (float(found.share[0]), float(found.share[1]))
    limit = size_at(1, found.values, 8, 0, share, survivors=_LEFT)
    best = found.least(0.0)
    lost = int((best <= limit).sum())
    low, high = (float(end) for end in clopper_pearson(np.array(lost), len(best)))
    walk = np.nan_to_num(found.size[0, :, 0], nan=np.inf)
    of_set = float(np.median(found.least(0.0, of_set=True)))
    levels = uniform_levels(1000, found.values, 8, torch.Generator().manual_seed(one.seed))
    labels = model.classifier.predict((levels.float() / 255).view(-1, *found.shape)).label
    most = np.bincount(labels[labels >= 0], minlength=model.classifier.num_classes).max() / len(labels)
    yield Evidence(
        model=model.name,
        quantity=f"drawn images that lose their label within {limit:.0f} of {found.values} values",
        value=lost / len(best),
        interval=(low, high),
        control=float((walk <= limit).mean()),
        control_name="by random walks alone",
        holds=high >= 1 - _LEFT,
    )
    yield Evidence(
        model=model.name,
        quantity="values changed, median",
        value=float(np.median(best)),
        control=of_set if np.isfinite(of_set) else float("nan"),
        control_name="images of the set, another population",
    )
    yield Evidence(model=model.name, quantity="noise under its most frequent label", value=float(most))


@claim(
    "More bits per value make images less robust in ℓ2.",
    LIMITS,
    "medians of witnesses at 8 bits over 1 bit; no theorem orders the robustness of one trained model",
)
def _deeper(one: Measured) -> Iterator[Evidence]:
    after, before = one.deep.least(2.0), one.flat.least(2.0)
    few = min(len(after), len(before))
    interval = bootstrap(few, lambda rows: float(np.median(after[rows % len(after)]) / np.median(before[rows])))
    limits = [size_at(1, one.deep.values, bits, 2, 0.5, survivors=0.5) for bits in (8, 1)]
    yield Evidence(
        model=one.model.name,
        quantity="median ℓ2 size at 8 bits over 1 bit",
        value=float(np.median(after) / np.median(before)),
        interval=interval,
        control=limits[0] / limits[1],
        control_name="the same of the limit",
        holds=interval[1] < 1,
    )


@claim(
    "On all 512 black-and-white images of 3 x 3 pixels no class keeps more than its limit.",
    LIMITS,
    "enlarged to the model's images; counted, not sampled",
)
def _enumerated(one: Measured) -> Iterator[Evidence]:
    found = every_image(one.model.classifier, 3)
    k = largest_half(found.counts, len(found.label))
    known = found.counts[k] > 0 and 2 * found.counts[k] <= len(found.label)
    yield Evidence(
        model=one.model.name,
        quantity="share of its largest class of at most half that survives one changed pixel",
        value=float(found.survivors(k)[1] / found.counts[k]) if known else float("nan"),
        control=float(found.limit(k)[1]) if known else float("nan"),
        control_name="limit for a class of that size",
        holds=found.violations == 0,
    )


def _two_images(one: Measured) -> tuple[ImageSet, ImageSet]:
    """Pairs of images that the model gives different classes."""
    classifier, images = one.model.classifier, one.model.images
    chosen = stratified(images.labels.numpy(), min(4 * one.count, len(images)), one.seed)
    label = classifier.predict(images[chosen].pixels).label
    order = np.random.default_rng(one.seed).permutation(len(chosen))
    rows = [
        (int(chosen[a]), int(chosen[b]))
        for a, b in enumerate(order)
        if label[a] != label[b] and min(label[a], label[b]) >= 0
    ]
    if not rows:
        raise ValueError(f"expected images of two classes, got one from {classifier.name}; leave this model out")
    first, second = zip(*rows[: one.count], strict=True)
    return images[list(first)], images[list(second)]


@claim(
    f"Few pixels, at most {_FEW:g} times the side, painted over an image make the model say what it says of another"
    " one.",
    LIMITS,
    "pairs of two classes; whether the meaning changes for people is asked by the picture of `overlay`, and answered by"
    " no number here; the theorem is about nearly all images of a format, these are pictures",
)
def _painted(one: Measured) -> Iterator[Evidence]:
    first, second = _two_images(one)
    found = overlay(one.model.classifier, first.pixels, second.pixels, orders=1, steps=256, seed=one.seed)
    sides = found.needed() / found.side
    interval = bootstrap(len(sides), lambda rows: lower_median(sides[rows, 0]))
    yield Evidence(
        model=one.model.name,
        quantity="pixels until the model says the second image's class, in sides, median",
        value=lower_median(sides[:, 0]),
        interval=interval,
        control=lower_median(sides[:, 1]),
        control_name="the same pixels in a random order",
        holds=interval[1] <= _FEW,
    )


@claim(
    "The number of such pixels grows like the side of the image rather than like its area.",
    LIMITS,
    "the same digits at 8, 16 and 32 pixels; the theorem is about the best change, this about one overlay",
)
def _growth(one: Measured) -> Iterator[Evidence]:
    name, classifier = one.model.name, one.model.classifier
    images = _two_images(one)
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
        first, second = (F.avg_pool2d(each.pixels, scale) for each in images)
        needed.append(overlay(small, first, second, orders=1, steps=256, seed=one.seed).needed())
    both = np.stack(needed, 2)  # pair, order, side
    both = both[np.isfinite(both).all((1, 2))]
    if len(both) < 2:
        yield Evidence(model=name, quantity="exponent of pixels over the side", value=float("nan"))
        return

    def slope(rows: np.ndarray, order: int = 0) -> float:
        return exponent(sides, [max(1.0, float(np.median(both[rows, order, k]))) for k in range(len(sides))])

    everything = np.arange(len(both))
    interval = bootstrap(len(both), slope)
    yield Evidence(
        model=name,
        quantity="exponent over the side of the pixels until the second image's class",
        value=slope(everything),
        interval=interval,
        control=slope(everything, 1),
        control_name="the same pixels in a random order",
        holds=interval[1] < 1.5,
    )
