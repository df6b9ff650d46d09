"""The curvature of the boundary near the images of a map.

Of some images, drawn by turns from the classes, the nearest boundary point at a distance D is found, and there the
principal curvature k of largest magnitude (`core.geometry.curvature.profile`, with its sign: k < 0 where the boundary
closes around the image's class). The product k D has no unit: far below 1 the boundary is flat at the scale that
matters, at 1 every linear estimate of the distance is off by its own size; and at a nearest point k D >= -1.

Reference: Fawzi, Moosavi-Dezfooli, Frossard, Soatto, Empirical study of the topology and geometry of deep networks,
CVPR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.common.sampling import stratified
from core.geometry.curvature.profile import curvature_profile
from core.geometry.maps.background import DecisionMap
from core.models.classifier import Classifier
from core.result import quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvedMap(DecisionMap):
    """A map with its background, and the curvature of the boundary near some of its images."""

    curvature: np.ndarray = quantity("", "image")  # k D of largest |k|; NaN where it was not measured or not found
    drawn: int = quantity("images")  # number of images measured
    scale_of_differences: float = quantity("ℓ2 pixel")  # h, for networks of kinks; NaN where derivatives are exact


@counted
def curved_map(
    classifier: Classifier,
    found: DecisionMap,
    images: Float[Tensor, "n c h w"],
    *,
    count: int,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> CurvedMap:
    """Add the curvature of the boundary near some of the images to a map.

    Args:
        classifier: the classifier of the map.
        found: the map.
        images: the images of the map, in its order.
        count: number of images to measure, drawn in turn from the predicted classes.
        seed: seed of the draw and of the search.
        on_progress: called with the fraction done.

    Returns:
        The map with curvatures; NaN where no regular boundary point was found or the search did not converge.

    Raises:
        ValueError: if the classifier or the images are not those of the map, or the count is below 1.
    """
    if found.fingerprint != classifier.fingerprint or len(images) != len(found.positions):
        raise ValueError(
            f"expected the classifier and the {len(found.positions)} images that the map is of, got"
            f" {classifier.name} and {len(images)}; make a map of them"
        )
    if count < 1:
        raise ValueError(f"expected at least one image to measure the curvature of, got {count}")
    rows = stratified(found.predicted, count, seed)
    curvature, scale = np.full(len(images), np.nan), np.nan
    if len(rows):
        profile = curvature_profile(classifier, images[torch.from_numpy(rows)], 1, seed=seed, on_progress=on_progress)
        curvature[rows] = np.where(profile.converged, profile.unit_free[:, 0], np.nan)
        scale = profile.scale
    return CurvedMap.extended(found, curvature=curvature, drawn=len(rows), scale_of_differences=float(scale), **spent())
