"""Walks on level sets as recipes ask for them: one source, its targets, triangles and stars of the ends.

The source is an image of the set, or a point that was picked on a plane, clipped to the pixel box, where walks stay.
The corners of a triangle are the source and the ends of two walks. Its shares are defined for walks along the level set
("equality" or "paper"): a walk in "superlevel" uses up its delta, which leaves nothing to lose next to its end.

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889).
"""

from __future__ import annotations

from collections.abc import Sequence
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
from core.geometry.level_sets.star import LevelStar, level_star
from core.geometry.level_sets.step import Mode
from core.geometry.level_sets.traverse import LevelSetPaths, traverse
from core.geometry.level_sets.triangles import triangle
from core.geometry.planes.slices import Slice
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.runtime.progress import OnProgress, part_of

_ON_THE_WAY = 21  # points of the straight way from the source to an end
_WALKED = 0.8  # of the work of a triangle, about


def confidence_on(cut: Slice, k: int) -> np.ndarray:
    """The confidence in one class on a slice.

    Args:
        cut: the slice.
        k: the class.

    Returns:
        (r, r) p_k = p_top exp(z_k - z_top); NaN where the logits are not finite, and everywhere if k is the largest
        nowhere on the slice, because its logits are not kept then.
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
    source, targets = _source(start), _targets(inputs.images, rows)
    whose: dict[str, Any] = (
        {"source_row": -1, "words": start.words} if start.picked else {"source_row": rows[0], "words": ""}
    )
    report = part_of(inputs.on_progress, 0.0, 0.99, lambda partial: _at_image(partial, rows, **whose))
    found = _walks(classifier, source, targets, mode, delta, steps, report)
    distances = image_distances(torch.from_numpy(found.endpoints), targets, source.expand_as(targets))
    began = np.isfinite(found.endpoints).all((1, 2, 3))
    straight = np.full(len(began), np.nan)
    if began.any():
        ends = torch.from_numpy(found.endpoints[began])
        straight[began] = linear_paths(classifier, source.expand_as(ends), ends, delta=delta, points=_ON_THE_WAY).least
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


def _source(start: StartImage) -> Tensor:
    """(1, c, h, w): where walks start, in the pixel box and on the CPU."""
    return start.image[None].cpu().clamp(0, 1)


def _targets(images: ImageSet, rows: Sequence[int]) -> Tensor:
    """(n, c, h, w): the images after the first one, on the CPU.

    Raises:
        ImageError: if there is no target.
    """
    if len(rows) < 2:
        raise ImageError(f"expected a source and at least one target, got {len(rows)} image; choose another one")
    return images.pixels[list(rows[1:])].cpu()


def _walks(
    classifier: Classifier,
    source: Tensor,
    targets: Tensor,
    mode: Mode,
    delta: float,
    steps: int,
    on_progress: OnProgress,
) -> LevelSetPaths:
    """Walks from one source to all targets, each with images along it."""
    return traverse(
        classifier, source, targets, mode, delta, steps, pairing="all", keep=len(targets), on_progress=on_progress
    )


def perceptual_distances(result: LevelSetAtImage, images: ImageSet) -> ImageDistances:
    """Distances of the ends of walks from their targets, LPIPS with them where it can be measured.

    They are not part of the result, because LPIPS depends on what is installed and not on the recipe.

    Args:
        result: the walks.
        images: the whole set.

    Returns:
        The distances of the ends and of the sources; `missing` says why LPIPS was not measured.
    """
    sources = torch.from_numpy(result.snapshots[:, 0])
    return image_distances(
        torch.from_numpy(result.endpoints),
        images.pixels[result.target_row.tolist()].cpu(),
        sources,
        perceptual=True,
    )


def _at_image(found: LevelSetPaths, rows: Sequence[int], *, source_row: int, **values: Any) -> LevelSetAtImage:
    """Walks with distances of their ends; what is not given is not known yet."""
    count = len(found.status)
    unknown = {entry.name for entry in fields(LevelSetAtImage)} - found.by_name().keys() - values.keys()
    own = {**{name: np.full(count, np.nan) for name in unknown}, **values}
    own |= {"source_row": np.full(count, source_row, np.int32), "target_row": np.array(rows[1:], np.int32)}
    return LevelSetAtImage.extended(found, **own)


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
    source, report = _source(inputs.start), part_of(on_progress, 0.0, _WALKED)
    found = _walks(classifier, source, _targets(inputs.images, rows), mode, delta, steps, report)
    if not np.isfinite(found.endpoints).all():
        words = ", ".join(found.status.tolist())
        raise ImageError(f"expected two walks for a triangle, got {words}; choose another source or a smaller delta")
    b, c = torch.from_numpy(found.endpoints).split(1)
    corners = triangle(classifier, source, b, c, resolution, on_progress=part_of(on_progress, _WALKED, 1.0))
    return LevelTriangle.extended(
        corners,
        images=torch.cat([source, b, c]).numpy(),
        ratio=found.ratio,
        rmse=found.rmse,
        floor=found.floor,
        delta=delta,
        mode=mode,
        target_row=np.array(rows[1:], np.int32),
    )


def star_of_walks(inputs: Inputs, *, count: int, seed: int, **settings: Any) -> LevelStar:
    """The star of walks from the start to `count` targets in all, see `core.geometry.level_sets.star.level_star`.

    The chosen targets come first, then others that the reference gives another class than the source, drawn from the
    set: all models have the same ones.

    Raises:
        ImageError: if no walk began, or no image is of another class than the source.
    """
    images, rows, source = inputs.images, inputs.rows, _source(inputs.start)
    predicted = inputs.reference.predict(images.pixels).label
    own = int(inputs.reference.predict(source).label[0])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = [row for row in dict.fromkeys(rows[1:]) if row != rows[0]]
    others = [row for row in order if predicted[row] != own and row not in chosen]
    taken = [*chosen, *others][:count]
    if not taken:
        raise ImageError("expected an image of another class to walk to, got none; choose another set")
    taken.sort(key=lambda row: (predicted[row], row))  # neighbours in the picture are of one class
    return level_star(
        inputs.classifier,
        source,
        images.pixels[taken].cpu(),
        np.array(taken, np.int32),
        seed=seed,
        on_progress=inputs.on_progress,
        **settings,
    )
