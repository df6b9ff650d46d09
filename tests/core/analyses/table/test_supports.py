"""Supports, benchmarks and transfer as recipes: drawn images, keys, charts for one model and for two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import RecipeError
from core.figures.charts.sparse.benchmark import TRANSFER_SHOWS
from core.figures.charts.sparse.supports import SUPPORTS_SHOWS
from core.geometry.common.sampling import correct_rows
from core.geometry.sparse.benchmark import COMPARISONS
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.runtime.progress import silent

SMALL: dict[str, dict[str, Any]] = {
    "supports": {"count": 2, "seeds": 1, "draws": 20},
    "benchmark": {"count": 2, "compare": "multipliers"},
    "transfer": {"count": 2, "steps": 2},
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
    assert len(results) == (1 if analysis == "transfer" else 2)
    chart = recipe.chart(results, classifiers, images)
    assert chart.name == analysis
    assert chart.alt
    words = f"{chart.alt} {chart.caption} {[panel.title for panel in chart.panels]} {chart.legend}"
    assert analysis == "transfer" or "photos/standard-1" in words


def test_the_choices_of_the_table_are_those_of_the_charts_and_methods() -> None:
    for analysis, setting, known in (
        ("supports", "show", SUPPORTS_SHOWS),
        ("transfer", "show", TRANSFER_SHOWS),
        ("benchmark", "compare", COMPARISONS),
    ):
        definition = made(analysis, [3]).definition
        (entry,) = [each for each in (*definition.parameters, *definition.figure) if each.name == setting]
        assert entry.choices == known, analysis


def test_images_are_drawn_from_the_set_whatever_row_is_chosen() -> None:
    classifier, images = load_classifier(MODELS[0], "cpu"), load_images("demo:photos")
    found: Any = made("supports", [7], MODELS[:1]).run([classifier], images, silent)
    rows = correct_rows([classifier], images.pixels, images.labels.numpy(), 2, 0)
    assert 7 not in rows
    np.testing.assert_array_equal(found.source_class, images.labels[rows])
    assert len(set(found.source_class.tolist())) == 2  # drawn by turns from the classes


def test_the_key_follows_what_the_result_depends_on() -> None:
    first, second = (load_classifier(source, "cpu") for source in MODELS)
    images = load_images("demo:photos")
    both = made("transfer", [3])
    assert key_of(both, [first, second], images) != key_of(both, [second, first], images)
    drawn = made("supports", [3])
    assert key_of(drawn, [first, second], images) != key_of(drawn, [second], images)


@pytest.mark.parametrize(
    ("analysis", "settings", "message"),
    [
        ("supports", {"count": 0}, "count: expected"),
        ("benchmark", {"compare": "sprint"}, "compare: expected"),
        ("transfer", {"show": "all"}, "show: expected"),
    ],
)
def test_settings_out_of_range_are_refused(analysis: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        made(analysis, [3], **settings)
