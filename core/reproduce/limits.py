"""What is claimed about limits on every classifier: exponents of theorems, exact counts, and what searches find.

Images are drawn uniformly from all images of a format. A model that gives nearly all noise one label is cut at the
median of that label's lead, which is a classifier like any other; what its labels say stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from core.reproduce.measured_limits import (
    FEW,
    LEFT,
    deeper,
    enumerated,
    exponent,
    growth,
    largest_half,
    lost,
    painted,
    searched,
)
from core.reproduce.report import Claim, Evidence, check_demo

if TYPE_CHECKING:
    from core.runtime.progress import OnProgress

LIMITS = "Dai, Gifford, Fundamental limits on the robustness of image classifiers, ICLR 2023, arXiv 2112.04033"

_SIDES = (16, 32, 64, 128, 256, 512)
_CLOSE = 0.03  # between two exponents
_EXHIBIT_SIDE, _EXHIBIT_IMAGES = 16, 60
_ANY = "every classifier"


def claims(
    models: Sequence[str],
    *,
    device: str | None = None,
    on_progress: OnProgress | None = None,
    count: int = 60,
    seed: int = 0,
) -> Iterator[Claim]:
    """Test the claims, first those about all classifiers, then those about demo models.

    Args:
        models: sources such as demo:photos/standard.
        device: where they run; the best one here when not given.
        on_progress: told the fraction done.
        count: images searched, and pairs of images painted over, for each model.
        seed: of what is random.

    Yields:
        Each claim as soon as its numbers are there.

    Raises:
        ValueError: if a model is no demo model.
    """
    from core.images.load import load_images
    from core.models.load import load_classifier
    from core.runtime.progress import silent

    told = on_progress or silent
    check_demo(models)
    yield from (_orders(), _optimal(), _depth(), _exact(seed), _graded(seed))
    within, deep, small, few, grows = [], [], [], [], []
    for place, source in enumerate(models):
        name = source.removeprefix("demo:")
        classifier, images = load_classifier(source, device), load_images(f"demo:{name.split('/')[0]}")
        flat, found = (searched(classifier, images, count, seed, bits) for bits in (1, 8))
        within += lost(name, classifier, found, seed)
        deep.append(deeper(name, found, flat))
        small.append(enumerated(name, classifier))
        few.append(painted(name, classifier, images, count, seed))
        if name.startswith("digits"):
            grows.append(growth(name, classifier, images, count, seed))
        told((place + 1) / len(models))
    yield Claim(
        statement="All but a tiny share of a class of at most half of all images loses its label when as few values"
        " change as the limit says.",
        reference=LIMITS,
        evidence=tuple(within),
        note="the noise cut at the median of the leading logit, so that a class of about one half is there; witnesses"
        " are upper bounds",
    )
    yield Claim(
        statement="More bits per value make images less robust in ℓ2.",
        reference=LIMITS,
        evidence=tuple(deep),
        note="medians of witnesses at 8 bits over 1 bit; no theorem orders the robustness of one trained model",
    )
    yield Claim(
        statement="On all 512 black-and-white images of 3 x 3 pixels no class keeps more than its limit.",
        reference=LIMITS,
        evidence=tuple(small),
        note="enlarged to the model's images; counted, not sampled",
    )
    yield Claim(
        statement=f"Few pixels, at most {FEW:g} times the side, painted over an image make the model say what it says"
        " of another one.",
        reference=LIMITS,
        evidence=tuple(few),
        note="pairs of two classes; whether the meaning changes for people is asked by the picture of `overlay`, and"
        " answered by no number here; the theorem is about nearly all images of a format, these are pictures",
    )
    if grows:
        yield Claim(
            statement="The number of such pixels grows like the side of the image rather than like its area.",
            reference=LIMITS,
            evidence=tuple(grows),
            note="the same digits at 8, 16 and 32 pixels; the theorem is about the best change, this about one overlay",
        )


# -- about all classifiers --------------------------------------------------------------------------------------------


def _orders() -> Claim:
    from core.geometry.limits.bounds import size_at

    evidence = []
    for bits, bound, words in ((1, "", "1 bit"), (8, "H1", "8 bits, by H1"), (8, "", "8 bits, smallest bound")):
        for p in (0.0, 1.0, 2.0):
            value = exponent(_SIDES, [size_at(side, 3, bits, p, 0.5, survivors=LEFT, bound=bound) for side in _SIDES])
            evidence.append(
                Evidence(
                    model=_ANY,
                    quantity=f"exponent over the side of the size that leaves 1 %, p = {p:g}, {words}",
                    value=value,
                    control=2.0 if p < 2 else 1.0,
                    control_name="that of the largest change there is",
                    holds=value <= 1 / max(p, 1.0) + _CLOSE if bits == 1 or bound else None,
                )
            )
    return Claim(
        statement="The size of change that nearly all images of a class do not survive grows like n^(1/max(p, 1)).",
        reference=LIMITS,
        evidence=tuple(evidence),
        note=f"fitted over sides {_SIDES[0]} to {_SIDES[-1]}, three channels, a class of one half; proved, not"
        " measured; at 8 bits lengths (G) give less for small sides, so the smallest bound bends: its fit is no order",
    )


def _kept_size(kind: str, count: int, bits: int, p: float, far: float) -> float:
    """The size at which an extremal classifier keeps 1 %, from the law of its distances."""
    from core.geometry.limits.extremal import extremal_survival

    steps = np.arange(0.0, far + 1) if p == 0 else np.linspace(0.0, far, 4001)
    kept = np.exp(extremal_survival(kind, count, bits, p, steps))  # type: ignore[arg-type]
    return float(steps[np.argmax(kept <= LEFT)])


def _optimal() -> Claim:
    from core.geometry.limits.bounds import size_at

    evidence = []
    sides = (16, 32, 64, 128)
    for kind, bits, p in (("majority", 1, 0.0), ("majority", 8, 0.0), ("sum", 8, 1.0), ("majority", 1, 2.0)):
        bound = "H1" if bits > 1 else ""
        limits = [size_at(side, 1, bits, p, 0.5, survivors=LEFT, bound=bound) for side in sides]
        kept = [_kept_size(kind, side**2, bits, p, far) for side, far in zip(sides, limits, strict=True)]
        value, control = exponent(sides, kept), exponent(sides, limits)
        evidence.append(
            Evidence(
                model=f"exhibit/{kind}",
                quantity=f"exponent of the size that leaves 1 %, p = {p:g}, {bits} bit; {kept[-1] / limits[-1]:.2f} of"
                f" the limit at side {sides[-1]}",
                value=value,
                control=control,
                control_name="that of the limit",
                holds=abs(value - control) <= 2 * _CLOSE,
            )
        )
    return Claim(
        statement="The order is optimal: a vote of all values keeps most labels against smaller changes.",
        reference=LIMITS,
        evidence=tuple(evidence),
        note="laws of the distances in closed form",
    )


def _depth() -> Claim:
    from core.geometry.limits.bounds import size_at

    depths = (2, 4, 6, 8, 10, 12)
    sizes = [size_at(32, 3, bits, 2, 0.5, survivors=LEFT) for bits in depths]
    counted = [size_at(32, 3, bits, 0, 0.5, survivors=LEFT, bound="H1") for bits in depths]
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


def _exact(seed: int) -> Claim:
    import torch
    from torch import nn

    from core.geometry.limits.enumeration import every_class, every_image
    from core.models.classifier import Classifier

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


def _graded(seed: int) -> Claim:
    import torch

    from core.geometry.limits.extremal import EXTREMAL, extremal_classifier, extremal_size
    from core.geometry.limits.minimal_changes import Witnesses
    from core.geometry.limits.survival import uniform_levels

    evidence = []
    side = _EXHIBIT_SIDE
    for kind in EXTREMAL:
        model = extremal_classifier(kind, (1, side, side), 8)
        levels = uniform_levels(_EXHIBIT_IMAGES, side**2, 8, torch.Generator().manual_seed(seed))
        search = Witnesses(model, 8, walks=2, seed=seed)
        flat = search.flat(levels)
        label = search.label(flat)
        found = search.sizes(flat, label, flat, label, lambda part: None).size.numpy()
        exact = extremal_size(kind, levels, 8, 0.0).numpy()
        ratio = np.nan_to_num(found[..., 0], nan=np.inf) / exact
        best = ratio.min(0)
        evidence.append(
            Evidence(
                model=f"exhibit/{kind}",
                quantity="values changed by the best witness over the least number, median",
                value=float(np.median(best)),
                control=float(np.median(ratio[0])),
                control_name="by random walks alone",
                holds=bool((best >= 1 - 1e-9).all()) and float(np.median(best)) <= 2,
            )
        )
    return Claim(
        statement="The searches never find less than the exact distance, and on the median at most twice as much.",
        reference="a check of what measures the claims below",
        evidence=tuple(evidence),
        note=f"{side} x {side} images at 8 bits; `majority` and `one value` have a slope in one value or none",
    )
