"""What is claimed about sparse perturbations, tested on the demo models.

Every number stands beside a control of the same size: random supports, the same support moved, the other class, the
model trained without an adversary. A claim that only survives without its control does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.reproduce.estimates import above, median, median_interval, rate
from core.reproduce.report import Claim, Evidence, check_demo

if TYPE_CHECKING:
    from core.geometry.sparse.box_solver import SparseOrder
    from core.geometry.sparse.sparse_perturbation import SparsePerturbation
    from core.geometry.sparse.support_statistics import Supports
    from core.geometry.sparse.transfer import Transfer
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier
    from core.runtime.progress import OnProgress

PAPER = "Modas, Moosavi-Dezfooli, Frossard, SparseFool, CVPR 2019, arXiv 1811.02248"

_ORDERS: tuple[SparseOrder, ...] = ("pixel", "l0", "l1")
_FEW = 0.05  # of all pixels: what the paper calls few is below 3 % on CIFAR-10
_LITTLE = 2.0  # times as many pixels: what is counted as little help
_TOGETHER = 4  # models of one data set between which transfer is measured: each pair costs a search per image


@dataclass(frozen=True)
class _Measured:
    """What was measured on one model."""

    name: str  # such as photos/standard-1
    classifier: Classifier
    images: ImageSet
    supports: Supports
    orders: Mapping[str, SparsePerturbation]

    @property
    def data(self) -> str:
        """The data set, such as photos."""
        return self.name.split("/")[0]


def claims(
    models: Sequence[str],
    *,
    device: str | None = None,
    on_progress: OnProgress | None = None,
    count: int = 36,
    seed: int = 0,
) -> Iterator[Claim]:
    """Test the claims on demo models.

    Args:
        models: sources such as demo:photos/standard.
        device: where they run; the best one here when not given.
        on_progress: told the fraction done.
        count: images of each model, drawn evenly from the classes, correctly classified.
        seed: of what is random.

    Yields:
        Each claim as soon as its numbers are there.

    Raises:
        ValueError: if a model is no demo model.
    """
    from core.runtime.progress import silent

    told = on_progress or silent
    check_demo(models)
    measured = []
    for place, source in enumerate(models):
        measured.append(_measure(source, device, count, seed))
        told(0.7 * (place + 1) / len(models))
    yield _few(measured)
    yield _predicted(measured)
    yield _on_the_drawing(measured)
    yield _unique(measured)
    yield _shared_by_images(measured)
    pairs = [found for data in dict.fromkeys(one.data for one in measured) if (found := _between(measured, data, seed))]
    told(1.0)
    if pairs:
        yield _shared_by_models(pairs)
        yield _transferred(pairs)
    yield _across_images(measured, pairs, seed)
    if any(_trained_against(one.name) for one in measured):
        yield _little_help(measured)


def _measure(source: str, device: str | None, count: int, seed: int) -> _Measured:
    from core.geometry.common.sampling import correct_rows
    from core.geometry.sparse.sparse_perturbation import sparse_perturbation
    from core.geometry.sparse.support_statistics import supports
    from core.images.load import load_images
    from core.models.load import load_classifier

    name = source.removeprefix("demo:")
    classifier, images = load_classifier(source, device), load_images(f"demo:{name.split('/')[0]}")
    chosen = images[correct_rows([classifier], images.pixels, images.labels.numpy(), count, seed)]
    return _Measured(
        name=name,
        classifier=classifier,
        images=chosen,
        supports=supports(classifier, chosen.pixels, seed=seed),
        orders={order: sparse_perturbation(classifier, chosen.pixels, order=order) for order in _ORDERS},
    )


def _few(measured: Sequence[_Measured]) -> Claim:
    evidence = []
    for one in measured:
        total = one.images.pixels[0, 0].numel()
        for order, found in one.orders.items():
            taken = np.where(found.found, found.pixels, np.inf)  # a failure is more than any number
            middle = median(taken)
            evidence.append(
                Evidence(
                    model=one.name,
                    quantity=f"pixels, order {order}, median of {len(taken)} images",
                    value=middle if math.isfinite(middle) else math.nan,
                    interval=median_interval(taken),
                    control=float(total),
                    control_name="pixels of an image",
                    holds=middle < _FEW * total,
                )
            )
            values = np.where(found.found, found.entries, np.inf)
            evidence.append(
                Evidence(
                    model=one.name,
                    quantity=f"changed values, order {order}, median",
                    value=median(values) if math.isfinite(median(values)) else math.nan,
                    control=float(one.images.pixels[0].numel()),
                    control_name="values of an image",
                )
            )
    return Claim(
        statement=f"Few pixels change the decision: fewer than {_FEW:.0%} of them.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="Images of 32 x 32 pixels; an image that no perturbation was found for counts as infinitely many.",
    )


def _predicted(measured: Sequence[_Measured]) -> Claim:
    evidence = []
    for one in measured:
        found = one.supports
        for place, predictor in enumerate(map(str, found.predictors[:3])):  # those of the model's geometry
            evidence.append(
                above(
                    one.name,
                    f"precision of {predictor}",
                    found.precision[place],
                    found.precision_chance,
                    "random supports of equal size",
                )
            )
    return Claim(
        statement="The changed pixels are those to which the model is sensitive at the image.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="Precision: share of the support among as many largest scores. Far below 1, too, can be above chance.",
    )


def _on_the_drawing(measured: Sequence[_Measured]) -> Claim:
    evidence = [
        above(
            one.name,
            "share of the support on the bright part",
            one.supports.bright,
            one.supports.bright_chance,
            "bright share of the image",
            decides=one.data == "digits",
        )
        for one in measured
    ]
    evidence += [
        above(
            one.name,
            "AUC of local contrast",
            one.supports.auc[list(one.supports.predictors).index("local contrast")],
            np.full(len(one.images), 0.5),
            "random supports of equal size",
        )
        for one in measured
    ]
    return Claim(
        statement="The changed pixels lie on the features of the class: on ink, on edges.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="On digits the bright part is the ink. Of photographs only local contrast decides.",
    )


def _unique(measured: Sequence[_Measured]) -> Claim:
    evidence = []
    for one in measured:
        found = one.supports
        for place, run in enumerate(map(str, found.runs[1:]), 1):
            agreement = float(found.agreement[0, place])
            evidence.append(
                Evidence(
                    model=one.name,
                    quantity=f"IoU of {found.runs[0]} and {run} on the same image",
                    value=agreement,
                    control=float(found.agreement_chance[0, place]),
                    control_name="random supports of equal size",
                    holds=agreement > 0.5,
                )
            )
    return Claim(
        statement="The support belongs to the image, not to the search that found it: runs share most of it.",
        reference="assumed where heatmaps of supports are read as features; not claimed by the paper",
        evidence=tuple(evidence),
        note="Another seed begins within 2/255 of the image.",
    )


def _shared_by_images(measured: Sequence[_Measured]) -> Claim:
    evidence = []
    for one in measured:
        found = one.supports
        evidence.append(
            Evidence(
                model=one.name,
                quantity="IoU of supports of two images of one class",
                value=found.same_class_iou,
                control=found.other_class_iou,
                control_name=f"two classes (by chance {found.image_chance_iou:.2g})",
                holds=found.same_class_iou > max(found.other_class_iou, found.image_chance_iou),
            )
        )
        strayed = float(np.nanmax(np.abs(found.z)))
        evidence.append(
            Evidence(
                model=one.name,
                quantity="largest |z| of a pixel's frequency",
                value=strayed,
                control=found.z_limit,
                control_name="95 % of maps of random supports stay below",
                holds=strayed > found.z_limit,
            )
        )
    return Claim(
        statement="Supports are shared in part by images, more so within a class.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="Positions of photographs are not aligned: sharing there says more about the frame than about objects.",
    )


def _between(measured: Sequence[_Measured], data: str, seed: int) -> Transfer | None:
    """Transfer between models of one data set; None with fewer than two."""
    from core.geometry.common.sampling import correct_rows
    from core.geometry.sparse.transfer import transfer
    from core.images.load import load_images

    chosen = _some_of([one for one in measured if one.data == data])
    if len(chosen) < 2:
        return None
    classifiers = [one.classifier for one in chosen]
    images = load_images(f"demo:{data}")
    rows = correct_rows(classifiers, images.pixels, images.labels.numpy(), 2 * len(chosen[0].images), seed)
    return transfer(classifiers, images.pixels[rows], seed=seed)


def _some_of(models: Sequence[_Measured]) -> list[_Measured]:
    """At most four models, by turns from the families, seeds in order."""
    families: dict[str, list[_Measured]] = {}
    for one in models:
        families.setdefault(_family(one.name), []).append(one)
    longest = max(map(len, families.values()), default=0)
    turns = [members[place] for place in range(longest) for members in families.values() if place < len(members)]
    return turns[:_TOGETHER]


def _pairs(pair: Transfer) -> Iterator[tuple[int, int]]:
    """Ordered pairs of different models."""
    size = len(pair.models)
    return ((one, other) for one in range(size) for other in range(size) if one != other)


def _shared_by_models(pairs: Sequence[Transfer]) -> Claim:
    evidence = [
        Evidence(
            model=str(pair.models[one]),
            quantity=f"IoU with supports of {pair.models[other]}",
            value=float(pair.agreement[one, other]),
            control=float(pair.agreement_chance[one, other]),
            control_name="random supports of equal size",
            holds=bool(pair.agreement[one, other] > pair.agreement_chance[one, other]),
        )
        for pair in pairs
        for one, other in _pairs(pair)
        if one < other
    ]
    return Claim(
        statement="Supports are shared in part by networks trained on the same data.",
        reference=PAPER,
        evidence=tuple(evidence),
    )


_TESTS = (
    ("change", "change, shifted", "the same change moved cyclically"),
    ("support", "support, shifted", "the same support moved cyclically"),
)


def _transferred(pairs: Sequence[Transfer]) -> Claim:
    evidence = [
        rate(pair, one, other, condition, control, words)
        for pair in pairs
        for one, other in _pairs(pair)
        for condition, control, words in _TESTS
    ]
    return Claim(
        statement="Perturbations made for one network fool another, the same change and the same pixels alike.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="Support: its best colours for the other network are found anew, as for the moved control. +: more often"
        " than the control by Fisher's exact test at 2.5 %.",
    )


def _across_images(measured: Sequence[_Measured], pairs: Sequence[Transfer], seed: int) -> Claim:
    from core.geometry.sparse.transfer import transfer

    seen = {str(name) for pair in pairs for name in pair.models}
    alone = [one for one in measured if one.name not in seen]
    every = [*pairs, *(transfer([one.classifier], one.images.pixels, seed=seed) for one in alone)]
    evidence = [
        rate(pair, place, place, "patch on another image", "patch on another image, shifted", "moved cyclically")
        for pair in every
        for place in range(len(pair.models))
    ]
    return Claim(
        statement="The changed pixels of one image, painted on another of its class, fool the model again.",
        reference=PAPER,
        evidence=tuple(evidence),
    )


def _little_help(measured: Sequence[_Measured]) -> Claim:
    evidence = []
    for one in measured:
        if not _trained_against(one.name):
            continue
        plain = [other for other in measured if other.name.startswith(f"{one.data}/standard")]
        base = median([median(_taken(other)) for other in plain]) if plain else math.nan
        middle = median(_taken(one))
        evidence.append(
            Evidence(
                model=one.name,
                quantity="pixels, order pixel, median",
                value=middle if math.isfinite(middle) else math.nan,
                interval=median_interval(_taken(one)),
                control=base,
                control_name="trained without an adversary, median of seeds",
                holds=None if math.isnan(base) else middle < _LITTLE * base,
            )
        )
    return Claim(
        statement=f"Adversarial training helps little: fewer than {_LITTLE:g} times as many pixels are needed.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="The demo models were trained against ℓ2 perturbations, the paper's against ℓ∞ ones.",
    )


def _taken(one: _Measured) -> np.ndarray:
    found = one.orders["pixel"]
    return np.where(found.found, found.pixels, np.inf)


def _trained_against(name: str) -> bool:
    return _family(name).endswith("/adversarial")


def _family(name: str) -> str:
    return Evidence(model=name, quantity="", value=0.0).family
