"""The gallery: every recipe that comes along is in it once, with a picture; and each can be asked of another model."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from core.errors import RecipeError
from core.recipes.gallery import PICTURES, RECIPES, SIZE, exhibit, gallery, on_models, picture
from core.recipes.recipe import Recipe


def test_every_recipe_is_in_the_gallery_once_with_a_picture() -> None:
    names = [each.name for each in gallery()]
    assert sorted(names) == sorted(path.stem for path in RECIPES.glob("*.json"))
    assert sorted(names) == sorted(path.stem for path in PICTURES.glob("*.png"))
    assert sum(each.picture.stat().st_size for each in gallery()) < 1.5e6


def test_each_of_five_papers_has_two_recipes_or_more() -> None:
    counts = Counter(each.key for each in gallery())
    assert set(counts) == {"2209.02408", "1705.09552", "2310.19889", "VISAPP 2017", "2112.04033"}
    assert min(counts.values()) >= 2
    assert all(each.line.endswith(".") and len(each.line) <= 120 for each in gallery())


@pytest.mark.parametrize("name", [each.name for each in gallery()])
def test_a_picture_holds_a_figure_of_its_size(name: str) -> None:
    with Image.open(exhibit(name).picture) as drawn:
        assert drawn.size == SIZE
        assert np.asarray(drawn.convert("L")).std() > 10


def test_a_picture_is_drawn_again_as_it_lies_there() -> None:
    drawn = np.asarray(Image.open(io.BytesIO(picture(exhibit("limits").recipe, device="cpu"))).convert("RGB"))
    kept = np.asarray(Image.open(exhibit("limits").picture).convert("RGB"))
    assert (drawn == kept).mean() > 0.99


def test_a_recipe_is_asked_of_another_model_without_its_picked_point() -> None:
    picked = exhibit("local_directions").recipe.with_settings(at="0.5,0.5", plane="directions")
    asked = on_models(picked, ["demo:digits/standard"], "demo:digits")
    assert asked.models == ("demo:digits/standard",)
    assert asked.parameters["at"] is None
    assert asked == Recipe.make(
        picked.analysis,
        models=["demo:digits/standard"],
        images="demo:digits",
        rows=picked.rows,
        settings={**picked.parameters, **picked.figure, "at": None},
    )


def test_a_name_of_no_recipe_is_refused_with_those_there_are() -> None:
    with pytest.raises(RecipeError, match="expected a file or one of few_pixels or 13 others, got 'fewpixels'"):
        exhibit("fewpixels")
