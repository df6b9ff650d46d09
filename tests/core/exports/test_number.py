"""Numbers read off a result: as they stand, of samples, and in columns with labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from core.exports.number import Maker, Number, columns, known, per_sample, samples
from core.recipes.recipe import Recipe
from core.result import Result, quantity


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured(Result):
    """Distances of three images, each by two ways, with how they were found."""

    distance: np.ndarray = quantity("ℓ2 pixel", "image way")
    found: np.ndarray = quantity("", "image")
    largest: float = quantity("")

    def median(self) -> float:
        return 2.5


RECIPE = Recipe.make("slice", models=["demo:digits/standard"], images="demo:digits", rows=(0, 1, 2), settings={})
RESULT = Measured(
    distance=np.array([[1.0, 3.0], [np.nan, 4.0], [np.nan, np.inf]]),
    found=np.array([True, False, True]),
    largest=4.0,
    forwards=0,
    gradients=0,
    seconds=0.0,
)


def read(maker: Maker) -> list[Number]:
    return list(maker(RESULT, RECIPE, []))


def test_what_is_known_as_it_stands() -> None:
    first, second = read(known("largest:largest distance:ℓ2 pixel", "median"))
    assert (first.name, first.value, first.unit) == ("largest distance", 4.0, "ℓ2 pixel")
    assert (second.name, second.value, second.unit) == ("median", 2.5, "")


def test_a_sample_stands_with_the_mean_of_what_is_finite() -> None:
    distance, found = read(samples("distance", "found:images found"))
    np.testing.assert_array_equal(distance.value, [2.0, 4.0, np.nan])
    assert (distance.name, distance.unit) == ("distance", "ℓ2 pixel")  # the field's own unit
    assert found.name == "images found"
    np.testing.assert_array_equal(found.value, [True, False, True])


@pytest.mark.parametrize("across", [False, True])
def test_columns_have_labels(across: bool) -> None:
    labels = ("a", "b", "c") if across else ("one way", "the other")
    numbers = read(columns(lambda result: labels, "distance", across=across))
    assert [each.name for each in numbers] == [f"distance, {label}" for label in labels]
    lines = RESULT.distance if across else RESULT.distance.T
    for each, line in zip(numbers, lines, strict=True):
        np.testing.assert_array_equal(each.value, np.where(np.isfinite(line), line, np.nan))


def test_shares_of_samples_in_several_directions_are_means() -> None:
    np.testing.assert_array_equal(per_sample(np.array([[True, False], [True, True]])), [0.5, 1.0])
