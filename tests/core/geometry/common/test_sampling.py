"""Rows are drawn evenly from the classes, only correct ones, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.geometry.common.sampling import correct_rows, stratified
from tests import truths


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=60), st.integers(1, 30), st.integers(0, 5))
def test_rows_are_known_and_even(listed: list[int], count: int, seed: int) -> None:
    classes = np.array(listed)
    rows = stratified(classes, count, seed)
    assert len(rows) == min(count, int((classes >= 0).sum()))
    assert (np.diff(rows) > 0).all()
    assert (classes[rows] >= 0).all()
    drawn = {k: int((classes[rows] == k).sum()) for k in set(listed) - {-1}}
    left = [k for k in drawn if drawn[k] < listed.count(k)]  # of the others all are drawn
    if left:
        assert max(drawn.values()) <= min(drawn[k] for k in left) + 1


def test_a_seed_draws_the_same_rows_and_another_one_others() -> None:
    classes = np.arange(200) % 4
    np.testing.assert_array_equal(stratified(classes, 20, 0), stratified(classes, 20, 0))
    assert (stratified(classes, 20, 0) != stratified(classes, 20, 1)).any()


def test_only_images_that_all_models_classify_correctly_are_drawn() -> None:
    shape = (1, 4, 4)
    images = truths.images(40, shape, dtype=torch.float32)
    first, second = (
        truths.classifier(truths.NearestCentre(truths.images(3, shape, seed, torch.float32)), shape) for seed in (1, 2)
    )
    said = np.stack([model.predict(images).label for model in (first, second)])
    labels = np.where(np.arange(40) % 5 == 0, -1, said[1])
    rows = correct_rows([first, second], images, labels, 40, 0)
    np.testing.assert_array_equal(rows, np.flatnonzero(said[0] == said[1]))
    with pytest.raises(ValueError, match="expected images that all models classify correctly"):
        correct_rows([first], images, (said[0] + 1) % 3, 5, 0)
    with pytest.raises(ValueError, match="expected at least one image, got 0"):
        correct_rows([first], images, labels, 0, 0)
