"""What is exact about one image, for classifiers that are known on paper (`core.models.analytic`); None for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from core.geometry.subspaces.subspaces import frequency_blocks, patches
from core.models.analytic import Known, known
from core.models.classifier import Classifier

if TYPE_CHECKING:
    from core.geometry.planes.planes import Extent, Plane
    from core.geometry.subspaces.subspace_distances import SubspaceDistances


def exact_distance(classifier: Classifier, image: np.ndarray | Tensor, plane: Plane | None = None) -> float | None:
    """The ℓ2 distance of an image (c, h, w) to the boundary; where a plane is given, along its two directions."""
    answers = known(classifier)
    if answers is None:
        return None
    asked = _one(answers, image)
    if plane is None:
        return float(answers.distance(asked)[0])
    axes = torch.stack([plane.u, plane.v]).to(asked).flatten(1)
    inside = answers.distance(asked, lambda images: (images.flatten(1) @ axes.T @ axes).view(images.shape))
    return float(inside[0])


def exact_curvature(classifier: Classifier, image: np.ndarray | Tensor) -> float | None:
    """What every principal curvature is at the boundary point nearest to an image (c, h, w), in 1 / ℓ2."""
    answers = known(classifier)
    return None if answers is None else float(answers.curvature(_one(answers, image))[0])


def exact_block_distance(
    classifier: Classifier, image: np.ndarray | Tensor, margins: SubspaceDistances, block: int
) -> float | None:
    """The ℓ2 distance of an image (c, h, w) to the boundary inside one block of a map; infinite where none is there.

    Args:
        classifier: the classifier.
        image: the image.
        margins: what was measured: over frequencies or patches.
        block: the number of the block.
    """
    answers = known(classifier)
    if answers is None or margins.kind not in ("frequencies", "patches"):
        return None
    side = int(margins.bounds[0, 1] - margins.bounds[0, 0])
    blocks = (patches if margins.kind == "patches" else frequency_blocks)(classifier.input_shape, side)
    asked = _one(answers, image)
    family = blocks.to(asked.device, torch.float64)

    def project(images: Tensor) -> Tensor:
        return family.project(images, torch.full((len(images),), block, device=images.device))

    return float(answers.distance(asked, project)[0])


def exact_boundary(classifier: Classifier, plane: Plane, extent: Extent) -> tuple[np.ndarray, ...] | None:
    """The boundary on a square of a plane, as polylines (points, 2) in plane coordinates."""
    answers = known(classifier)
    return None if answers is None else answers.lines(plane.origin, torch.stack([plane.u, plane.v]), extent)


def _one(answers: Known, image: np.ndarray | Tensor) -> Tensor:
    device = next(answers.parameters()).device
    return torch.as_tensor(np.asarray(image), dtype=torch.float64, device=device)[None]
