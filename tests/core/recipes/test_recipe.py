"""Recipes are checked whoever wrote them, and survive every form they travel in."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analyses.analysis import PAPER
from core.analyses.parameters import Parameter
from core.analyses.table import ALIASES, TABLE
from core.errors import RecipeError
from core.recipes.recipe import Recipe


def a_recipe(**settings: Any) -> Recipe:
    return Recipe.make(
        "slice", models=["demo:photos/standard"], images="demo:photos", rows=[3, 17, 42], settings=settings
    )


finite = st.floats(-1e3, 1e3, allow_nan=False)


def square(x: float, y: float, width: float) -> list[float]:
    """An extent."""
    return [x, x + width, y, y + width]


settings = st.fixed_dictionaries(
    {
        "extent": st.none() | st.builds(square, finite, finite, st.floats(1e-2, 1e3)),
        "resolution": st.integers(16, 2048),
        "method": st.sampled_from(["adaptive", "careful", "full"]),
        "shading": st.sampled_from(["class", "confidence", "margin", "entropy"]),
        "levels": st.lists(st.floats(0, 1e6), max_size=3),
        "width": st.floats(20, 400),
    }
)


@given(settings, st.lists(st.integers(0, 10**6), min_size=3, max_size=3))
def test_a_recipe_survives_json_and_links_exactly(settings: dict[str, Any], rows: list[int]) -> None:
    models = ["demo:photos/standard", "demo:photos/standard-1"]
    recipe = Recipe.make("slice", models=models, images="demo:photos", rows=rows, settings=settings)
    assert Recipe.parse(recipe.json()) == recipe
    assert Recipe.from_query("slice", recipe.query()) == recipe
    assert Recipe.parse(recipe.json()).json() == recipe.json()


def test_former_names_of_analyses_and_settings_are_followed() -> None:
    whose = {"models": ["demo:photos/standard"], "images": "demo:photos", "rows": [3]}
    recipe = Recipe.make("benchmark", **whose, settings={"compare": "multipliers"})
    assert Recipe.make("race", **whose, settings={"contest": "multipliers"}) == recipe
    old = recipe.mapping() | {"analysis": "race", "parameters": {"contest": "multipliers"}}
    assert Recipe.read(old) == recipe
    query = {"contest" if name == "compare" else name: value for name, value in recipe.query().items()}
    assert Recipe.from_query("race", query) == recipe


def test_former_names_are_no_present_ones() -> None:
    assert not set(ALIASES) & set(TABLE)
    for entry in TABLE.values():
        settings = (*entry.parameters, *entry.figure_settings)
        assert not {alias for each in settings for alias in each.aliases} & {each.name for each in settings}


def test_defaults_stay_out_of_links_but_stand_in_files() -> None:
    recipe = a_recipe()
    assert recipe.query() == {"models": "demo:photos/standard", "images": "demo:photos", "rows": "3,17,42"}
    mapping = recipe.mapping()
    assert mapping["parameters"]["method"] == "adaptive"
    assert mapping["figure"]["width"] == 89.0
    assert recipe.json().isascii()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "clever"}, "method: expected one of adaptive, careful, full, got 'clever'"),
        ({"resolution": 4}, "resolution: expected a number from 16 to 2048, got 4"),
        ({"resolution": 64.5}, "resolution: expected a whole number, got 64.5"),
        ({"resolution": "nan"}, "resolution: expected a number"),
        ({"resolution": True}, "resolution: expected a number"),
        ({"resolution": "1e999"}, "resolution: expected a number"),
        ({"extent": "1,2,3"}, "extent: expected 4 numbers"),
        ({"extent": [0, 1, 0, float("inf")]}, "extent: expected a number"),
        ({"extent": {"x": 1}}, "extent: expected 4 numbers"),
        ({"extent": [0, 1, 0, 2]}, "extent: expected x_min, x_max, y_min, y_max of a square"),
        ({"extent": [1, 0, 1, 0]}, "extent: expected x_min, x_max, y_min, y_max of a square"),
        ({"extent": [0, 1e-30, 0, 1e-30]}, "extent: expected x_min, x_max, y_min, y_max of a square"),
        ({"colour": "red"}, "expected settings of slice .*, got 'colour'"),
        ({"method": "x" * 1000}, r"got 'xxx.*\.\.\.$"),
    ],
)
def test_wild_settings_are_refused_in_one_short_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        a_recipe(**settings)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def mapping(**changes: Any) -> dict[str, Any]:
    return {**a_recipe().mapping(), **changes}


@pytest.mark.parametrize(
    ("wild", "message"),
    [
        (None, "expected a recipe of Boundary Atlas, got None"),
        ([], "expected a recipe of Boundary Atlas"),
        ({"recipe": 1}, "expected a recipe of Boundary Atlas"),
        (mapping(recipe=2), "expected a recipe of format 1, got 2"),
        (mapping(analysis="magic"), "expected an analysis out of slice"),
        (mapping(analysis=["slice"]), "expected an analysis out of slice"),
        (mapping(version=99), "expected version 1 of slice, got 99"),
        (mapping(models=[]), "expected 1 to 16 models, got 0"),
        (mapping(models="demo:photos/standard"), "expected a list of models"),
        (mapping(models=[3]), "expected the name of a source"),
        (mapping(models=["a\nb"]), "expected the name of a source"),
        (mapping(images="demo:photos"), "expected images with source and rows"),
        (mapping(images={"source": "", "rows": [1, 2, 3]}), "expected the name of a source"),
        (mapping(images={"source": "demo:photos", "rows": [1, 2]}), "expected 3 images for slice, got 2"),
        (mapping(images={"source": "demo:photos", "rows": ["x"] * 1_000_000}), "expected 3 images for slice, got 1000"),
        (mapping(images={"source": "demo:photos", "rows": [1, 2, -3]}), "rows: expected a number from 0"),
        (mapping(images={"source": "demo:photos", "rows": [1, 2, 2.5]}), "rows: expected a whole number"),
        (mapping(images={"source": "demo:photos", "rows": "1,2,3"}), "expected a list of rows"),
        (mapping(images={"source": "demo:photos", "rows": {"1": 2}}), "expected a list of rows"),
        (mapping(parameters=[1]), "expected parameters by name"),
    ],
)
def test_wild_recipes_are_refused_in_one_sentence(wild: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.read(wild)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(st.sampled_from(list(a_recipe().mapping())), json_values)
def test_no_value_anywhere_in_a_recipe_raises_anything_else(part: str, value: Any) -> None:
    with contextlib.suppress(RecipeError):
        Recipe.read(mapping(**{part: value}))


@given(st.dictionaries(st.sampled_from(["models", "images", "rows", "extent", "resolution", "x"]), st.text()))
def test_no_link_raises_anything_else(query: dict[str, str]) -> None:
    with contextlib.suppress(RecipeError):
        Recipe.from_query("slice", query)


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(RecipeError, match="expected a recipe as JSON"):
        Recipe.parse("{broken")


def test_the_reference_stays_first_when_one_model_is_taken_out() -> None:
    recipe = Recipe.make("slice", models=["a", "b", "c"], images="i", rows=[1, 2, 3])
    assert [part.models for part in recipe.parts()] == [("a",), ("a", "b"), ("a", "c")]


def test_changed_settings_are_checked_too() -> None:
    recipe = a_recipe().with_settings(method="full")
    assert recipe.parameters["method"] == "full"
    with pytest.raises(RecipeError):
        recipe.with_settings(method="clever")


@pytest.mark.parametrize("analysis", TABLE.values(), ids=TABLE.keys())
def test_every_setting_is_explained_and_its_default_valid(analysis: Any) -> None:
    names = [entry.name for entry in (*analysis.parameters, *analysis.figure_settings)]
    assert len(set(names)) == len(names)
    assert not set(names) & {"models", "images", "rows", "point"}  # the link's own words
    for entry in (*analysis.parameters, *analysis.figure_settings):
        assert isinstance(entry, Parameter)
        assert entry.help.endswith(".")
        assert "\n" not in entry.help
        assert entry.parse(entry.text(entry.parse(entry.default))) == entry.parse(entry.default)
    assert analysis.question.endswith("?")
    json.dumps([entry.default for entry in PAPER])
