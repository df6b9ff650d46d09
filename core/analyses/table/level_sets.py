"""Walks on level sets: from one image to what looks like others while the confidence stays; triangles and stars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, of_all, whole_set
from core.analyses.parameters import Parameter
from core.analyses.start import START, start_images, start_shared
from core.figures.charts.level_sets.level_sets import level_set_chart
from core.figures.charts.level_sets.star import level_star_chart
from core.figures.charts.level_sets.triangles import level_triangle_chart
from core.figures.drawing.chart import Chart

if TYPE_CHECKING:
    from core.images.image_set import ImageSet

MOST_TARGETS = 12


def _chart(inputs: ChartInputs, **figure: Any) -> Chart:
    return level_set_chart(
        inputs.results,
        models=inputs.names,
        class_names=inputs.class_names,
        targets=inputs.images[list(inputs.rows[1:])].pixels.clamp(0, 1).numpy(),
        target_words=words_of(inputs.images, inputs.rows[1:]),
        **figure,
    )


def _triangle_chart(inputs: ChartInputs, *, show: Any, **shown: object) -> Chart:
    return level_triangle_chart(
        inputs.results,
        models=inputs.names,
        target_words=words_of(inputs.images, inputs.rows[1:]),
        show=show,
        shared_scale=inputs.shared_scale,
    )


def _images(fewest: int, most: int) -> Callable[[Mapping[str, Any]], tuple[int, int]]:
    """How many images are chosen; a point on a plane through images needs all three of these."""

    def images(parameters: Mapping[str, Any]) -> tuple[int, int]:
        return max(fewest, start_images(parameters)[0]), most

    return images


def words_of(images: ImageSet, rows: Sequence[int]) -> tuple[str, ...]:
    """What images are called: by their class, with the row where two are of one."""
    words = images[list(rows)].words
    return tuple(f"{word} {row}" if words.count(word) > 1 else word for word, row in zip(words, rows, strict=True))


_MODE = Parameter(
    name="mode",
    kind="choice",
    default="equality",
    choices=("equality", "superlevel", "paper"),
    help="Along the level of the source; down to delta below it, which comes nearer; or the walk as published, whose"
    " steps are not corrected and which ends at the first that leaves.",
)
_WALK = (
    Parameter(
        name="delta",
        kind="number",
        default=0.05,
        limits=(0, 0.99),
        unit="confidence",
        help="What the confidence in the source's class may lose on the way.",
    ),
    Parameter(
        name="steps",
        kind="integer",
        default=100,
        limits=(1, 2000),
        unit="at most",
        help="Steps of a walk, each one forward and one gradient; along a flat level set 2 % of the way is left after"
        " all of them.",
    ),
)

LEVEL_SET = Analysis(
    name="level_set",
    version=1,
    question="How much may an image change towards another one while the model stays as sure as before?",
    papers=("balasubramanian2023blindspots",),
    view="level_sets",
    parameters=(*START, _MODE, *_WALK),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="film",
            choices=("film", "ends"),
            help="One walk step by step with its curves, or where all walks ended beside their targets.",
        ),
        Parameter(
            name="shown",
            kind="integer",
            default=1,
            limits=(1, MOST_TARGETS),
            help="The number of the target whose walk is shown.",
        ),
        Parameter(
            name="step",
            kind="integer",
            default=0,
            limits=(0, 2000),
            help="A step to mark in the curves; 0 for none.",
        ),
    ),
    images=_images(2, MOST_TARGETS + 1),
    lines=True,
    prepare="core.analyses.prepare.level_sets:walks",
    chart=_chart,
    shared=start_shared,
)

LEVEL_TRIANGLE = Analysis(
    name="level_triangle",
    version=1,
    question="Is the model as sure between a source and the ends of two walks?",
    papers=("balasubramanian2023blindspots",),
    view="level_sets",
    parameters=(
        *START,
        _MODE,
        *_WALK,
        Parameter(
            name="resolution",
            kind="integer",
            default=40,
            limits=(2, 200),
            unit="per side",
            help="Lattice steps along each side of the triangle; 10 in the publication.",
        ),
    ),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="card",
            choices=("card", "triangle", "shares"),
            help="The confidence on the triangle, the share of it that stays, or both.",
        ),
        Parameter(
            name="through",
            kind="choice",
            default="ends",
            choices=("ends", "target"),
            help="The plane that is shown beside: through the source and both ends, or one end and its target.",
        ),
        Parameter(
            name="extent",
            kind="numbers",
            default=None,
            count=4,
            limits=(-1e6, 1e6),
            unit="ℓ2 pixel",
            help="x_min, x_max, y_min, y_max of the part of the plane that is looked at; empty for all of it.",
        ),
    ),
    images=_images(3, 3),
    prepare="core.analyses.prepare.level_sets:triangle_of_walks",
    chart=_triangle_chart,
    shared=start_shared,
)

LEVEL_STAR = Analysis(
    name="level_star",
    version=1,
    question="Are the blind spots of an image seen from it, and from one another?",
    papers=("balasubramanian2023blindspots",),
    view="level_sets",
    parameters=(
        *START,
        Parameter(
            name="mode",
            kind="choice",
            default="equality",
            choices=("equality", "paper"),
            help="Along the level of the source, or the walk as published.",
        ),
        *_WALK,
        Parameter(
            name="count",
            kind="integer",
            default=12,
            limits=(1, 64),
            unit="targets",
            help="Images of other classes that are walked to, drawn from the set.",
        ),
        Parameter(
            name="within",
            kind="number",
            default=0.2,
            limits=(0.01, 0.99),
            unit="confidence",
            help="What the confidence may lose on straight ways, and sideways of the ends.",
        ),
        Parameter(
            name="directions",
            kind="integer",
            default=32,
            limits=(1, 1024),
            help="Directions along the level set in which its width at each end is measured.",
        ),
        Parameter(
            name="seed",
            kind="integer",
            default=0,
            limits=(0, 1e9),
            help="Another seed draws other targets and other directions.",
        ),
    ),
    figure=(PALETTE,),
    images=_images(1, MOST_TARGETS + 1),
    prepare="core.analyses.prepare.level_sets:star_of_walks",
    chart=of_all(level_star_chart),
    shared=whole_set,
)
