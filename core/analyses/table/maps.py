"""Maps of many images: by class, by number or by the curvature near them, with what the model says between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, whole_set
from core.analyses.parameters import Parameter
from core.figures.charts.maps import map_chart
from core.figures.drawing.chart import Chart

if TYPE_CHECKING:
    from core.geometry.maps.maps import EmbeddingMap
    from core.models.classifier import Classifier

MOST_ROWS = 60  # images that a map can hand on to the other views


def _map_chart(inputs: ChartInputs, **figure: Any) -> Chart:
    def draw(found: EmbeddingMap, one: Classifier, title: str) -> Chart:
        return map_chart(
            found,
            class_names=one.class_names,
            marked=inputs.rows,
            shared_scale=inputs.shared_scale,
            title=title,
            **figure,
        )

    return inputs.each(draw)


def _any_rows(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Chosen images are only marked: a link keeps all of them, where an analysis of one image keeps the first."""
    return 2, MOST_ROWS


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
