"""Exact answers about one image for classifiers in closed form (`core.models.analytic`); None for others."""

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
    """The ℓ2 distance of an image (c, h, w) to the boundary, in the directions of the plane where one is given."""
    answers = known(classifier)
    if answers is None:
        return None
    batch = _batch(answers, image)
    if plane is None:
        return float(answers.distance(batch)[0])
    axes = torch.stack([plane.u, plane.v]).to(batch).flatten(1)
    return float(answers.distance(batch, lambda each: (each.flatten(1) @ axes.T @ axes).view(each.shape))[0])


def exact_curvature(classifier: Classifier, image: np.ndarray | Tensor) -> float | None:
    """The value of all principal curvatures at the boundary point nearest to an image (c, h, w), in 1 / ℓ2."""
    answers = known(classifier)
    return None if answers is None else float(answers.curvature(_batch(answers, image))[0])


def exact_block_distance(
    classifier: Classifier, image: np.ndarray | Tensor, margins: SubspaceDistances, block: int
) -> float | None:
    """The ℓ2 distance of an image (c, h, w) to the boundary inside one block of a map; infinite where there is none.

    Args:
        classifier: the classifier.
        image: the image.
        margins: the measured distances, over frequencies or patches.
        block: the number of the block.
    """
    answers = known(classifier)
    if answers is None or margins.kind not in ("frequencies", "patches"):
        return None
    side = int(margins.bounds[0, 1] - margins.bounds[0, 0])
    blocks = (patches if margins.kind == "patches" else frequency_blocks)(classifier.input_shape, side)
    batch = _batch(answers, image)
    family = blocks.to(batch.device, torch.float64)

    def project(images: Tensor) -> Tensor:
        return family.project(images, torch.full((len(images),), block, device=images.device))

    return float(answers.distance(batch, project)[0])


def exact_boundary(classifier: Classifier, plane: Plane, extent: Extent) -> tuple[np.ndarray, ...] | None:
    """The boundary on a square of a plane, as polylines (points, 2) in plane coordinates."""
    answers = known(classifier)
    return None if answers is None else answers.lines(plane.origin, torch.stack([plane.u, plane.v]), extent)


def _batch(answers: Known, image: np.ndarray | Tensor) -> Tensor:
    """The image as a batch of one."""
    device = next(answers.parameters()).device
    return torch.as_tensor(np.asarray(image), dtype=torch.float64, device=device)[None]
