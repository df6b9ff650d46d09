"""Mantel's score: the correlation of distances between points with distances between their images under a map.

A_ij and B_ij are two matrices of distances between the same n points. The score is the correlation of their upper
triangles (Pearson's, or Spearman's of the ranks). Pairs share points, so a t-test of it is wrong; instead the rows and
columns of A are permuted together, and

    p = (1 + #{permutations with |r_perm| >= |r|}) / (1 + permutations),

two-sided. p tells whether there is any association, not whether distances are preserved.

**A low score does not imply non-linearity.** For x + eps v with v uniform on the sphere of R^D and a linear map J, let
M = J^T J and PR = (tr M)² / tr(M²), the number of directions that matter. For large D the Pearson correlation of
squared distances is about sqrt(k / (2 - k)) with k = PR / D: with s = v_i - v_j, |J s|² = tr M |s|² / D + a part that
does not depend on |s|, and the variances of the two parts are as k to 2 (1 - k). Ten logits of 3072 values have PR <=
10, so the score is below 0.04 even for a linear map. This expectation holds for independent points on one sphere only:
antipodal pairs raise it, and pooling several radii raises it to almost 1.

Reference: Mantel, The detection of disease clustering and a generalized regression approach, Cancer Research 27, 1967.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import unwrap
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

Method = Literal["pearson", "spearman"]

_FEWEST = 4  # points: with three there are six permutations
_SAME = 1e-7  # of the largest distance: points nearer than this are one point, up to rounding
_FLAT = 1e-12  # of the mean distance: a smaller spread of all distances is rounding
_TIE = 1e-6  # permuted scores are summed in float32: a score as large as r must count


class Mantel(NamedTuple):
    """The score of each pair of matrices, and its p; NaN where all distances of one of them are equal."""

    score: Float[Tensor, " r"]
    p: Float[Tensor, " r"]


def distances(points: Float[Tensor, "r n d"]) -> Float[Tensor, "r n n"]:
    """Euclidean distances between the points of each row, float64.

    The points are moved to their mean first: |a|² + |b|² - 2 a.b cancels where points are near each other and far from
    0.

    Args:
        points: of any float dtype.

    Returns:
        Symmetric matrices with zeros on their diagonals; lengths below 1e-7 of the largest are rounding.
    """
    centred = points.double() - points.double().mean(1, keepdim=True)
    distance: Tensor = torch.cdist(centred, centred, compute_mode="use_mm_for_euclid_dist")
    distance.diagonal(dim1=1, dim2=2).zero_()
    return (distance + distance.transpose(1, 2)) / 2


def mantel(
    first: Float[Tensor, "r n n"],
    second: Float[Tensor, "r n n"],
    *,
    permutations: int = 999,
    method: Method = "pearson",
    seed: int = 0,
) -> Mantel:
    """Mantel's score of r pairs of distance matrices with its permutation p.

    Args:
        first: distances between the points that were chosen, A.
        second: distances between their images, B; may be 0 where a map sends two points to one.
        permutations: for p; 0 leaves p undefined. All rows are permuted alike.
        method: kind of correlation.
        seed: seed of the permutations.

    Returns:
        Scores and p, float64.

    Raises:
        ValueError: if there are fewer than four points, two of them coincide, or an option is unknown.

    Reference:
        Mantel, Cancer Research 27, 1967.
    """
    count = first.shape[1]
    if count < _FEWEST:
        raise ValueError(f"expected at least {_FEWEST} points for a Mantel score, got {count}; take more points")
    if method not in ("pearson", "spearman") or permutations < 0:
        raise ValueError(f"expected pearson or spearman and 0 or more permutations, got {method}, {permutations}")
    row, column = torch.triu_indices(count, count, 1, device=first.device)
    if not bool(distinct(first).all()):
        raise ValueError("expected points that differ for a Mantel score, got two that are the same; draw others")
    a, b = (_standardised(each[:, row, column].double(), method) for each in (first, second))
    score = (a * b).sum(1)
    return Mantel(score, _permuted(_square(a, count), _square(b, count), score, permutations, seed))


def mantel_where_distinct(
    first: Float[Tensor, "r n n"], second: Float[Tensor, "r n n"], permutations: int = 0, seed: int = 0
) -> Mantel:
    """Mantel's score of the rows whose points all differ; NaN for the others.

    An attack may end twice at the same point, and a Jacobian may map two points to one.

    Args:
        first: A.
        second: B.
        permutations: see `mantel`.
        seed: see `mantel`.
    """
    score, p = torch.full((2, len(first)), torch.nan, dtype=torch.float64, device=first.device)
    usable = distinct(first)
    if bool(usable.any()):
        score[usable], p[usable] = mantel(first[usable], second[usable], permutations=permutations, seed=seed)
    return Mantel(score, p)


def distinct(distance: Float[Tensor, "r n n"]) -> Bool[Tensor, " r"]:
    """Whether all points of a row differ, by their distances."""
    row, column = torch.triu_indices(distance.shape[1], distance.shape[1], 1, device=distance.device)
    lengths = distance[:, row, column]
    return (lengths > _SAME * lengths.amax(1, keepdim=True)).all(1)


def expected_of_linear(singular_values: Float[Tensor, "*n k"], dimension: int) -> Float[Tensor, "*n"]:
    """The expected score of a linear map for many independent points on one sphere: sqrt(k / (2 - k)), k = PR / D.

    Args:
        singular_values: singular values of the map; missing ones are 0.
        dimension: D, the dimension of the space around the sphere.

    Returns:
        The expectation for large D; NaN for the map 0.

    >>> round(float(expected_of_linear(torch.ones(10), 3072)), 4)
    0.0404
    """
    part: Tensor = effective_directions(singular_values) / dimension
    return (part / (2 - part)).sqrt()


def effective_directions(singular_values: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    """PR = (sum s²)² / sum s⁴, the number of directions that matter; NaN for the map 0.

    >>> float(effective_directions(torch.tensor([3.0, 3.0, 0.0])))
    2.0
    """
    squares = singular_values.double().square()
    return squares.sum(-1).square() / squares.square().sum(-1)


def _standardised(triangle: Tensor, method: Method) -> Tensor:
    """Centred and of length 1, so that the product of two is their correlation; NaN where all values are equal."""
    if method == "spearman":
        from scipy.stats import rankdata

        triangle = torch.from_numpy(np.asarray(rankdata(triangle.cpu().numpy(), axis=1))).to(triangle.device)
    centred = triangle - triangle.mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    flat = length <= _FLAT * triangle.norm(dim=1, keepdim=True)
    found: Tensor = (centred / length).masked_fill(flat, torch.nan)
    return found


def _square(triangle: Tensor, count: int) -> Tensor:
    """The symmetric float32 matrix of an upper triangle, 0 on its diagonal."""
    square = triangle.new_zeros((len(triangle), count, count), dtype=torch.float32)
    row, column = torch.triu_indices(count, count, 1, device=triangle.device)
    square[:, row, column] = square[:, column, row] = triangle.float()
    return square


def _permuted(first: Tensor, second: Tensor, score: Tensor, permutations: int, seed: int) -> Tensor:
    """The two-sided p of each row."""
    if not permutations:
        return torch.full_like(score, torch.nan)
    same = np.broadcast_to(np.arange(first.shape[1], dtype=np.int32), (permutations, first.shape[1]))
    orders = torch.from_numpy(np.random.default_rng(seed).permuted(same, axis=1))
    permuted = _by_loops(first, second, orders) if first.device.type == "cpu" else _by_gathering(first, second, orders)
    reached = (permuted.abs() >= score.abs()[:, None] - _TIE).sum(1)
    return ((1 + reached.double()) / (1 + permutations)).masked_fill(score.isnan(), torch.nan)


def _by_gathering(first: Tensor, second: Tensor, orders: Tensor) -> Tensor:
    """The permuted scores of each row (r, p), a whole matrix moved at a time: for GPUs."""
    rows, count, _ = first.shape
    flat, scores = second.view(rows, -1), []
    for order in orders.to(first.device):
        moved = first.index_select(1, order).view(rows * count, count).index_select(1, order).view(rows, -1)
        scores.append(torch.linalg.vecdot(flat, moved) / 2)  # each pair stands twice
    return torch.stack(scores, 1).double()


def _by_loops(first: Tensor, second: Tensor, orders: Tensor) -> Tensor:
    """The permuted scores of each row (r, p), pair by pair in compiled code: in half the time of moving matrices."""
    return torch.from_numpy(_compiled()(first.numpy(), second.numpy(), orders.numpy()))


@cache
def _compiled() -> Callable[..., Any]:
    """The loops as machine code, compiled once and kept on disk; numba comes with umap-learn."""
    from numba import njit

    return njit(cache=True, fastmath=True, nogil=True)(unwrap(_scores))  # tests wrap it in checks


def _scores(first: np.ndarray, second: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Sums over pairs i < j of first[order[i], order[j]] second[i, j]."""
    rows, count, _ = first.shape
    scores = np.empty((rows, len(orders)))
    for row in range(rows):
        for place in range(len(orders)):
            order = orders[place]
            total = np.float64(0.0)
            for i in range(0, count, 4):  # four rows at a time: each place of a column is looked up once for them
                for k in range(i, min(i + 4, count)):
                    for j in range(k + 1, min(i + 4, count)):
                        total += first[row, order[k], order[j]] * second[row, k, j]
                if i + 4 >= count:
                    break
                p, q, r, s = (
                    first[row, order[i]],
                    first[row, order[i + 1]],
                    first[row, order[i + 2]],
                    first[row, order[i + 3]],
                )
                t, u, v, w = second[row, i], second[row, i + 1], second[row, i + 2], second[row, i + 3]
                part = np.float32(0.0)
                for j in range(i + 4, count):
                    at = order[j]
                    part += p[at] * t[j] + q[at] * u[j] + r[at] * v[j] + s[at] * w[j]
                total += part
            scores[row, place] = total
    return scores
