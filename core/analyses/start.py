"""The image that an analysis asks about: the first chosen one, or one at a point of a plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.analyses.parameters import CORRUPTED, DIRECTIONS, Parameter


def direction_text(text: str) -> object:
    """Check the text of a direction: `parse_direction`, loaded on first use, raises where it names none."""
    from core.analyses.prepare.directions import parse_direction

    return parse_direction(text)


def plane_shared(parameters: Mapping[str, Any]) -> bool:
    """A plane of directions, and its default square, depend on the reference and the whole set."""
    return bool(parameters["plane"] == "directions")


PLANE = (
    Parameter(
        name="plane",
        kind="choice",
        default="images",
        choices=("images", "directions"),
        help="Through three images, or at the first image along two directions.",
    ),
    Parameter(
        name="u",
        kind="text",
        default="gradient",
        check=direction_text,
        help=f"First direction of a plane of directions: {DIRECTIONS} or {CORRUPTED}.",
        only_if=("plane", "directions"),
    ),
    Parameter(
        name="v",
        kind="text",
        default="random:0",
        check=direction_text,
        help=f"Second direction, made orthogonal to the first: {DIRECTIONS} or {CORRUPTED}.",
        only_if=("plane", "directions"),
    ),
)
START = (
    *PLANE,
    Parameter(
        name="at",
        kind="numbers",
        default=None,
        count=2,
        limits=(-1e6, 1e6),
        unit="ℓ2 pixel",
        help="Where on this plane to ask, x and y as in a slice; empty for the first image itself.",
    ),
)


def start_images(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """A point on a plane through images needs all three; else the first image is asked about."""
    return (3, 3) if parameters["at"] is not None and parameters["plane"] == "images" else (1, 3)


def start_shared(parameters: Mapping[str, Any]) -> bool:
    """A point on a plane of directions depends on the reference and the whole set."""
    return parameters["at"] is not None and plane_shared(parameters)
