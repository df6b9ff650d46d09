"""Sparse perturbations of one image: the few pixels that change the class, and what a single one decides."""

from __future__ import annotations

from typing import Any

from core.analyses.analysis import Analysis, ChartInputs
from core.analyses.parameters import Parameter
from core.analyses.start import START, start_images, start_shared
from core.figures.charts.sparse.pixel_profile import pixel_chart
from core.figures.charts.sparse.sparse import sparse_chart
from core.figures.drawing.chart import Chart


def _sparse_chart(inputs: ChartInputs, **figure: Any) -> Chart:
    return inputs.each(
        lambda found, one, title: sparse_chart(
            found, class_names=one.class_names, title=title, shared_scale=inputs.shared_scale, **figure
        ),
    )


def _pixel_chart(inputs: ChartInputs, **figure: Any) -> Chart:
    return inputs.each(
        lambda found, one, title: pixel_chart(found, class_names=one.class_names, title=title, **figure),
    )


ORDER = Parameter(
    name="order",
    kind="choice",
    default="pixel",
    choices=("pixel", "l0", "l1"),
    help="What SparseFool makes small: pixels, changed values, or the sum of changes; sigma-zero counts pixels, else"
    " values.",
)
METHOD = Parameter(
    name="method",
    kind="choice",
    default="sparsefool",
    choices=("sparsefool", "sigma_zero"),
    help="SparseFool steps along the boundary's geometry; sigma-zero descends on a smooth count of changes.",
)
BOUND = Parameter(
    name="bound",
    kind="number",
    default=1.0,
    limits=(0.01, 1),
    unit="pixel value",
    help="How far each value may change; less is harder to see and takes more pixels.",
)
PRUNE = Parameter(
    name="prune",
    aliases=("reverse",),
    kind="choice",
    default="yes",
    choices=("yes", "no"),
    help="Restore pixels that need not change, until each one left must.",
)
SEED = Parameter(
    name="seed",
    kind="integer",
    default=0,
    limits=(0, 1e6),
    help="Of what is drawn at random; another seed, another draw.",
)

SPARSE = Analysis(
    name="sparse",
    version=1,
    question="How few pixels change the model's mind about this image?",
    papers=("modas2019sparsefool", "modas2022thesis"),
    view="sparse",
    parameters=(
        *START,
        METHOD,
        ORDER,
        Parameter(
            name="target_rule",
            kind="choice",
            default="l2",
            choices=("l2", "l0"),
            help="Head for the class whose boundary is nearest, or for the one that fewest values would reach.",
            only_if=("method", "sparsefool"),
        ),
        Parameter(
            name="lambdas",
            kind="numbers",
            default=(1.5, 3.0),
            limits=(1, 100),
            help="How far beyond SparseFool's plane to aim, as multiples of its distance; the best of them is kept.",
            only_if=("method", "sparsefool"),
        ),
        BOUND,
        PRUNE,
        SEED,
    ),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="card",
            choices=(
                "card",
                "curve",
                "adversarial",
                "support",
                "change",
                "reliance",
                "capacity",
                "capacity at boundary",
            ),
            help="Everything on one card, the margin against the pixels used, or one picture.",
        ),
        Parameter(
            name="used",
            kind="integer",
            default=-1,
            limits=(-1, 1e6),
            unit="pixels",
            help="How many of the pixels are changed, in their order; -1 for all of them.",
        ),
    ),
    images=start_images,
    lines=True,
    prepare="core.analyses.prepare.sparse:sparse",
    chart=_sparse_chart,
    shared=start_shared,
)

PIXEL = Analysis(
    name="pixel",
    version=1,
    question="What does the model say when one pixel takes other values?",
    view="sparse",
    parameters=(
        *START,
        Parameter(
            name="row", kind="integer", default=0, limits=(0, 1e5), unit="pixel", help="Row of the pixel, 0 on top."
        ),
        Parameter(
            name="column",
            kind="integer",
            default=0,
            limits=(0, 1e5),
            unit="pixel",
            help="Column of the pixel, 0 on the left.",
        ),
        Parameter(
            name="resolution",
            kind="integer",
            default=64,
            limits=(2, 1024),
            unit="values",
            help="Values from 0 to 1 that each channel takes.",
        ),
    ),
    figure=(),
    images=start_images,
    prepare="core.analyses.prepare.sparse:pixel",
    chart=_pixel_chart,
    shared=start_shared,
)
