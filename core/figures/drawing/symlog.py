"""An axis that is linear around 0 and logarithmic far from it, for values of both signs over many decades.

A value v is drawn at sign(v) log10(1 + |v| / c): linear in v / c near 0, and beyond a few c each decade has the same
length. Layers hold these positions, tick labels the values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.figures.drawing import style
from core.figures.drawing.curves import largest

_DECADES = 1  # below the power of ten that the largest value reaches


@dataclass(frozen=True)
class Symlog:
    """The axis with its constant c > 0, in the unit of the values.

    >>> Symlog(0.1).at(np.array([-0.9, 0.0, 9.9])).tolist()
    [-1.0, 0.0, 2.0]
    """

    linear: float

    @classmethod
    def of(cls, *values: np.ndarray) -> Symlog:
        """The axis for these values: c is a power of ten, one to two decades below the largest of them."""
        most = largest(*map(np.abs, values))
        return cls(10.0 ** (math.floor(math.log10(most)) - _DECADES) if most > 0 else 1.0)

    def at(self, values: np.ndarray) -> np.ndarray:
        """The positions of values."""
        positions: np.ndarray = np.sign(values) * np.log10(1 + np.abs(values) / self.linear)
        return positions

    def values(self, places: np.ndarray) -> np.ndarray:
        """The values at positions.

        >>> Symlog(0.1).values(np.array([-1.0, 0.0, 2.0])).round(9).tolist()
        [-0.9, 0.0, 9.9]
        """
        values: np.ndarray = np.sign(places) * self.linear * (10.0 ** np.abs(places) - 1)
        return values

    def place(self, value: float) -> float:
        """The position of one value."""
        return float(self.at(np.array([value]))[0])

    def ticks(self, low: float, high: float) -> tuple[tuple[float, str], ...]:
        """Positions and labels of 0 and the powers of ten between two values; of 3 times the powers if they are few."""
        most = max(abs(low), abs(high), self.linear)
        powers = range(round(math.log10(self.linear)), math.floor(math.log10(most) + 1e-9) + 1)
        sizes = [float(f"{step}e{power}") for power in powers for step in (1, 3)]
        sizes = sizes if len(sizes) <= 8 else sizes[::2]
        inside = [value for value in (*(-size for size in sizes[::-1]), 0.0, *sizes) if low <= value <= high]
        return tuple((self.place(value), style.number_words(value).replace("-", "−")) for value in inside)
