"""Limits on every classifier: how many images of a class can keep their label under all changes of a size.

A classifier is any partition of all images of a format: N = channels x side² values, each on one of q = 2^bits levels
in [0, 1]. Images are counted, each once. Let K be a class with a share a <= 1/2 of them (at most one class can be
larger: that one is exempt). `surv(size)` is the share of K that keeps its label under EVERY change of at most that
size: t changed values for p = 0, a length ||d||_p else. Three bounds hold for every K; the smallest is drawn.

H1, any number of bits. Let f(x) be the number of values of x that must change to leave K, 0 outside of K. It moves by
at most 1 with each value, so by McDiarmid P(|f - E f| >= s on one side) <= exp(-2 s²/N). Outside of K f is 0, so
1 - a <= exp(-2 (E f)²/N), that is E f <= sqrt(N ln(1/(1 - a))/2). An image survives t changes if f >= t + 1. Hence, for
t + 1 > sqrt(N ln(1/(1 - a))/2),

    surv(t) <= (1/a) exp(-2 ((t + 1)/sqrt(N) - sqrt(ln(1/(1 - a))/2))²).

H2, from bits. Read an image as M = bits x N bits; flipping t bits touches at most t values. Let s be the least radius
with P(Bin(M, 1/2) <= s) >= a, and S the images that survive t flips: the t-neighbourhood of S lies in K. By Harper no
set of the size of S has a smaller one than an initial segment of the simplicial order. Were S larger than the Hamming
ball of radius s - t, that segment would hold this ball and more, its neighbourhood the ball of radius s and more, which
is more than K. So

    surv(t) <= P(Bin(M, 1/2) <= s - t) / a,

sharp for Hamming balls. For a = 1/2 and an even M the initial segment is the majority of M - 1 bits, which gives
surv(t) <= 2 P(Bin(M - 1, 1/2) <= (M - 2)/2 - t).

G, from lengths. Give each level j its cell [j/q, (j + 1)/q), so that K becomes a set of volume a in the unit cube.
Images further than rho from the complement have cells all points of which are further than
r = rho (q - 1)/q - sqrt(N)/q from the others' cells: within cells points move by up to sqrt(N)/q. The cube is the image
of a Gaussian under the normal distribution function of each coordinate, which has slope at most 1/sqrt(2 pi); so a
distance r is one of at least sqrt(2 pi) r there, and Gaussian isoperimetry leaves, if r > 0,

    surv(rho) <= Phi(Phi^-1(a) - sqrt(2 pi) r) / a <= 2 Phi(-sqrt(2 pi) r) <= exp(-pi r²).

For p = inf the same holds with r = e (q - 1)/q - 1/q.

From one size to another: t changed values have ||d||_p <= t^(1/max(p, 1)), since each moves by at most 1; and an ℓ2
length rho has ||d||_1 <= sqrt(N) rho. For p = inf any t is one step of the whole range: H1 and H2 say nothing there.

References: Dai, Gifford, Fundamental limits on the robustness of image classifiers, ICLR 2023 (arXiv 2112.04033), with
other constants. McDiarmid, On the method of bounded differences, 1989. Harper, Optimal numberings and isoperimetric
problems on graphs, J. Combinatorial Theory 1, 1966. Borell, The Brunn-Minkowski inequality in Gauss space, 1975.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, log_ndtr, ndtri, ndtri_exp

from core.result import Context, Number, Result, quantity
from core.runtime.cost import counted, spent

BOUNDS = ("H1", "H2", "G")
NORMS = (0.0, 1.0, 2.0, math.inf)
MOST_BITS = 16

_POINTS = 400  # of a grid of sizes
_SLOPE = math.sqrt(2 * math.pi)  # a step in the cube is so much in front of the normal distribution function
_WINDOW = (
    40.0  # in sqrt(M): further below the middle than that, Hoeffding's bound stands for the binomial tail, e^-3200
)

Share = float | tuple[float, float] | None


def unit_of(norm: float) -> str:
    """The unit of a change measured by a norm, of which 0 counts values.

    >>> unit_of(0), unit_of(math.inf)
    ('values changed', 'ℓ∞ pixel')
    """
    order = "∞" if norm == math.inf else f"{norm:g}"
    return f"ℓ{order} pixel" if norm else "values changed"


@dataclass(frozen=True, kw_only=True, eq=False)
class RobustnessBound(Result):
    """The largest share of a class of images that can keep its label, by the size of the changes allowed."""

    size: np.ndarray = quantity("ℓp pixel", "size")  # values changed for p = 0
    log_fraction: np.ndarray = quantity("ln share", "bound size")  # of H1, H2 and G; at most 0
    share: np.ndarray = quantity("", "end")  # of all images: the class has at least and at most that
    norm: float = quantity("")
    side: int = quantity("pixels")
    channels: int = quantity("")
    bits: int = quantity("")

    @property
    def values(self) -> int:
        """N, the values of an image."""
        return self.channels * self.side**2

    @property
    def log_least(self) -> np.ndarray:
        """(s,) natural logarithm of the smallest bound."""
        least: np.ndarray = self.log_fraction.min(0)
        return least

    @property
    def fraction(self) -> np.ndarray:
        """(s,) the smallest bound itself; 0 where it is below what a number can hold."""
        share: np.ndarray = np.exp(self.log_least)
        return share

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """The change at which the limit falls to a half, and to the share that the figure marks."""
        yield from self.quoted("values:values of an image")
        for share in (0.5, context.figure["marked"]):
            reached = np.flatnonzero(self.fraction <= share)
            size = float(self.size[reached[0]]) if len(reached) else np.nan
            name = f"change against which no classifier keeps more than {share:g} of a class"
            yield Number(name=name, value=size, unit=unit_of(self.norm))


@counted
def robustness_bound(
    side: int,
    channels: int,
    bits: int,
    norm: float,
    share: Share = None,
    *,
    sizes: np.ndarray | None = None,
    least: float = 1e-9,
) -> RobustnessBound:
    """How much of a class can keep its label under every change of a size, for any classifier at all.

    Args:
        side: pixels per side of an image.
        channels: values per pixel.
        bits: bits of each value, 1 to 16; levels are evenly spaced in [0, 1].
        norm: 0 (values changed), 1, 2 or infinity, over pixels in [0, 1].
        share: share of all images that the class holds, in (0, 1/2]; two numbers for the worst share in an interval;
            None for the worst over (0, 1/2].
        sizes: sizes of the changes; when None, 400 from 0 to where the bound falls below `least`.
        least: share of the class at which the default sizes end.

    Returns:
        The three bounds at each size, in logarithms: survivors go below the smallest number there is.

    Raises:
        ValueError: if the format, the norm, the share or a size is out of range.

    Reference:
        Dai, Gifford, Fundamental limits on the robustness of image classifiers, ICLR 2023; constants are ours, see the
        module.
    """
    low, high = _checked(side, channels, bits, norm, share)
    if not 0 < least < 1:
        raise ValueError(f"expected a least share in (0, 1), got {least}")
    count = channels * side**2
    if sizes is None:
        end = 1.1 * size_at(side, channels, bits, norm, share, survivors=least)
        sizes = np.linspace(0.0, min(end, _diameter(count, norm)), _POINTS)
        sizes = np.unique(np.rint(sizes)) if norm == 0 else sizes
    size = np.asarray(sizes, np.float64)
    if size.ndim != 1 or not np.isfinite(size).all() or (size < 0).any():
        raise ValueError("expected a row of finite sizes of at least 0, got others")
    changed = _values_changed(size, norm, count)
    return RobustnessBound(
        size=size,
        log_fraction=np.stack(
            [
                _bounded_differences(changed, count, low, high),
                _harper(changed, count * bits, low, high),
                _gaussian(_cube_distance(size, count, bits, norm), high),
            ]
        ),
        share=np.array([low, high]),
        norm=float(norm),
        side=side,
        channels=channels,
        bits=bits,
        **spent(),
    )


def size_at(
    side: int,
    channels: int,
    bits: int,
    norm: float,
    share: Share = None,
    *,
    survivors: float = 0.01,
    bound: str = "",
) -> float:
    """The least size of change at which a bound leaves at most this share of the class.

    Args:
        side: pixels per side.
        channels: values per pixel.
        bits: bits of each value.
        norm: 0, 1, 2 or infinity.
        share: see `robustness_bound`.
        survivors: share of the class, in (0, 1).
        bound: "H1", "H2" or "G"; the smallest of all when "".

    Returns:
        The size, a whole number for norm 0; infinite where the bound never gets there.

    Raises:
        ValueError: if the format, the norm, the share, the survivors or the bound is out of range.
    """
    low, high = _checked(side, channels, bits, norm, share)
    if not 0 < survivors < 1 or bound not in ("", *BOUNDS):
        raise ValueError(f"expected survivors in (0, 1) and a bound of {BOUNDS}, got {survivors} and {bound!r}")
    if not bound:
        found = [size_at(side, channels, bits, norm, share, survivors=survivors, bound=name) for name in BOUNDS]
        return min(*found, _diameter(channels * side**2, norm))  # there the whole box has been reached
    count, target = channels * side**2, math.log(survivors)
    if bound == "G":
        return _length(count, bits, norm, _gaussian_distance(survivors, high))
    if norm == math.inf:
        return math.inf

    def few_left(changed: int) -> bool:
        t = np.array([changed])
        found = _bounded_differences(t, count, low, high) if bound == "H1" else _harper(t, count * bits, low, high)
        return bool(found[0] <= target)

    if not few_left(count):
        return math.inf
    reached = bisect_left(range(count), True, key=few_left)
    return float(reached) if norm == 0 else float(reached) ** (1 / norm)


def _checked(side: int, channels: int, bits: int, norm: float, share: Share) -> tuple[float, float]:
    """The ends of the share; everything else as it is.

    Raises:
        ValueError: if one of them is out of range.
    """
    if side < 1 or channels < 1 or not 1 <= bits <= MOST_BITS:
        raise ValueError(f"expected at least 1 pixel, 1 channel and 1 to 16 bits, got {side}, {channels} and {bits}")
    if channels * side**2 < 2:
        raise ValueError("expected images of at least two values, got one; take a larger side")
    if norm not in NORMS:
        raise ValueError(f"expected a norm out of 0, 1, 2 and infinity, got {norm}")
    low, high = (0.0, 0.5) if share is None else (share, share) if isinstance(share, int | float) else share
    if not 0 <= low <= high <= 0.5 or high <= 0 or (share is not None and isinstance(share, float) and low == 0):
        raise ValueError(
            f"expected a share in (0, 1/2], got {share}; the one class that holds more of all images is exempt"
        )
    return float(low), float(high)


def _diameter(count: int, norm: float) -> float:
    """The size of the largest change there is."""
    return float(count) if norm == 0 else 1.0 if norm == math.inf else float(count) ** (1 / norm)


def _values_changed(size: np.ndarray, norm: float, count: int) -> np.ndarray:
    """How many values may change altogether within a size: t^(1/max(p, 1)) is at most that."""
    if norm == math.inf:
        return np.where(size >= 1, float(count), 0.0)
    whole = np.floor(size if norm == 0 else size**norm * (1 + 1e-12))  # sqrt(2)² must not lose its second value
    return np.minimum(whole, float(count))


def _bounded_differences(changed: np.ndarray, count: int, low: float, high: float) -> np.ndarray:
    """H1: a factor 1/a, worst at the lower end of the share, and an exponent, worst at the upper one."""
    if low == 0:
        return np.where(changed >= count, -math.inf, 0.0)  # every image of the format is within reach
    beyond = (changed + 1) / math.sqrt(count) - math.sqrt(-math.log1p(-high) / 2)
    bound = -math.log(low) - 2 * np.maximum(beyond, 0.0) ** 2
    return np.where(changed >= count, -math.inf, np.minimum(bound, 0.0))


def _harper(changed: np.ndarray, bits: int, low: float, high: float) -> np.ndarray:
    """H2, over the shares of an interval: within one radius s it falls with the share, and it rises with s."""
    if low == high == 0.5 and bits % 2 == 0:
        return np.minimum(_log_binomial(bits - 1, (bits - 2) // 2 - changed) + math.log(2), 0.0)
    table = _log_table(bits)
    ends = []
    for share in (low, high):
        # of an empty class no image survives; rounding must not take a ball for the next larger one
        radius = 0 if share == 0 else bits // 2 if share == 0.5 else table.radius(math.log(share))
        least = max(math.log(low) if low > 0 else -math.inf, float(_log_binomial(bits, np.array([radius - 1.0]))[0]))
        if share == low and low > 0:
            least = math.log(low)
        ends.append(_log_binomial(bits, radius - changed) - max(least, -bits * math.log(2)))
    return np.minimum(np.maximum(*ends), 0.0)


def _cube_distance(size: np.ndarray, count: int, bits: int, norm: float) -> np.ndarray:
    """r: how far apart all points of two cells are when their images are just beyond a size of each other."""
    if norm == 0:
        return np.zeros(len(size))  # a few changed values may be as long as can be
    levels = 2.0**bits
    length = size / math.sqrt(count) if norm == 1 else size
    return length * (levels - 1) / levels - (1.0 if norm == math.inf else math.sqrt(count)) / levels


def _length(count: int, bits: int, norm: float, distance: float) -> float:
    """The size that a distance r in the cube stands for; infinite for norm 0, and beyond the whole range."""
    levels = 2.0**bits
    if norm == 0:
        return math.inf
    length = (distance + (1.0 if norm == math.inf else math.sqrt(count)) / levels) * levels / (levels - 1)
    if norm == 1:
        return math.sqrt(count) * length
    return length if norm == 2 or length <= 1 else math.inf


def _gaussian(distance: np.ndarray, high: float) -> np.ndarray:
    """G, which rises with the share: the worst is the upper end."""
    tail = log_ndtr(ndtri(high) - _SLOPE * np.maximum(distance, 0.0)) - math.log(high)
    return np.where(distance > 0, np.minimum(tail, 0.0), 0.0)


def _gaussian_distance(survivors: float, high: float) -> float:
    """The r at which G leaves this share."""
    return float(ndtri(high) - ndtri_exp(math.log(high) + math.log(survivors))) / _SLOPE


# -- binomial tails in logarithms -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _LogTable:
    """ln P(Bin(bits, 1/2) <= k) for k from `start` to the middle and a little beyond."""

    bits: int
    start: int
    values: np.ndarray

    def __call__(self, k: np.ndarray) -> np.ndarray:
        below = -2 * (self.bits / 2 - k) ** 2 / self.bits  # Hoeffding
        place = np.clip(k - self.start, 0, len(self.values) - 1).astype(np.int64)
        known = np.where(k < self.start, below, self.values[place])
        return np.where(k < 0, -math.inf, np.where(k >= self.bits, 0.0, known))

    def radius(self, log_share: float) -> int:
        """The least k with a probability of at least this share, up to rounding."""
        # 1e-12: a share that is the size of a ball, computed otherwise, belongs to that ball
        return self.start + int(np.searchsorted(self.values, log_share - 1e-12))


@lru_cache(maxsize=32)
def _log_table(bits: int) -> _LogTable:
    start = max(0, math.floor(bits / 2 - _WINDOW * math.sqrt(bits)))
    k = np.arange(start, bits // 2 + 2, dtype=np.float64)
    k = k[k <= bits]
    pmf = gammaln(bits + 1) - gammaln(k + 1) - gammaln(bits - k + 1) - bits * math.log(2)
    if start > 0:
        pmf[0] = -2 * (bits / 2 - k[0]) ** 2 / bits  # of all below it, too: from above
    values: np.ndarray = np.minimum(np.logaddexp.accumulate(pmf), 0.0)
    return _LogTable(bits, start, values)


def _log_binomial(bits: int, k: np.ndarray) -> np.ndarray:
    """Logarithm of P(Bin(bits, 1/2) <= k) for k up to the middle; far below it from above."""
    return _log_table(bits)(np.asarray(k, np.float64))
