"""The curvature of the boundary curve on a plane through one of its points, and its osculating circle there.

A plane with orthonormal axes a, b through a boundary point z cuts the boundary in a curve. With g = grad F and
p = (<g, a>, <g, b>) its gradient in the plane, t the unit vector of the plane orthogonal to p, the curve has the signed
curvature

    t^T H t / ||p|| = k(t) / cos(angle between the normal and the plane),

Meusnier's theorem: k(t) = t^T S t is a property of the boundary, the factor one of the plane. Both curvatures are < 0
where the curve closes around the source side, to which p points. The osculating circle, of radius 1 / |curvature|
through z, has its centre at z + p / (||p|| |curvature|) for a curvature < 0, on the other side for one > 0.

References: do Carmo, Differential Geometry of Curves and Surfaces, sections 1-5 and 3-2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.geometry.boundary.deepfool import BoundaryPoints
from core.geometry.hessian.second_derivatives import plan_for, products_at
from core.geometry.hessian.shape_operator import ShapeOperator
from core.models.classifier import Classifier
from core.result import Result, quantity
from core.runtime.cost import counted, spent

_ALONG = 1e-6  # with a smaller part of the normal in the plane, the plane is tangent and cuts out no curve


@dataclass(frozen=True, kw_only=True, eq=False)
class Sections(Result):
    """Boundary curves on one plane through each of n boundary points; NaN where it cuts out none."""

    curvature: np.ndarray = quantity("1/ℓ2 pixel", "n")  # of the curve; < 0: closes around the source side
    normal_curvature: np.ndarray = quantity("1/ℓ2 pixel", "n")  # of the boundary, along the curve's tangent
    tilt: np.ndarray = quantity("°", "n")  # between the normal and the plane
    radius: np.ndarray = quantity("ℓ2 pixel", "n")  # of the osculating circle; infinite for a straight curve
    centre: np.ndarray = quantity("ℓ2 pixel", "n xy")  # of the circle, in plane coordinates from the point
    normal: np.ndarray = quantity("", "n xy")  # of the curve, in the plane, of length 1, to the source side
    tangent: np.ndarray = quantity("", "n xy")  # the normal, turned by 90° clockwise
    scale: float = quantity("ℓ2 pixel")  # h of differences, NaN where second derivatives are exact
    products: int = quantity("")
    fingerprint: str = quantity("", default="")


@counted
def sections(
    classifier: Classifier,
    points: BoundaryPoints,
    axes: Float[Tensor, "n 2 c h w"],
    *,
    method: Literal["auto", "exact", "differences"] = "auto",
    scale: float | None = None,
) -> Sections:
    """Measure the boundary's curve on a plane through each point.

    Args:
        classifier: the classifier.
        points: boundary points of it.
        axes: two directions that span the plane of each; they are made orthonormal, the first one keeps its direction.
        method: as in `core.geometry.curvature.profile.curvature_profile`.
        scale: of differences, in ℓ2 pixel.

    Returns:
        Curvatures, and circles in plane coordinates whose origin is the point. They cost one product per point, and up
        to two to detect kinks.

    Raises:
        ValueError: if exact curvatures of a network with kinks are asked for, or the scale is not a positive length.
        ImageError: if the axes are not two finite, independent directions of the input shape for each point.

    Reference:
        do Carmo, Differential Geometry of Curves and Surfaces, section 3-2 (Meusnier).
    """
    count = len(points.points)
    if tuple(axes.shape) != (count, 2, *classifier.input_shape):
        expected = " x ".join(map(str, (count, 2, *classifier.input_shape)))
        raise ImageError(f"expected axes of {expected}, got {' x '.join(map(str, axes.shape))}")
    plane = axes.detach().to(classifier.device, torch.float64).flatten(2)
    first = plane[:, :1] / plane[:, :1].norm(dim=2, keepdim=True)
    second = plane[:, 1:] - (plane[:, 1:] * first).sum(2, keepdim=True) * first
    independent = second.norm(dim=2) > 1e-9 * plane[:, 1].norm(dim=1, keepdim=True)
    if not bool(torch.isfinite(plane).all() & independent.all()):
        raise ImageError("expected two finite, independent directions for each point, got others")
    plane = torch.cat([first, second / second.norm(dim=2, keepdim=True)], 1)
    rows = points.found.nonzero()[0]
    found: dict[str, Any] = {name: np.full((count, *sizes), np.nan) for name, sizes in _SIZES.items()}
    plan = plan_for(classifier, points, method, scale, "auto")
    if len(rows):
        used = plan._replace(backend=plan.backend or "double backward")
        operator = ShapeOperator(products_at(classifier, points, rows, used))
        for name, values in _cut(operator, plane[torch.as_tensor(rows, device=plane.device)]).items():
            found[name][rows] = values.cpu().numpy()
    return Sections(**found, scale=plan.scale, fingerprint=classifier.fingerprint, **spent(products=True))


_SIZES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("curvature", "normal_curvature", "tilt", "radius"), ()),
    **dict.fromkeys(("centre", "normal", "tangent"), (2,)),
}


def _cut(operator: ShapeOperator, plane: Tensor) -> dict[str, Tensor]:
    """The arrays of `Sections` for planes (n, 2, d) with orthonormal axes."""
    inner = (plane @ operator.normals[:, :, None])[..., 0]  # the normal's part in the plane
    size = inner.norm(dim=1)
    cuts = size > _ALONG
    normal = (inner / size[:, None]).where(cuts[:, None], torch.nan)
    tangent = torch.stack([normal[:, 1], -normal[:, 0]], 1)
    along = tangent.nan_to_num(0.0)[:, None] @ plane
    normal_curvature = (along * operator(along)).sum((1, 2)).where(cuts, torch.nan)
    curvature = normal_curvature / size
    radius = 1 / curvature.abs()
    side = -torch.sign(curvature)[:, None]
    return {
        "curvature": curvature,
        "normal_curvature": normal_curvature,
        "tilt": size.clamp(max=1).arccos().rad2deg(),
        "radius": radius,
        "centre": side * normal * radius[:, None],
        "normal": normal,
        "tangent": tangent,
    }
