"""Random samples of images, balanced over the classes; of correctly classified ones where models are given.

A misclassified image is already on the other side of its boundary: the change that moves it across says nothing about
its true class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.models.classifier import Classifier


def correct_rows(
    classifiers: Sequence[Classifier], images: Float[Tensor, "n c h w"], labels: np.ndarray, count: int, seed: int
) -> np.ndarray:
    """Rows of images that every model classifies correctly, balanced over the classes.

    Args:
        classifiers: the models.
        images: the whole set.
        labels: (n,) the class of each image; -1 where it is unknown: there the models only have to agree.
        count: how many rows to draw; fewer where fewer images are classified correctly.
        seed: of the draw.

    Returns:
        Rows in ascending order, int64; the numbers per class differ by at most one where enough images are correct.

    Raises:
        ValueError: if `count` is below 1, or the models classify no image correctly.
    """
    if count < 1:
        raise ValueError(f"expected at least one image, got {count}")
    predicted = np.stack([classifier.predict(images).label for classifier in classifiers])
    wanted = np.where(labels >= 0, labels, predicted[0])
    rows = stratified(np.where((predicted == wanted).all(0), wanted, -1), count, seed)
    if not len(rows):
        raise ValueError(f"expected images that all models classify correctly, got {len(images)} that they do not")
    return rows


def stratified(classes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows drawn at random, one class after the other in turn.

    Args:
        classes: (n,) the class of each row; rows of class -1 are never drawn.
        count: how many rows to draw.
        seed: of the draw.

    Returns:
        At most `count` rows in ascending order.

    >>> stratified(np.array([0, 0, 0, 1, -1]), 2, seed=0)[1]
    np.int64(3)
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(classes), generator=generator).numpy()
    shuffled = shuffled[classes[shuffled] >= 0]
    order = np.argsort(classes[shuffled], kind="stable")
    grouped = classes[shuffled][order]
    turn = np.empty(len(grouped), np.int64)
    turn[order] = np.arange(len(grouped)) - np.searchsorted(grouped, grouped)  # how many of its class come before
    return np.sort(shuffled[np.argsort(turn, kind="stable")][:count])
