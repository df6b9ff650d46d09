"""One principal direction of the boundary at the point nearest to an image, from which sections and walks start.

Directions are numbered from both ends of the spectrum: 1, 2, ... from the most positive curvature down, -1, -2, ...
from the most negative one up; 0 is a random tangent direction, for comparison. Sections and walks measure the curvature
along the direction itself: where second derivatives are differences over a length, it may differ from the eigenvalue of
a matrix of differences along other directions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.deepfool import BoundaryPoints, boundary_points
from core.geometry.curvature.normal_sections import Sections, sections
from core.geometry.curvature.profile import STATUSES, CurvatureProfile, curvature_profile
from core.geometry.hessian.second_derivatives import Method, grey_level
from core.geometry.hessian.softening import softened
from core.models.classifier import Classifier
from core.result import quantity

_KEPT = 20  # directions that are computed, half from each end; more where the number needs more


class PrincipalDirection(NamedTuple):
    """A boundary point with one direction of its tangent space; float64, on the CPU."""

    classifier: Classifier  # that was measured: with rounded kinks for the method "softplus"
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

    def section(self, up: Float[Tensor, "c h w"]) -> Sections:
        """The boundary curve on the plane of the direction and another one, measured as the direction was found.

        Args:
            up: a direction that is independent of it, such as the normal.
        """
        exact = self.profile.method != "differences"
        method: Literal["exact", "differences"] = "exact" if exact else "differences"
        axes = torch.stack([self.direction, up])[None]
        scale = None if exact else self.profile.scale
        return sections(self.classifier, self.points, axes, method=method, scale=scale)

    def shared_fields(self, section: Sections) -> dict[str, Any]:
        """The fields of an `AlongDirection` that belong to this direction and one of its sections."""
        return {
            "number": self.number,
            "curvature": self.curvature,
            "normal_curvature": float(section.normal_curvature[0]),
            "distance": self.distance,
            "source_class": int(self.profile.source_class[0]),
            "target_class": int(self.profile.target_class[0]),
            "status": str(self.profile.status[0]),
            "route": self.route,
            "scale": section.scale,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class AlongDirection:
    """Fields of results along one tangent direction of the boundary, at the point nearest to an image."""

    number: int = quantity("")  # of the direction: from the most positive curvature, or < 0 from the most negative one
    curvature: float = quantity("1/ℓ2 pixel", words="curvature")  # as the search found it; NaN for a random direction
    normal_curvature: float = quantity(
        "1/ℓ2 pixel", words="curvature of the normal section"
    )  # of the boundary, measured along the direction
    distance: float = quantity("ℓ2 pixel", words="distance to the boundary")  # from the image to the point
    source_class: int = quantity("")
    target_class: int = quantity("")
    status: str = quantity("")  # of the boundary point, a word of `core.geometry.curvature.profile.STATUSES`
    route: str = quantity("")  # exact, differences or softplus
    scale: float = quantity("ℓ2 pixel")  # h of differences, else NaN
    products: int = quantity("")


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
        grey_levels: the step of differences: the mean change of a value, in grey levels of 255.
        sharpness: of rounded kinks.
        seed: of random directions.

    Returns:
        The direction; the sign of a principal direction is arbitrary, and that of the search is kept.

    Raises:
        ValueError: if the image has no regular boundary point, or the number exceeds that of the directions.
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
        index = number - 1 if number > 0 else number
        direction = torch.from_numpy(profile.directions[0, index]).double()
        curvature = float(profile.direction_curvatures[0, index])
    else:
        direction = torch.randn(normal.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        curvature = float("nan")
    return PrincipalDirection(
        used,
        settled(found, profile),
        profile,
        pixels[0].double().cpu(),
        torch.from_numpy(profile.points[0]).double(),
        normal,
        orthogonal(direction, normal),
        curvature,
        number,
        method if method == "softplus" else profile.method,
    )


def settled(found: BoundaryPoints, profile: CurvatureProfile) -> BoundaryPoints:
    """The boundary points where the curvatures were measured; a saddle may have been replaced by a nearer point."""
    return replace(
        found,
        points=profile.points,
        normals=profile.normals,
        distance=profile.distance,
        angle=profile.angle,
        target_class=profile.target_class,
    )


def orthogonal(vector: Tensor, *others: Tensor) -> Tensor:
    """The part of a vector that is orthogonal to orthonormal others, normalised to length 1."""
    for _ in range(2):  # repeated, since normalising a short remainder amplifies rounding errors
        for other in others:
            vector = vector - (vector * other).sum() * other
        vector = vector / vector.norm()
    return vector
