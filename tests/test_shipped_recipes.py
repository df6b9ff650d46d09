"""The recipes in assets can be followed: each is complete, of this version, and drawn with fewer images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.checkpoints import demo_models, load_classifier
from core.compute import silent
from core.figures.paper import figure_bytes, read_recipe
from core.images import load_images
from core.recipe import Recipe

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "recipes"
QUICK: dict[str, dict[str, Any]] = {
    "frequency": {"count": 1, "stride": 12, "slides": 0},
    "severity": {"count": 2, "corruptions": "contrast,fog"},
}


def test_every_recipe_is_known_here() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(QUICK)


@pytest.mark.parametrize("name", QUICK)
def test_a_recipe_is_complete_and_can_be_followed(name: str) -> None:
    file = FOLDER / f"{name}.json"
    recipe = Recipe.parse(file.read_text(encoding="utf-8"))
    assert read_recipe(file) == recipe.mapping()
    assert set(recipe.models) <= set(demo_models())
    small = recipe.with_settings(**QUICK[name])
    classifiers, images = [load_classifier(source, "cpu") for source in small.models], load_images(small.images)
    loaded = dict(zip(small.models, classifiers, strict=True))
    results = [part.run([loaded[source] for source in part.models], images, silent) for part in small.parts()]
    chart = small.chart(results, classifiers, images)
    assert figure_bytes(chart, "pdf", **small.paper()).startswith(b"%PDF")
    assert read_recipe(figure_bytes(chart, "svg", **small.paper())) == small.mapping()
