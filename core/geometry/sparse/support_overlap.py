"""How far sets of pixels overlap, and how far they would by chance.

A support S is a set of s of the P pixels of an image. Two of them overlap by their IoU, the number of pixels in both
over the number in either. Of two random sets of s and t pixels the number in common is hypergeometric, which gives the
IoU by chance. A map of scores predicts S by

- precision: the share of S among its s largest scores; by chance s / P;
- AUC: how often a pixel of S scores above one off S, ties counted half; by chance 1/2;
- rank correlation: Spearman's, of the scores and a value known on S alone; by chance 0.

Equal scores are in random order: what is reported is the mean over all orders, so that a constant map has the precision
of chance, whatever pixel comes first.

Reference of the sampling without replacement: Bentley and Floyd, Programming pearls: a sample of brilliance, CACM 30,
1987.
"""

from __future__ import annotations

import numpy as np
import torch

_MOST_MARKS = 1 << 25  # bytes of random supports that are held at a time


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The share of the pixels in either set that are in both, row by row.

    Args:
        first: bool (..., p).
        second: bool, a shape that broadcasts with it.

    Returns:
        (...), NaN where both sets are empty.

    >>> float(iou(np.array([True, True, False]), np.array([False, True, True])).round(3))
    0.333
    """
    both, either = (first & second).sum(-1), (first | second).sum(-1)
    return np.where(either > 0, both / np.maximum(either, 1), np.nan)


def pairwise_iou(supports: np.ndarray) -> np.ndarray:
    """The IoU of every two sets: bool (n, p) -> (n, n), NaN where both are empty."""
    marks = supports.astype(np.float32)
    both = (marks @ marks.T).astype(np.float64)
    sizes = supports.sum(1)
    either = sizes[:, None] + sizes - both
    return np.where(either > 0, both / np.maximum(either, 1), np.nan)


def chance_iou(first: np.ndarray | int, second: np.ndarray | int, pixels: int) -> np.ndarray:
    """The mean IoU of random sets of these sizes.

    Args:
        first: sizes, any shape.
        second: sizes, a shape that broadcasts with it.
        pixels: how many there are to choose from.

    Returns:
        The mean over all pairs of such sets; NaN where both are empty.

    >>> chance_iou(1, 1, 4)
    array(0.25)
    """
    from scipy.stats import hypergeom

    small, large = np.minimum(first, second), np.maximum(first, second)
    found = np.full(small.shape, np.nan)
    for s, t in sorted({(int(s), int(t)) for s, t in zip(small.flat, large.flat, strict=True)}):  # few differ
        if t:
            both = np.arange(s + 1)
            mean = (hypergeom.pmf(both, pixels, t, s) * both / (s + t - both)).sum()
            found[(small == s) & (large == t)] = mean
    return found


def hits_among_largest(scores: np.ndarray, supports: np.ndarray) -> np.ndarray:
    """How many pixels of each set are among as many largest scores of its row, the mean over orders of ties.

    Args:
        scores: (n, p), finite.
        supports: bool (n, p).

    Returns:
        (n,) counts; with the size s the precision is hits / s and the IoU of both sets hits / (2 s - hits).
    """
    sizes = supports.sum(1)
    least = np.take_along_axis(-np.sort(-scores, axis=1), np.maximum(sizes - 1, 0)[:, None], 1)
    above, tied = scores > least, scores == least
    share = (sizes - above.sum(1)) / tied.sum(1)
    hits: np.ndarray = (supports & above).sum(1) + share * (supports & tied).sum(1)
    return np.where(sizes > 0, hits, np.nan)


def auc(scores: np.ndarray, supports: np.ndarray) -> np.ndarray:
    """How often a pixel of the set scores above one off it, ties counted half, row by row.

    Args:
        scores: (n, p), finite.
        supports: bool (n, p).

    Returns:
        (n,), NaN where the set is empty or everything.
    """
    from scipy.stats import rankdata

    inside = supports.sum(1)
    outside = supports.shape[1] - inside
    ranks = (rankdata(scores, axis=1) * supports).sum(1)
    pairs = inside * outside
    return np.where(pairs > 0, (ranks - inside * (inside + 1) / 2) / np.maximum(pairs, 1), np.nan)


def rank_correlation(scores: np.ndarray, values: np.ndarray, supports: np.ndarray) -> np.ndarray:
    """Spearman's correlation of scores and values over the pixels of each set, row by row.

    Args:
        scores: (n, p), finite.
        values: (n, p), finite on the sets.
        supports: bool (n, p).

    Returns:
        (n,), NaN below three pixels, and where all scores or all values of a set are equal.
    """
    from scipy.stats import rankdata

    def centred(each: np.ndarray) -> np.ndarray:
        # off the set above all: then the ranks on the set are those within it
        ranks = rankdata(np.where(supports, each, np.inf), axis=1)
        mean = (ranks * supports).sum(1, keepdims=True) / np.maximum(sizes, 1)[:, None]
        return np.where(supports, ranks - mean, 0.0)

    sizes = supports.sum(1)
    first, second = centred(scores), centred(values)
    spread = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    known = (sizes >= 3) & (spread > 0)
    return np.where(known, (first * second).sum(1) / np.where(known, spread, 1.0), np.nan)


def random_supports(sizes: np.ndarray, pixels: int, generator: torch.Generator) -> np.ndarray:
    """Random sets of given sizes, every set of that size equally likely.

    Floyd's algorithm for all rows at once: the j-th pixel is drawn among the first P - s + j + 1; one that is in the
    set already stands for the last of these, which cannot be.

    Args:
        sizes: (n,) how many pixels each.
        pixels: how many there are to choose from.
        generator: of the randomness, on the CPU.

    Returns:
        bool (n, p).
    """
    wanted = torch.as_tensor(np.asarray(sizes, np.int64))
    marks = torch.zeros((len(wanted), pixels), dtype=torch.bool)
    order = wanted.argsort(descending=True)  # rows that still want a pixel stay in front
    ends = wanted[order]
    for j in range(int(ends.max()) if len(ends) else 0):
        rows = order[: int((ends > j).sum())]
        last = pixels - wanted[rows] + j
        drawn = (torch.rand(len(rows), generator=generator, dtype=torch.float64) * (last + 1)).long()
        marks[rows, torch.where(marks[rows, drawn], last, drawn)] = True
    return marks.numpy()


def largest_deviations(sizes: np.ndarray, pixels: int, draws: int, seed: int) -> np.ndarray:
    """The largest |z| of any pixel when all sets are random: how far a map of frequencies strays by chance.

    Args:
        sizes: (n,) of the sets whose frequency is asked about.
        pixels: how many there are to choose from.
        draws: how many times all sets are drawn.
        seed: of the draws.

    Returns:
        (draws,), sorted; see `deviation`.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, _MOST_MARKS // max(1, len(sizes) * pixels))
    found = []
    for start in range(0, draws, rows):
        count = min(rows, draws - start)
        marks = random_supports(np.tile(sizes, count), pixels, generator).reshape(count, len(sizes), pixels)
        counts = torch.from_numpy(marks).sum(1, dtype=torch.int32).numpy()
        found.append(np.abs(deviation(counts, sizes, pixels)).max(1))
    return np.sort(np.concatenate(found))


def deviation(counts: np.ndarray, sizes: np.ndarray, pixels: int) -> np.ndarray:
    """By how many standard deviations a pixel is in more sets than it would be in random ones of the same sizes.

    A pixel is in a random set of s of P with probability s / P, so that the count has the mean sum s_i / P and the
    variance sum (s_i / P) (1 - s_i / P) exactly.

    Args:
        counts: how many of the sets hold each pixel, any shape.
        sizes: (n,) of the sets.
        pixels: P.

    Returns:
        The shape of the counts; NaN where no set can differ from another, as when there is none.
    """
    share = np.asarray(sizes, np.float64) / pixels
    spread = float(np.sqrt((share * (1 - share)).sum()))
    centred: np.ndarray = np.asarray(counts, np.float64) - share.sum()
    return centred / spread if spread > 0 else np.full_like(centred, np.nan)
