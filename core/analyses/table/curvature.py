"""How the boundary bends near one image: all curvatures, a slice and a walk along one direction, and the scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, of_all, of_each
from core.analyses.parameters import Parameter
from core.analyses.start import START, start_images, start_shared
from core.figures.charts.curvature.gallery import gallery_chart
from core.figures.charts.curvature.profile import curvature_chart
from core.figures.charts.curvature.scale import curvature_scale_chart
from core.figures.charts.curvature.section import curvature_section_chart
from core.figures.charts.curvature.walk import curvature_walk_chart
from core.figures.drawing.chart import Chart
from core.figures.drawing.exact import with_exact_curvature


def _curvature_chart(inputs: ChartInputs, *, show: Any, marked: int, **figure: Any) -> Chart:
    from core.geometry.planes.exact import exact_curvature, exact_distance

    if show == "gallery":
        return inputs.each(lambda found, one, title: gallery_chart(found, marked=marked, title=title))
    names = inputs.names
    chart = curvature_chart(inputs.results, models=names, show=show, shared_scale=inputs.shared_scale, **figure)
    unit_free = figure["values"] == "times distance"
    turn = -1 if figure["positive"] == "towards the image's class" else 1
    exact = {}
    for name, one, result in zip(names, inputs.classifiers, inputs.results, strict=True):
        value, length = exact_curvature(one, result.image[0]), exact_distance(one, result.image[0])
        if value is not None and length is not None:
            exact[name] = turn * value * (length if unit_free else 1)
    return with_exact_curvature(chart, exact, "" if unit_free else "1/ℓ2")


def _walk_chart(inputs: ChartInputs, **figure: Any) -> Chart:
    drawn = inputs.each(
        lambda found, one, title: curvature_walk_chart(found, class_names=one.class_names, title=title, **figure),
    )
    each = len(drawn.panels) // len(inputs.results)  # a model's panels stand in a column
    panels = tuple(panel for place in range(each) for panel in drawn.panels[place::each])
    return replace(drawn, panels=panels)


def _draws_others(parameters: Mapping[str, Any]) -> bool:
    """Others of the set are measured too, or the point lies on a plane that depends on the set."""
    return bool(parameters["count"]) or start_shared(parameters)


_METHOD = (
    Parameter(
        name="method",
        kind="choice",
        default="auto",
        choices=("auto", "exact", "differences", "softplus"),
        help="Second derivatives: exact ones; differences of the gradient over a step; or exact ones with every kink"
        " rounded (softplus). auto: exact, but differences where the network has kinks, which have none.",
    ),
    Parameter(
        name="grey_levels",
        kind="number",
        default=1.0,
        limits=(0.01, 100),
        unit="grey levels of 255",
        help="Step of differences: how far it moves each value on average.",
        only_if=("method", "differences"),
    ),
    Parameter(
        name="sharpness",
        kind="number",
        default=10.0,
        limits=(0.1, 10_000),
        unit="per unit of an activation",
        help="Of rounded kinks: the larger, the nearer to the true network and the more curved.",
        only_if=("method", "softplus"),
    ),
)
_COUNT = Parameter(
    name="count",
    kind="integer",
    default=0,
    limits=(0, 200),
    unit="images",
    help="Others of the set, for the mean and the 10–90 % band; each takes as long as the image.",
)
_SEED = Parameter(
    name="seed",
    kind="integer",
    default=0,
    limits=(0, 1e6),
    help="Of the others drawn and of random directions; another seed, another draw.",
)
_NUMBER = Parameter(
    name="number",
    kind="integer",
    default=-1,
    limits=(-100, 100),
    help="Of the direction, from either end: 1 has the most positive curvature, -1 the most negative one; 0 is a random"
    " tangent direction, for comparison.",
)
_REACH = Parameter(
    name="reach",
    kind="number",
    default=2.0,
    limits=(0.05, 50),
    unit="distances",
    help="How far to each side, in distances from the image to the boundary.",
)

CURVATURE = Analysis(
    name="curvature",
    version=1,
    question="How does the boundary bend near this image, and in which directions?",
    papers=("fawzi2018empirical",),
    view="curvature",
    parameters=(
        *START,
        _COUNT,
        Parameter(
            name="spectrum",
            kind="choice",
            default="auto",
            choices=("auto", "all", "ends"),
            help="All curvatures, in as many products as an image has values, or both ends alone, in about 80; auto:"
            " all where images have at most 3072 values, else the ends and the density of all. The ends come first.",
        ),
        Parameter(
            name="keep",
            kind="integer",
            default=20,
            limits=(2, 200),
            unit="directions",
            help="Principal directions that are kept, half from each end.",
        ),
        *_METHOD,
        _SEED,
    ),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="profile",
            choices=("profile", "density", "gallery"),
            help="Curvatures by rank, their density, or the directions of both ends as images.",
        ),
        Parameter(
            name="values",
            kind="choice",
            default="curvature",
            choices=("curvature", "times distance"),
            help="In 1/ℓ2, or times the distance to the boundary, without a unit: far below 1 is flat.",
        ),
        Parameter(
            name="positive",
            kind="choice",
            default="towards the other class",
            choices=("towards the other class", "towards the image's class"),
            help="Which class is convex where a value is positive.",
        ),
        Parameter(
            name="ranks",
            kind="choice",
            default="auto",
            choices=("auto", "even", "ends"),
            help="Ranks evenly spaced, or from either end on logarithmic axes, which shows the few curved ones; auto:"
            " even where all curvatures are known.",
        ),
        Parameter(
            name="marked",
            kind="integer",
            default=0,
            limits=(-100, 100),
            help="Number of the direction that is outlined in the gallery; 0 for none.",
        ),
    ),
    images=start_images,
    lines=True,
    prepare="core.analyses.prepare.curvature:curvature",
    chart=_curvature_chart,
    shared=_draws_others,
)

CURVATURE_SECTION = Analysis(
    name="curvature_section",
    version=1,
    question="What does the boundary look like along a principal direction?",
    papers=("fawzi2018empirical",),
    view="curvature",
    parameters=(
        *START,
        _NUMBER,
        *_METHOD,
        Parameter(
            name="tilt",
            kind="number",
            default=0.0,
            limits=(0.0, 85.0),
            unit="°",
            help="How far the plane leans away from the normal: its curve bends 1 / cos of that more (Meusnier).",
        ),
        _REACH,
        Parameter(
            name="resolution",
            kind="integer",
            default=256,
            limits=(16, 1024),
            unit="points per side",
            help="Grid points along each side of the slice.",
        ),
        _SEED,
    ),
    figure=(PALETTE,),
    images=start_images,
    prepare="core.analyses.prepare.curvature:section_along",
    chart=of_each(curvature_section_chart),
    shared=start_shared,
)

CURVATURE_WALK = Analysis(
    name="curvature_walk",
    version=1,
    question="How far does the curvature along a direction foretell where the boundary goes?",
    papers=("fawzi2018empirical",),
    view="curvature",
    parameters=(
        *START,
        _NUMBER,
        *_METHOD,
        _REACH,
        Parameter(
            name="steps",
            kind="integer",
            default=81,
            limits=(3, 801),
            unit="stops",
            help="Stops on the way; an odd number, so that the boundary point is one of them.",
        ),
        _SEED,
    ),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="margin",
            choices=("margin", "logits"),
            help="The margin of the image's class and what the curvature foretells, or the logits of the classes met.",
        ),
        PALETTE,
    ),
    images=start_images,
    lines=True,
    prepare="core.analyses.prepare.curvature:walk_along",
    chart=_walk_chart,
    shared=start_shared,
)

CURVATURE_SCALE = Analysis(
    name="curvature_scale",
    version=1,
    question="How does the curvature depend on the scale at which it is measured?",
    papers=("jetley2018friends", "fawzi2018empirical"),
    view="curvature",
    parameters=(
        *START,
        Parameter(
            name="knob",
            kind="choice",
            default="differences",
            choices=("differences", "softplus"),
            help="What the scale is: the step of differences of the gradient, or the sharpness of rounded kinks.",
        ),
        _COUNT,
        _SEED,
    ),
    figure=(),
    images=start_images,
    lines=True,
    prepare="core.analyses.prepare.curvature:curvature_by_scale",
    chart=of_all(curvature_scale_chart),
    shared=_draws_others,
)
