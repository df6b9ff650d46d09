"""Sparse perturbations of many images: what their supports share, between methods and between models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.analyses.analysis import PALETTE, Analysis, any_image, whole_set
from core.analyses.parameters import Parameter
from core.analyses.table.sparse import BOUND, METHOD, ORDER, REVERSE, SEED

if TYPE_CHECKING:
    from core.figures.drawing.chart import Chart
    from core.geometry.sparse.benchmark import Race
    from core.geometry.sparse.support_statistics import Supports
    from core.geometry.sparse.transfer import Transfer
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier


def _supports_chart(
    results: Sequence[Supports],
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    rows: tuple[int, ...],
    beside: Sequence[Supports],
    **figure: Any,
) -> Chart:
    from core.figures.charts.sparse.supports import supports_chart

    names = [classifier.name for classifier in classifiers]
    return supports_chart(results, class_names=classifiers[0].class_names, names=names, beside=beside, **figure)


def _race_chart(
    results: Sequence[Race],
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    rows: tuple[int, ...],
    beside: Sequence[Race],
) -> Chart:
    from core.figures.charts.sparse.benchmark import race_chart
    from core.figures.drawing.chart import side_by_side

    named = len(results) > 1
    pairs = zip(results, classifiers, strict=True)
    return side_by_side([race_chart(found, title=one.name if named else "") for found, one in pairs])


def _transfer_chart(
    results: Sequence[Transfer],
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    rows: tuple[int, ...],
    beside: Sequence[Transfer],
    **figure: Any,
) -> Chart:
    from core.figures.charts.sparse.benchmark import transfer_chart

    (result,) = results
    return transfer_chart(result, **figure)


def _count(default: int) -> Parameter:
    return Parameter(
        name="count",
        kind="integer",
        default=default,
        limits=(1, 5000),
        unit="images",
        help="Images drawn evenly from the classes of the whole set, only correctly classified ones.",
    )


SUPPORTS = Analysis(
    name="supports",
    version=1,
    question="Where do the few pixels lie, on what, and does it take many?",
    papers=("modas2019sparsefool", "modas2022thesis"),
    view="sparse",
    parameters=(
        _count(27),
        METHOD,
        ORDER,
        BOUND,
        Parameter(
            name="seeds",
            kind="integer",
            default=2,
            limits=(1, 20),
            unit="starts",
            help="How often supports are found, each from another start within 2 grey levels, for stability.",
        ),
        Parameter(
            name="draws",
            kind="integer",
            default=1000,
            limits=(20, 100_000),
            unit="draws",
            help="Of random supports of the same sizes, which say what deviation is large by chance.",
        ),
        SEED,
    ),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="maps",
            choices=(
                "maps",
                "frequency",
                "deviation",
                "pairs",
                "robustness",
                "classes",
                "predictors",
                "stability",
            ),
            help="Where supports lie, and how surprising that is; by pairs of classes; the share flipped with at most"
            " so many pixels, also by class; what predicts supports; how unique they are.",
        ),
        PALETTE,
    ),
    images=any_image,
    lines=True,
    prepare="core.analyses.prepare.sparse:supports_of_set",
    chart=_supports_chart,
    shared=whole_set,
)

RACE = Analysis(
    name="race",
    version=1,
    question="Which method finds fewer pixels, and at what cost?",
    papers=("modas2019sparsefool", "modas2022thesis", "cina2025sigmazero"),
    view="sparse",
    parameters=(
        _count(18),
        Parameter(
            name="contest",
            kind="choice",
            default="methods",
            choices=("methods", "multipliers"),
            help="SparseFool's three orders against sigma-zero, or SparseFool's multipliers lambda against each other.",
        ),
        REVERSE,
        BOUND,
        SEED,
    ),
    figure=(),
    images=any_image,
    prepare="core.analyses.prepare.sparse:race_of_set",
    chart=_race_chart,
    shared=whole_set,
)

TRANSFER = Analysis(
    name="transfer",
    version=1,
    question="Does what fools one model fool another, or another image?",
    papers=("modas2019sparsefool", "modas2022thesis"),
    view="sparse",
    parameters=(
        _count(18),
        METHOD,
        ORDER,
        BOUND,
        Parameter(
            name="steps",
            kind="integer",
            default=20,
            limits=(1, 1000),
            unit="gradients",
            help="Gradients with which colours are found anew for a support.",
        ),
        SEED,
    ),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="change",
            choices=("change", "support", "patch", "agreement"),
            help="The same change, the best colours on the same pixels, the same patch on other images, or the overlap"
            " of supports.",
        ),
    ),
    images=any_image,
    prepare="core.analyses.prepare.sparse:transfer_of_set",
    chart=_transfer_chart,
    shared=whole_set,
    joint=True,
)
