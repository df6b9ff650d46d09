"""Formats so small that every image is there: classes that one paints, and what a model says about each image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, one_to_three
from core.analyses.parameters import Parameter
from core.figures.charts.limits.enumeration import enumeration_chart, painting_chart
from core.figures.drawing.chart import Chart

if TYPE_CHECKING:
    from core.geometry.limits.enumeration import EveryImage
    from core.models.classifier import Classifier


def _painting_chart(inputs: ChartInputs, *, radius: int, show: Any) -> Chart:
    return painting_chart(inputs.results[0], radius=radius, show=show)


def _enumeration_chart(inputs: ChartInputs, *, palette: str) -> Chart:
    def draw(found: EveryImage, one: Classifier, title: str) -> Chart:
        counts = found.counts
        held = [int(k) for k in np.flatnonzero(counts) if 2 * counts[k] <= len(found.label)]
        limits = {k: found.limit(k) for k in held}
        return enumeration_chart(found, limits=limits, class_names=one.class_names, palette=palette, title=title)

    return inputs.each(draw)


def _known(painted: str) -> None:
    """Raise unless a text can stand for a painted class.

    Raises:
        ValueError: if it is neither a name nor hexadecimal digits.
    """
    if painted not in NAMED and not (len(painted) in (4, 128) and set(painted) <= set("0123456789abcdef")):
        raise ValueError(
            f"expected {', '.join(NAMED)}, or 4 (2 x 2) or 128 (3 x 3) hexadecimal digits, got {painted[:20]!r}"
        )


NAMED = ("majority", "ball", "pixel", "parity")  # of `core.geometry.limits.painting`, without the import of torch

PAINTING = Analysis(
    name="painting",
    version=1,
    question="Which images of a class that you paint keep it against changed pixels?",
    papers=("dai2023limits",),
    view="limits",
    parameters=(
        Parameter(
            name="side",
            kind="choice",
            default="2",
            choices=("2", "3"),
            help="Pixels per side: 16 images of 2 x 2 pixels, or 512 of 3 x 3.",
        ),
        Parameter(
            name="painted",
            kind="text",
            default="majority",
            check=_known,
            help="The class: majority, ball, pixel, parity, or its members as hexadecimal digits, image 0 last.",
        ),
    ),
    figure=(
        Parameter(
            name="radius",
            kind="integer",
            default=1,
            limits=(0, 9),
            unit="pixels",
            help="How many pixels may change: images that this can take out of the class are peeled off.",
        ),
        Parameter(
            name="show",
            kind="choice",
            default="both",
            choices=("both", "board", "curve"),
            help="The board of all images, the curve of survivors, or both.",
        ),
    ),
    images=one_to_three,
    prepare="core.analyses.prepare.limits:painting",
    chart=_painting_chart,
)

ENUMERATION = Analysis(
    name="enumeration",
    version=1,
    question="What does the model say about every image of a tiny format?",
    papers=("dai2023limits",),
    view="limits",
    parameters=(
        Parameter(
            name="pixels",
            kind="integer",
            default=4,
            limits=(2, 4),
            unit="per side",
            help="Side of the small black-and-white images, enlarged to the model's: 4 gives 65,536 of them.",
        ),
    ),
    figure=(PALETTE,),
    images=one_to_three,
    prepare="core.analyses.prepare.limits:enumeration",
    chart=_enumeration_chart,
)
