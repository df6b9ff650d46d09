"""Shared curved directions: found on some images, looked for in others, in noise, and in other models."""

from __future__ import annotations

from core.analyses.analysis import Analysis, any_image, of_all, whole_set
from core.analyses.parameters import Parameter
from core.figures.charts.curvature.directions import noise_chart, overlap_chart, sharing_chart

SCALE = Parameter(
    name="scale",
    kind="number",
    default=0.0,
    limits=(0, 100),
    unit="ℓ2",
    help="Over what length gradients are differenced in networks of kinks; 0 for a step of one of 255 grey levels in"
    " every value. Smooth networks need none.",
)
SEED = Parameter(
    name="seed",
    kind="integer",
    default=0,
    limits=(0, 1e6),
    help="Another seed draws other images, noise and random directions.",
)


def _count(default: int) -> Parameter:
    return Parameter(
        name="count",
        kind="integer",
        default=default,
        limits=(1, 2000),
        unit="images",
        help="Images that directions come from, drawn evenly from the classes; as many others are compared with them.",
    )


def _directions(default: int) -> Parameter:
    return Parameter(
        name="directions",
        kind="integer",
        default=default,
        limits=(1, 200),
        unit="directions",
        help="Directions of largest mean curvature that are kept: the dimension of a subspace.",
    )


SHARED_DIRECTIONS = Analysis(
    name="shared_directions",
    version=1,
    question="Along which directions does the boundary bend for many images at once?",
    papers=("moosavi2018universal", "fawzi2018empirical"),
    view="directions",
    parameters=(
        _count(12),
        _directions(8),
        Parameter(
            name="noise",
            kind="integer",
            default=12,
            limits=(1, 1000),
            unit="images",
            help="Images of uniform noise, whose boundaries are looked at too.",
        ),
        SCALE,
        SEED,
    ),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="both",
            choices=("both", "transfer", "pictures"),
            help="How much more the boundary bends along them, the directions as pictures, or both.",
        ),
    ),
    images=any_image,
    lines=True,
    prepare="core.analyses.prepare.shared_directions:sharing",
    chart=of_all(sharing_chart),
    shared=whole_set,
)

DIRECTION_NOISE = Analysis(
    name="direction_noise",
    aliases=("direction_sensitivity",),
    version=1,
    question="Does noise along curved directions change the class sooner than noise along others?",
    papers=("moosavi2018universal", "fawzi2018empirical"),
    view="directions",
    parameters=(
        Parameter(
            name="whose",
            kind="choice",
            default="shared",
            choices=("shared", "own"),
            help="Subspaces shared by all images, with the same noise on all of them, or each image's own.",
        ),
        _count(18),
        _directions(6),
        Parameter(
            name="lengths",
            kind="numbers",
            default=(0.2, 0.5, 1.0, 2.0, 4.0, 8.0),
            limits=(1e-3, 1e3),
            unit="ℓ2",
            help="Lengths of the noise, over pixels in [0, 1].",
        ),
        Parameter(
            name="draws",
            kind="integer",
            default=32,
            limits=(1, 10_000),
            unit="draws",
            help="Of noise, for each subspace; the same at every length.",
        ),
        SCALE,
        SEED,
    ),
    figure=(),
    images=any_image,
    lines=True,
    prepare="core.analyses.prepare.shared_directions:noise",
    chart=of_all(noise_chart),
    shared=whole_set,
)

DIRECTION_OVERLAP = Analysis(
    name="direction_overlap",
    version=1,
    question="Do models bend their boundaries along the same directions?",
    papers=("moosavi2018universal",),
    view="directions",
    parameters=(_count(18), _directions(8), SCALE, SEED),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="share",
            choices=("share", "angles"),
            help="The share of one model's directions in another's span, or all principal angles.",
        ),
    ),
    images=any_image,
    prepare="core.analyses.prepare.shared_directions:overlap",
    chart=lambda inputs, **figure: overlap_chart(inputs.results[0], **figure),
    shared=whole_set,
    joint=True,
)
