"""Exact answers stand over computed ones, in a stroke of their own, and are told in words."""

from __future__ import annotations

import numpy as np
import pytest

from core.figures.drawing import style
from core.figures.drawing.chart import LinesLayer, Panel
from core.figures.drawing.exact import with_exact_boundary
from core.figures.drawing.paper import figure_bytes
from core.figures.drawing.screen import page_bytes
from core.figures.drawing.symlog import Symlog
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.runtime.progress import silent

BALL = "analytic:ball:demo:digits/standard?row=3&images=demo:digits"


def drawn(panel: Panel) -> list[LinesLayer]:
    return [layer for layer in panel.layers if isinstance(layer, LinesLayer) and layer.role == "exact"]


def test_the_exact_boundary_lies_over_the_computed_one() -> None:
    recipe = Recipe.make(
        "slice", models=[BALL], images="demo:digits", rows=[3, 17, 42], settings={"resolution": 64, "method": "full"}
    )
    classifier, images = load_classifier(BALL, "cpu"), load_images("demo:digits")
    result = recipe.run([classifier], images, silent)
    chart = recipe.chart([result], [classifier], images)
    (line,) = drawn(chart.panels[0])
    roles = [layer.role for layer in chart.panels[0].layers if isinstance(layer, LinesLayer)]
    assert roles.index("exact") == roles.index("boundary") + 1
    assert (line.colour, style.STROKES["exact"].dash) == (style.EXACT, "dashed")
    assert chart.legend[-1].label == "exact boundary"
    assert all("the exact boundary" in words for words in (chart.caption, chart.alt))
    assert style.EXACT.encode() in figure_bytes(chart, "svg", **recipe.paper())
    assert style.EXACT.encode() in page_bytes(chart)
    none = with_exact_boundary(chart, ())
    assert "not in here" in none.caption
    assert len(none.legend) == len(chart.legend)


@pytest.mark.parametrize(("values", "show"), [("curvature", "profile"), ("times distance", "density")])
def test_the_exact_curvature_is_a_line(values: str, show: str) -> None:
    settings = {"spectrum": "ends", "keep": 2, "values": values, "show": show, "positive": "towards the image's class"}
    recipe = Recipe.make("curvature", models=[BALL], images="demo:digits", rows=[3], settings=settings)
    classifier, images = load_classifier(BALL, "cpu"), load_images("demo:digits")
    result = recipe.run([classifier], images, silent)
    chart = recipe.chart([result], [classifier], images)
    panel = chart.panels[0]
    (line,) = drawn(panel)
    measured = -getattr(result, "unit_free" if values == "times distance" else "curvatures")[0, 0]
    at = line.paths[0][:, 1 if show == "profile" else 0]
    found = Symlog(panel.y.symlog).values(at) if show == "profile" else at
    np.testing.assert_allclose(found, measured, rtol=1e-4)
    assert "known on paper: ball around the mean image" in chart.caption
