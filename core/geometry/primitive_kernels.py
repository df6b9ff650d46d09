"""PRIME's check for folds, compiled for the CPU: one pass over a field, and not 20."""

from __future__ import annotations

import numpy as np

from core.compiled import compiled


@compiled
def compression(field: np.ndarray) -> np.ndarray:
    """The largest real part of an eigenvalue of grad tau, at least 0: (n,) of displacements tau, (n, 2, h, w)."""
    count, _, height, width = field.shape
    found = np.zeros(count, field.dtype)
    most = np.zeros(width, field.dtype)  # of each column: lanes that do not wait for each other
    zero = found[0]
    for row in range(count):
        most[:] = zero
        for y in range(height - 1):
            for side in range(2):
                for x in range(width - 1):
                    a = field[row, 0, y + 1, x + side] - field[row, 0, y, x + side]
                    b = field[row, 1, y + 1, x + side] - field[row, 1, y, x + side]
                    c = field[row, 0, y + side, x + 1] - field[row, 0, y + side, x]
                    d = field[row, 1, y + side, x + 1] - field[row, 1, y + side, x]
                    twice = b * c + b * c
                    squared = (a - d) * (a - d) + twice + twice
                    sized = a + d + np.sqrt(squared if squared > zero else zero)
                    most[x] = sized if sized > most[x] else most[x]
        for x in range(width - 1):
            found[row] = max(found[row], most[x] / 2)
    return found
