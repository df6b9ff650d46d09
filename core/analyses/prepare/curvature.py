"""Curvatures as recipes ask for them: of one image and of others of the set, all of the spectrum or its ends.

The image is the first chosen one, or a point that was picked on a plane; it is not clipped to the pixel box, because
curvature is a property of the function. Both ends of the spectrum are computed first, with their directions: they take
a few dozen products, where all curvatures take as many as an image has values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from core.analyses.inputs import Inputs
from core.geometry.boundary.deepfool import boundary_points
from core.geometry.curvature.at_image import CurvatureAtImage
from core.geometry.curvature.principal_direction import principal_direction, settled
from core.geometry.curvature.profile import MOST_FULL, CurvatureProfile, curvature_profile
from core.geometry.curvature.scale import CurvatureScale, curvature_scale
from core.geometry.curvature.section import CurvatureSection, curvature_section
from core.geometry.curvature.walk import CurvatureWalk, curvature_walk
from core.geometry.hessian.second_derivatives import Method, grey_level, require_smooth
from core.runtime.progress import part_of

Spectrum = Literal["auto", "all", "ends"]

_FIRST = 0.2  # fraction done when both ends are known and the rest is to follow
_FROM_ENDS = ("directions", "direction_curvatures", "residual", "converged")


def curvature(
    inputs: Inputs,
    *,
    count: int,
    spectrum: Spectrum,
    keep: int,
    method: Method,
    grey_levels: float,
    sharpness: float,
    seed: int,
) -> CurvatureAtImage:
    """The curvatures near the start, and near `count` others of the set, the same ones for every model.

    Args:
        inputs: models and images; the progress brings both ends of the spectrum, then one image after the other.
        count: others of the set that are measured too, drawn at random.
        spectrum: "all" curvatures, "ends" alone, or "auto": all up to 3072 values, else the ends and the density.
        keep: directions kept, half of them from each end.
        method: see `core.geometry.curvature.profile.curvature_profile`.
        grey_levels: the step of differences: by how many of 255 grey levels it moves each value on average.
        sharpness: of rounded kinks.
        seed: of the others drawn, and of random starting directions.

    Returns:
        The curvatures, with the directions that Lanczos iterations find at both ends.

    Raises:
        ValueError: if the classifier has no second derivatives, and what those functions raise.
    """
    classifier, images, rows = inputs.classifier, inputs.images, inputs.rows
    start, on_progress = inputs.start, inputs.on_progress
    require_smooth(classifier, method)
    others = drawn(rows, len(images), count, seed)
    pixels = torch.cat([start.image[None], images.pixels[others]])
    row = np.array([-1 if start.picked else rows[0], *others], np.int32)
    scale = grey_levels * grey_level(pixels[0].numel())
    options: dict[str, Any] = {"method": method, "scale": scale, "sharpness": sharpness, "seed": seed}

    def result(profile: CurvatureProfile, complete: bool) -> CurvatureAtImage:
        image = start.image[None].cpu().numpy()
        return CurvatureAtImage.extended(profile, image=image, row=row, words=start.words, complete=complete)

    def so_far(partial: CurvatureProfile) -> CurvatureAtImage | None:
        return None if np.isnan(partial.curvatures[0]).any() else result(partial, False)

    def with_ends(partial: CurvatureProfile) -> CurvatureProfile:
        return replace(partial, **{name: getattr(ends, name) for name in _FROM_ENDS})

    found, begun = None, 0.0
    if method != "softplus":
        begun = _FIRST / 2
        found = boundary_points(classifier, pixels, on_progress=part_of(on_progress, 0.0, begun))
    listen = part_of(on_progress, begun, 1.0 if spectrum == "ends" else _FIRST, so_far)
    ends = curvature_profile(classifier, pixels, keep, side="both ends", points=found, on_progress=listen, **options)
    if spectrum == "ends":
        return result(ends, True)
    on_progress(_FIRST, result(ends, False))
    whole = spectrum == "all" or pixels[0].numel() <= MOST_FULL
    every = curvature_profile(
        classifier,
        pixels,
        "all" if whole else "auto",
        keep=2 if whole else keep,
        points=settled(found, ends) if found is not None else None,
        # a density without all curvatures shows less than the ends, which are shown already
        on_progress=part_of(on_progress, _FIRST, 1.0, lambda partial: so_far(with_ends(partial)) if whole else None),
        **options,
    )
    if found is not None and not np.array_equal(every.points, ends.points, equal_nan=True):  # a saddle was left
        ends = curvature_profile(classifier, pixels, keep, side="both ends", points=settled(found, every), **options)
    return result(with_ends(every), True)


def drawn(rows: Sequence[int], size: int, count: int, seed: int) -> list[int]:
    """At most `count` rows of a set at random, none of the chosen ones; the same for every model."""
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()
    return [row for row in order if row not in rows][:count]


def curvature_by_scale(
    inputs: Inputs, *, knob: Literal["differences", "softplus"], count: int, seed: int
) -> CurvatureScale:
    """The extreme curvatures near the start and `count` others of the set, at several scales."""
    others = inputs.images.pixels[drawn(inputs.rows, len(inputs.images), count, seed)]
    pixels = torch.cat([inputs.start.image[None], others])
    return curvature_scale(inputs.classifier, pixels, method=knob, seed=seed, on_progress=inputs.on_progress)


def section_along(
    inputs: Inputs, *, tilt: float, reach: float, resolution: int, seed: int, **direction: Any
) -> CurvatureSection:
    """The slice through the boundary point along a principal direction, see `principal_direction`."""
    inputs.on_progress(0.0)
    return curvature_section(
        principal_direction(inputs.classifier, inputs.start.image, seed=seed, **direction),
        tilt=tilt,
        reach=reach,
        resolution=resolution,
        seed=seed,
        words=inputs.start.words,
        on_progress=inputs.on_progress,
    )


def walk_along(inputs: Inputs, *, reach: float, steps: int, **direction: Any) -> CurvatureWalk:
    """The walk from the boundary point along a principal direction, see `principal_direction`."""
    inputs.on_progress(0.0)
    principal = principal_direction(inputs.classifier, inputs.start.image, **direction)
    inputs.on_progress(0.5)
    return curvature_walk(principal, reach=reach, steps=steps)
