"""Summaries of lists of principal curvatures, per image and over a set.

With the principal curvatures k_1 >= ... >= k_{d-1} at distance D from an image:

    crossing           sqrt(2 D / |k|) for k < 0: the tangent step from the image that meets the boundary
    mean               tr S / (d - 1)
    flat fraction      share with |k| D < 0.1: flat at the scale of the distance
    relative fraction  share with |k| < 0.05 max |k|: flat compared with the most curved direction
    participation      (sum |k|)² / sum k²: how many directions share the curvature
    asymmetry          sum of the negative over sum of the positive ones, at most 0: below -1 the image's class is the
                       convex one on balance

A mean over images of sorted curvatures is taken rank by rank; it is not the spectrum of a mean matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.result import Context, Number, Result, per_sample, quantity

FLAT = 0.1  # of |k| D
RELATIVELY_FLAT = 0.05  # of the largest |k|


class Band(NamedTuple):
    """Mean over images and two percentiles."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvatureSummary(Result):
    """Sorted curvatures of n images, and what follows from them and from the distance alone."""

    curvatures: np.ndarray = quantity("1/ℓ2 pixel", "n k")  # descending; < 0: the image's class is convex
    distance: np.ndarray = quantity("ℓ2 pixel", "n", words="distance to the boundary")
    nodes: np.ndarray = quantity("1/ℓ2 pixel", "n q")  # of a quadrature of the density, where not all were computed
    weights: np.ndarray = quantity("", "n q")  # shares of all curvatures, sum 1
    dimension: int = quantity("")  # d - 1: how many curvatures there are

    @property
    def whole(self) -> bool:
        """Whether the curvatures are all there are."""
        return len(self.curvatures.T) == self.dimension

    @property
    def convex_towards_current(self) -> np.ndarray:
        """(n, k) the other sign, ascending: > 0 where the boundary closes around the current class."""
        return np.asarray(-self.curvatures)

    @property
    def unit_free(self) -> np.ndarray:
        """(n, k) k D, curvature times distance."""
        return np.asarray(self.curvatures * self.distance[:, None])

    @property
    def crossing(self) -> np.ndarray:
        """(n, k) the tangent step sqrt(2 D / |k|) from the image that meets the boundary, infinite where k >= 0."""
        with np.errstate(divide="ignore"):
            step: np.ndarray = np.sqrt(2 * self.distance[:, None] / np.maximum(-self.curvatures, 0))
        return step

    @property
    def mean(self) -> np.ndarray:
        """(n,) the mean of all curvatures; NaN where only some of them are known, like the next four."""
        values, weights = self._density()
        return np.asarray((values * weights).sum(1))

    @property
    def flat_fraction(self) -> np.ndarray:
        """(n,) share with |k| D < 0.1."""
        values, _ = self._density()
        return self._share(np.abs(values) * self.distance[:, None] < FLAT)

    @property
    def relatively_flat_fraction(self) -> np.ndarray:
        """(n,) share with |k| < 0.05 of the largest |k|."""
        values, _ = self._density()
        largest = np.abs(self.curvatures).max(1, keepdims=True)
        return self._share(np.abs(values) <= RELATIVELY_FLAT * largest)

    @property
    def participation(self) -> np.ndarray:
        """(n,) the number of directions that share the curvature: between 1 and d - 1; NaN on a flat boundary."""
        values, weights = self._density()
        total, squares = (np.abs(values) * weights).sum(1), (values**2 * weights).sum(1)
        unknown = np.full_like(total, np.nan)
        return np.asarray(np.divide(self.dimension * total**2, squares, out=unknown, where=squares > 0))

    @property
    def asymmetry(self) -> np.ndarray:
        """(n,) sum of negatives over sum of positives; -inf where none is positive, NaN on a flat boundary."""
        values, weights = self._density()
        negative, positive = (np.where(side * values > 0, values * weights, 0).sum(1) for side in (-1, 1))
        flat = (negative == 0) & (positive == 0)
        ratio = np.divide(negative, positive, out=np.full_like(negative, -np.inf), where=positive > 0)
        return np.where(flat | np.isnan(values).any(1), np.nan, ratio)

    def band(self, values: np.ndarray | None = None, low: float = 10, high: float = 90) -> Band:
        """Mean and percentiles over the images that have a value, rank by rank.

        Args:
            values: (n, ...) one entry per image, such as `unit_free` or `flat_fraction`; the curvatures when None.
            low: the lower percentile.
            high: the upper one.

        Returns:
            Three arrays, NaN where no image has a value.
        """
        values = self.curvatures if values is None else values
        known = values[~np.isnan(values.reshape(len(values), -1)).any(1)]
        if not len(known):
            empty = np.full(values.shape[1:], np.nan)
            return Band(empty, empty, empty)
        return Band(known.mean(0), np.percentile(known, low, 0), np.percentile(known, high, 0))

    def density(self, at: np.ndarray, width: float) -> np.ndarray:
        """The density of all curvatures, smoothed by a Gaussian.

        Args:
            at: (g,) where, in 1/ℓ2 pixel.
            width: standard deviation of the Gaussian, in 1/ℓ2 pixel.

        Returns:
            (n, g), in ℓ2 pixel; NaN where only some curvatures are known.
        """
        values, weights = self._density()
        smooth = np.empty((len(values), len(at)))
        for row, (own, share) in enumerate(zip(values, weights, strict=True)):
            bumps = np.exp(-0.5 * ((at[:, None] - own) / width) ** 2) / (width * np.sqrt(2 * np.pi))
            smooth[row] = bumps @ share
        return smooth

    def _density(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and their shares: all curvatures, or the quadrature, or NaN."""
        if self.whole:
            return self.curvatures, np.full(self.curvatures.shape, 1 / max(1, self.curvatures.shape[1]))
        if self.nodes.shape[1]:
            return self.nodes, self.weights
        return np.full((len(self.curvatures), 1), np.nan), np.ones((len(self.curvatures), 1))

    def _share(self, inside: np.ndarray) -> np.ndarray:
        values, weights = self._density()
        return np.where(np.isnan(values).any(1), np.nan, (inside * weights).sum(1))

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Distance, both ends of the spectrum, and summaries of all of it."""
        yield from self.quoted("distance")
        for end, column in (("most positive", 0), ("most negative", -1)):
            yield Number(name=f"{end} curvature", value=per_sample(self.curvatures[:, column]), unit="1/ℓ2 pixel")
        yield from self.quoted(
            "mean:mean curvature:1/ℓ2 pixel",
            "asymmetry:sum of negative over sum of positive curvatures",
            "flat_fraction:share of directions with curvature x distance below 0.1",
            "participation:directions that share the curvature",
        )
