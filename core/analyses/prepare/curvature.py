"""From the words of a recipe to curvatures: which image, which others of the set, how much of the spectrum.

The image is the first chosen one, or the point of a plane where a slice was picked; it is not put back into the pixel
box, since curvature belongs to the function. Both ends of the spectrum come first, with their directions: they take a
few dozen products, and all curvatures as many as an image has values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import torch

from core.analyses.prepare.plane import PlaneKind, start_of
from core.geometry.boundary.deepfool import boundary_points
from core.geometry.curvature.principal_direction import principal_bend, settled
from core.geometry.curvature.profile import MOST_FULL, CurvatureProfile, curvature_profile
from core.geometry.curvature.scale import CurvatureScale, curvature_scale
from core.geometry.curvature.section import CurvatureSection, curvature_section
from core.geometry.curvature.walk import CurvatureWalk, curvature_walk
from core.geometry.hessian.second_derivatives import Method, grey_level, require_smooth
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.result import Result, quantity
from core.runtime.progress import OnProgress, silent

Spectrum = Literal["auto", "all", "ends"]

_FIRST = 0.2  # share of the progress that both ends get where more is to follow
_FROM_ENDS = ("directions", "direction_curvatures", "residual", "converged")


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvatureCard(CurvatureProfile):
    """The curvatures near one image, then near others of the set, with the image itself."""

    image: np.ndarray = quantity("pixel", "one c h w")
    row: np.ndarray = quantity("", "n")  # of the set; -1 for a point that was picked on a plane
    words: str = quantity("")  # how a figure calls the image
    complete: bool = quantity("", default=True)  # False while more is to come


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
    count: int = 0,
    spectrum: Spectrum = "auto",
    keep: int = 20,
    method: Method = "auto",
    grey_levels: float = 1.0,
    sharpness: float = 10.0,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> CurvatureCard:
    """Measure the curvatures that a recipe names.

    Args:
        classifier: whose boundary is measured.
        images: the whole set.
        rows: the chosen images; the first is looked at unless `at` says otherwise.
        reference: the recipe's first model, which lays the plane; the classifier itself when not given.
        plane: see `core.analyses.prepare.plane.start_of`.
        u: see there.
        v: see there.
        at: see there.
        count: how many others of the set are measured too, drawn at random, the same for every model.
        spectrum: "all" curvatures, "ends" alone, or "auto": all up to 3072 values, else the ends and the density.
        keep: directions kept, half of them from each end.
        method: see `core.geometry.curvature.profile.curvature_profile`.
        grey_levels: the step of differences, in grey levels of 255 by which it moves each value on average.
        sharpness: of rounded kinks.
        seed: of the others drawn, and of random starting directions.
        on_progress: told the fraction done and the curvatures so far: both ends, then image after image.

    Returns:
        The curvatures. Directions are those that Lanczos found at both ends, each by products along itself.

    Raises:
        ValueError: what those functions raise.
    """
    require_smooth(classifier, method)
    start = start_of(reference or classifier, images, rows, plane=plane, u=u, v=v, at=at)
    others = drawn(rows, len(images), count, seed)
    pixels = torch.cat([start.image[None], images.pixels[others]])
    row = np.array([rows[0] if at is None else -1, *others], np.int32)
    scale = grey_levels * grey_level(pixels[0].numel())
    more = spectrum != "ends"
    options: dict[str, Any] = {"method": method, "scale": scale, "sharpness": sharpness, "seed": seed}

    def card(profile: CurvatureProfile, complete: bool, *spent: Result) -> CurvatureCard:
        known = {entry.name: getattr(profile, entry.name) for entry in fields(profile)}
        known |= {"forwards": start.forwards + profile.forwards, "gradients": start.gradients + profile.gradients}
        for each in spent:
            known["forwards"] += each.forwards
            known["gradients"] += each.gradients
            known["seconds"] += each.seconds
            known["products"] += each.products if isinstance(each, CurvatureProfile) else 0
        image = start.image[None].cpu().numpy()
        return CurvatureCard(**known, image=image, row=row, words=start.words, complete=complete)

    def telling(low: float, high: float, *spent: Result) -> OnProgress:
        def tell(fraction: float, partial: Result | None = None) -> None:
            known = isinstance(partial, CurvatureProfile) and not np.isnan(partial.curvatures[0]).any()
            so_far = card(partial, False, *spent) if known and isinstance(partial, CurvatureProfile) else None
            on_progress(low + (high - low) * fraction, so_far)

        return silent if on_progress is silent else tell

    found = None if method == "softplus" else boundary_points(classifier, pixels, on_progress=telling(0, _FIRST / 2))
    before = [found] if found is not None else []
    listen = telling(0 if found is None else _FIRST / 2, _FIRST if more else 1, *before)
    ends = curvature_profile(classifier, pixels, keep, side="both ends", points=found, on_progress=listen, **options)
    if not more:
        return card(ends, True, *before)
    on_progress(_FIRST, card(ends, False, *before))
    whole = spectrum == "all" or pixels[0].numel() <= MOST_FULL
    listen = _keeping(ends, whole, telling(_FIRST, 1, *before, ends))
    every = curvature_profile(
        classifier,
        pixels,
        "all" if whole else "auto",
        keep=2 if whole else keep,
        points=settled(found, ends) if found is not None else None,
        on_progress=listen,
        **options,
    )
    if found is not None and not np.array_equal(every.points, ends.points, equal_nan=True):  # a saddle was left
        spent = [*before, ends]
        ends = curvature_profile(classifier, pixels, keep, side="both ends", points=settled(found, every), **options)
        return card(_with_ends(every, ends), True, *spent, ends)
    return card(_with_ends(every, ends), True, *before, ends)


def drawn(rows: Sequence[int], size: int, count: int, seed: int) -> list[int]:
    """So many rows of a set at random, none of the chosen ones; the same for every model."""
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()
    return [row for row in order if row not in rows][:count]


def _with_ends(every: CurvatureProfile, ends: CurvatureProfile) -> CurvatureProfile:
    return replace(every, **{name: getattr(ends, name) for name in _FROM_ENDS})


def _keeping(ends: CurvatureProfile, whole: bool, listen: OnProgress) -> OnProgress:
    """Tells of all curvatures, with the directions that are known; of others not: the ends are the better picture."""
    if listen is silent:
        return silent

    def tell(fraction: float, partial: Result | None = None) -> None:
        listen(fraction, _with_ends(partial, ends) if whole and isinstance(partial, CurvatureProfile) else None)

    return tell


def prepare_scale(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier | None = None,
    plane: PlaneKind = "images",
    u: str = "gradient",
    v: str = "random:0",
    at: Sequence[float] | None = None,
    knob: Literal["differences", "softplus"] = "differences",
    count: int = 0,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> CurvatureScale:
    """Measure the extreme curvatures of the image that a recipe names at several scales.

    Args:
        classifier: whose boundary is measured.
        images: the whole set.
        rows: see `prepare`.
        reference: see `prepare`.
        plane: see `prepare`.
        u: see `prepare`.
        v: see `prepare`.
        at: see `prepare`.
        knob: what the scale is: the step of differences, or the sharpness of rounded kinks.
        count: see `prepare`.
        seed: see `prepare`.
        on_progress: told the fraction done and the curves so far.

    Returns:
        The curves.

    Raises:
        ValueError: what `core.geometry.curvature.scale.curvature_scale` raises.
    """
    start = start_of(reference or classifier, images, rows, plane=plane, u=u, v=v, at=at)
    pixels = torch.cat([start.image[None], images.pixels[drawn(rows, len(images), count, seed)]])
    found = curvature_scale(classifier, pixels, method=knob, seed=seed, on_progress=on_progress)
    return replace(found, forwards=found.forwards + start.forwards, gradients=found.gradients + start.gradients)


def prepare_section(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier | None = None,
    plane: PlaneKind = "images",
    u: str = "gradient",
    v: str = "random:0",
    at: Sequence[float] | None = None,
    number: int = -1,
    method: Method = "auto",
    grey_levels: float = 1.0,
    sharpness: float = 10.0,
    tilt: float = 0.0,
    reach: float = 2.0,
    resolution: int = 256,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> CurvatureSection:
    """Cut the boundary along a principal direction, as a recipe names it.

    Args:
        classifier: whose boundary is cut.
        images: the whole set.
        rows: see `prepare`.
        reference: see `prepare`.
        plane: see `prepare`.
        u: see `prepare`.
        v: see `prepare`.
        at: see `prepare`.
        number: see `core.geometry.curvature.principal_direction.principal_bend`.
        method: see there.
        grey_levels: see there.
        sharpness: see there.
        tilt: see `core.geometry.curvature.section.curvature_section`.
        reach: see there.
        resolution: see there.
        seed: see there.
        on_progress: told the fraction done and coarser slices.

    Returns:
        The section.

    Raises:
        ValueError: what those functions raise.
    """
    start = start_of(reference or classifier, images, rows, plane=plane, u=u, v=v, at=at)
    on_progress(0.0)
    bend = principal_bend(
        classifier, start.image, number, method=method, grey_levels=grey_levels, sharpness=sharpness, seed=seed
    )
    found = curvature_section(
        bend, tilt=tilt, reach=reach, resolution=resolution, seed=seed, words=start.words, on_progress=on_progress
    )
    return replace(found, forwards=found.forwards + start.forwards, gradients=found.gradients + start.gradients)


def prepare_walk(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier | None = None,
    plane: PlaneKind = "images",
    u: str = "gradient",
    v: str = "random:0",
    at: Sequence[float] | None = None,
    number: int = -1,
    method: Method = "auto",
    grey_levels: float = 1.0,
    sharpness: float = 10.0,
    reach: float = 2.0,
    steps: int = 81,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> CurvatureWalk:
    """Walk along a principal direction, as a recipe names it.

    Args:
        classifier: what is asked on the way.
        images: the whole set.
        rows: see `prepare`.
        reference: see `prepare`.
        plane: see `prepare`.
        u: see `prepare`.
        v: see `prepare`.
        at: see `prepare`.
        number: see `core.geometry.curvature.principal_direction.principal_bend`.
        method: see there.
        grey_levels: see there.
        sharpness: see there.
        reach: see `core.geometry.curvature.walk.curvature_walk`.
        steps: see there.
        seed: see `core.geometry.curvature.principal_direction.principal_bend`.
        on_progress: told the fraction done.

    Returns:
        The walk.

    Raises:
        ValueError: what those functions raise.
    """
    start = start_of(reference or classifier, images, rows, plane=plane, u=u, v=v, at=at)
    on_progress(0.0)
    bend = principal_bend(
        classifier, start.image, number, method=method, grey_levels=grey_levels, sharpness=sharpness, seed=seed
    )
    on_progress(0.5)
    found = curvature_walk(bend, reach=reach, steps=steps)
    return replace(found, forwards=found.forwards + start.forwards, gradients=found.gradients + start.gradients)
