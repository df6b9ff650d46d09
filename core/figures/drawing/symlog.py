"""An axis that is linear around 0 and logarithmic far from it, on both sides: values of both signs over many decades.

A value v stands at sign(v) log10(1 + |v| / c): near 0 lengths are those of v / c, from a few c on each decade has the
same length. Layers hold these places, ticks the values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.figures.drawing import style

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
        most = max((float(np.abs(each[np.isfinite(each)]).max(initial=0)) for each in values), default=0.0)
        return cls(10.0 ** (math.floor(math.log10(most)) - _DECADES) if most > 0 else 1.0)

    def at(self, values: np.ndarray) -> np.ndarray:
        """The places of values."""
        places: np.ndarray = np.sign(values) * np.log10(1 + np.abs(values) / self.linear)
        return places

    def values(self, places: np.ndarray) -> np.ndarray:
        """The values at places.

        >>> Symlog(0.1).values(np.array([-1.0, 0.0, 2.0])).round(9).tolist()
        [-0.9, 0.0, 9.9]
        """
        values: np.ndarray = np.sign(places) * self.linear * (10.0 ** np.abs(places) - 1)
        return values

    def place(self, value: float) -> float:
        """The place of one value."""
        return float(self.at(np.array([value]))[0])

    def ticks(self, low: float, high: float) -> tuple[tuple[float, str], ...]:
        """0 and the powers of ten between two values, with their places; where these are few, 3 times them too."""
        most = max(abs(low), abs(high), self.linear)
        powers = range(round(math.log10(self.linear)), math.floor(math.log10(most) + 1e-9) + 1)
        sizes = [float(f"{step}e{power}") for power in powers for step in (1, 3)]
        if len(sizes) > 8:
            sizes = sizes[::2]
        values = [-size for size in sizes[::-1]] + [0.0] + sizes
        inside = [value for value in values if low <= value <= high]
        return tuple((self.place(value), style.number_words(value).replace("-", "−")) for value in inside)
