"""A walk along a tangent direction of the boundary, and how far its curvature predicts where the boundary is.

From a boundary point z with the normal n to the image's side, z + t v walks along the tangent line. There the margin
of the image's class is k ||grad F|| t² / 2 to second order, and the boundary lies at the height

    parabola    y = -k t² / 2,
    circle      y = -(1 - sqrt(1 - k² t²)) / k  for |k t| <= 1

over the line, along n. The true height is measured: on the normal ray through each z + t v the margin is evaluated on a
grid of heights, and its zero is bracketed where it changes its sign. Of several changes of sign the one is taken that
continues the boundary from the ray before. Beyond the grid, or where the boundary jumps, the height is unknown.

References: do Carmo, Differential Geometry of Curves and Surfaces, section 3-3 (the osculating paraboloid).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.bracketing import zero_between
from core.geometry.boundary.signed_margin import SignedMargin
from core.geometry.curvature.principal_direction import AlongDirection, PrincipalDirection
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.batches import Chunks
from core.runtime.cost import counted, spent

_HEIGHTS = 65  # of the grid on each normal ray
_ON_IT = 1e-9  # of the margin at the next height: a rounded margin of 0 is smaller in float64
_JUMP = 3.0  # grid steps off the line through the heights before: beyond, it is another sheet of the boundary
_FRAMES = 9


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvatureWalk(AlongDirection, ClassifierResult):
    """Logits along a tangent line of the boundary, and the boundary's height over it."""

    offset: np.ndarray = quantity("ℓ2 pixel", "offset")  # t, along the direction
    logits: np.ndarray = quantity("logit", "offset class")
    label: np.ndarray = quantity("", "offset")  # -1 where a logit is not finite
    margin: np.ndarray = quantity("logit", "offset")  # of the image's class: > 0 inside its region
    foretold_margin: np.ndarray = quantity("logit", "offset")  # by the curvature
    height: np.ndarray = quantity("ℓ2 pixel", "offset")  # of the boundary over the tangent, NaN where not found
    parabola: np.ndarray = quantity("ℓ2 pixel", "offset")
    circle: np.ndarray = quantity("ℓ2 pixel", "offset")  # NaN beyond its radius
    frames: np.ndarray = quantity("pixel", "frame c h w")  # images on the way
    frame_offset: np.ndarray = quantity("ℓ2 pixel", "frame")

    def distance_to(self, height: np.ndarray) -> np.ndarray:
        """(offset,) from the image to boundary points at these heights, in ℓ2 pixel: sqrt(t² + (D - y)²)."""
        return np.asarray(np.hypot(self.offset, self.distance - height))

    @property
    def trusted(self) -> float:
        """The |t| up to which, on both sides, the error of the parabola is at most a tenth of the distance.

        NaN where it is larger at the point itself, or no height is known.
        """
        near = np.abs(self.parabola - self.height) <= 0.1 * self.distance  # False where the height is unknown
        order = np.argsort(np.abs(self.offset), kind="stable")
        good = np.logical_and.accumulate(near[order])
        return float(np.abs(self.offset[order])[good].max()) if good.any() else math.nan

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Curvature of the section, and how far the boundary leaves its parabola."""
        yield from self.quoted("curvature", "normal_curvature", "distance")
        off = np.abs(self.height - self.parabola)
        if np.isfinite(off).any():
            yield Number(name="boundary off its parabola, at most", value=float(np.nanmax(off)), unit="ℓ2 pixel")


@counted
def curvature_walk(principal: PrincipalDirection, *, reach: float = 2.0, steps: int = 81) -> CurvatureWalk:
    """Walk along a tangent direction both ways.

    Args:
        principal: the point and the direction.
        reach: length of each way, as a multiple of the distance from the image to the point.
        steps: number of stops, odd so that the point itself is one of them.

    Returns:
        The walk. It costs `steps` forwards along the line, and about 75 on the normal ray of each stop.

    Raises:
        ValueError: if there are less than three stops or an even number of them, or the reach is not positive.
    """
    if steps < 3 or steps % 2 == 0:
        raise ValueError(f"expected an odd number of at least 3 steps, got {steps}")
    if not 0 < reach < math.inf:
        raise ValueError(f"expected a positive reach, got {reach:g}")
    cut = principal.section(principal.normal)
    k, source = float(cut.normal_curvature[0]), int(principal.profile.source_class[0])
    half = reach * principal.distance
    offset = np.linspace(-half, half, steps)
    offset[steps // 2] = 0.0
    margin = SignedMargin(principal.classifier)
    line = _images(principal, torch.from_numpy(offset), torch.zeros(steps, dtype=torch.float64))
    with torch.inference_mode():
        logits = principal.classifier.batches(counts=False)(margin.logits, line).cpu()
    label = torch.where(torch.isfinite(logits).all(1), logits.argmax(1), -1).to(torch.int32).numpy()
    others = logits.clone()
    others[:, source] = -torch.inf
    height = _heights(principal, margin, offset, min(half, max(principal.distance, abs(k) * half**2)))
    chosen = np.unique(np.linspace(0, steps - 1, min(_FRAMES, steps)).round().astype(int))
    with np.errstate(invalid="ignore", divide="ignore"):
        circle = -(1 - np.sqrt(1 - (k * offset) ** 2)) / k if k else np.zeros(steps)
    return CurvatureWalk(
        offset=offset,
        logits=logits.double().numpy(),
        label=label,
        margin=(logits[:, source] - others.amax(1)).double().numpy(),
        foretold_margin=k * float(principal.profile.steepness[0]) * offset**2 / 2,
        height=height,
        parabola=-k * offset**2 / 2,
        circle=circle,
        frames=line[torch.from_numpy(chosen)].float().cpu().numpy(),
        frame_offset=offset[chosen],
        **principal.shared_fields(cut),
        num_classes=principal.classifier.num_classes,
        fingerprint=principal.classifier.fingerprint,
        **spent(products=True),
    )


def _images(principal: PrincipalDirection, along: Float[Tensor, " m"], up: Float[Tensor, " m"]) -> Tensor:
    """The images at these steps along the direction and the normal, on the classifier's device."""
    steps = torch.stack([along, up]).view(2, -1, 1, 1, 1).double()
    exact = principal.point + steps[0] * principal.direction + steps[1] * principal.normal
    return exact.to(principal.classifier.device, torch.promote_types(principal.classifier.dtype, torch.float32))


