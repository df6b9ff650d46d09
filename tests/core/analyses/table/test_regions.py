"""Paths and component graphs as recipes: rows, keys, charts for one model and for two."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from core.analyses.prepare.regions import End
from core.errors import RecipeError
from core.figures.charts.regions.paths import PATH_SHOWS
from core.figures.charts.regions.region_graph import GRAPH_SHOWS
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.runtime.progress import silent

MODELS = ["demo:photos/standard", "demo:photos/relu"]
SMALL: dict[str, dict[str, Any]] = {"path": {}, "region_graph": {"count": 4}}


def made(analysis: str, rows: list[int], models: list[str] = MODELS, **settings: Any) -> Recipe:
    chosen = {**SMALL[analysis], **settings}
    return Recipe.make(analysis, models=models, images="demo:photos", rows=rows, settings=chosen)


@pytest.mark.parametrize("analysis", SMALL)
def test_every_analysis_runs_and_is_drawn_for_two_models(analysis: str) -> None:
    recipe = made(analysis, [3])
    classifiers, images = [load_classifier(source, "cpu") for source in MODELS], load_images("demo:photos")
    loaded = dict(zip(MODELS, classifiers, strict=True))
    results = [part.run([loaded[source] for source in part.models], images, silent) for part in recipe.parts()]
    chart = recipe.chart(results, classifiers, images)
    assert chart.name == analysis
    assert chart.columns == (2 if analysis == "path" else 4)
    assert [panel.title for panel in chart.panels if panel.title] == ["photos/standard", "photos/relu"]
    if analysis == "path":  # model beside model, picture under picture
        assert [panel.title for panel in chart.panels[:2]] == ["photos/standard", "photos/relu"]
        assert chart.caption.count("Solid: along the path") == 1
        assert "photos/relu: " in chart.caption


def test_two_classes_are_drawn_without_a_projection() -> None:
    recipe = made("path", [3, 17], models=MODELS[:1], end="image")
    classifier, images = load_classifier(MODELS[0], "cpu"), load_images("demo:photos")
    chart = recipe.chart([recipe.run([classifier], images, silent)], [classifier], images)
    assert len(chart.panels) == 2
    assert "no region holds both" in chart.caption


def test_the_choices_of_the_table_are_those_of_the_engine() -> None:
    path, graph = made("path", [3]).definition, made("region_graph", [3]).definition
    assert path.setting("show").choices == PATH_SHOWS
    assert set(path.setting("end").choices) == set(get_args(End))
    assert graph.setting("show").choices == GRAPH_SHOWS


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({"end": "noise"}, (1, 3)),
        ({"end": "nearest"}, (1, 3)),
        ({"end": "image"}, (2, 2)),
        ({"end": "relabelled"}, (2, 2)),
        ({"end": "noise", "at": (0.1, 0.2)}, (3, 3)),
        ({"end": "relabelled", "at": (0.1, 0.2), "plane": "directions"}, (2, 2)),
    ],
)
def test_as_many_images_are_asked_for_as_are_needed(settings: dict[str, Any], rows: tuple[int, int]) -> None:
    definition = made("path", [3]).definition
    plain = {entry.name: settings.get(entry.name, entry.default) for entry in definition.parameters}
    assert definition.images(plain) == rows


def test_the_key_follows_what_the_result_depends_on() -> None:
    first, second = (load_classifier(source, "cpu") for source in MODELS)
    images = load_images("demo:photos")
    noise = made("path", [3])
    assert key_of(noise, [first, second], images) == key_of(noise, [second], images)
    picked = made("path", [3], plane="directions", at="0.5,0.5")
    assert key_of(picked, [first, second], images) != key_of(picked, [second], images)
    shown = made("path", [3], show="strip")
    assert key_of(shown, [first], images) == key_of(noise, [first], images)


@pytest.mark.parametrize(
    ("analysis", "settings", "message"),
    [
        ("path", {"step": 0}, "step: expected"),
        ("path", {"end": "elsewhere"}, "end: expected"),
        ("region_graph", {"count": 1}, "count: expected"),
        ("region_graph", {"of_class": -2}, "of_class: expected"),
    ],
)
def test_settings_out_of_range_are_refused(analysis: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        made(analysis, [3], **settings)
