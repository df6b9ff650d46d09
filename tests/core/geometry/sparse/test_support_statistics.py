"""Statistics of supports that are known, and those found on classifiers whose supports are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.geometry.common.intervals import wilson
from core.geometry.common.sampling import correct_rows
from core.geometry.sparse.support_statistics import SupportStatistics, statistics, support_statistics
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import truths
from tests.perturbations import a_perturbation

SIDE = 8


def four_images() -> np.ndarray:
    """Two share two pixels, one has another one, one has none."""
    support = np.zeros((4, SIDE, SIDE), bool)
    support[0, 2, 2:4] = support[1, 2, 2:4] = support[2, 5, 5] = True
    support[1, 7, 7] = True
    return support


def statistics_of(support: np.ndarray, source: list[int], target: list[int], other: np.ndarray | None = None) -> dict:
    runs = {"one": a_perturbation(support, source, target)}
    if other is not None:
        runs["other"] = a_perturbation(other, source, target)
    blank = np.zeros((len(support), 1, *support.shape[1:]))
    return statistics(runs, blank, support * 1.0, draws=200, seed=0)


def test_frequencies_count_the_images_found() -> None:
    found = statistics_of(four_images(), [0, 0, 1, 1], [1, 2, 2, 2])
    assert found["frequency"][2, 2] == found["frequency"][2, 3] == pytest.approx(2 / 3)
    assert found["frequency"][5, 5] == pytest.approx(1 / 3)
    low, high = wilson(2, 3)
    assert (found["frequency_low"][2, 2], found["frequency_high"][2, 2]) == (low, high)
    assert found["weighted"].sum() == pytest.approx(1)
    assert found["weighted"][2, 2] == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert found["weighted"][5, 5] == pytest.approx(1 / 3)


def test_the_deviation_is_that_of_random_supports_of_the_same_sizes() -> None:
    found = statistics_of(four_images(), [0, 0, 1, 1], [1, 2, 2, 2])
    shares = np.array([2, 3, 1]) / SIDE**2
    spread = math.sqrt((shares * (1 - shares)).sum())
    assert found["z"][2, 2] == pytest.approx((2 - shares.sum()) / spread)
    assert found["z"][0, 0] == pytest.approx(-shares.sum() / spread)
    assert found["z"][5, 5] <= found["z_limit"]  # one of three images: as chance would have it


def test_pairs_of_classes_and_their_maps() -> None:
    support = four_images()
    found = statistics_of(support, [0, 0, 1, 1], [1, 3, 3, 2])
    np.testing.assert_array_equal(found["classes"], [0, 1, 3])
    np.testing.assert_array_equal(found["went"], [[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(found["class_count"], [2, 2, 0])
    result = as_result(found)
    pair, count = result.map_of(0, 3)
    assert count == 1
    np.testing.assert_array_equal(pair, support[1])
    whole, every = result.map_of()
    assert every == 3
    np.testing.assert_allclose(whole, found["frequency"])
    empty, none = result.map_of(1, 0)
    assert none == 0
    assert np.isnan(empty).all()


def as_result(found: dict) -> SupportStatistics:
    settings = {"method": "sparsefool", "order": "pixel", "bound": 1.0, "draws": 200, "seed": 0, "num_classes": 4}
    return SupportStatistics(**found, **settings, forwards=0, gradients=0, seconds=0.0)


def test_the_robustness_curve_keeps_failures_in_the_denominator() -> None:
    found = statistics_of(four_images(), [0, 0, 1, 1], [1, 2, 2, 2])
    np.testing.assert_array_equal(found["limit"], [1, 2, 3])
    np.testing.assert_allclose(found["flipped"], [1 / 4, 2 / 4, 3 / 4])
    np.testing.assert_allclose(found["flipped_high"], wilson(np.array([1, 2, 3]), 4)[1])
    np.testing.assert_allclose(found["flipped_by_class"][:2], [[0, 1 / 2, 1], [1 / 2, 1 / 2, 1 / 2]])
    assert np.isnan(found["flipped_by_class"][2]).all()  # a class that images only went to


def test_stability_is_the_overlap_of_runs_and_sharing_that_of_images() -> None:
    support = four_images()
    other = support.copy()
    other[0, 2, 3], other[2] = False, False
    found = statistics_of(support, [0, 0, 1, 1], [1, 2, 2, 2], other)
    assert found["agreement"][0, 1] == pytest.approx((1 / 2 + 1) / 2)  # of the two images that both found
    three = sum(k / (6 - k) * math.comb(3, k) * math.comb(61, 3 - k) for k in range(4)) / math.comb(64, 3)
    assert found["agreement_chance"][0, 1] == pytest.approx(
        (2 / 64 / 2 + three) / 2
    )  # one pixel of two, three of three
    assert found["same_class_iou"] == pytest.approx(2 / 3)
    assert found["other_class_iou"] == 0
    result = as_result(found)
    assert result.stability == found["agreement"][0, 1]
    assert result.stability_chance == found["agreement_chance"][0, 1]
    assert math.isnan(as_result(statistics_of(support, [0, 0, 1, 1], [1, 2, 2, 2])).stability)


def test_nothing_found_is_nan_and_not_zero() -> None:
    found = statistics_of(np.zeros((2, SIDE, SIDE), bool), [0, 1], [1, 0])
    for name in ("frequency", "weighted", "z", "frequency_low"):
        assert np.isnan(found[name]).all(), name
    assert math.isnan(found["z_limit"])
    np.testing.assert_array_equal(found["flipped"], [0])
    assert math.isnan(found["same_class_iou"])


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("count", [1, 5])
def test_a_model_of_one_pixel_has_that_support_in_every_image(count: int, dtype: torch.dtype) -> None:
    shape = (3, SIDE, SIDE)
    weight = torch.zeros((2, 3, SIDE, SIDE), dtype=torch.float64)
    weight[0, :, 3, 6] = 4.0
    module = truths.Affine(weight.flatten(1), torch.tensor([0.0, 6.0], dtype=torch.float64))
    classifier = truths.classifier(module, shape, dtype)
    images = 0.4 * truths.images(count, shape, dtype=dtype)
    found = support_statistics(classifier, images, draws=50)
    expected = np.zeros((SIDE, SIDE))
    expected[3, 6] = 1
    np.testing.assert_array_equal(found.frequency, expected)
    np.testing.assert_allclose(found.agreement, 1)
    np.testing.assert_allclose(found.precision[:3], 1)
    np.testing.assert_allclose(found.auc[:3], 1)
    assert found.z.argmax() == 3 * SIDE + 6
    assert (found.z.max() > found.z_limit) == (count > 1)
    assert found.gradients >= count
    assert all(parameter.grad is None for parameter in classifier.module.parameters())
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, SupportStatistics)
    np.testing.assert_array_equal(again.support, found.support)


def test_supports_of_a_demo_model_beat_chance_and_follow_the_seed() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    rows = correct_rows([classifier], images.pixels, images.labels.numpy(), 10, 0)
    told: list[float] = []
    settings = {"draws": 50, "seeds": 1}
    found = support_statistics(
        classifier, images.pixels[rows], on_progress=lambda part, partial=None: told.append(part), **settings
    )
    assert found.found.all()
    assert (np.nanmean(found.precision[:3], 1) > 5 * np.nanmean(found.precision_chance)).all()
    assert found.agreement[0, 1] > 10 * found.agreement_chance[0, 1]
    assert list(found.runs) == ["SparseFool", "sigma-zero"]
    assert told == sorted(told)
    assert 0 <= told[0] < told[-1] <= 1
