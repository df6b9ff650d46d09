"""Overlaps against brute force over all sets, and the random sets against what chance says."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from core.geometry.sparse.support_overlap import (
    auc,
    chance_iou,
    deviation,
    hits_among_largest,
    iou,
    largest_deviations,
    pairwise_iou,
    random_supports,
    rank_correlation,
)

SIZES = st.tuples(st.integers(0, 5), st.integers(0, 5))


def all_sets(size: int, pixels: int) -> np.ndarray:
    sets = np.zeros((len(list(combinations(range(pixels), size))), pixels), bool)
    for row, members in enumerate(combinations(range(pixels), size)):
        sets[row, list(members)] = True
    return sets


def some_rows(rows: int = 40, pixels: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 12, (rows, pixels)).astype(np.float64)  # with ties
    return scores, generator.random((rows, pixels)) < generator.uniform(0.1, 0.6, (rows, 1))


@given(SIZES)
def test_the_iou_by_chance_is_the_mean_over_all_pairs_of_sets(sizes: tuple[int, int]) -> None:
    first, second = (all_sets(size, 6) for size in sizes)
    expected = iou(first[:, None], second[None]).mean()
    np.testing.assert_allclose(chance_iou(*sizes, 6), expected, rtol=1e-12)


def test_pairs_of_sets() -> None:
    _, supports = some_rows()
    supports[3] = supports[4] = False
    np.testing.assert_allclose(pairwise_iou(supports), iou(supports[:, None], supports[None]), rtol=1e-12)
    assert np.isnan(pairwise_iou(supports)[3, 4])


def test_precision_is_the_mean_over_orders_of_equal_scores() -> None:
    scores, supports = some_rows()
    generator = np.random.default_rng(1)
    drawn = []
    for _ in range(4000):
        order = np.argsort(-(scores + 0.5 * generator.random(scores.shape)), axis=1)
        ranks = np.argsort(order, axis=1)
        drawn.append((supports & (ranks < supports.sum(1, keepdims=True))).sum(1))
    np.testing.assert_allclose(hits_among_largest(scores, supports), np.mean(drawn, 0), atol=0.06)


def test_a_constant_map_predicts_what_chance_does_and_the_set_itself_all() -> None:
    _, supports = some_rows()
    sizes = supports.sum(1)
    np.testing.assert_allclose(hits_among_largest(np.zeros(supports.shape), supports) / sizes, sizes / 30)
    np.testing.assert_allclose(hits_among_largest(supports * 1.0, supports), sizes)
    np.testing.assert_allclose(auc(np.zeros(supports.shape), supports), 0.5)
    np.testing.assert_allclose(auc(supports * 1.0, supports), 1.0)


def test_auc_and_rank_correlation_are_those_of_the_libraries() -> None:
    scores, supports = some_rows()
    values = np.random.default_rng(2).integers(0, 9, scores.shape).astype(np.float64)
    for row, area in enumerate(auc(scores, supports)):
        assert area == pytest.approx(roc_auc_score(supports[row], scores[row]), abs=1e-12)
    for row, found in enumerate(rank_correlation(scores, np.where(supports, values, np.nan), supports)):
        inside = supports[row]
        if inside.sum() >= 3:
            assert found == pytest.approx(spearmanr(scores[row][inside], values[row][inside]).statistic, abs=1e-12)
        else:
            assert np.isnan(found)


def test_what_cannot_be_asked_of_an_empty_set_is_nan() -> None:
    scores, empty = np.ones((2, 4)), np.zeros((2, 4), bool)
    assert np.isnan(hits_among_largest(scores, empty)).all()
    assert np.isnan(auc(scores, empty)).all()
    assert np.isnan(auc(scores, ~empty)).all()
    assert np.isnan(rank_correlation(scores, scores, empty)).all()
    assert np.isnan(rank_correlation(scores, scores, ~empty)).all()  # all scores equal
    assert np.isnan(chance_iou(0, 0, 4))


def test_every_set_of_a_size_is_equally_likely() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = np.tile([0, 1, 3, 5], 5000)
    marks = random_supports(sizes, 5, generator)
    np.testing.assert_array_equal(marks.sum(1), sizes)
    drawn = marks[sizes == 3]
    codes, counts = np.unique(drawn @ (1 << np.arange(5)), return_counts=True)
    assert len(codes) == 10
    assert np.abs(counts / 5000 - 0.1).max() < 4 * np.sqrt(0.09 / 5000)


def test_the_deviation_of_random_sets_has_mean_0_and_variance_1() -> None:
    sizes = np.array([3, 10, 1, 7])
    generator = torch.Generator().manual_seed(1)
    counts = random_supports(np.tile(sizes, 4000), 20, generator).reshape(4000, 4, 20).sum(1)
    strayed = deviation(counts, sizes, 20)
    np.testing.assert_allclose(strayed.mean(), 0, atol=1e-12)  # the counts of all pixels add up to the sizes
    assert strayed.var() == pytest.approx(1, abs=0.03)
    assert np.isnan(deviation(np.zeros(20), np.array([], np.int64), 20)).all()


def test_the_largest_deviation_follows_the_seed_and_passes_memory_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = np.array([3, 10, 1, 7])
    whole = largest_deviations(sizes, 20, 50, 0)
    np.testing.assert_array_equal(whole, largest_deviations(sizes, 20, 50, 0))
    assert (whole != largest_deviations(sizes, 20, 50, 1)).any()
    monkeypatch.setattr("core.geometry.sparse.support_overlap._MOST_MARKS", 80 * 7)
    pieces = largest_deviations(sizes, 20, 50, 0)
    assert len(pieces) == 50
    assert (np.diff(pieces) >= 0).all()
    assert pieces.mean() == pytest.approx(whole.mean(), rel=0.15)
