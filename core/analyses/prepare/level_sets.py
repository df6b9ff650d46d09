"""From the words of a recipe to walks on level sets: one source, its targets, and what the ways there tell.

Walks start at one image of a set and go to others; the source may also be the point of a plane where a slice was
picked, put back into the pixel box, where walks stay. A triangle has the source and the ends of two walks as corners.
Its shares are those of walks along the level set ("equality" or "paper"): a walk in "superlevel" uses up its delta, so
that next to its end nothing is left to lose.

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.analyses.inputs import Inputs
from core.analyses.prepare.plane import StartImage
from core.errors import ImageError
from core.geometry.level_sets.at_image import LevelSetAtImage, LevelTriangle
from core.geometry.level_sets.image_distances import ImageDistances, image_distances
from core.geometry.level_sets.segments import linear_paths
from core.geometry.level_sets.step import Mode
from core.geometry.level_sets.traverse import LevelSetPaths, traverse
from core.geometry.level_sets.triangles import triangle
from core.geometry.planes.slices import Slice
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.result import Result
from core.runtime.progress import OnProgress, part_of

_ON_THE_WAY = 21  # points of the straight way from the source to an end
_WALKED = 0.8  # of the work of a triangle, about


def confidence_on(cut: Slice, k: int) -> np.ndarray:
    """The confidence in one class on a slice.

    Args:
        cut: the slice.
        k: the class.

    Returns:
        (r, r) p_k = p_top exp(z_k - z_top); NaN where the logits are not finite, or everywhere if k wins nowhere on the
        slice, so that its logits were not kept.
    """
    where = np.flatnonzero(cut.classes == k)
    if not len(where):
        return np.full(cut.label.shape, np.nan)
    top = np.searchsorted(cut.classes, cut.label).clip(0, len(cut.classes) - 1)
    behind = cut.logits[..., where[0]] - np.take_along_axis(cut.logits, top[..., None], 2)[..., 0]
    return np.where(cut.label >= 0, cut.confidence * np.exp(np.minimum(behind, 0.0)), np.nan)


def walks(inputs: Inputs, *, mode: Mode, delta: float, steps: int) -> LevelSetAtImage:
    """Walks from the start, put back into the pixel box, to the targets, and the straight ways back."""
    classifier, rows, start = inputs.classifier, inputs.rows, inputs.start
    source, targets = source_of(start), targets_of(inputs.images, rows)
    whose = {"source_row": -1, "words": start.words} if start.picked else {"source_row": rows[0], "words": ""}
    found = walks_of(classifier, source, targets, mode, delta, steps, _shown(rows, whose, inputs.on_progress))
    distances = image_distances(torch.from_numpy(found.endpoints), targets, source.expand_as(targets))
    there = np.isfinite(found.endpoints).all((1, 2, 3))
    straight = np.full(len(there), np.nan)
    if there.any():
        ends = torch.from_numpy(found.endpoints[there])
        straight[there] = linear_paths(classifier, source.expand_as(ends), ends, delta=delta, points=_ON_THE_WAY).least
    inputs.on_progress(1.0)
    return _at_image(
        found,
        rows,
        **whose,
        largest=distances.largest,
        ssim=distances.ssim,
        start_largest=distances.start_largest,
        start_ssim=distances.start_ssim,
        straight=straight,
    )


def source_of(start: StartImage) -> Tensor:
    """(1, c, h, w): where walks start, in the pixel box and on the CPU."""
    return start.image[None].cpu().clamp(0, 1)


def targets_of(images: ImageSet, rows: Sequence[int]) -> Tensor:
    """The targets, on the CPU.

    Args:
        images: the whole set.
        rows: of the source, then of the targets.

    Returns:
        (n, c, h, w) images.

    Raises:
        ImageError: if there is no target.
    """
    if len(rows) < 2:
        raise ImageError(f"expected a source and at least one target, got {len(rows)} image; choose another one")
    return images.pixels[list(rows[1:])].cpu()


def walks_of(
    classifier: Classifier,
    source: Tensor,
    targets: Tensor,
    mode: Mode,
    delta: float,
    steps: int,
    on_progress: OnProgress,
) -> LevelSetPaths:
    """Walks from one source to all targets, every one with images on the way."""
    return traverse(
        classifier, source, targets, mode, delta, steps, pairing="all", keep=len(targets), on_progress=on_progress
    )


def perceptual_distances(result: LevelSetAtImage, images: ImageSet) -> ImageDistances:
    """Distances of the ends of walks from their targets, LPIPS with them where it can be measured.

    Not kept in the result: whether LPIPS is there is a matter of the machine, not of the recipe.

    Args:
        result: the walks.
        images: the whole set.

    Returns:
        The distances, and of the source; `missing` says why LPIPS is not measured.
    """
    sources = torch.from_numpy(result.snapshots[:, 0])
    return image_distances(
        torch.from_numpy(result.endpoints),
        images.pixels[result.target_row.tolist()].cpu(),
        sources,
        perceptual=True,
    )


def _at_image(found: LevelSetPaths, rows: Sequence[int], **values: Any) -> LevelSetAtImage:
    """Walks with distances of their ends; what is not given is not known yet."""
    count = len(found.status)
    own = (
        {entry.name for entry in fields(LevelSetAtImage)} - {entry.name for entry in fields(LevelSetPaths)} - {"words"}
    )
    merged: dict[str, Any] = {entry.name: getattr(found, entry.name) for entry in fields(found)}
    merged |= {name: np.full(count, np.nan) for name in own} | values
    merged["source_row"] = np.full(count, merged["source_row"], np.int32)
    merged["target_row"] = np.array(rows[1:], np.int32)
    return LevelSetAtImage(**merged)


def _shown(rows: Sequence[int], whose: Mapping[str, Any], on_progress: OnProgress) -> OnProgress:
    """Report walks under way as results."""

    def tell(fraction: float, partial: Result | None = None) -> None:
        walking = isinstance(partial, LevelSetPaths)
        on_progress(min(fraction, 0.99), _at_image(partial, rows, **whose) if walking else None)  # type: ignore[arg-type]

    return tell


def triangle_of_walks(inputs: Inputs, *, mode: Mode, delta: float, steps: int, resolution: int) -> LevelTriangle:
    """The triangle of the start and the ends of walks to two targets.

    Args:
        inputs: models and images; the rows after the first are the targets.
        mode: see `core.geometry.level_sets.traverse.traverse`.
        delta: see there.
        steps: see there.
        resolution: see `core.geometry.level_sets.triangles.triangle`.

    Returns:
        The triangle of the source and both ends.

    Raises:
        ImageError: if there are not three images, or a walk never began.
    """
    classifier, rows, on_progress = inputs.classifier, inputs.rows, inputs.on_progress
    if len(rows) != 3:
        raise ImageError(f"expected a source and two targets for a triangle, got {len(rows)} images")
    source, report = source_of(inputs.start), part_of(on_progress, 0.0, _WALKED)
    found = walks_of(classifier, source, targets_of(inputs.images, rows), mode, delta, steps, report)
    if not np.isfinite(found.endpoints).all():
        words = ", ".join(found.status.tolist())
        raise ImageError(f"expected two walks for a triangle, got {words}; choose another source or a smaller delta")
    b, c = torch.from_numpy(found.endpoints).split(1)
    corners = triangle(classifier, source, b, c, resolution, on_progress=part_of(on_progress, _WALKED, 1.0))
    values = {entry.name: getattr(corners, entry.name) for entry in fields(corners)}
    return LevelTriangle(
        **values,
        images=torch.cat([source, b, c]).numpy(),
        ratio=found.ratio,
        rmse=found.rmse,
        floor=found.floor,
        delta=delta,
        mode=mode,
        target_row=np.array(rows[1:], np.int32),
    )
