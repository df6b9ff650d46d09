"""Walks on level sets as recipes: several models on the same pairs, what enters the key, what travels in a link."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.analyses.table import TABLE
from core.errors import RecipeError
from core.figures.drawing.paper import figure_bytes
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.runtime.progress import silent

MODELS = ["demo:photos/standard", "demo:photos/adversarial"]
QUICK: dict[str, dict[str, Any]] = {
    "level_set": {"steps": 12},
    "level_triangle": {"steps": 12, "resolution": 5},
    "level_star": {"steps": 5, "count": 3, "directions": 4},
}


def made(analysis: str, models: list[str] = MODELS, rows: tuple[int, ...] = (3, 17, 42), **settings: Any) -> Recipe:
    return Recipe.make(
        analysis, models=models, images="demo:photos", rows=rows, settings={**QUICK[analysis], **settings}
    )


def run(recipe: Recipe) -> tuple[list[Any], list[Any], Any]:
    images = load_images("demo:photos")
    classifiers = [load_classifier(source, "cpu") for source in recipe.models]
    results = [
        part.run([classifiers[recipe.models.index(source)] for source in part.models], images, silent)
        for part in recipe.parts()
    ]
    return results, classifiers, images


@pytest.mark.parametrize("analysis", QUICK)
def test_models_walk_between_the_same_images_and_are_drawn_together(analysis: str) -> None:
    recipe = made(analysis)
    results, classifiers, images = run(recipe)
    np.testing.assert_array_equal(results[0].target_row, results[1].target_row)
    assert {17, 42} <= set(results[0].target_row)
    chart = recipe.chart(results, classifiers, images)
    assert "photos/standard" in chart.alt
    assert "photos/adversarial" in chart.alt
    assert figure_bytes(chart, "svg", **recipe.paper()).startswith(b"<?xml")
    assert Recipe.from_query(analysis, recipe.query()) == recipe


def test_only_the_star_depends_on_the_reference_and_the_set() -> None:
    images = load_images("demo:photos")
    classifiers = [load_classifier(source, "cpu") for source in MODELS]
    for analysis, shared in (("level_set", False), ("level_triangle", False), ("level_star", True)):
        second = key_of(made(analysis).parts()[1], classifiers, images)
        alone = key_of(made(analysis, MODELS[1:]), classifiers[1:], images)
        assert (second != alone) == shared


def test_a_picked_point_is_told_and_needs_the_images_of_its_plane() -> None:
    """The reference lays a plane of directions: then it enters the key, too."""
    recipe = made("level_set", MODELS[:1], steps=5, at=(0.5, 0.25))
    results, classifiers, images = run(recipe)
    assert "from point 0.50, 0.25 (" in recipe.chart(results, classifiers, images).alt
    assert Recipe.from_query("level_set", recipe.query()) == recipe
    with pytest.raises(RecipeError, match="expected 3 to 13 images for level_set, got 2"):
        made("level_set", rows=(3, 17), at=(0.5, 0.25))
    for plane, depends in (("images", False), ("directions", True)):
        parameters = made("level_triangle", plane=plane, at=(0.5, 0.25)).parameters
        assert TABLE["level_triangle"].shared(parameters) == depends


def test_figure_settings_cause_no_computation_and_rows_are_checked() -> None:
    images, classifiers = load_images("demo:photos"), [load_classifier(MODELS[0], "cpu")]
    keys = {
        key_of(made("level_set", MODELS[:1], **settings), classifiers, images)
        for settings in ({}, {"show": "ends"}, {"shown": 2}, {"step": 7})
    }
    assert len(keys) == 1
    assert key_of(made("level_set", MODELS[:1], delta=0.1), classifiers, images) not in keys
    with pytest.raises(RecipeError, match="expected 2 to 13 images for level_set, got 1"):
        made("level_set", rows=(3,))
    with pytest.raises(RecipeError, match="expected 3 images for level_triangle, got 2"):
        made("level_triangle", rows=(3, 17))
    with pytest.raises(RecipeError, match="one of equality, paper"):
        made("level_star", mode="superlevel")


def test_targets_of_one_class_are_told_apart_by_their_rows() -> None:
    recipe = made("level_set", MODELS[:1], rows=(3, 17, 18, 42))
    results, classifiers, images = run(recipe)
    words = images[[17, 18, 42]].words
    chart = recipe.with_settings(show="ends").chart(results, classifiers, images)
    told = [f"{word} {row}" if words.count(word) > 1 else word for word, row in zip(words, (17, 18, 42), strict=True)]
    for name in told:
        assert f"towards {name} in" in chart.alt
    assert len(results[0].status) == 3


def test_settings_of_the_walk_are_declared_once() -> None:
    walks = [
        {entry.name: entry for entry in TABLE[name].parameters if entry.name in ("delta", "steps")} for name in QUICK
    ]
    assert walks[0] == walks[1] == walks[2]
