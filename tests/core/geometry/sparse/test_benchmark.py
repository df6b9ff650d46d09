"""Budgets on histories that are known, and the benchmark on a model that one step settles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.geometry.common.sampling import correct_rows
from core.geometry.sparse.benchmark import COMPARISONS, Comparison, QueryBudgetCurve, best_within, query_budget_curve
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import truths
from tests.perturbations import a_perturbation


def test_a_budget_buys_the_best_that_was_found_for_it() -> None:
    support = np.zeros((3, 4, 4), bool)
    support[0, 0, :2] = support[1, :3, :2] = True
    nothing = np.nan
    run = a_perturbation(
        support,
        [0, 0, 0],
        [1, 1, 1],
        history=np.array([[nothing, 9.0, 4.0], [8.0, 7.0, nothing], [nothing] * 3]),
        history_gradients=np.array([[2, 5, 9], [1, 3, 3], [2, 4, 6]]),
        image_gradients=np.array([12, 6, 8]),
    )
    found = best_within(run, np.array([0, 1, 4, 5, 6, 9, 12]))
    never = np.inf
    np.testing.assert_array_equal(found[0], [never, never, never, 9, 9, 4, 2])
    np.testing.assert_array_equal(found[1], [never, 8, 7, 7, 6, 6, 6])
    np.testing.assert_array_equal(found[2], never)


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_all_methods_find_the_one_pixel_of_a_model_that_has_one(compare: Comparison, dtype: torch.dtype) -> None:
    shape = (1, 6, 6)
    weight = torch.zeros((2, 6, 6), dtype=torch.float64)
    weight[1, 2, 4] = 4.0
    module = truths.Affine(weight.flatten(1), torch.tensor([1.9, 0.0], dtype=torch.float64))
    images = 0.3 + 0.1 * truths.images(5, shape, dtype=dtype)  # at 0.475 another class wins; 3 x as far is in the box
    found = query_budget_curve(truths.classifier(module, shape, dtype), images, compare=compare)
    assert len(found.methods) == 4
    np.testing.assert_array_equal(found.pixels, 1)
    np.testing.assert_array_equal(found.median[:, -1], 1)
    np.testing.assert_array_equal(found.flipped[:, -1], 1)
    assert (np.diff(found.flipped, axis=1) >= 0).all()
    assert (found.spent >= 1).all()


def test_on_a_demo_model_curves_fall_and_quartiles_enclose_the_median() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    rows = correct_rows([classifier], images.pixels, images.labels.numpy(), 3, 0)
    told: list[float] = []
    found = query_budget_curve(
        classifier, images.pixels[rows], on_progress=lambda part, partial=None: told.append(part)
    )
    for median, lower, upper in zip(found.median, found.lower, found.upper, strict=True):
        known = np.isfinite(median)
        assert known[-1]
        assert (np.diff(median[known]) <= 0).all()
        assert (lower[known] <= median[known]).all()
        both = np.isfinite(upper)
        assert (upper[both] >= median[both]).all()
    np.testing.assert_array_equal(found.median[:, -1], np.median(found.pixels, 1))
    assert told == sorted(told)
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, QueryBudgetCurve)
    assert list(again.methods) == list(found.methods)
