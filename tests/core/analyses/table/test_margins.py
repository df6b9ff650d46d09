"""Distances inside subspaces as recipes: every family, several models on one scale, other images of the set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.analyses.analysis import ChartInputs
from core.analyses.table.margins import MARGINS
from core.figures.drawing.paper import figure_bytes
from core.geometry.subspaces import subspace_distances
from core.geometry.subspaces.subspace_distances import SubspaceDistances
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.result import Result
from core.runtime.progress import silent

MODELS = ["demo:photos/standard", "demo:photos/standard-1"]
QUICK = {"slides": 0, "count": 2}


def made(analysis: str, models: list[str] = MODELS, **settings: Any) -> Recipe:
    return Recipe.make(analysis, models=models, images="demo:photos", rows=[3], settings={**QUICK, **settings})


def run(recipe: Recipe) -> tuple[list[SubspaceDistances], list[Any], Any]:
    images = load_images("demo:photos")
    classifiers = [load_classifier(source, "cpu") for source in recipe.models]
    results: list[Any] = [
        part.run([classifiers[recipe.models.index(source)] for source in part.models], images, silent)
        for part in recipe.parts()
    ]
    return results, classifiers, images


def test_models_are_measured_at_the_same_images_and_drawn_on_one_scale() -> None:
    recipe = made("margins", block=16)
    results, classifiers, images = run(recipe)
    first, second = results
    assert first.row[0] == 3
    assert len(first.row) == 3
    np.testing.assert_array_equal(first.row, second.row)
    np.testing.assert_array_equal(first.label, images.labels[first.row.tolist()])
    assert first.perturbation.shape == (1, 4, 3, 32, 32)
    chart = recipe.chart(results, classifiers, images)
    assert [panel.title for panel in chart.panels] == ["photos/standard", "photos/standard-1"]
    assert chart.panels[0].scales == chart.panels[1].scales
    alone = MARGINS.chart(
        ChartInputs(results=[first], classifiers=classifiers[:1], images=images, rows=(3,), shared_scale=results),
        colour="distance",
        marked=-1,
    )
    assert alone.panels[0].scales == chart.panels[0].scales
    ratio = recipe.with_settings(colour="ratio").chart(results, classifiers, images)
    assert [panel.title for panel in ratio.panels] == ["photos/standard-1"]
    assert "over that of photos/standard" in ratio.caption
    assert figure_bytes(ratio, "svg", **recipe.paper()).startswith(b"<?xml")
    with pytest.raises(ValueError, match="two models or more"):
        recipe.with_settings(colour="ratio").chart(results[:1], classifiers[:1], images)


def test_a_result_that_is_on_its_way_is_drawn_beside_a_finished_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subspace_distances, "_MOST_VALUES", 8 * 3072)  # 8 of 15 rows are searched together
    seen: list[Result] = []

    def tell(fraction: float, partial: Result | None = None) -> None:
        seen.extend([partial] if partial is not None else [])

    recipe = made("margins", MODELS[:1], block=16)
    classifier, images = load_classifier(MODELS[0], "cpu"), load_images("demo:photos")
    whole: Any = recipe.run([classifier], images, tell)
    partial = seen[0]
    assert isinstance(partial, SubspaceDistances)
    assert 0 < len(partial.distance) < len(whole.distance) == 3
    np.testing.assert_array_equal(partial.row, whole.row[: len(partial.row)])
    chart = MARGINS.chart(
        ChartInputs(
            results=[partial, whole],
            classifiers=[classifier] * 2,
            images=images,
            rows=(3,),
            shared_scale=[partial, whole],
        ),
        colour="share",
        marked=0,
    )
    assert len(chart.panels) == 2


@pytest.mark.parametrize("over", ["frequencies", "patches"])
@pytest.mark.parametrize("colour", ["distance", "chance", "share"])
def test_every_map_is_drawn(over: str, colour: str) -> None:
    recipe = made("margins", MODELS[:1], block=16, over=over, colour=colour, marked=1)
    results, classifiers, images = run(recipe)
    chart = recipe.chart(results, classifiers, images)
    assert len(chart.panels[0].layers) == 2
    assert ("patches" in chart.alt) == (over == "patches")


@pytest.mark.parametrize("along", ["frequencies", "components", "colours"])
def test_every_curve_is_drawn(along: str) -> None:
    recipe = made("margin_curve", along=along, stride=12)
    results, classifiers, images = run(recipe)
    count = {"frequencies": 3, "components": 10, "colours": 3}[along]
    assert results[0].distance.shape == (3, count)
    chart = recipe.chart(results, classifiers, images)
    assert chart.panels[0].y.limits == chart.panels[1].y.limits
    assert "row 3 (" in chart.caption


def test_the_set_and_the_seed_enter_the_key() -> None:
    recipe = made("margins", MODELS[:1], block=16)
    classifier, images = [load_classifier(MODELS[0], "cpu")], load_images("demo:photos")
    keys = {
        key_of(recipe, classifier, images),
        key_of(recipe, classifier, images[:100]),
        key_of(recipe.with_settings(seed=1), classifier, images),
    }
    assert len(keys) == 3
    assert key_of(recipe.with_settings(colour="share"), classifier, images) in keys
