"""Sparse perturbations as recipes: rows, keys, charts for one model and for two."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import RecipeError
from core.figures.charts.sparse.sparse import SPARSE_SHOWS
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.runtime.progress import silent

SMALL: dict[str, dict[str, Any]] = {
    "sparse": {},
    "pixel": {"row": 5, "column": 7, "resolution": 8},
}
MODELS = ["demo:photos/standard", "demo:photos/standard-1"]


def made(analysis: str, rows: list[int], models: list[str] = MODELS, **settings: Any) -> Recipe:
    chosen = {**SMALL[analysis], **settings}
    return Recipe.make(analysis, models=models, images="demo:photos", rows=rows, settings=chosen)


@pytest.mark.parametrize("analysis", SMALL)
def test_every_analysis_runs_and_is_drawn_for_two_models(analysis: str) -> None:
    recipe = made(analysis, [100])
    classifiers, images = [load_classifier(source, "cpu") for source in MODELS], load_images("demo:photos")
    loaded = dict(zip(MODELS, classifiers, strict=True))
    results = [part.run([loaded[source] for source in part.models], images, silent) for part in recipe.parts()]
    assert len(results) == 2
    chart = recipe.chart(results, classifiers, images)
    assert chart.name == analysis
    assert chart.alt
    words = f"{chart.alt} {chart.caption} {[panel.title for panel in chart.panels]} {chart.legend}"
    assert "photos/standard-1" in words


def test_the_choices_of_the_table_are_those_of_the_chart() -> None:
    (entry,) = [each for each in made("sparse", [3]).definition.figure if each.name == "show"]
    assert entry.choices == SPARSE_SHOWS


def test_the_key_follows_what_the_result_depends_on() -> None:
    first, second = (load_classifier(source, "cpu") for source in MODELS)
    images = load_images("demo:photos")
    alone = made("sparse", [3])
    assert key_of(alone, [first, second], images) == key_of(alone, [second], images)
    picked = made("sparse", [3], plane="directions", at="0.5,0.5")
    assert key_of(picked, [first, second], images) != key_of(picked, [second], images)


@pytest.mark.parametrize(
    ("analysis", "settings", "message"),
    [
        ("sparse", {"bound": 0}, "bound: expected"),
        ("sparse", {"lambdas": "0.5"}, "lambdas: expected"),
    ],
)
def test_settings_out_of_range_are_refused(analysis: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        made(analysis, [3], **settings)
