"""Events that a browser sends, checked: any value may come from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

import streamlit as st

T = TypeVar("T")

Extent = tuple[float, float, float, float]  # x_min, x_max, y_min, y_max, as in `slice_plane`
Point = tuple[float, float]

FARTHEST = 1e9  # no plane of images reaches as far, so no viewer sends it
NARROWEST = 1e-9  # of the largest coordinate: below, float64 cannot represent a square to the 1e-6 that slices need


def received(key: str, event: str) -> object:
    """The value of a picture's last event; None if the picture left the page before the event arrived."""
    try:
        value: object = st.session_state[key][event]
    except KeyError:
        return None
    return value


def pass_on(value: object, parse: Callable[[object], T], take: Callable[[T], None] | None) -> None:
    """Call `take` with the checked value of an event; drop values that no viewer sends.

    Args:
        value: as `received`.
        parse: checks it; raises a ValueError for a value that no viewer sends.
        take: the page's callback; None if it has none.
    """
    if take is not None:
        with suppress(ValueError):
            take(parse(value))


def parse_zoom(value: object) -> Extent | None:
    """Check a zoom that came from a browser.

    Args:
        value: `{"x": [low, high], "y": [low, high]}` or `{"reset": True}`.

    Returns:
        The extent, or None for a reset.

    Raises:
        ValueError: unless it is a square with finite ends in rising order that float64 can resolve.

    Example:
        >>> parse_zoom({"x": [0, 2], "y": [-1, 1]})
        (0.0, 2.0, -1.0, 1.0)
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a zoom with x and y, got {type(value).__name__}")
    if value.get("reset") is True:
        return None
    ends = [*_pair(value.get("x"), "x"), *_pair(value.get("y"), "y")]
    width, height = ends[1] - ends[0], ends[3] - ends[2]
    if min(width, height) < NARROWEST * max(1.0, *map(abs, ends)):
        raise ValueError(f"expected x and y to rise by more than rounding, got {width:g} and {height:g}")
    if abs(width - height) > 0.01 * max(width, height):
        raise ValueError(f"expected a square, got {width:g} by {height:g}")
    return square((ends[0], ends[1], ends[2], ends[3]))


def parse_pick(value: object) -> Point:
    """Check a picked point that came from a browser.

    Args:
        value: `{"x": number, "y": number}`.

    Returns:
        The point in plane coordinates.

    Raises:
        ValueError: if a coordinate is missing, not a number, or not finite.

    Example:
        >>> parse_pick({"x": 4.1, "y": 6})
        (4.1, 6.0)
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a point with x and y, got {type(value).__name__}")
    return _number(value.get("x"), "x"), _number(value.get("y"), "y")


def _pair(value: object, name: str) -> Point:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"expected two ends of {name}, got {value!r:.40}")
    return _number(value[0], name), _number(value[1], name)


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FARTHEST:  # not: for NaN
        raise ValueError(f"expected a finite number for {name}, got {value!r:.40}")
    return float(value)


def square(extent: Extent) -> Extent:
    """The smallest square around an extent."""
    x_min, x_max, y_min, y_max = map(float, extent)
    spare = ((x_max - x_min) - (y_max - y_min)) / 2
    across, along = max(-spare, 0.0), max(spare, 0.0)
    return x_min - across, x_max + across, y_min - along, y_max + along
