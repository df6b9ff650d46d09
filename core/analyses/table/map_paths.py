"""Paths across a map of many images: what a corruption, an attack, a walk or a slice passes by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, whole_set
from core.analyses.parameters import Parameter
from core.analyses.start import direction_text
from core.analyses.table.maps import OF_THE_MAP
from core.analyses.table.planes import square
from core.figures.charts.maps import path_chart
from core.figures.drawing.chart import Chart

if TYPE_CHECKING:
    from core.geometry.maps.paths import MapPaths
    from core.models.classifier import Classifier


def _path_chart(inputs: ChartInputs, *, palette: str) -> Chart:
    def draw(found: MapPaths, one: Classifier, title: str) -> Chart:
        return path_chart(found, class_names=one.class_names, marked=inputs.rows[:3], palette=palette, title=title)

    return inputs.each(draw)


def _followed(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """How many images a path needs."""
    if parameters["kind"] in ("line", "walk"):
        return 2, 2
    return (3, 3) if parameters["kind"] == "slice" and parameters["slice_plane"] == "images" else (1, 3)


def _corruption(text: str) -> None:
    from core.geometry.corruptions.corruptions import CORRUPTIONS

    if text not in CORRUPTIONS:
        raise ValueError(f"expected a corruption out of {', '.join(CORRUPTIONS)}, got {text[:40]!r}")


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
    images=_followed,
    prepare="core.analyses.prepare.maps:path_on_map",
    chart=_path_chart,
    shared=whole_set,
)
