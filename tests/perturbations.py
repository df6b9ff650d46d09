"""Sparse perturbations with supports that are known, for what is said about them afterwards."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from core.geometry.sparse.at_image import SparseAtImage
from core.geometry.sparse.sparse_perturbation import SparsePerturbation


def a_perturbation(support: np.ndarray, source: list[int], target: list[int], **given: Any) -> SparsePerturbation:
    """Perturbations of black images, (n, y, x) supports painted white; an empty support stands for one not found.

    Args:
        support: bool (n, y, x).
        source: the class of each image.
        target: the class it went to.
        given: fields that are to be otherwise.
    """
    n, height, width = support.shape
    sizes = support.sum((1, 2))
    found = sizes > 0
    order = np.cumsum(support.reshape(n, -1), 1).reshape(support.shape) - 1
    most = int(sizes.max(initial=0))
    steps = np.arange(most + 1)
    unknown = np.where(found, 1.0, np.nan)
    values: dict[str, Any] = {
        "adversarial": np.where(found[:, None, None, None], support[:, None], np.nan).astype(np.float32),
        "found": found,
        "status": np.where(found, "found", "stalled"),
        "source_class": np.array(source, np.int32),
        "target_class": np.where(found, target, -1).astype(np.int32),
        "pixels": sizes * unknown,
        "entries": sizes * unknown,
        "l2": np.sqrt(sizes) * unknown,
        "l1": sizes * unknown,
        "linf": unknown,
        "rank": np.where(support, order, -1),
        "curve": np.where(steps <= sizes[:, None], 1.0 - 1.25 * steps / np.maximum(sizes, 1)[:, None], np.nan),
        "reliance": np.where(support, 1.0 + order, np.nan),
        "capacity": np.where(support, 2.0, 1.0),
        "capacity_at_boundary": np.ones(support.shape),
        "dense": np.full((n, 1, height, width), (height * width) ** -0.5),
        "boundary": np.full((n, 1, height, width), 0.1),
        "loops": np.ones(n, np.int64),
        "multiplier": unknown,
        "amplitude": unknown,
        "survives_rounding": found,
        "history": (2 * sizes * unknown)[:, None],
        "history_gradients": np.full((n, 1), 3),
        "image_forwards": np.full(n, 10),
        "image_gradients": np.full(n, 5),
        "method": "sparsefool",
        "order": "pixel",
        "counted": "pixel",
        "bound": 1.0,
        "num_classes": 4,
        "forwards": 10 * n,
        "gradients": 5 * n,
        "seconds": 0.0,
    }
    return SparsePerturbation(**{**values, **given})


def a_perturbation_at_image(support: np.ndarray, source: int, target: int, **given: Any) -> SparseAtImage:
    """The perturbation of one black image, see `a_perturbation`."""
    found = a_perturbation(support[None], [source], [target], **given)
    values = {entry.name: getattr(found, entry.name) for entry in fields(found)}
    return SparseAtImage(**values, image=np.zeros((1, 1, *support.shape), np.float32), words="a black image")
