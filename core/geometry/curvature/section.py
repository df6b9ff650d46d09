"""The slice that shows a boundary's curvature: through one of its points, along its normal and a principal direction.

On the plane of the tangent direction v and the normal n the boundary is a curve that touches the line y = 0 at the
point. To second order it is the parabola y = -k x² / 2, and the circle of radius 1 / |k|: it curls up, around the class
of the image, where k < 0. A plane through v that leans away from the normal by an angle cuts out a curve of larger
curvature, by one over the cosine of the angle (Meusnier, see `core.geometry.curvature.normal_sections`).

References: do Carmo, Differential Geometry of Curves and Surfaces, sections 1-5 and 3-2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.geometry.curvature.principal_direction import AlongDirection, PrincipalDirection, orthogonal
from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import Slice, slice_plane
from core.result import Context, Number, Result, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

_STEEPEST = 85.0  # degrees: a plane that leans more is almost tangent


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvatureSection(AlongDirection, Slice):
    """A slice through a boundary point along a tangent direction (x) and towards the image's side (y)."""

    image: np.ndarray = quantity("pixel", "one c h w")
    position: np.ndarray = quantity("ℓ2 pixel", "xy")  # of the image, its foot on the plane
    centre: np.ndarray = quantity("ℓ2 pixel", "xy")  # of the osculating circle; not finite where the curve is straight
    words: str = quantity("")  # the label of the image in figures
    curve_curvature: float = quantity("1/ℓ2 pixel", words="curvature of the drawn curve")  # of the curve on this plane
    tilt: float = quantity("°", words="tilt of the plane")  # between the normal and the plane

    @property
    def factor(self) -> float:
        """The curvature of the curve over that of the boundary: one over the cosine of the tilt."""
        return 1 / math.cos(math.radians(self.tilt))

    @property
    def radius(self) -> float:
        """Of the osculating circle, in ℓ2 pixel; infinite for a straight curve."""
        return 1 / abs(self.curve_curvature) if self.curve_curvature else math.inf

    @property
    def unit_free(self) -> float:
        """Curvature of the boundary times the distance."""
        return self.normal_curvature * self.distance

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Curvature of the section and of the drawn curve."""
        yield from self.quoted("curvature", "normal_curvature", "distance", "curve_curvature", "tilt")


@counted
def curvature_section(
    principal: PrincipalDirection,
    *,
    tilt: float = 0.0,
    reach: float = 2.0,
    resolution: int = 256,
    seed: int = 0,
    words: str = "",
    on_progress: OnProgress = silent,
) -> CurvatureSection:
    """Cut the boundary along a tangent direction.

    Args:
        principal: the point and the direction.
        tilt: angle between the plane and the normal, in degrees, towards a random tangent direction.
        reach: half the side of the square, as a multiple of the distance from the image to the point.
        resolution: grid points along each side.
        seed: of the direction that the plane leans to.
        words: the label of the image in figures.
        on_progress: called with the fraction done and coarser slices.

    Returns:
        The section.

    Raises:
        ValueError: if the tilt is not from 0 to 85 degrees, or the reach not positive.
    """
    if not 0 <= tilt <= _STEEPEST:
        raise ValueError(f"expected a tilt from 0 to {_STEEPEST:g} degrees, got {tilt:g}")
    if not 0 < reach < math.inf:
        raise ValueError(f"expected a positive reach, got {reach:g}")
    up = _leaning(principal, tilt, seed)
    cut = principal.section(up)
    name = "random tangent direction" if principal.number == 0 else f"principal direction {principal.number}"
    plane = Plane.spanned(
        principal.point, principal.direction, up, x_label=f"along {name}", y_label="towards the image's class"
    )
    half = reach * principal.distance

    def placed(slice: Slice) -> CurvatureSection:
        return CurvatureSection.extended(
            slice,
            image=principal.image[None].float().numpy(),
            position=plane.to_plane(principal.image[None])[0].numpy(),
            centre=cut.centre[0],
            words=words,
            curve_curvature=float(cut.curvature[0]),
            tilt=float(tilt),
            **principal.shared_fields(cut),
            **spent(products=True),
        )

    def tell(fraction: float, partial: Result | None = None) -> None:
        on_progress(fraction, placed(partial) if isinstance(partial, Slice) else None)

    listen = silent if on_progress is silent else tell
    extent = (-half, half, -half, half)
    return placed(slice_plane(principal.classifier, plane, extent, resolution, "careful", on_progress=listen))


def _leaning(principal: PrincipalDirection, tilt: float, seed: int) -> Tensor:
    """The normal, turned by the tilt towards a random tangent direction that is orthogonal to the principal one."""
    if tilt == 0:
        return principal.normal
    generator = torch.Generator().manual_seed(seed + 1)
    drawn = torch.randn(principal.normal.shape, generator=generator, dtype=torch.float64)
    aside = orthogonal(drawn, principal.normal, principal.direction)
    angle = math.radians(tilt)
    return math.cos(angle) * principal.normal + math.sin(angle) * aside
