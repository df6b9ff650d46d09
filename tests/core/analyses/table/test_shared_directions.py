"""Shared directions as recipes: the same images for every model, partial results, one result of all models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.geometry.shared_directions.principal_angles import DirectionOverlap
from core.geometry.shared_directions.sharing import DirectionSharing
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.runtime.progress import silent

MODELS = ["demo:digits/standard", "demo:digits/standard-1"]
QUICK = {"count": 3, "directions": 2}


def made(analysis: str, models: list[str] = MODELS, **settings: Any) -> Recipe:
    return Recipe.make(analysis, models=models, images="demo:digits", rows=[0], settings={**QUICK, **settings})


def run(recipe: Recipe, told: Any = silent) -> tuple[list[Any], list[Any], Any]:
    images = load_images("demo:digits")
    classifiers = [load_classifier(source, "cpu") for source in recipe.models]
    results: list[Any] = [
        part.run([classifiers[recipe.models.index(source)] for source in part.models], images, told)
        for part in recipe.parts()
    ]
    return results, classifiers, images


def test_sharing_is_drawn_for_two_models_while_and_after_it_is_measured() -> None:
    seen: list[Any] = []
    recipe = made("shared_directions", noise=2)
    results, classifiers, images = run(recipe, lambda part, partial=None: seen.append((part, partial)))
    first, second = results
    assert first.unseen.shape == second.unseen.shape == (3, 2)
    assert first.fingerprint != second.fingerprint
    assert isinstance(seen[0][1], DirectionSharing)
    early = recipe.chart([seen[0][1], second], classifiers, images)
    late = recipe.chart(results, classifiers, images)
    assert len(early.panels) == len(late.panels) == 4
    assert [panel.title for panel in late.panels[:2]] == ["digits/standard", "digits/standard-1"]
    assert late.panels[0].y.limits == late.panels[1].y.limits


def test_overlap_is_one_result_of_all_models() -> None:
    recipe = made("direction_overlap")
    (result,), classifiers, images = run(recipe)
    assert isinstance(result, DirectionOverlap)
    assert result.models.tolist() == ["digits/standard", "digits/standard-1"]
    np.testing.assert_allclose(result.angles[0, 1], result.angles[1, 0], atol=1e-6)
    assert "digits/standard in digits/standard-1" in recipe.chart([result], classifiers, images).alt


@pytest.mark.parametrize("whose", ["shared", "own"])
def test_noise_along_directions_is_drawn(whose: str) -> None:
    recipe = made("direction_noise", MODELS[:1], whose=whose, draws=2, lengths="1,4")
    results, classifiers, images = run(recipe)
    assert results[0].length.tolist() == [1, 4]
    chart = recipe.chart(results, classifiers, images)
    assert chart.panels[0].x.unit == "ℓ2"


def test_the_scale_and_the_seed_enter_the_key_and_what_is_shown_does_not() -> None:
    recipe = made("shared_directions", MODELS[:1])
    classifier, images = [load_classifier(MODELS[0], "cpu")], load_images("demo:digits")
    keys = {
        key_of(recipe, classifier, images),
        key_of(recipe.with_settings(scale=0.5), classifier, images),
        key_of(recipe.with_settings(seed=1), classifier, images),
        key_of(recipe.with_settings(show="pictures"), classifier, images),
    }
    assert len(keys) == 3
