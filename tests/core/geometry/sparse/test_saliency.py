"""What predicts supports: maps with a known answer, chance for those without one."""

from __future__ import annotations

import numpy as np

from core.geometry.sparse.saliency import bright_part, picture_maps, predictions
from core.geometry.sparse.support_overlap import random_supports


def random_support(count: int = 60, side: int = 12, size: int = 9) -> np.ndarray:
    import torch

    marks = random_supports(np.full(count, size), side * side, torch.Generator().manual_seed(0))
    return marks.reshape(count, side, side)


def test_a_map_that_is_the_support_predicts_it_and_the_opposite_map_does_not() -> None:
    support = random_support()
    reliance = np.where(support, np.arange(support[0].size).reshape(support.shape[1:]), np.nan)
    found = predictions((support * 1.0, -1.0 * support, np.nan_to_num(reliance)), support, reliance)
    np.testing.assert_allclose(found["precision"][:2].T, [[1, 0]] * len(support))
    np.testing.assert_allclose(found["iou"][:2].T, [[1, 0]] * len(support))
    np.testing.assert_allclose(found["auc"][:2].T, [[1, 0]] * len(support))
    np.testing.assert_allclose(found["rank_correlation"][2], 1)
    assert np.isnan(found["rank_correlation"][0]).all()  # all scores of the support are equal
    np.testing.assert_allclose(found["precision_chance"], 9 / 144)
    np.testing.assert_allclose(found["deciles"][0].sum(), 1)
    assert found["deciles"][0].argmax() > found["deciles"][1].argmax()


def test_maps_that_have_nothing_to_do_with_it_predict_what_chance_does() -> None:
    support = random_support()
    scores = np.random.default_rng(0).random(support.shape)
    found = predictions((scores, np.zeros(support.shape)), support, scores)
    np.testing.assert_allclose(found["precision"].mean(1), 9 / 144, atol=0.02)
    np.testing.assert_allclose(found["precision"][1], found["precision_chance"])
    np.testing.assert_allclose(found["iou"][0].mean(), found["iou_chance"].mean(), atol=0.02)
    np.testing.assert_allclose(found["auc"].mean(1), 0.5, atol=0.03)
    np.testing.assert_allclose(found["deciles"][0], 0.1, atol=0.04)
    np.testing.assert_allclose(found["deciles"][1], found["deciles_chance"][1])  # equal values share one tenth
    np.testing.assert_allclose(found["deciles_chance"][0], 0.1, atol=0.005)


def test_an_image_without_a_support_has_no_answer() -> None:
    support = random_support(3)
    support[1] = False
    found = predictions((support * 1.0,), support, np.where(support, 1.0, np.nan))
    for name in ("precision", "iou", "auc"):
        np.testing.assert_array_equal(np.isnan(found[name][0]), [False, True, False])
    for name in ("precision_chance", "iou_chance"):
        np.testing.assert_array_equal(np.isnan(found[name]), [False, True, False])
    nobody = predictions((support * 1.0,), np.zeros_like(support), np.full(support.shape, np.nan))
    assert np.isnan(nobody["deciles"]).all()


def test_local_contrast_is_the_standard_deviation_of_the_window() -> None:
    images = np.random.default_rng(1).random((2, 3, 9, 11))
    brightness, contrast = picture_maps(images)
    grey = images.mean(1)
    np.testing.assert_allclose(brightness, grey)
    np.testing.assert_allclose(contrast[1, 4, 5], grey[1, 2:7, 3:8].std(), rtol=1e-9)
    corner = np.pad(grey[0], 2, mode="edge")[:5, :5]
    np.testing.assert_allclose(contrast[0, 0, 0], corner.std(), rtol=1e-9)
    assert (picture_maps(np.full((1, 3, 6, 6), 0.7))[1] == 0).all()


def test_the_bright_part_is_the_ink_of_a_drawing() -> None:
    drawing = np.zeros((2, 5, 5))
    drawing[0, 1:3] = 0.8
    drawing[0, 3] = 0.3
    part = bright_part(drawing)
    assert part[0, 1:3].all()
    assert part.sum() == 10
