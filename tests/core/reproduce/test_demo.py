"""What is measured on a demo model: the right images, and numbers that belong to them."""

from __future__ import annotations

import numpy as np
import pytest

from core.reproduce.demo import DemoModel
from core.reproduce.margins import Measured, measure


@pytest.fixture(scope="module")
def standard() -> Measured:
    return measure(DemoModel.load("demo:digits/standard-1", "cpu"), 10, 0)


def test_a_trained_model_is_corrupted_and_attacked_too(standard: Measured) -> None:
    assert (standard.name, standard.data, standard.training, standard.seed) == (
        "digits/standard-1",
        "digits",
        "standard",
        "1",
    )
    assert len(standard.margins.label) == 10
    assert sorted(standard.margins.label) == list(range(10))  # one of each class
    assert standard.corrupted.shape == standard.attacked.shape == (60,)
    assert 0.5 < standard.corrupted.mean() < 1
    assert standard.attacked.dtype == bool
    assert standard.attacked.mean() < 0.5  # an ordinary model at that radius
    assert np.isfinite(standard.medians).all()
    assert (standard.medians > 0).all()


def test_the_same_seed_measures_the_same(standard: Measured) -> None:
    again = measure(DemoModel.load("demo:digits/standard-1", "cpu"), 10, 0)
    np.testing.assert_array_equal(again.margins.distance, standard.margins.distance)
    np.testing.assert_array_equal(again.corrupted, standard.corrupted)
    np.testing.assert_array_equal(again.attacked, standard.attacked)


def test_a_model_of_other_images_is_asked_about_its_own() -> None:
    found = measure(DemoModel.load("demo:digits/lowpass", "cpu"), 10, 0)
    assert found.training == "lowpass"
    assert found.corrupted.size == found.attacked.size == 0  # it was never meant to see plain digits
    assert found.margins.right.mean() >= 0.9  # right on digits as its training set had them
