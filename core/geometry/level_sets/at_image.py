"""Walks on level sets from one image, and the triangle of it and the ends of two walks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.geometry.level_sets.traverse import LevelSetPaths
from core.geometry.level_sets.triangles import Triangle
from core.result import Context, Number, quantity


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelSetAtImage(LevelSetPaths):
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
        yield Number(
            name="least confidence on the triangle", value=float(np.nanmin(self.confidence[0], initial=np.inf))
        )
        yield Number(name="share with the source's class", value=float((self.label[0] == self.source_class[0]).mean()))
        for walk, (ratio, rmse) in enumerate(zip(self.ratio, self.rmse, strict=True), 1):
            yield Number(name=f"distance to the target, end over source, walk {walk}", value=float(ratio))
            yield Number(name=f"rms difference of end and target, walk {walk}", value=float(rmse), unit="pixel")
