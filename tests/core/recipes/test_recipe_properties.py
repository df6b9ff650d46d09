"""Whatever a file or a link holds, it is a recipe or one sentence; and every recipe survives both ways out and back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analyses.parameters import Parameter
from core.analyses.table import TABLE
from core.errors import RecipeError
from core.recipes.recipe import Recipe

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
)
NAMES = st.sampled_from(sorted(TABLE))


def values_of(entry: Parameter) -> st.SearchStrategy[Any]:
    """Values that a setting may take, beside its default."""
    low, high = entry.limits or (-1e6, 1e6)
    own: st.SearchStrategy[Any] = st.just(entry.default)
    if entry.kind == "choice":
        own = st.sampled_from(entry.choices)
    elif entry.kind == "integer":
        own = st.integers(math.ceil(low), math.floor(high))
    elif entry.kind == "number":
        own = st.floats(low, high)
    return st.just(entry.default) | own


def a_recipe(name: str, data: st.DataObject) -> Recipe:
    known = TABLE[name]
    entries = (*known.parameters, *known.figure_settings)
    settings = {entry.name: data.draw(values_of(entry), label=entry.name) for entry in entries}
    plain = {entry.name: entry.parse(settings[entry.name]) for entry in known.parameters}
    fewest, most = known.images(plain)
    rows = data.draw(st.lists(st.integers(0, 10**9), min_size=fewest, max_size=min(most, fewest + 2)), label="rows")
    return Recipe.make(name, models=["demo:photos/standard"], images="demo:photos", rows=rows, settings=settings)


def answer(make: Callable[[], Recipe]) -> str:
    """What is said of something that is no recipe; "" of a recipe."""
    try:
        make()
    except RecipeError as error:
        return str(error)
    return ""


def plain_or_a_sentence(said: str) -> bool:
    """Whether it was a recipe, or is refused in one line for a person, of a length that a page can show."""
    return not said or ("\n" not in said and 10 < len(said) < 3000 and "expected" in said)


def read(text: str) -> None:
    said = answer(lambda: Recipe.parse(text))
    assert plain_or_a_sentence(said), said


@given(text=st.text(max_size=200))
def test_any_text_is_a_recipe_or_a_sentence(text: str) -> None:
    read(text)


@given(value=ANYTHING)
def test_any_json_is_a_recipe_or_a_sentence(value: Any) -> None:
    read(json.dumps(value))


@pytest.mark.parametrize("text", ["1" * 5000, '{"recipe":' + "9" * 5000 + "}", "[" * 100_000, "NaN", "\ud800"])
def test_texts_that_break_readers_of_json_are_a_sentence(text: str) -> None:
    read(text)


@settings(max_examples=40)
@given(
    name=NAMES, place=st.sampled_from(["models", "images", "parameters", "figure", "version", "recipe"]), value=ANYTHING
)
def test_a_recipe_with_one_wild_part_is_a_recipe_or_a_sentence(name: str, place: str, value: Any) -> None:
    rows = list(range(TABLE[name].images({e.name: e.parse(e.default) for e in TABLE[name].parameters})[0]))
    plain = Recipe.make(name, models=["demo:photos/standard"], images="demo:photos", rows=rows).mapping()
    read(json.dumps({**plain, place: value}))


@settings(max_examples=40)
@given(name=NAMES, data=st.data())
def test_a_recipe_with_one_wild_setting_is_a_recipe_or_a_sentence(name: str, data: st.DataObject) -> None:
    known = TABLE[name]
    rows = list(range(known.images({entry.name: entry.parse(entry.default) for entry in known.parameters})[0]))
    plain = Recipe.make(name, models=["demo:photos/standard"], images="demo:photos", rows=rows).mapping()
    part = data.draw(st.sampled_from(["parameters", "figure"]).filter(lambda part: bool(plain[part])))
    setting = data.draw(st.sampled_from(sorted(plain[part])))
    read(json.dumps({**plain, part: {**plain[part], setting: data.draw(ANYTHING)}}))


@given(name=NAMES, query=st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=5))
def test_any_link_is_a_recipe_or_a_sentence(name: str, query: dict[str, str]) -> None:
    said = answer(lambda: Recipe.from_query(name, query))
    assert plain_or_a_sentence(said), said


@settings(max_examples=40)
@given(name=NAMES, data=st.data())
def test_a_recipe_survives_a_file_and_a_link(name: str, data: st.DataObject) -> None:
    recipe = a_recipe(name, data)
    assert Recipe.parse(recipe.json()) == recipe
    assert Recipe.from_query(name, recipe.query()) == recipe
