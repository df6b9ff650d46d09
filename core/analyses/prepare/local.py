"""From the words of a recipe to the local properties of one image, with what a plane through it shows of them.

The image is the first chosen one, or the point of a plane where a slice was picked, put back into the pixel box. The
plane is the one that was picked on, or else the one along two directions at the image. In it, gains are measured in
every direction on three rings (half of the radius, the radius, twice the radius), beside |J v| of the linearisation,
which is symmetric: |J (-v)| = |J v|. The distance of the boundary is found along the same rays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.analyses.prepare.plane import PlaneKind, cut_of, start_of
from core.geometry.local.direction_distributions import Sampler
from core.geometry.local.jacobian import Linearised, Outputs, Representation
from core.geometry.local.local import LocalGeometry, local_geometry, precise
from core.geometry.local.rays import label_rays
from core.geometry.planes.planes import Plane
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.result import quantity
from core.runtime.batches import engine_mode
from core.runtime.cost import counting
from core.runtime.progress import OnProgress, silent

_ANGLES = 64  # all round, an even number: every ray has its opposite
_RINGS = (0.5, 1.0, 2.0)  # of the radius


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalCard(LocalGeometry):
    """Local properties of one image, and the plane around it."""

    angle: np.ndarray = quantity("rad", "angle")
    rings: np.ndarray = quantity("ℓ2 pixel", "ring")
    plane_gain: np.ndarray = quantity("output / ℓ2 pixel", "ring angle")
    plane_linear: np.ndarray = quantity("output / ℓ2 pixel", "angle")
    plane_boundary: np.ndarray = quantity("ℓ2 pixel", "angle")  # NaN: none within the reach
    plane_class: np.ndarray = quantity("", "angle")  # -1 there
    x_label: str = quantity("")
    y_label: str = quantity("")
    words: str = quantity("")  # how a figure calls the image


def prepare(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier | None = None,
    plane: PlaneKind = "images",
    u: str = "gradient",
    v: str = "random:0",
    at: Sequence[float] | None = None,
    radius: float = 0.5,
    sampler: Sampler = "sphere",
    dimension: int = 8,
    count: int = 128,
    reach: float = 10.0,
    representation: Representation = "logits",
    permutations: int = 199,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> LocalCard:
    """Measure what a recipe names.

    Args:
        classifier: what is measured.
        images: the whole set.
        rows: the chosen images; the first is asked about unless `at` says otherwise.
        reference: the recipe's first model, which lays the plane; the classifier itself when not given.
        plane: see `core.analyses.prepare.plane.start_of`; without a point, the plane is along u and v at the image.
        u: see there.
        v: see there.
        at: see there.
        radius: see `core.geometry.local.local.local_geometry`.
        sampler: see there.
        dimension: see there.
        count: see there.
        reach: see there.
        representation: see there.
        permutations: see there.
        seed: see there.
        on_progress: told the fraction done.

    Returns:
        The numbers of the image, which is clipped to [0, 1] where the plane leaves it.

    Raises:
        ValueError: what those functions raise.
    """
    first = reference or classifier
    start = start_of(first, images, rows, plane=plane, u=u, v=v, at=at)
    cut = cut_of(first, images, rows, plane=plane if at is not None else "directions", u=u, v=v)
    image = start.image.clamp(0, 1)
    found = local_geometry(
        classifier,
        image[None],
        radius,
        sampler=sampler,
        dimension=dimension,
        count=count,
        rays=min(16, count),
        reach=reach,
        representation=representation,
        permutations=permutations,
        seed=seed,
        on_progress=lambda fraction, partial=None: on_progress(0.7 * fraction),
    )
    outputs = Outputs(precise(classifier, radius * min(_RINGS)), representation)
    with counting() as cost:
        all_round = _all_round(outputs, image, cut.plane, radius, reach)
    kept = {entry.name: getattr(found, entry.name) for entry in fields(found)}
    kept["forwards"] += start.forwards + cut.forwards * (at is None) + cost.forwards
    kept["gradients"] += start.gradients + cut.gradients * (at is None) + cost.gradients
    on_progress(1.0)
    return LocalCard(
        **kept,
        **all_round,
        rings=radius * np.array(_RINGS),
        x_label=cut.plane.x_label,
        y_label=cut.plane.y_label,
        words=start.words,
    )


def _all_round(outputs: Outputs, image: Tensor, plane: Plane, radius: float, reach: float) -> dict[str, Any]:
    """Gains on rings, those of the linearisation, and the boundary, in every direction of a plane."""
    exact = outputs.classifier
    pixels = exact.accept(image[None])
    angle = torch.arange(_ANGLES, dtype=torch.float64) * (2 * math.pi / _ANGLES)
    axes = torch.stack([plane.u.flatten(), plane.v.flatten()]).double()
    compass = torch.stack([angle.cos(), angle.sin()], 1) @ axes
    vectors = compass.to(pixels)[None]
    with engine_mode(exact.device):
        here = Linearised(outputs, pixels)
        steps = tuple(radius * ring for ring in _RINGS)
        there, _ = outputs.around(pixels, vectors, steps)
        gains = (there - here.value[:, None])[:, 0].double().norm(dim=2) / torch.tensor(steps).to(pixels)[:, None]
        linear = here(vectors)[0].double().norm(dim=1)
        rays = label_rays(outputs, pixels, vectors[:, : _ANGLES // 2], reach)
    return {
        "angle": angle.numpy(),
        "plane_gain": gains.double().cpu().numpy(),
        "plane_linear": linear.cpu().numpy(),
        "plane_boundary": rays.distance[:, 0].flatten().cpu().numpy(),  # the rays behind are the other half turn
        "plane_class": rays.reached[:, 0].flatten().to(torch.int32).cpu().numpy(),
    }
