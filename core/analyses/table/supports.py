"""Sparse perturbations of many images: what their supports share, between methods and between models."""

from __future__ import annotations

from typing import Any

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, any_image, whole_set
from core.analyses.parameters import Parameter
from core.analyses.table.sparse import BOUND, METHOD, ORDER, PRUNE, SEED
from core.figures.charts.sparse.benchmark import benchmark_chart, transfer_chart
from core.figures.charts.sparse.supports import supports_chart
from core.figures.drawing.chart import Chart


def _supports_chart(inputs: ChartInputs, **figure: Any) -> Chart:
    names = inputs.names
    return supports_chart(
        inputs.results, class_names=inputs.class_names, names=names, shared_scale=inputs.shared_scale, **figure
    )


def _benchmark_chart(inputs: ChartInputs) -> Chart:
    return inputs.each(lambda found, one, title: benchmark_chart(found, title=title))


def _transfer_chart(inputs: ChartInputs, **figure: Any) -> Chart:
    (result,) = inputs.results
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

BENCHMARK = Analysis(
    name="benchmark",
    aliases=("race",),
    version=1,
    question="Which method finds fewer pixels, and at what cost?",
    papers=("modas2019sparsefool", "modas2022thesis", "cina2025sigmazero"),
    view="sparse",
    parameters=(
        _count(18),
        Parameter(
            name="compare",
            aliases=("contest",),
            kind="choice",
            default="methods",
            choices=("methods", "multipliers"),
            help="SparseFool's three orders against sigma-zero, or SparseFool's multipliers lambda against each other.",
        ),
        PRUNE,
        BOUND,
        SEED,
    ),
    figure=(),
    images=any_image,
    prepare="core.analyses.prepare.sparse:benchmark_of_set",
    chart=_benchmark_chart,
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
