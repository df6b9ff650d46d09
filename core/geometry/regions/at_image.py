"""One path inside a region, with all that a figure shows of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.geometry.regions.connect import RegionPaths
from core.result import Context, Number, quantity


@dataclass(frozen=True, kw_only=True, eq=False)
class PathAtImage(RegionPaths):
    """One path with its film strip, its margin and its projection, and the same of the straight segment."""

    frames: np.ndarray = quantity("pixel", "frame c h w")  # at equal distances along the path; none if there is none
    frame_margin: np.ndarray = quantity("logit", "frame")
    straight_frames: np.ndarray = quantity("pixel", "frame c h w")
    straight_class: np.ndarray = quantity("", "frame")  # what the model says there
    at: np.ndarray = quantity("ℓ2 pixel", "point")  # along the path
    margin: np.ndarray = quantity("logit", "point")  # of the start's class
    straight_at: np.ndarray = quantity("ℓ2 pixel", "place")
    straight_margin: np.ndarray = quantity("logit", "place")
    corner_at: np.ndarray = quantity("ℓ2 pixel", "vertex")  # along the path
    projection: np.ndarray = quantity("ℓ2 pixel", "vertex axis")  # along the straight segment, and across it
    projection_share: float = quantity("")  # of what corners lie off the segment, squared: what the projection shows
    outside: float = quantity(
        "ℓ2 pixel", words="out of the pixel box, at most"
    )  # how far a corner lies outside the pixel box, at most
    moved: float = quantity("ℓ2 pixel")  # how far the end was moved for its class; 0 where it had it, NaN where in vain
    nearest_row: int = quantity("")  # nearest image of the set of the start's class; -1 where not looked for or none
    words: str = quantity("")  # how a figure calls the start
    end_words: str = quantity("")

    @property
    def straight_share(self) -> float:
        """How much of the straight segment lies in the region."""
        return float((self.straight_margin > 0).mean())

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Length and margin of the path, and how much of the straight segment lies in the region."""
        yield from self.quoted("found:pairs with a path", "distance", "length", "length_ratio", "min_margin")
        yield from self.quoted("segments", "resolution")
        yield from self.quoted("straight_share:share of the straight segment in the region", "outside")
