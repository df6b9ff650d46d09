"""What charts make of arrays: curves without unknown values, stairs, outlines, and the range of known values."""

from __future__ import annotations

import numpy as np


def known_pieces(known: np.ndarray) -> list[np.ndarray]:
    """The unbroken runs of known values.

    >>> [piece.tolist() for piece in known_pieces(np.array([True, True, False, True]))]
    [[0, 1], [3]]

    Args:
        known: (n,) bool.

    Returns:
        The indices of each run, in order.
    """
    index = np.flatnonzero(known)
    return [piece for piece in np.split(index, np.flatnonzero(np.diff(index) > 1) + 1) if len(piece)]


def known_runs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """A curve in pieces, without unknown values.

    Args:
        x: (n,) places.
        y: (n,) values, NaN where unknown.

    Returns:
        Paths (points, 2).
    """
    return tuple(np.stack([x[piece], y[piece]], 1) for piece in known_pieces(np.isfinite(x) & np.isfinite(y)))


def stairs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A curve that keeps its value until the next place.

    >>> stairs(np.array([1, 2]), np.array([5, 6])).tolist()
    [[1, 5], [2, 5], [2, 6]]

    Args:
        x: (n,) places.
        y: (n,) values.

    Returns:
        A path (points, 2).
    """
    return np.stack([np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]], 1)


def rectangle(left: float, right: float, bottom: float, top: float) -> np.ndarray:
    """The closed outline of a rectangle, a path (5, 2)."""
    return np.array([[left, bottom], [right, bottom], [right, top], [left, top], [left, bottom]])


def largest(*values: np.ndarray) -> float:
    """The largest finite value of all arrays, at least 0.

    >>> largest(np.array([1.0, np.inf]), np.array([np.nan]))
    1.0
    """
    return max((float(each[np.isfinite(each)].max(initial=0.0)) for each in values), default=0.0)


def log_limits(*values: np.ndarray, room: float, otherwise: tuple[float, float]) -> tuple[float, float]:
    """The ends of a logarithmic axis.

    >>> log_limits(np.array([0.0, 2.0, 4.0, np.nan]), room=2.0, otherwise=(1.0, 10.0))
    (1.0, 8.0)

    Args:
        values: what is drawn, of any shape; only finite values above 0 count.
        room: factor between the outermost values and the ends.
        otherwise: the ends when no value counts.

    Returns:
        Lower and upper end.
    """
    every = np.concatenate([each.ravel() for each in values])
    drawn = every[np.isfinite(every) & (every > 0)]
    return (float(drawn.min()) / room, float(drawn.max()) * room) if len(drawn) else otherwise
