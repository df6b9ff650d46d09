"""Wilson's 95 % confidence interval of a share: k hits out of n.

With z = 1.96 and p = k / n its ends are (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n). Unlike p ± z times
the standard error they stay in [0, 1], and the interval keeps a width where k is 0 or n.

Reference: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
"""

from __future__ import annotations

import numpy as np

_Z = 1.959963984540054  # the 97.5 % quantile of the standard normal distribution


def wilson(hits: np.ndarray | float, count: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the 95 % interval of each share hits / count.

    Args:
        hits: number of hits, of any shape.
        count: number of trials, of a shape that broadcasts with that of `hits`.

    Returns:
        The lower and the upper ends; NaN where the count is 0.

    Reference:
        Wilson, JASA 22, 1927.

    >>> low, high = wilson(0, 10)
    >>> round(float(low), 3), round(float(high), 3)
    (0.0, 0.278)
    """
    known = np.asarray(count, np.float64)
    total = np.where(known > 0, known, np.nan)
    share = np.asarray(hits, np.float64) / total
    middle = (share + _Z**2 / (2 * total)) / (1 + _Z**2 / total)
    half = _Z * np.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2)) / (1 + _Z**2 / total)
    # exact at 0 and 1, where rounding would leave 1e-17
    return np.where(share == 0, 0.0, middle - half), np.where(share == 1, 1.0, middle + half)
