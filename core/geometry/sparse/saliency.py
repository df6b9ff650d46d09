"""Predictors of the support of a sparse perturbation: maps of scores, compared with the support and with chance.

Maps of the geometry: the length of the margin's gradient at each pixel, the capacity of each pixel (how much the
linearised margin falls when this pixel alone moves as far as the box allows), at the image and at the dense boundary
point. Maps of the picture: brightness, the mean over channels, and local contrast, its standard deviation in a window.
A support without preference has AUC 1/2 for each map, and a tenth of it lies in each tenth of the map's values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.geometry.sparse import support_overlap

PREDICTORS = ("gradient", "capacity", "capacity at the boundary", "brightness", "local contrast")
DECILES = 10

_WINDOW = 5  # pixels: side of the window of local contrast


def picture_maps(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brightness and local contrast of images.

    Args:
        images: (n, c, y, x).

    Returns:
        (n, y, x) each; windows at the edge repeat the outermost pixels.
    """
    from scipy.ndimage import uniform_filter

    bright = images.astype(np.float64).mean(1)
    window = (1, _WINDOW, _WINDOW)
    mean = uniform_filter(bright, window, mode="nearest")
    variance = uniform_filter(bright**2, window, mode="nearest") - mean**2
    variance = np.where(variance < 1e-12, 0.0, variance)  # what is left of equal values is rounding
    return bright, np.sqrt(variance)


def bright_part(brightness: np.ndarray) -> np.ndarray:
    """Pixels nearer to their image's brightest value than to its darkest: the ink of a light drawing on black.

    Args:
        brightness: (n, y, x).

    Returns:
        bool (n, y, x); none where an image has one brightness only.
    """
    low, high = brightness.min((1, 2), keepdims=True), brightness.max((1, 2), keepdims=True)
    part: np.ndarray = brightness > (low + high) / 2
    return part


def predictions(maps: Sequence[np.ndarray], support: np.ndarray, reliance: np.ndarray) -> dict[str, np.ndarray]:
    """How well each map predicts each support.

    Args:
        maps: maps of scores, each (n, y, x); NaN counts as 0.
        support: bool (n, y, x); an empty one gives NaN.
        reliance: (n, y, x), finite on the support.

    Returns:
        By name: `precision`, `iou`, `auc`, `rank_correlation`, each (map, n); `precision_chance`, `iou_chance` (n,);
        `deciles` and `deciles_chance`, (map, 10): the mean share of a support, and of all pixels, in each tenth of the
        map's values, from the smallest; equal values are in the same tenth.
    """
    flat = support.reshape(len(support), -1)
    scores = [np.nan_to_num(each.reshape(flat.shape).astype(np.float64)) for each in maps]
    trust = np.nan_to_num(reliance.reshape(flat.shape).astype(np.float64))
    sizes = flat.sum(1)
    hits = np.stack([support_overlap.hits_among_largest(each, flat) for each in scores])
    full = np.where(sizes > 0, sizes, np.nan)
    deciles, chance = zip(*(_deciles(each, flat) for each in scores), strict=True)
    return {
        "precision": hits / full,
        "precision_chance": full / flat.shape[1],
        "iou": hits / (2 * full - hits),
        "iou_chance": support_overlap.chance_iou(sizes, sizes, flat.shape[1]),
        "auc": np.stack([support_overlap.auc(each, flat) for each in scores]),
        "rank_correlation": np.stack([support_overlap.rank_correlation(each, trust, flat) for each in scores]),
        "deciles": np.stack(deciles),
        "deciles_chance": np.stack(chance),
    }


def _deciles(scores: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean share of the supports, and of all pixels of their images, in each tenth of the scores."""
    from scipy.stats import rankdata

    rows = flat.any(1)
    scores, flat = scores[rows], flat[rows]
    if not len(flat):
        return np.full(DECILES, np.nan), np.full(DECILES, np.nan)
    quantile = (rankdata(scores, axis=1) - 0.5) / scores.shape[1]
    tenth = np.minimum((quantile * DECILES).astype(np.int64), DECILES - 1)
    place = tenth + DECILES * np.arange(len(flat))[:, None]

    def share(member: np.ndarray) -> np.ndarray:
        counts = np.bincount(place[member], minlength=DECILES * len(flat)).reshape(-1, DECILES)
        mean: np.ndarray = (counts / counts.sum(1, keepdims=True)).mean(0)
        return mean

    return share(flat), share(np.ones_like(flat))
