"""Maps and paths as recipes: whole sets and draws of them, two models, partial results, and what enters the key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.analyses.analysis import ChartInputs
from core.analyses.table import TABLE
from core.analyses.table.maps import MAP_PATH
from core.errors import RecipeError
from core.geometry.maps.background import DecisionMap
from core.geometry.maps.curvature import CurvedMap
from core.geometry.maps.maps import EmbeddingMap
from core.geometry.maps.paths import MapPaths
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.result import Result
from core.runtime.progress import silent

MODELS = ["demo:digits/standard", "demo:digits/adversarial"]
QUICK = {"count": 40, "seeds": 1, "neighbours": 6}


def made(analysis: str, models: list[str] = MODELS[:1], rows: tuple[int, ...] = (3, 17, 42), **settings: Any) -> Recipe:
    quick = {**QUICK, **({"resolution": 8} if analysis == "map" else {"steps": 4})}
    return Recipe.make(analysis, models=models, images="demo:digits", rows=rows, settings={**quick, **settings})


def run(recipe: Recipe, on_progress: Any = silent) -> tuple[list[Any], list[Any], Any]:
    images = load_images("demo:digits")
    classifiers = [load_classifier(source, "cpu") for source in recipe.models]
    chosen = [[classifiers[recipe.models.index(source)] for source in part.models] for part in recipe.parts()]
    return (
        [part.run(given, images, on_progress) for part, given in zip(recipe.parts(), chosen, strict=True)],
        classifiers,
        images,
    )


def test_a_map_of_a_draw_of_the_set_comes_first_then_its_background_then_curvatures() -> None:
    seen: list[Result] = []

    def tell(fraction: float, partial: Result | None = None) -> None:
        assert 0 <= fraction <= 1
        seen.extend([partial] if partial is not None else [])

    recipe = made("map", MODELS, seed=5, curved=3)
    results, classifiers, images = run(recipe, tell)
    assert all(isinstance(one, CurvedMap) for one in results)
    assert [np.isfinite(one.curvature).sum() for one in results] == [3, 3]
    first, second = results
    assert len(set(first.row.tolist())) == len(first.row) == 40
    assert sorted(first.row) == first.row.tolist()
    np.testing.assert_array_equal(first.row, second.row)  # both models show the same images
    np.testing.assert_array_equal(first.label, images.labels[first.row])
    assert [type(one) for one in seen] == [EmbeddingMap, DecisionMap] * 2
    np.testing.assert_array_equal(seen[1].background, first.background)
    np.testing.assert_array_equal(seen[0].positions, first.positions)
    np.testing.assert_array_equal(seen[0].row, first.row)
    chart = recipe.with_settings(colour="margin").chart(results, classifiers, images)
    assert [panel.title for panel in chart.panels] == ["digits/standard", "digits/adversarial"]
    assert chart.panels[0].scales == chart.panels[1].scales
    figure = {"colour": "label", "background": "shown", "palette": "muted"}
    alone = TABLE["map"].chart(
        ChartInputs(results=seen[:1], classifiers=classifiers[:1], images=images, rows=(3,), shared_scale=seen[:1]),
        **figure,
    )
    assert "Background" not in alone.caption


@pytest.mark.parametrize("kind", ["corruption", "slice", "attack", "line", "walk"])
def test_every_path_lies_on_the_map_that_is_shown(kind: str) -> None:
    [found], _, _ = run(made("map"))
    recipe = made("map_path", rows=(3, 17) if kind in ("line", "walk") else (3, 17, 42), kind=kind)
    [paths], classifiers, images = run(recipe)
    assert isinstance(paths, MapPaths)
    np.testing.assert_array_equal(paths.home, found.positions)
    assert paths.kind == kind
    assert len(paths.positions) == (8 if kind == "slice" else 1)
    assert recipe.chart([paths], classifiers, images).alt
    if kind in ("slice", "walk"):
        changed = {"extent": (0.0, 1.0, 0.0, 1.0)} if kind == "slice" else {"walk_mode": "equality", "walk_steps": 3}
        [other], _, _ = run(recipe.with_settings(**changed))
        assert other.positions.shape != paths.positions.shape or not np.allclose(other.positions, paths.positions)


def test_only_what_the_map_depends_on_enters_its_key() -> None:
    recipe = made("map")
    classifier, images = [load_classifier(MODELS[0], "cpu")], load_images("demo:digits")
    key = key_of(recipe, classifier, images)
    assert key_of(recipe.with_settings(colour="margin", background="hidden"), classifier, images) == key
    for changed in ({"seed": 1}, {"curved": 1}, {"space": "pixels"}, {"min_dist": 0.2}, {"layer": "5"}, {"seeds": 2}):
        assert key_of(recipe.with_settings(**changed), classifier, images) != key


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(RecipeError, match="expected a corruption out of"):
        made("map_path", corruption="rain")
    with pytest.raises(RecipeError, match="of a square"):
        made("map_path", extent=(0.0, 1.0, 0.0, 2.0))
    with pytest.raises(RecipeError, match="slice_u"):
        made("map_path", slice_u="north")
    with pytest.raises(RecipeError, match="expected 2 images for map_path"):
        made("map_path", kind="walk")
    assert MAP_PATH.images({"kind": "slice", "slice_plane": "images"}) == (3, 3)
    assert MAP_PATH.images({"kind": "slice", "slice_plane": "directions"}) == (1, 3)
    with pytest.raises(ValueError, match="expected the path of a layer"):
        run(made("map", layer="nowhere"))