def _heights(principal: PrincipalDirection, margin: SignedMargin, offset: np.ndarray, most: float) -> np.ndarray:
    """The height of the boundary on the normal ray through each stop, from `-most` to `most`."""
    heights = np.linspace(-most, most, _HEIGHTS)
    along, up = (torch.from_numpy(each.ravel()) for each in np.meshgrid(offset, heights, indexing="ij"))
    source = torch.full((len(along),), int(principal.profile.source_class[0]), device=principal.classifier.device)
    parts = Chunks(principal.classifier.batches().size)(
        len(along), lambda some, _: margin(_images(principal, along[some], up[some]), source[some])
    )
    values = torch.cat(parts).double().cpu().numpy().reshape(len(offset), -1)
    rising = (values[:, :-1] <= 0) & (values[:, 1:] > 0)
    cells = _followed(rising, heights, float(offset[1] - offset[0]))
    known = np.flatnonzero(cells >= 0)
    measured = np.full(len(offset), np.nan)
    if len(known):
        place = torch.from_numpy(offset[known])
        below, above = (torch.from_numpy(heights[cells[known] + end]) for end in (0, 1))
        inside, beyond = _images(principal, place, above), _images(principal, place, below)
        zero, closed = zero_between(margin, inside, beyond, source[: len(known)], 1e-4)
        part = (zero - inside).flatten(1).norm(dim=1) / (beyond - inside).flatten(1).norm(dim=1)
        exact = above + part.double().cpu() * (below - above)
        measured[known] = exact.where(closed.cpu(), torch.nan).numpy()
        # where a height is on the boundary up to rounding, other batches may see no change of sign: take that height
        ends = np.abs(values[known[:, None], cells[known, None] + [0, 1]])
        on = ~closed.cpu().numpy() & (ends.min(1) <= _ON_IT * ends.max(1))
        measured[known[on]] = heights[cells[known] + ends.argmin(1)][on]
    return measured


def _followed(rising: np.ndarray, heights: np.ndarray, step: float) -> np.ndarray:
    """The interval of heights that contains the boundary on each ray, from the middle ray outwards; -1 where lost."""
    cells = np.full(len(rising), -1)
    middle, centres = len(rising) // 2, (heights[:-1] + heights[1:]) / 2
    reach = max(_JUMP * float(heights[1] - heights[0]), step)
    for way in (1, -1):
        before, slope = 0.0, 0.0
        for ray in range(middle, len(rising) if way > 0 else -1, way):
            found = np.flatnonzero(rising[ray])
            nearest = int(found[np.abs(centres[found] - before - slope).argmin()]) if len(found) else -1
            if nearest < 0 or abs(centres[nearest] - before - slope) > reach:
                break
            here = float(centres[nearest])
            cells[ray], before, slope = nearest, here, here - before if ray != middle else 0.0
    return cells
