"""From the words of a recipe to walks on level sets: one source, its targets, and what the ways there tell.

A card holds walks from one image of a set to others, with how far each came and what the straight way back says; the
source may also be the point of a plane where a slice was picked, put back into the pixel box, where walks stay. A
triangle has the source and the ends of two walks as corners. Its shares are those of walks along the level set
("equality" or "paper"): a walk in "superlevel" uses up its delta, so that next to its end nothing is left to lose.

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.analyses.inputs import Inputs
from core.analyses.prepare.plane import StartImage
from core.errors import ImageError
from core.geometry.level_sets.image_distances import ImageDistances, image_distances
from core.geometry.level_sets.segments import linear_paths
from core.geometry.level_sets.step import Mode
from core.geometry.level_sets.traverse import LevelSetPaths, traverse
from core.geometry.level_sets.triangles import Triangle, triangle
from core.geometry.planes.slices import Slice
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.result import Context, Number, Result, quantity
from core.runtime.progress import OnProgress, part_of

_ON_THE_WAY = 21  # points of the straight way from the source to an end
_WALKED = 0.8  # of the work of a triangle, about


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelSetCard(LevelSetPaths):
    """Walks from one image to others of a set, with distances of the ends from their targets; NaN where there is none.

    `source_row` and `target_row` are rows of the set, -1 for a point that was picked on a plane.
    """

    largest: np.ndarray = quantity("pixel", "n")  # difference of an end and its target
    ssim: np.ndarray = quantity("", "n")
    start_largest: np.ndarray = quantity("pixel", "n")  # the same of the source
    start_ssim: np.ndarray = quantity("", "n")
    straight: np.ndarray = quantity("", "n")  # least confidence on the straight way from the source to the end
    words: str = quantity("", default="")  # how a figure calls the source where it is no image of the set

    @property
    def start_rmse(self) -> np.ndarray:
        """(n,) root mean square over pixels of source - target."""
        rmse: np.ndarray = self.distance[:, 0] / np.sqrt(self.endpoints[0].size)
        return rmse

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """How sure the model is at both ends of a walk, and how near the end comes to the target."""
        yield from self.quoted(
            "source_confidence:confidence at the source",
            "end_confidence:confidence at the end",
            "end_distance:distance from the end to the target:ℓ2 pixel",
            "ratio:distance to the target, end over source",
            "rmse:rms difference of end and target:pixel",
            "largest:largest difference of end and target",
            "ssim:SSIM of end and target",
            "straight:least confidence on the straight way to the end",
            "survives_rounding:ends that survive rounding",
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelTriangle(Triangle):
    """The triangle of a source and the ends of two walks, with how far these came."""

    images: np.ndarray = quantity("pixel", "corner c h w")  # the source and both ends
    ratio: np.ndarray = quantity("", "walk")  # of distances to the target, end over source
    rmse: np.ndarray = quantity("pixel", "walk")  # of an end to its target
    floor: np.ndarray = quantity("", "walk")  # what the schedule alone makes of the ratio
    delta: float = quantity("")  # of the walks
    mode: str = quantity("")
    target_row: np.ndarray = quantity("", "walk")

    def shares(self, deltas: np.ndarray) -> np.ndarray:
        """(m,) area-weighted share of the triangle within these of the source's confidence.

        Args:
            deltas: what the confidence may lose.

        Returns:
            NaN below the delta of walks in "superlevel", where a share says nothing.
        """
        known = (deltas >= self.delta) | (self.mode != "superlevel")
        return np.array([self.fraction(delta, "area")[0] if yes else np.nan for delta, yes in zip(deltas, known)])  # noqa: B905

    def raster(self, side: int = 160) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The confidence on a regular grid over the triangle, linear between lattice points.

        Args:
            side: cells along the longer side.

        Returns:
            x, y and (y, x) confidence, NaN outside of the triangle.
        """
        a, b, c = self.corners[0].astype(np.float64)
        low, high = self.corners[0].min(0), self.corners[0].max(0)
        step = float((high - low).max()) / side or 1.0
        x, y = (low[axis] + step * np.arange(max(2, round((high - low)[axis] / step) + 1)) for axis in (0, 1))
        there = np.stack(np.meshgrid(x, y), -1) - a
        sides = np.stack([b - a, c - a], 1)
        if abs(np.linalg.det(sides)) < 1e-12:  # all on one line
            return x, y, np.full(there.shape[:2], np.nan)
        place = self.resolution * there @ np.linalg.inv(sides).T
        return x, y, self._between(place[..., 0], place[..., 1])

    def _between(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """The confidence at places of the lattice that need not be whole."""
        n = self.resolution
        table = np.full((n + 2, n + 2), np.nan)
        table[tuple(self.lattice.T)] = self.confidence[0]
        inside = (i > -1e-9) & (j > -1e-9) & (i + j < n + 1e-9)
        i, j = i.clip(0, n), j.clip(0, n)
        over = np.maximum(i + j - n, 0) / 2
        i, j = (i - over).clip(0, n), (j - over).clip(0, n)
        low_i, low_j = (np.floor(part - 1e-9).clip(0).astype(int) for part in (i, j))
        part_i, part_j = i - low_i, j - low_j
        upper = part_i + part_j > 1 + 1e-9
        right, above = table[low_i + 1, low_j], table[low_i, low_j + 1]
        corner = table[low_i + upper, low_j + upper]
        weights = np.where(upper, [1 - part_j, 1 - part_i], [part_i, part_j])
        parts = np.stack([1 - weights.sum(0), *weights])
        values = np.where(parts > 1e-9, np.stack([corner, right, above]) * parts, 0.0).sum(0)
        return np.where(inside, values, np.nan)

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Confidence on the triangle, and where both walks end."""
        yield Number(name="mean confidence on the triangle", value=float(self.mean()[0]))
        least = float(np.nanmin(self.confidence[0], initial=np.inf))
        yield Number(name="least confidence on the triangle", value=least)
        share = float((self.label[0] == self.source_class[0]).mean())
        yield Number(name="share with the source's class", value=share)
        for walk, (ratio, rmse) in enumerate(zip(self.ratio, self.rmse, strict=True), 1):
            yield Number(name=f"distance to the target, end over source, walk {walk}", value=float(ratio))
            yield Number(name=f"rms difference of end and target, walk {walk}", value=float(rmse), unit="pixel")


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


def walks(inputs: Inputs, *, mode: Mode, delta: float, steps: int) -> LevelSetCard:
    """Walks from the start, put back into the pixel box, to the targets, and the straight ways back."""
    classifier, rows, start = inputs.classifier, inputs.rows, inputs.start
    source, targets = source_of(start), targets_of(inputs.images, rows)
    whose = {"source_row": -1, "words": start.words} if start.picked else {"source_row": rows[0], "words": ""}
    found = walks_of(classifier, source, targets, mode, delta, steps, _shown(rows, whose, inputs.on_progress))
    apart = image_distances(torch.from_numpy(found.endpoints), targets, source.expand_as(targets))
    there = np.isfinite(found.endpoints).all((1, 2, 3))
    straight = np.full(len(there), np.nan)
    if there.any():
        ends = torch.from_numpy(found.endpoints[there])
        straight[there] = linear_paths(classifier, source.expand_as(ends), ends, delta=delta, points=_ON_THE_WAY).least
    inputs.on_progress(1.0)
    return _card(
        found,
        rows,
        **whose,
        largest=apart.largest,
        ssim=apart.ssim,
        start_largest=apart.start_largest,
        start_ssim=apart.start_ssim,
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


def perceptual_distances(card: LevelSetCard, images: ImageSet) -> ImageDistances:
    """Distances of the ends of walks from their targets, LPIPS with them where it can be measured.

    Not kept in the card: whether LPIPS is there is a matter of the machine, not of the recipe.

    Args:
        card: the walks.
        images: the whole set.

    Returns:
        The distances, and of the source; `missing` says why LPIPS is not measured.
    """
    sources = torch.from_numpy(card.snapshots[:, 0])
    return image_distances(
        torch.from_numpy(card.endpoints), images.pixels[card.target_row.tolist()].cpu(), sources, perceptual=True
    )


def _card(found: LevelSetPaths, rows: Sequence[int], **values: Any) -> LevelSetCard:
    """Walks as a card; what is not given is not known yet."""
    count = len(found.status)
    own = {entry.name for entry in fields(LevelSetCard)} - {entry.name for entry in fields(LevelSetPaths)} - {"words"}
    merged: dict[str, Any] = {entry.name: getattr(found, entry.name) for entry in fields(found)}
    merged |= {name: np.full(count, np.nan) for name in own} | values
    merged["source_row"] = np.full(count, merged["source_row"], np.int32)
    merged["target_row"] = np.array(rows[1:], np.int32)
    return LevelSetCard(**merged)


def _shown(rows: Sequence[int], whose: Mapping[str, Any], on_progress: OnProgress) -> OnProgress:
    """Tell of walks under way as of cards."""

    def tell(fraction: float, partial: Result | None = None) -> None:
        walking = isinstance(partial, LevelSetPaths)
        on_progress(min(fraction, 0.99), _card(partial, rows, **whose) if walking else None)  # type: ignore[arg-type]

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
    source, told = source_of(inputs.start), part_of(on_progress, 0.0, _WALKED)
    found = walks_of(classifier, source, targets_of(inputs.images, rows), mode, delta, steps, told)
    if not np.isfinite(found.endpoints).all():
        words = ", ".join(found.status.tolist())
        raise ImageError(f"expected two walks for a triangle, got {words}; choose another source or a smaller delta")
    b, c = torch.from_numpy(found.endpoints).split(1)
    corners = triangle(classifier, source, b, c, resolution, on_progress=part_of(on_progress, _WALKED, 1.0))
    kept = {entry.name: getattr(corners, entry.name) for entry in fields(corners)}
    return LevelTriangle(
        **kept,
        images=torch.cat([source, b, c]).numpy(),
        ratio=found.ratio,
        rmse=found.rmse,
        floor=found.floor,
        delta=delta,
        mode=mode,
        target_row=np.array(rows[1:], np.int32),
    )
