"""Maps of many images, with what the model says between them; and paths across a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, of_each, whole_set
from core.analyses.parameters import Parameter
from core.analyses.start import direction_text
from core.analyses.table.corruptions import NAMES
from core.analyses.table.planes import square
from core.figures.charts.maps import map_chart, path_chart
from core.figures.drawing.chart import Chart

MOST_ROWS = 60  # images that a map can hand on to the other views


def _map_chart(inputs: ChartInputs, **figure: Any) -> Chart:
    return of_each(map_chart)(inputs, marked=inputs.rows, **figure)


def _any_rows(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Chosen images are only marked: a link keeps all of them, where an analysis of one image keeps the first."""
    return 2, MOST_ROWS


def _path_chart(inputs: ChartInputs, *, palette: str) -> Chart:
    return of_each(path_chart)(inputs, marked=inputs.rows[:3], palette=palette)


def _path_images(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """How many images a path needs."""
    if parameters["kind"] in ("line", "walk"):
        return 2, 2
    return (3, 3) if parameters["kind"] == "slice" and parameters["slice_plane"] == "images" else (1, 3)


def _corruption(text: str) -> None:
    if text not in NAMES:
        raise ValueError(f"expected a corruption out of {', '.join(NAMES)}, got {text[:40]!r}")


OF_THE_MAP = (
    Parameter(
        name="space",
        kind="choice",
        default="features",
        choices=("features", "pixels", "logits", "probabilities", "divergence"),
        help="What images are compared in: features of a layer, pixels, logits, probabilities, or the divergence of"
        " what the model says along the line between two images.",
    ),
    Parameter(
        name="layer",
        kind="text",
        default="",
        help="Path of the module whose output is compared, such as 8; empty for what goes into the last layer.",
        only_if=("space", "features"),
    ),
    Parameter(
        name="neighbours",
        kind="integer",
        default=15,
        limits=(3, 200),
        unit="images",
        help="Of each image, itself included: few show detail, many the whole.",
    ),
    Parameter(
        name="min_dist",
        kind="number",
        default=0.4,
        limits=(0.0, 1.0),
        unit="map",
        help="How near images may lie on the map: 0 for tight groups, 1 for an even spread.",
    ),
    Parameter(
        name="count",
        kind="integer",
        default=2000,
        limits=(4, 5000),
        unit="images at most",
        help="Of larger sets so many images are drawn at random.",
    ),
    Parameter(
        name="seeds",
        kind="integer",
        default=3,
        limits=(1, 10),
        unit="maps",
        help="How many maps are made from different seeds, to see what depends on the seed; the first is shown.",
    ),
    Parameter(
        name="seed",
        kind="integer",
        default=0,
        limits=(0, 1e9),
        help="Another seed lays the map out anew.",
    ),
)

MAP = Analysis(
    name="map",
    version=1,
    question="Which images does the model find alike, and what would it say between them?",
    papers=("mcinnes2018umap", "schulz2020deepview"),
    view="map",
    parameters=(
        *OF_THE_MAP,
        Parameter(
            name="resolution",
            kind="integer",
            default=64,
            limits=(2, 256),
            unit="places per side",
            help="Places at which the model is asked between the images.",
        ),
        Parameter(
            name="curved",
            kind="integer",
            default=0,
            limits=(0, 5000),
            unit="images",
            help="Near how many of them the curvature of the boundary is measured, drawn evenly from the classes; each"
            " takes 60 to 330 forwards and 25 to 140 gradients.",
        ),
    ),
    figure=(
        Parameter(
            name="colour",
            kind="choice",
            default="label",
            choices=("label", "prediction", "margin", "confidence", "spread", "curvature"),
            help="What the colour of a point shows: the true class, the predicted one, the margin in logits, its"
            " probability, how far the point lies elsewhere on maps of other seeds, or the bend of the boundary near,"
            " where that was measured.",
        ),
        Parameter(
            name="background",
            kind="choice",
            default="shown",
            choices=("shown", "hidden"),
            help="What the model would say between the images; it fades where going there and back misses.",
        ),
        PALETTE,
    ),
    images=_any_rows,
    prepare="core.analyses.prepare.maps:map_of_set",
    chart=_map_chart,
    shared=whole_set,
)

MAP_PATH = Analysis(
    name="map_path",
    version=1,
    question="Which images does a corruption, an attack, a walk or a slice come near?",
    papers=("mcinnes2018umap", "schulz2020deepview"),
    view="map",
    parameters=(
        Parameter(
            name="kind",
            kind="choice",
            default="corruption",
            choices=("corruption", "slice", "attack", "line", "walk"),
            help="The first image through a corruption or an attack; the plane of a slice as a net; the straight line,"
            " or a level set walk, from the first image to the second.",
        ),
        Parameter(
            name="steps",
            kind="integer",
            default=20,
            limits=(2, 100),
            unit="images",
            help="Along each path; walks keep their own.",
        ),
        Parameter(
            name="corruption",
            kind="text",
            default="gaussian_blur",
            check=_corruption,
            help="Name of the corruption, which grows from severity 0 to 5.",
            only_if=("kind", "corruption"),
        ),
        Parameter(
            name="length",
            kind="number",
            default=2.0,
            limits=(1e-3, 1e3),
            unit="ℓ2 pixel",
            help="Length of the attack: steps down the margin of the image's class.",
            only_if=("kind", "attack"),
        ),
        Parameter(
            name="slice_plane",
            kind="choice",
            default="images",
            choices=("images", "directions"),
            help="The plane of the slice: through three images, or at the first image along two directions.",
            only_if=("kind", "slice"),
        ),
        Parameter(
            name="slice_u",
            kind="text",
            default="gradient",
            check=direction_text,
            help="First direction of a plane of directions, as in Slices.",
            only_if=("slice_plane", "directions"),
        ),
        Parameter(
            name="slice_v",
            kind="text",
            default="random:0",
            check=direction_text,
            help="Second direction of a plane of directions, as in Slices.",
            only_if=("slice_plane", "directions"),
        ),
        Parameter(
            name="extent",
            kind="numbers",
            default=None,
            count=4,
            limits=(-1e6, 1e6),
            check=square,
            unit="ℓ2 pixel",
            help="x_min, x_max, y_min, y_max of the part of that plane; empty for its own default.",
            only_if=("kind", "slice"),
        ),
        Parameter(
            name="walk_mode",
            kind="choice",
            default="superlevel",
            choices=("equality", "superlevel", "paper"),
            help="How a walk goes, as in Level sets.",
            only_if=("kind", "walk"),
        ),
        Parameter(
            name="walk_delta",
            kind="number",
            default=0.05,
            limits=(0, 0.99),
            unit="confidence",
            help="What the confidence may lose on a walk, as in Level sets.",
            only_if=("kind", "walk"),
        ),
        Parameter(
            name="walk_steps",
            kind="integer",
            default=100,
            limits=(1, 2000),
            unit="at most",
            help="Steps of a walk, as in Level sets.",
            only_if=("kind", "walk"),
        ),
        *OF_THE_MAP,
    ),
    figure=(PALETTE,),
    images=_path_images,
    prepare="core.analyses.prepare.maps:path_on_map",
    chart=_path_chart,
    shared=whole_set,
)
