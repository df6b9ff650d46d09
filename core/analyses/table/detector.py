"""Whether curvature tells perturbed images from clean ones: an exhibit, never a defence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.analyses.analysis import Analysis, ChartInputs, any_image, whole_set
from core.analyses.parameters import Parameter
from core.analyses.table.shared_directions import SCALE, SEED
from core.figures.charts.curvature.detector import detector_chart
from core.figures.drawing.chart import Chart


def _chart(inputs: ChartInputs, **figure: Any) -> Chart:
    return detector_chart(
        inputs.results,
        class_counts=[one.num_classes for one in inputs.classifiers],
        names=inputs.names,
        shared_scale=inputs.shared_scale,
        **figure,
    )


def _attacks_chart(*args: Any, **figure: Any) -> Chart:
    return replace(_chart(*args, **figure), name="detector_attacks")


def _beyond(lengths: tuple[float, ...]) -> None:
    if not lengths or not all(length > 1 for length in lengths):
        raise ValueError("expected lengths above 1, which cross the boundary; got others, or none")


def _count(default: int) -> Parameter:
    return Parameter(
        name="count",
        kind="integer",
        default=default,
        limits=(2, 5000),
        unit="images",
        help="Images of the set, drawn evenly from the classes; of pairs the clean ones.",
    )


def _overshoots(default: tuple[float, ...]) -> Parameter:
    return Parameter(
        name="overshoots",
        kind="numbers",
        default=default,
        limits=(1, 100),
        unit="distances",
        help="Lengths of the perturbations over the distance to the boundary, above 1.",
        only_if=("perturbed_by", "steps"),
        check=_beyond,
    )


_SETTINGS = (
    Parameter(
        name="probes",
        kind="integer",
        default=16,
        limits=(1, 1000),
        unit="directions",
        help="Random directions whose curvatures are averaged at each boundary point.",
    ),
    Parameter(
        name="classes",
        kind="integer",
        default=9,
        limits=(0, 1000),
        unit="classes",
        help="Over how many other classes the second score averages, those with the largest logits; 0 leaves it out.",
    ),
    SCALE,
    SEED,
)
_FIGURE = (
    Parameter(
        name="show",
        kind="choice",
        default="all",
        choices=("all", "scores", "roc", "auc", "recovery"),
        help="Scores before and after one perturbation, true against false positives, the area under that curve and the"
        " share of recovered classes for every perturbation, or all four.",
    ),
    Parameter(
        name="score",
        kind="choice",
        default="nearest",
        choices=("nearest", "all"),
        help="Whose scores are drawn: of the nearest boundary, or the mean over the boundaries to other classes.",
    ),
    Parameter(
        name="perturbation",
        kind="integer",
        default=0,
        limits=(0, 200),
        help="The number of the perturbation, from 0, whose scores and curve are drawn.",
    ),
)

_PERTURBED_BY = Parameter(
    name="perturbed_by",
    kind="choice",
    default="steps",
    choices=("steps", "pairs"),
    help="What perturbed the images: steps across their nearest boundary; or, where the set holds pairs of clean and"
    " adversarial images, the attack that they come from.",
)

DETECTOR = Analysis(
    name="detector",
    version=1,
    question="Does the curvature beside an image give away that it was pushed across a boundary?",
    papers=("fawzi2018empirical",),
    view="detector",
    parameters=(_PERTURBED_BY, _count(18), _overshoots((1.1, 1.5, 2.0, 3.0)), *_SETTINGS),
    figure=_FIGURE,
    images=any_image,
    prepare="core.analyses.prepare.detector:on_pairs_or_overshoots",
    chart=_chart,
    shared=whole_set,
)

DETECTOR_ATTACKS = Analysis(
    name="detector_attacks",
    version=1,
    question="Does it give away images that another search perturbed?",
    papers=("fawzi2018empirical", "madry2018towards", "rony2019decoupling"),
    view="detector",
    parameters=(_count(18), _overshoots((1.1, 1.5, 2.0)), *_SETTINGS),
    figure=_FIGURE,
    images=any_image,
    prepare="core.analyses.prepare.detector:on_attacks",
    chart=_attacks_chart,
    shared=whole_set,
)
