"""A walk on a level set as a direction of a plane: from one image of a set towards another.

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from core.errors import ImageError
from core.geometry.level_sets.step import Mode
from core.geometry.level_sets.traverse import traverse
from core.images.image_set import ImageSet
from core.models.classifier import Classifier

DEFAULT: tuple[Mode, float, int] = ("equality", 0.05, 100)  # mode, delta and steps of a walk that names none


def walk_to(
    classifier: Classifier, images: ImageSet, row: int, target: int, mode: Mode, delta: float, steps: int
) -> Tensor:
    """The walk from one image of a set towards another.

    Args:
        classifier: whose level set is walked on.
        images: the whole set.
        row: of the source.
        target: row of the target.
        mode: see `core.geometry.level_sets.traverse.traverse`.
        delta: see there.
        steps: see there.

    Returns:
        (m, c, h, w) images on the way, the source first and the end last, on the CPU.

    Raises:
        ImageError: if it never began or the target is not in the set.
    """
    if target >= len(images):
        raise ImageError(f"expected a target below {len(images)}, the size of the set, got {target}")
    found = traverse(classifier, images.pixels[[row]], images.pixels[[target]], mode, delta, steps)
    if not np.isfinite(found.endpoints).all():
        raise ImageError(
            f"expected a walk from image {row} to {target}, it never began ({found.status[0]}); choose another"
        )
    passed = found.frames < found.taken[0]
    return torch.from_numpy(np.concatenate([found.snapshots[0][passed], found.endpoints]))
