"""Connected regions: a path between two images that stays in one class, and the graph of many images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, one_to_three, thumbnails, whole_set
from core.analyses.parameters import Parameter
from core.analyses.start import START, start_images, start_shared
from core.figures.charts.regions.paths import path_chart, path_meaning
from core.figures.charts.regions.region_graph import region_graph_chart
from core.figures.drawing.chart import Chart, side_by_side

if TYPE_CHECKING:
    from core.geometry.regions.region_graph import RegionGraph
    from core.models.classifier import Classifier


def _path_chart(inputs: ChartInputs, **figure: Any) -> Chart:
    projected = any(bool(found.found[0]) for found in (*inputs.results, *inputs.shared_scale))
    charts = inputs.charts(
        lambda found, one, title: path_chart(
            found, class_names=one.class_names, projected=projected, title=title, **figure
        )
    )
    chart = side_by_side(charts)
    if len(charts) == 1:
        return chart
    each = len(charts[0].panels)  # one below the other; models side by side
    panels = [one.panels[row] for row in range(each) for one in charts]
    meaning = path_meaning(figure["show"], projected)  # said once
    sentences = [
        f"{one.name}: {drawn.caption.removesuffix(meaning).strip()}"
        for one, drawn in zip(inputs.classifiers, charts, strict=True)
    ]
    return replace(chart, panels=tuple(panels), columns=len(inputs.results), caption=" ".join([*sentences, meaning]))


def _graph_chart(inputs: ChartInputs, **figure: Any) -> Chart:
    def draw(graph: RegionGraph, one: Classifier, title: str) -> Chart:
        pictures = thumbnails(inputs.images[graph.row.tolist()])
        return region_graph_chart(graph, class_names=one.class_names, pictures=pictures, title=title, **figure)

    return inputs.each(draw)


def _path_images(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """A point on a plane through images needs all three; a path to the second image, or to its twin, two."""
    if start_images(parameters) == (3, 3):
        return 3, 3
    return (2, 2) if parameters["end"] in ("image", "relabelled") else (1, 3)


def _looks_at_the_set(parameters: Mapping[str, Any]) -> bool:
    """The nearest image of a class is looked for in the whole set, also where two chosen ones differ in class."""
    return parameters["end"] in ("image", "nearest") or start_shared(parameters)


_STEP = Parameter(
    name="step",
    kind="number",
    default=1 / 64,
    limits=(1e-4, 0.25),
    unit="of the distance",
    help="Widest gap between samples of a segment; they come closer where the margin could vanish between two.",
)
_SEARCH = Parameter(
    name="search",
    kind="integer",
    default=96,
    limits=(0, 2000),
    unit="rounds",
    help="Growth of the trees that look for a way around a gap, before a pair is given up; 0 for no such search.",
)
_SEED = Parameter(
    name="seed",
    kind="integer",
    default=0,
    limits=(0, 1e6),
    help="Of what is drawn at random: noise, images, restarts and searches.",
)

PATH = Analysis(
    name="path",
    version=1,
    question="Are two images joined by a path on which the model never changes its mind?",
    papers=("fawzi2017regions", "fawzi2018empirical"),
    view="regions",
    parameters=(
        *START,
        Parameter(
            name="end",
            kind="choice",
            default="noise",
            choices=("noise", "relabelled", "nearest", "image"),
            help="Where the path leads: noise, or the second image, moved until the model gives it the class of the"
            " first; the nearest image of that class; or the second image as it is.",
        ),
        _STEP,
        _SEARCH,
        _SEED,
    ),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="card",
            choices=("card", "strip", "margin", "projection"),
            help="Everything, or one of: film strip, margin along the way, projection of the polyline.",
        ),
    ),
    images=_path_images,
    prepare="core.analyses.prepare.regions:path",
    chart=_path_chart,
    shared=_looks_at_the_set,
)

REGION_GRAPH = Analysis(
    name="region_graph",
    version=1,
    question="Which images of a class has a path joined, and how many components are left?",
    papers=("fawzi2017regions", "fawzi2018empirical"),
    view="regions",
    parameters=(
        Parameter(
            name="among",
            kind="choice",
            default="one class",
            choices=("one class", "all classes"),
            help="Images that the first model gives one class, or as many of every class.",
        ),
        Parameter(
            name="of_class",
            kind="integer",
            default=-1,
            limits=(-1, 1e5),
            help="The number of the one class, from 0; -1 for that of the first chosen image.",
            only_if=("among", "one class"),
        ),
        Parameter(
            name="count",
            kind="integer",
            default=12,
            limits=(2, 200),
            unit="images",
            help="Images drawn from the set at random; all pairs of one predicted class are tried.",
        ),
        _STEP,
        _SEARCH,
        _SEED,
    ),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="both",
            choices=("both", "matrix", "graph"),
            help="The matrix of pairs, the graph of images, or both.",
        ),
        PALETTE,
    ),
    images=one_to_three,
    prepare="core.analyses.prepare.regions:graph",
    chart=_graph_chart,
    shared=whole_set,
)
