"""Settings are read from JSON, links and the command line alike, and written so that they read back exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analyses.parameters import Parameter
from core.errors import RecipeError

NUMBER = Parameter(name="width", kind="number", default=1.0, limits=(0, 1e9), help="A width.")
NUMBERS = Parameter(name="levels", kind="numbers", default=(), help="Levels.")
WHOLE = Parameter(name="seed", kind="integer", default=0, limits=(0, 100), help="A seed.")
CHOICE = Parameter(name="method", kind="choice", default="a", choices=("a", "b"), help="A method.")


@given(st.floats(0, 1e9))
def test_numbers_survive_text_exactly(value: float) -> None:
    assert NUMBER.parse(Parameter.text(value)) == value


@given(st.lists(st.floats(-1e300, 1e300), max_size=5))
def test_lists_of_numbers_survive_text_exactly(values: list[float]) -> None:
    assert NUMBERS.parse(Parameter.text(NUMBERS.parse(values))) == tuple(values)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (NUMBER, "many", "width: expected a number from 0 to 1e[+]09, got 'many'"),
        (NUMBER, None, "width: expected a number"),
        (NUMBER, -1, "width: expected a number from 0"),
        (NUMBER, 10**400, "width: expected a number"),
        (NUMBERS, 5, "levels: expected some numbers, got 5"),
        (NUMBERS, "1,x", "levels: expected a number, got 'x'"),
        (WHOLE, 1.5, "seed: expected a whole number, got 1.5"),
        (WHOLE, 101, "seed: expected a number from 0 to 100, got 101"),
        (CHOICE, "c", "method: expected one of a, b, got 'c'"),
        (CHOICE, ["a"], "method: expected one of a, b"),
    ],
)
def test_values_out_of_range_are_told_in_one_sentence(parameter: Parameter, value: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parameter.parse(value)


def test_a_text_is_checked_by_whoever_understands_it() -> None:
    def check(text: str) -> None:
        if text != "known":
            raise ValueError(f"expected known, got {text}")

    parameter = Parameter(name="u", kind="text", default="known", check=check, help="A text.")
    assert parameter.parse("known") == "known"
    with pytest.raises(RecipeError, match="u: expected known, got other"):
        parameter.parse("other")
    with pytest.raises(RecipeError, match="u: expected a short text"):
        parameter.parse("x" * 500)
