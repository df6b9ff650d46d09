"""A sparse perturbation of one image, with the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.geometry.sparse.sparse_perturbation import SparsePerturbation
from core.result import quantity


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseAtImage(SparsePerturbation):
    """A sparse perturbation with the image it belongs to."""

    image: np.ndarray = quantity("pixel", "n c h w")
    words: str = quantity("")  # how a figure calls the image
