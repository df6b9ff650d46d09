"""Curvature as recipes: several models in one profile, the parts of one view at one point, and what enters the key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import RecipeError
from core.figures.drawing.paper import figure_bytes
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.runtime.progress import silent

MODELS = ["demo:digits/standard", "demo:digits/prime"]
QUICK: dict[str, dict[str, Any]] = {
    "curvature": {"spectrum": "ends", "keep": 4},
    "curvature_section": {"resolution": 16},
    "curvature_walk": {"steps": 5},
    "curvature_scale": {},
}


def made(analysis: str, models: list[str] = MODELS, **settings: Any) -> Recipe:
    settings = {**QUICK[analysis], **settings}
    return Recipe.make(analysis, models=models, images="demo:digits", rows=[5], settings=settings)


def drawn(recipe: Recipe) -> tuple[list[Any], Any]:
    images = load_images("demo:digits")
    classifiers = [load_classifier(source, "cpu") for source in recipe.models]
    results: list[Any] = [
        part.run([classifiers[recipe.models.index(source)] for source in part.models], images, silent)
        for part in recipe.parts()
    ]
    chart = recipe.chart(results, classifiers, images)
    assert figure_bytes(chart, "svg", **recipe.paper()).startswith(b"<?xml")
    return results, chart


def test_models_share_one_profile() -> None:
    results, chart = drawn(made("curvature"))
    assert len(chart.panels) == 1
    assert [entry.label for entry in chart.legend] == ["digits/standard", "digits/prime"]
    assert results[0].image.tobytes() == results[1].image.tobytes()
    classifiers = [load_classifier(source, "cpu") for source in MODELS]
    gallery = made("curvature", show="gallery", marked=1).chart(results, classifiers, load_images("demo:digits"))
    assert [panel.title for panel in gallery.panels] == ["digits/standard", "digits/prime"]


@pytest.mark.parametrize(("analysis", "panels"), [("curvature_section", 1), ("curvature_walk", 3)])
def test_each_model_has_its_own_column(analysis: str, panels: int) -> None:
    results, chart = drawn(made(analysis, number=1))
    assert len(chart.panels) == 2 * panels
    assert chart.columns == 2
    assert [panel.title for panel in chart.panels[:2]] == ["digits/standard", "digits/prime"]
    assert results[0].number == 1
    assert chart.panels[-2].x.label == chart.panels[-1].x.label == "along principal direction 1"


def test_scales_of_models_share_one_picture() -> None:
    _, chart = drawn(made("curvature_scale"))
    assert len(chart.panels) == 2
    assert "digits/prime: grows as scale" in chart.caption


def test_all_parts_are_about_the_point_that_was_picked() -> None:
    at = {"plane": "directions", "u": "gradient", "v": "random:0", "at": (0.1, 0.4)}
    results = [drawn(made(analysis, MODELS[:1], **at))[0][0] for analysis in QUICK]
    distances = [np.ravel(result.distance)[0] for result in results]
    np.testing.assert_allclose(distances, distances[0], rtol=1e-5)
    assert results[0].words == results[1].words == "point 0.10, 0.40"


def test_the_set_enters_the_key_where_others_are_measured() -> None:
    classifier, images = [load_classifier(MODELS[0], "cpu")], load_images("demo:digits")
    fewer = images[:100]
    alone, others = made("curvature", MODELS[:1]), made("curvature", MODELS[:1], count=2)
    assert key_of(alone, classifier, images) == key_of(alone, classifier, fewer)
    assert key_of(others, classifier, images) != key_of(others, classifier, fewer)
    assert key_of(alone.with_settings(ranks="ends"), classifier, images) == key_of(alone, classifier, images)
    with pytest.raises(RecipeError, match="tilt"):
        made("curvature_section", tilt=89)
