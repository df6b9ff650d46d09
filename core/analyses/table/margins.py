"""Distances to the boundary inside subspaces: over frequencies or patches, and along an ordered family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, one_to_three, whole_set
from core.analyses.parameters import Parameter
from core.figures.charts.subspace_distances import class_words, margin_curve_chart, margins_map_chart
from core.figures.drawing.chart import Chart, side_by_side

if TYPE_CHECKING:
    from core.geometry.subspaces.subspace_distances import SubspaceDistances


def _alike(results: Sequence[SubspaceDistances]) -> list[SubspaceDistances]:
    """The images that all results hold: one of them may still be on its way."""
    known = min(len(result.distance) for result in results)
    return [
        replace(
            result,
            **{
                entry.name: getattr(result, entry.name)[:known]
                for entry in fields(result)
                if result.axes(entry.name)[:1] == ("image",)
            },
        )
        for result in results
    ]


def _used(results: Sequence[SubspaceDistances]) -> np.ndarray:
    """The images that every model shown classifies correctly; where there is none, all that have a class."""
    right: np.ndarray = np.logical_and.reduce([result.right for result in results])
    if right.any():
        return right
    defined: np.ndarray = np.logical_and.reduce([result.source_class >= 0 for result in results])
    return defined


def _map_chart(inputs: ChartInputs, *, colour: Any, marked: int) -> Chart:
    if colour == "ratio" and len(inputs.shared_scale) < 2:
        raise ValueError("expected two models or more for their ratio, got one; compare with another one")
    alike, ratio = _alike([*inputs.results, *inputs.shared_scale]), colour == "ratio"
    shown, seen = alike[: len(inputs.results)], alike[len(inputs.results) :]
    charts = [
        margins_map_chart(
            result,
            used=_used(seen),
            colour=colour,
            against=seen[0] if ratio else None,
            against_name=inputs.classifiers[0].name if len(inputs.results) > 1 else "the first model",
            shared_scale=seen,
            marked=marked,
            title=one.name if len(inputs.results) > 1 else "",
        )
        for result, one in zip(shown, inputs.classifiers, strict=True)
    ]
    return side_by_side(charts[1:] if ratio and len(charts) > 1 else charts)


def _curve_chart(inputs: ChartInputs, *, palette: str) -> Chart:
    alike = _alike([*inputs.results, *inputs.shared_scale])
    shown, seen = alike[: len(inputs.results)], alike[len(inputs.results) :]
    return side_by_side(
        [
            margin_curve_chart(
                result,
                used=_used(seen),
                image_name=f"row {inputs.rows[0]} ({class_words(inputs.images[[inputs.rows[0]]].words[0])})",
                class_names=one.class_names,
                shared_scale=seen,
                palette=palette,
                title=one.name if len(inputs.results) > 1 else "",
            )
            for result, one in zip(shown, inputs.classifiers, strict=True)
        ]
    )


_BLOCK = Parameter(
    name="block",
    kind="integer",
    default=8,
    limits=(1, 256),
    unit="per side",
    help="Frequencies, or pixels, along each side of a block.",
)
_SAMPLE = (
    Parameter(
        name="count",
        kind="integer",
        default=16,
        limits=(0, 1000),
        unit="images",
        help="Images of the set, drawn at random, beside the chosen ones.",
    ),
    Parameter(
        name="slides",
        kind="integer",
        default=6,
        limits=(0, 200),
        unit="at most",
        help="Steps along the boundary towards its nearest point in a subspace; 0 for DeepFool's point, as published,"
        " 50 for a distance that more steps would not change.",
    ),
    Parameter(
        name="seed",
        kind="integer",
        default=0,
        limits=(0, 1e9),
        help="Another seed draws other images of the set.",
    ),
)

MARGINS = Analysis(
    name="margins",
    version=1,
    question="In which frequencies, or parts of the picture, is the boundary near?",
    papers=("ortiz2020hold", "modas2022thesis"),
    view="margins",
    parameters=(
        Parameter(
            name="over",
            kind="choice",
            default="frequencies",
            choices=("frequencies", "patches"),
            help="The subspaces: blocks of spatial frequencies, or square patches of pixels.",
        ),
        _BLOCK,
        *_SAMPLE,
    ),
    figure=(
        Parameter(
            name="colour",
            kind="choice",
            default="distance",
            choices=("distance", "chance", "share", "ratio"),
            help="The median distance; that over what no preferred direction would give; the share of the sensitivity;"
            " or, of two models or more, the ratio to the first.",
        ),
        Parameter(
            name="marked",
            kind="integer",
            default=-1,
            limits=(-1, 1e6),
            help="The number of a block to outline, row by row from 0; -1 for none.",
        ),
    ),
    images=one_to_three,
    prepare="core.analyses.prepare.subspace_distances:over_picture",
    chart=_map_chart,
    shared=whole_set,
)

MARGIN_CURVE = Analysis(
    name="margin_curve",
    version=1,
    question="How does the distance to the boundary change from low to high frequencies?",
    papers=("ortiz2020hold", "modas2022thesis"),
    view="margins",
    parameters=(
        Parameter(
            name="along",
            kind="choice",
            default="frequencies",
            choices=("frequencies", "components", "colours"),
            help="Windows of frequencies from low to high, octaves of the set's principal components, or colour axes.",
        ),
        _BLOCK,
        Parameter(
            name="stride",
            kind="integer",
            default=4,
            limits=(1, 256),
            unit="half waves",
            help="From one window of frequencies to the next.",
        ),
        *_SAMPLE,
    ),
    figure=(PALETTE,),
    images=one_to_three,
    lines=True,
    prepare="core.analyses.prepare.subspace_distances:along_curve",
    chart=_curve_chart,
    shared=whole_set,
)
