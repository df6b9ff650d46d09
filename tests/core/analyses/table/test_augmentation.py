"""The augmentation lab as a recipe: it is about the first image, and drawn for two models."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.figures.drawing.paper import figure_bytes
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.runtime.progress import silent

MODELS = ["demo:photos/standard", "demo:photos/standard-1"]


def test_two_models_see_the_same_draws_of_the_first_image() -> None:
    settings = {"draws": 1, "seed": 3, "spectral": 0.0}
    recipe = Recipe.make("augmentation", models=MODELS, images="demo:photos", rows=[3, 17], settings=settings)
    classifiers, images = [load_classifier(source, "cpu") for source in MODELS], load_images("demo:photos")
    parts = zip(recipe.parts(), (classifiers[:1], classifiers), strict=True)
    results: list[Any] = [part.run(models, images, silent) for part, models in parts]
    np.testing.assert_array_equal(results[0].images, results[1].images)
    np.testing.assert_allclose(results[0].images[0, 0], images.pixels[3], atol=1e-6)
    assert results[0].clean_class == int(classifiers[0].predict(images.pixels[[3]]).label[0])
    chart = recipe.chart(results, classifiers, images)
    assert [panel.title for panel in chart.panels] == ["photos/standard", "photos/standard-1"]
    assert figure_bytes(chart, "svg", **recipe.paper()).startswith(b"<?xml")
    assert Recipe.from_query("augmentation", recipe.query()) == recipe
