"""A class of tiny black-and-white images, painted by hand, and which of its images keep it within a radius.

The images of side² pixels are the corners of a cube: neighbours differ in one pixel. They stand on a board whose rows
and columns run through a Gray code, so that every neighbour of an image lies in its row or in its column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.geometry.limits.bounds import robustness_bound
from core.geometry.limits.enumeration import best_survivors, complement_distance
from core.result import Context, Number, Result, quantity
from core.runtime.cost import counted, spent

SIDES = (2, 3)
NAMED = ("majority", "ball", "pixel", "parity")


@dataclass(frozen=True, kw_only=True, eq=False)
class PaintedClass(Result):
    """A set of the black-and-white images of a tiny format, with the exact distance of each to its complement."""

    inside: np.ndarray = quantity("", "image")  # images by the bits of their number, the first pixel lowest
    distance: np.ndarray = quantity("pixels", "image")  # 0 outside; -1 where every image belongs to the class
    board: np.ndarray = quantity("", "row column")  # number of the image at each place
    survivors: np.ndarray = quantity("images", "changed")
    limit: np.ndarray = quantity("images", "changed")  # of H2; NaN of a class of more than half, which is exempt
    best: np.ndarray = quantity("images", "changed")  # the most that a class of this size can keep
    side: int = quantity("pixels")

    @property
    def exempt(self) -> bool:
        """Whether it holds more than half of all images, so that no limit applies."""
        return bool(2 * self.inside.sum() > len(self.inside))

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """How many images of the class keep it within the marked number of changed pixels."""
        radius = min(int(context.figure["radius"]), len(self.survivors) - 1)
        yield Number(name="images of the class", value=float(self.inside.sum()), unit="images")
        for label, kept in (
            ("images that keep it", self.survivors),
            ("images that any class can keep", self.best),
            ("limit", self.limit),
        ):
            yield Number(name=f"{label}, changed pixels: {radius}", value=float(kept[radius]), unit="images")


@counted
def painted_class(side: int, painted: str = "majority") -> PaintedClass:
    """The class given by a name or by digits.

    Args:
        side: pixels per side, 2 or 3.
        painted: "majority" (more than half of an odd number of pixels are white), "ball" (all images with few white
            pixels, the largest such set of at most half), "pixel" (the first pixel is white), "parity" (an even number
            of white pixels), or the members as hexadecimal digits, image 0 in the lowest bit of the last digit.

    Returns:
        The class, its survivors by the number of changed pixels, and what no class of that size can exceed.

    Raises:
        ValueError: if the side, the name or the digits are not of this kind.
    """
    inside = _members(side, painted)
    count, members = side**2, int(inside.sum())
    distance = complement_distance(inside, count)
    sizes = np.arange(count + 1)
    far = np.where(distance < 0, count + 1, distance)
    limit = np.full(count + 1, np.nan)
    if 0 < members <= len(inside) // 2:
        limit = (
            members * robustness_bound(side, 1, 1, 0.0, members / len(inside), sizes=sizes.astype(np.float64)).fraction
        )
    return PaintedClass(
        inside=inside,
        distance=distance,
        board=_board(count),
        survivors=(inside[:, None] & (far[:, None] > sizes)).sum(0),
        limit=limit,
        best=best_survivors(count)[members],
        side=side,
        **spent(),
    )


def painted_words(inside: np.ndarray) -> str:
    """The members of a class as hexadecimal digits, which `painted_class` reads back."""
    number = sum(1 << int(k) for k in np.flatnonzero(inside))
    return f"{number:0{len(inside) // 4}x}"


def _members(side: int, painted: str) -> np.ndarray:
    """Which of the images belong to a class.

    Raises:
        ValueError: if the side or the words are not known.
    """
    if side not in SIDES:
        raise ValueError(f"expected a side of 2 or 3 pixels, got {side}")
    count = side**2
    white = (np.arange(1 << count)[:, None] >> np.arange(count)) & 1
    odd = count if count % 2 else count - 1
    total = white.sum(1)
    match painted:
        case "majority":
            found: np.ndarray = 2 * white[:, :odd].sum(1) > odd
        case "ball":
            found = total < (count + 1) // 2
        case "pixel":
            found = white[:, 0] == 1
        case "parity":
            found = total % 2 == 0
        case _:
            digits = (1 << count) // 4
            if not re.fullmatch(f"[0-9a-f]{{{digits}}}", painted):
                raise ValueError(
                    f"expected {', '.join(NAMED)} or {digits} hexadecimal digits for {side} x {side} images, got"
                    f" {painted[:20]!r}"
                )
            number = int(painted, 16)
            found = np.array([bool(number >> k & 1) for k in range(1 << count)])
    return found


def _board(count: int) -> np.ndarray:
    """The number of the image at each place: the lower half of the pixels across, the others up, in Gray codes."""
    across = (count + 1) // 2
    columns, rows = (np.arange(1 << bits) for bits in (across, count - across))
    return (rows ^ (rows >> 1))[:, None] << across | (columns ^ (columns >> 1))
