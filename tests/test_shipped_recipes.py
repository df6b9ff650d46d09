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
    "curvature": {"count": 0, "spectrum": "ends", "keep": 4},
    "shared_directions": {"count": 2, "directions": 2, "noise": 1},
    "directions_noise": {"count": 2, "directions": 1, "draws": 2, "lengths": "1"},
    "few_pixels": {},
    "connecting_path": {},
    "blind_spot": {"steps": 6},
    "blind_spot_triangle": {"steps": 6, "resolution": 4},
    "local_directions": {"count": 8, "permutations": 9},
    "local_radius": {"others": 1, "directions": 4, "radii": "0.1,0.5"},
    "limits": {},
    "overlay": {"orders": 1},
    "detector": {"count": 3, "overshoots": "1.1", "probes": 2, "classes": 0},
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
