"""Corruptions as recipes: several models, samples, names, and the table they must agree with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from core.analyses.prepare.corruptions import labelled_sample
from core.analyses.table.corruptions import NAMES, listed
from core.errors import ImageError, RecipeError
from core.figures.drawing.paper import figure_bytes
from core.geometry.corruptions.corruptions import CORRUPTIONS
from core.images.image_set import ImageSet
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.runtime.progress import silent

MODELS = ["demo:photos/standard", "demo:photos/standard-1"]


def test_the_choices_are_those_of_the_table() -> None:
    assert tuple(CORRUPTIONS) == NAMES


@pytest.mark.parametrize(
    ("analysis", "settings"),
    [
        ("severity", {"steps": 3, "corruption": "fog", "marked": 2.5}),
        ("corruption", {"corruptions": "fog, jpeg", "count": 4, "shown": "distance", "against": "change"}),
        ("noise", {"count": 3, "draws": 2, "strongest": 0.2}),
    ],
)
def test_every_analysis_is_drawn_for_two_models(analysis: str, settings: dict[str, Any]) -> None:
    recipe = Recipe.make(analysis, models=MODELS, images="demo:photos", rows=[3, 17], settings=settings)
    classifiers, images = [load_classifier(source, "cpu") for source in MODELS], load_images("demo:photos")
    parts = zip(recipe.parts(), (classifiers[:1], classifiers), strict=True)
    results = [part.run(models, images, silent) for part, models in parts]
    chart = recipe.chart(results, classifiers, images)
    assert chart.name == analysis
    assert figure_bytes(chart, "svg", **recipe.paper()).startswith(b"<?xml")
    assert Recipe.from_query(analysis, recipe.query()) == recipe


def test_a_sample_is_drawn_once_for_all_models_and_only_of_known_classes() -> None:
    images = load_images("demo:digits")
    labels = images.labels.clone()
    labels[::2] = -1
    partly = ImageSet(images.pixels, labels, images.names, images.class_names, "test")
    pixels, truth = labelled_sample(partly, 1000, 0)
    assert len(pixels) == len(truth) == 250
    assert int(truth.min()) >= 0
    first, again, other = (labelled_sample(images, 20, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    unknown = ImageSet(images.pixels, torch.full_like(labels, -1), images.names, (), "somewhere")
    with pytest.raises(ImageError, match="somewhere has none"):
        labelled_sample(unknown, 5, 0)


def test_names_are_listed_or_refused() -> None:
    assert listed("all") == NAMES
    assert listed("jpeg,fog , jpeg") == ("jpeg", "fog")
    for text in ("", "snow", "fog,,jpeg", "ALL"):
        with pytest.raises(ValueError, match="expected all, or corruptions out of gaussian_noise"):
            listed(text)
    with pytest.raises(RecipeError, match="corruptions: expected all"):
        Recipe.make("corruption", models=MODELS, images="demo:photos", rows=[0], settings={"corruptions": "snow"})


def test_a_walk_takes_the_true_class_where_it_is_known() -> None:
    classifier, images = load_classifier(MODELS[0], "cpu"), load_images("demo:photos")
    recipe = Recipe.make("severity", models=MODELS[:1], images="demo:photos", rows=[3], settings={"steps": 2})
    found: Any = recipe.run([classifier], images, silent)
    assert found.label == int(images.labels[3])
    assert found.labelled
    unknown = ImageSet(images.pixels, torch.full_like(images.labels, -1), images.names, (), images.source)
    guessed: Any = recipe.run([classifier], unknown, silent)
    assert not guessed.labelled
    assert guessed.label == int(classifier.predict(images.pixels[[3]]).label[0])
    np.testing.assert_allclose(found.images, guessed.images)
