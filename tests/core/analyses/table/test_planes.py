"""Slices and profiles as recipes: they run on demo models, and their charts can be drawn."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import RecipeError
from core.figures.drawing.chart import ImagesLayer
from core.figures.drawing.paper import figure_bytes
from core.figures.drawing.screen import page_bytes
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.runtime.progress import silent

SMALL: dict[str, dict[str, Any]] = {"slice": {"resolution": 32}, "profile": {"rays": 16}}
MODELS = ["demo:photos/standard", "demo:photos/standard-1"]


def made(analysis: str, rows: list[int], models: list[str] = MODELS, **settings: Any) -> Recipe:
    chosen = {**SMALL[analysis], **settings}
    return Recipe.make(analysis, models=models, images="demo:photos", rows=rows, settings=chosen)


@pytest.mark.parametrize("analysis", ["slice", "profile"])
@pytest.mark.parametrize("settings", [{}, {"plane": "directions", "u": "mean:2", "v": "dct:0,3"}])
def test_every_analysis_runs_and_is_drawn_for_two_models(analysis: str, settings: dict[str, Any]) -> None:
    recipe = made(analysis, [3, 17, 42], **settings)
    classifiers = [load_classifier(source, "cpu") for source in MODELS]
    images = load_images("demo:photos")
    parts = zip(recipe.parts(), (classifiers[:1], classifiers), strict=True)
    results = [part.run(models, images, silent) for part, models in parts]
    assert [result.recipe for result in results] == [part.mapping() for part in recipe.parts()]
    chart = recipe.chart(results, classifiers, images)
    assert [panel.title for panel in chart.panels] == ["photos/standard", "photos/standard-1"]
    assert chart.alt
    assert figure_bytes(chart, "svg", **recipe.paper()).startswith(b"<?xml")
    assert page_bytes(chart) == page_bytes(chart)


def test_shading_by_distance_needs_no_other_result() -> None:
    recipe = made("slice", [3, 17, 42], MODELS[:1], shading="distance", levels="0.5,1")
    classifier, images = load_classifier(MODELS[0], "cpu"), load_images("demo:photos")
    chart = recipe.chart([recipe.run([classifier], images, silent)], [classifier], images)
    assert "distance" in chart.panels[0].scales[0].title


def test_all_models_are_cut_along_the_plane_of_the_first() -> None:
    recipe = made("slice", [3], plane="directions", u="gradient", v="random:1")
    first, second = (load_classifier(source, "cpu") for source in MODELS)
    images = load_images("demo:photos")
    cuts: list[Any] = [recipe.run(models, images, silent) for models in ([first], [first, second])]
    alone: Any = recipe.run([second], images, silent)
    assert (cuts[0].u == cuts[1].u).all()
    assert cuts[0].home == cuts[1].home
    assert (alone.u != cuts[1].u).any()
    assert key_of(recipe, [first, second], images) != key_of(recipe, [second], images)
    assert cuts[0].gradients > 0


def test_the_image_that_a_direction_leads_to_is_drawn_where_it_lies() -> None:
    recipe = made("slice", [3, 17], MODELS[:1], plane="directions", u="image:60", v="random:1")
    classifier, images = load_classifier(MODELS[0], "cpu"), load_images("demo:photos")
    chart = recipe.chart([recipe.run([classifier], images, silent)], [classifier], images)
    (drawn,) = [layer for layer in chart.panels[0].layers if isinstance(layer, ImagesLayer)]
    assert len(drawn.images) == 3
    assert drawn.words(2) == images.words[60]  # on the plane: no residual is said
    distance = float((images.pixels[60] - images.pixels[3]).norm())
    assert drawn.positions[2] == pytest.approx([distance, 0.0], abs=1e-4)


def test_regions_are_counted_on_the_same_planes_whatever_image_is_chosen() -> None:
    settings = {"planes": 3, "resolution": 8, "finer": "yes"}
    recipes = [
        Recipe.make("fragmentation", models=MODELS, images="demo:photos", rows=[row], settings=settings)
        for row in (0, 5)
    ]
    classifiers = [load_classifier(source, "cpu") for source in MODELS]
    images = load_images("demo:photos")
    results: list[Any] = [part.run(classifiers[:1], images, silent) for part in (recipes[0].parts()[0], recipes[1])]
    assert (results[0].rows == results[1].rows).all()
    assert (results[0].regions == results[1].regions).all()
    second = recipes[0].parts()[1].run(classifiers, images, silent)
    chart = recipes[0].chart([results[0], second], classifiers, images)
    assert [entry.label.split(":")[0] for entry in chart.legend] == ["photos/standard", "photos/standard-1"]
    assert "At twice the resolution" in chart.caption
    assert figure_bytes(chart, "svg", **recipes[0].paper()).startswith(b"<?xml")


def test_three_images_need_neither_reference_nor_set() -> None:
    recipe = made("slice", [3, 17, 42])
    first, second = (load_classifier(source, "cpu") for source in MODELS)
    images = load_images("demo:photos")
    assert key_of(recipe, [first, second], images) == key_of(recipe, [second], images)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([3], {}, "expected 3 images for slice, got 1"),
        ([3, 17, 42, 5], {"plane": "directions"}, "expected 1 to 3 images for slice, got 4"),
        ([3], {"plane": "directions", "u": "sideways"}, "u: expected"),
        ([3], {"plane": "directions", "v": "dct:1"}, "v: expected"),
    ],
)
def test_planes_that_cannot_be_are_refused(rows: list[int], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        made("slice", rows, **settings)
