"""Analyses of limits: settings reach the engine, two models share axes, and painted digits are checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.analyses.table.limits import NAMED
from core.errors import RecipeError
from core.figures.drawing.chart import Chart
from core.geometry.limits import painting
from core.geometry.limits.bounds import RobustnessBound
from core.geometry.limits.painting import PaintedClass
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.runtime.progress import silent

IMAGES = load_images("demo:digits")
MODELS = ("demo:digits/standard", "demo:digits/prime")


def run(name: str, models: tuple[str, ...] = MODELS[:1], **settings: Any) -> tuple[list[Any], Chart]:
    recipe = Recipe.make(
        name, models=models, images="demo:digits", rows=[3, 17][: 1 + (name == "overlay")], settings=settings
    )
    classifiers = [load_classifier(model, "cpu") for model in models]
    results = [
        part.run([classifiers[0], one], IMAGES, silent) for part, one in zip(recipe.parts(), classifiers, strict=True)
    ]
    return results, recipe.chart(results, classifiers, IMAGES)


def test_names_are_those_of_the_engine() -> None:
    assert NAMED == painting.NAMED


@pytest.mark.parametrize(("side", "channels", "values"), [(0, 0, 1024), (8, 3, 192)])
def test_the_format_is_the_models_own_or_another(side: int, channels: int, values: int) -> None:
    [bound], chart = run("limits", side=side, channels=channels, norm="2", bits=4)
    assert isinstance(bound, RobustnessBound)
    assert bound.values == values
    assert "4 bits per value" in chart.caption
    assert any("kept by one value" in entry.label for entry in chart.legend)


def test_the_worst_share_and_a_small_one_have_their_words() -> None:
    [worst], chart = run("limits", share=0)
    np.testing.assert_array_equal(worst.share, [0, 0.5])
    assert "0 to 0.5, the worst of them" in chart.caption
    _, small = run("limits", share=0.1)
    assert "Dotted" not in small.caption


def test_models_searched_together_share_their_axis() -> None:
    results, chart = run("survival", MODELS, count=5, draws=40, walks=1, norm="2")
    assert len(results) == 2
    assert chart.panels[0].x.limits == chart.panels[2].x.limits
    assert chart.panels[0].title == "digits/standard"
    _, labels = run("survival", count=5, draws=40, walks=1, partition="labels")
    assert "Labels of 40 drawn images" in labels.caption


def test_a_painted_class_is_read_back_or_refused() -> None:
    [found], chart = run("painting", painted="00ff", radius=2)
    assert isinstance(found, PaintedClass)
    assert found.inside.sum() == 8
    assert "8 of 16 images in the class" in chart.caption
    with pytest.raises(RecipeError, match="hexadecimal digits"):
        run("painting", painted="xyz")
    with pytest.raises(ValueError, match="128 hexadecimal digits"):
        run("painting", painted="00ff", side="3")


def test_every_small_image_and_an_overlay_are_drawn() -> None:
    [found], chart = run("enumeration", pixels=3)
    assert len(found.label) == 512
    assert "All 512 black-and-white images" in chart.caption
    _, painted = run("overlay", MODELS, orders=1, times=1)
    assert "32 of 1024 pixels" in painted.caption
    assert len(painted.panels) == 4
