"""One principal direction of the boundary at the point nearest to an image: what sections and walks start from.

Directions are numbered from both ends of the spectrum: 1, 2, ... from the most positive curvature down, -1, -2, ...
from the most negative one up, 0 is a random tangent direction, for comparison. What is said of the curvature along one
is measured along it: where second derivatives are differences over a length, that need not be what a matrix of
differences along other directions says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.deepfool import BoundaryPoints, boundary_points
from core.geometry.curvature.profile import STATUSES, CurvatureProfile, curvature_profile
from core.geometry.hessian.second_derivatives import Method, grey_level
from core.geometry.hessian.softening import softened
from core.models.classifier import Classifier

_KEPT = 20  # directions looked for, half from each end, or as many as the number needs


class PrincipalDirection(NamedTuple):
    """A boundary point with one direction of its tangent space; float64, on the CPU."""

    classifier: Classifier  # the one measured: with rounded kinks where these were asked for
    points: BoundaryPoints  # of one image
    profile: CurvatureProfile  # of both ends
    image: Float[Tensor, "c h w"]
    point: Float[Tensor, "c h w"]
    normal: Float[Tensor, "c h w"]  # to the source side
    direction: Float[Tensor, "c h w"]  # of length 1
    curvature: float  # as the search found it; NaN for a random direction
    number: int
    route: str  # exact, differences or softplus

    @property
    def distance(self) -> float:
        """From the image to the point, in ℓ2 pixel."""
        return float(self.profile.distance[0])


def principal_direction(
    classifier: Classifier,
    image: Float[Tensor, "c h w"],
    number: int,
    *,
    method: Method = "auto",
    grey_levels: float = 1.0,
    sharpness: float = 10.0,
    seed: int = 0,
) -> PrincipalDirection:
    """Find the boundary point nearest to an image, and a principal direction there.

    Args:
        classifier: any classifier.
        image: finite pixel values.
        number: of the direction, from either end; 0 for a random one.
        method: see `core.geometry.curvature.profile.curvature_profile`.
        grey_levels: the step of differences, in grey levels of 255 by which it moves each value on average.
        sharpness: of rounded kinks.
        seed: of random directions.

    Returns:
        The direction; of a principal one both signs are right, and the one is kept that the search came to.

    Raises:
        ValueError: if the image has no regular boundary point, or fewer directions than the number says.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    pixels = image[None].to(classifier.device)
    values = pixels.numel()
    if abs(number) >= values:
        raise ValueError(f"expected the number of one of {values - 1} directions, got {number}")
    used = softened(classifier, sharpness) if method == "softplus" else classifier
    found = boundary_points(used, pixels)
    keep = min(max(_KEPT, 2 * abs(number)), values - 1)
    profile = curvature_profile(
        used,
        pixels,
        keep,
        side="both ends",
        method="auto" if method == "softplus" else method,
        scale=grey_levels * grey_level(values),
        points=found,
        seed=seed,
    )
    status = str(profile.status[0])
    if np.isnan(profile.direction_curvatures[0]).any():
        raise ValueError(
            f"expected an image with a regular boundary point, got one that is {status}: {STATUSES[status]}"
        )
    normal = torch.from_numpy(profile.normals[0]).double()
    normal = normal / normal.norm()
    if number:
        place = number - 1 if number > 0 else number
        direction = torch.from_numpy(profile.directions[0, place]).double()
        curvature = float(profile.direction_curvatures[0, place])
    else:
        drawn = torch.randn(normal.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        direction, curvature = drawn, float("nan")
    direction = orthogonal(direction, normal)
    return PrincipalDirection(
        used,
        settled(found, profile),
        profile,
        pixels[0].double().cpu(),
        torch.from_numpy(profile.points[0]).double(),
        normal,
        direction,
        curvature,
        number,
        method if method == "softplus" else profile.method,
    )


def settled(found: BoundaryPoints, profile: CurvatureProfile) -> BoundaryPoints:
    """The boundary points where the curvatures were measured: a saddle may have been left for a nearer one."""
    return replace(
        found,
        points=profile.points,
        normals=profile.normals,
        distance=profile.distance,
        angle=profile.angle,
        target_class=profile.target_class,
    )


def orthogonal(vector: Tensor, *others: Tensor) -> Tensor:
    """A vector of length 1 without its parts along orthonormal others."""
    for _ in range(2):  # what rounding leaves grows when it is made longer: again
        for other in others:
            vector = vector - (vector * other).sum() * other
        vector = vector / vector.norm()
    return vector
