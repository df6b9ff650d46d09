"""Local properties of one image, with gains in a plane through it; by layer and by radius; and of many images.

The image is the first chosen one, or a point that was picked on a plane, clipped to the pixel box. The plane is the one
of the point, else the one that two directions span at the image. Gains are measured in it in every direction on three
rings (half the radius, the radius, twice the radius), as is |J v| of the linearisation, which is symmetric:
|J (-v)| = |J v|. The distance to the boundary is found along the same rays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.analyses.inputs import Inputs
from core.geometry.common.sampling import stratified
from core.geometry.local.adversarial_comparison import AdversarialComparison, adversarial_comparison
from core.geometry.local.at_image import LocalAtImage
from core.geometry.local.by_layer import LayerGeometry, layer_geometry
from core.geometry.local.by_radius import RadiusSweep, radius_sweep
from core.geometry.local.jacobian import Linearised, Outputs, Representation
from core.geometry.local.local import local_geometry, precise
from core.geometry.local.rays import label_rays
from core.geometry.planes.planes import Plane
from core.runtime.batches import engine_mode
from core.runtime.progress import part_of

_ANGLES = 64  # all round, an even number: every ray has its opposite
_RINGS = (0.5, 1.0, 2.0)  # of the radius


def local(
    inputs: Inputs, *, radius: float, count: int, reach: float, representation: Representation, **settings: Any
) -> LocalAtImage:
    """The local properties of the start, clipped to the pixel box, see `local_geometry`."""
    start, on_progress = inputs.start, inputs.on_progress
    choice = start.plane()
    image = start.image.clamp(0, 1)
    found = local_geometry(
        inputs.classifier,
        image[None],
        radius,
        count=count,
        rays=min(16, count),
        reach=reach,
        representation=representation,
        on_progress=part_of(on_progress, 0.0, 0.7),
        **settings,
    )
    outputs = Outputs(precise(inputs.classifier, radius * min(_RINGS)), representation)
    all_round = _all_round(outputs, image, choice.plane, radius, reach)
    on_progress(1.0)
    return LocalAtImage.extended(
        found,
        **all_round,
        rings=radius * np.array(_RINGS),
        x_label=choice.plane.x_label,
        y_label=choice.plane.y_label,
        words=start.words,
    )


def _all_round(outputs: Outputs, image: Tensor, plane: Plane, radius: float, reach: float) -> dict[str, Any]:
    """Gains of the model and of its linearisation, and the distance to the boundary, in every direction of a plane."""
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
        "plane_boundary": rays.distance[:, 0].flatten().cpu().numpy(),  # of both half turns
        "plane_class": rays.reached[:, 0].flatten().to(torch.int32).cpu().numpy(),
    }


def by_layer(inputs: Inputs, *, radius: float, layers: str, others: int, directions: int, seed: int) -> LayerGeometry:
    """The local properties of every layer, over the chosen image and others of the set."""
    return layer_geometry(
        inputs.classifier,
        inputs.images[_drawn(inputs, others, seed)].pixels,
        radius,
        layers=tuple(path.strip() for path in layers.split(",") if path.strip()),
        count=directions,
        seed=seed,
        on_progress=inputs.on_progress,
    )


def by_radius(
    inputs: Inputs, *, radii: Sequence[float], others: int, directions: int, seed: int, **settings: Any
) -> RadiusSweep:
    """The local properties at several radii, over the chosen image and others of the set."""
    taken = _drawn(inputs, others, seed)
    pixels, report = inputs.images[taken].pixels, inputs.on_progress
    found = radius_sweep(
        inputs.classifier, pixels, tuple(radii), count=directions, seed=seed, on_progress=report, **settings
    )
    return replace(found, row=np.array(taken, np.int32))


def comparison_of_set(
    inputs: Inputs, *, radius: float, others: int, seed: int, **settings: Any
) -> AdversarialComparison:
    """The local properties of the chosen image and others of the set, compared with adversarial points and noise."""
    taken = _drawn(inputs, others, seed)
    pixels, report = inputs.images[taken].pixels, inputs.on_progress
    found = adversarial_comparison(inputs.classifier, pixels, radius, seed=seed, on_progress=report, **settings)
    return replace(found, row=np.array(taken, np.int32))


def _drawn(inputs: Inputs, count: int, seed: int) -> list[int]:
    """The chosen image, then others drawn evenly from the classes: the same for every model."""
    labels, first = inputs.images.labels.numpy(), inputs.rows[0]
    others = stratified(labels, len(labels), seed).tolist() if count else []
    spread = np.random.default_rng(seed).permutation(len(others)).tolist()
    return [first, *[others[place] for place in spread if others[place] != first][:count]]
