"""Sparse perturbations: the few pixels that change the class of one image, and supports over images and models."""

from __future__ import annotations

from core.analyses.analysis import PALETTE, Analysis, any_image, of_all, of_each, whole_set
from core.analyses.parameters import Parameter
from core.analyses.start import START, start_images, start_shared
from core.figures.charts.sparse.benchmark import benchmark_chart, transfer_chart
from core.figures.charts.sparse.pixel_profile import pixel_chart
from core.figures.charts.sparse.sparse import sparse_chart
from core.figures.charts.sparse.supports import supports_chart

_ORDER = Parameter(
    name="order",
    kind="choice",
    default="pixel",
    choices=("pixel", "l0", "l1"),
    help="What SparseFool makes small: pixels, changed values, or the sum of changes; sigma-zero counts pixels, else"
    " values.",
)
_METHOD = Parameter(
    name="method",
    kind="choice",
    default="sparsefool",
    choices=("sparsefool", "sigma_zero"),
    help="SparseFool steps along the boundary's geometry; sigma-zero descends on a smooth count of changes.",
)
_BOUND = Parameter(
    name="bound",
    kind="number",
    default=1.0,
    limits=(0.01, 1),
    unit="pixel value",
    help="How far each value may change; less is harder to see and takes more pixels.",
)
_PRUNE = Parameter(
    name="prune",
    aliases=("reverse",),
    kind="choice",
    default="yes",
    choices=("yes", "no"),
    help="Restore pixels that need not change, until each one left must.",
)
_SEED = Parameter(
    name="seed",
    kind="integer",
    default=0,
    limits=(0, 1e6),
    help="Of what is drawn at random; another seed, another draw.",
)


def _count(default: int) -> Parameter:
    return Parameter(
        name="count",
        kind="integer",
        default=default,
        limits=(1, 5000),
        unit="images",
        help="Images drawn evenly from the classes of the whole set, only correctly classified ones.",
    )


SPARSE = Analysis(
    name="sparse",
    version=1,
    question="How few pixels change the model's mind about this image?",
    papers=("modas2019sparsefool", "modas2022thesis"),
    view="sparse",
    parameters=(
        *START,
        _METHOD,
        _ORDER,
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
        _BOUND,
        _PRUNE,
        _SEED,
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
    chart=of_each(sparse_chart),
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
    chart=of_each(pixel_chart),
    shared=start_shared,
)

SUPPORTS = Analysis(
    name="supports",
    version=1,
    question="Where do the few pixels lie, on what, and does it take many?",
    papers=("modas2019sparsefool", "modas2022thesis"),
    view="sparse",
    parameters=(
        _count(27),
        _METHOD,
        _ORDER,
        _BOUND,
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
        _SEED,
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
    chart=of_all(supports_chart),
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
        _PRUNE,
        _BOUND,
        _SEED,
    ),
    figure=(),
    images=any_image,
    prepare="core.analyses.prepare.sparse:benchmark_of_set",
    chart=of_each(benchmark_chart),
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
        _METHOD,
        _ORDER,
        _BOUND,
        Parameter(
            name="steps",
            kind="integer",
            default=20,
            limits=(1, 1000),
            unit="gradients",
            help="Gradients with which colours are found anew for a support.",
        ),
        _SEED,
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
    chart=lambda inputs, **figure: transfer_chart(inputs.results[0], **figure),
    shared=whole_set,
    joint=True,
)
