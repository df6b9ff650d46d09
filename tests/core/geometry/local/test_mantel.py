"""Mantel's score against scikit-bio, exact permutations, the expectation of linear maps, and its refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from skbio.stats.distance import mantel as oracle

from core.geometry.local.mantel import (
    _by_gathering,
    _by_loops,
    distances,
    effective_directions,
    expected_of_linear,
    mantel,
    mantel_where_distinct,
)


def points(rows: int, count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((rows, count, size), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_distances_are_exact_also_near_each_other_and_far_from_the_origin() -> None:
    near = 1000 + 1e-3 * points(2, 12, 30)
    exact = torch.stack([torch.stack([(a - row).norm(dim=1) for a in row]) for row in near])
    torch.testing.assert_close(distances(near), exact, rtol=1e-8, atol=1e-12)
    assert (distances(near).diagonal(dim1=1, dim2=2) == 0).all()


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_scores_are_those_of_scikit_bio(method: str) -> None:
    given = points(3, 25, 6)
    first, second = distances(given), distances(given[..., :2] ** 2)
    found = mantel(first, second, permutations=99, method=method)  # type: ignore[arg-type]
    for row in range(3):
        expected, p, _ = oracle(first[row].numpy(), second[row].numpy(), method=method, permutations=99, seed=row)
        assert float(found.score[row]) == pytest.approx(float(expected), abs=1e-12)
        assert float(found.p[row]) == pytest.approx(p, abs=0.12)


def test_p_is_the_share_of_all_permutations() -> None:
    given = points(1, 5, 3, seed=4)
    a, b = distances(given), distances(given[..., :1])
    rows = np.triu_indices(5, 1)
    x, y = a[0].numpy(), b[0].numpy()
    score = np.corrcoef(x[rows], y[rows])[0, 1]
    every = [
        np.corrcoef(x[list(order)][:, list(order)][rows], y[rows])[0, 1] for order in itertools.permutations(range(5))
    ]
    exact = np.mean(np.abs(every) >= abs(score) - 1e-9)
    found = mantel(a, b, permutations=4000)
    assert float(found.score[0]) == pytest.approx(score)
    assert float(found.p[0]) == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4000) + 1e-3)


def test_both_ways_of_permuting_agree() -> None:
    a, b = distances(points(3, 9, 4)).float(), distances(points(3, 9, 2, seed=1)).float()
    orders = torch.stack([torch.randperm(9, generator=torch.Generator().manual_seed(k)) for k in range(7)]).int()
    torch.testing.assert_close(_by_loops(a, b, orders), _by_gathering(a, b, orders), rtol=1e-5, atol=1e-5)


def test_an_isometry_scores_1_and_a_row_does_not_see_the_others() -> None:
    given = points(2, 20, 8)
    turned = torch.linalg.qr(points(1, 8, 8)[0])[0]
    found = mantel(distances(given), distances(3 * given @ turned), permutations=49)
    torch.testing.assert_close(found.score, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(found.p, torch.full((2,), 0.02, dtype=torch.float64))
    alone = mantel(distances(given[1:]), distances(3 * given[1:] @ turned), permutations=49)
    torch.testing.assert_close(alone.score, found.score[1:])


@pytest.mark.parametrize(("kept", "space"), [(10, 256), (40, 256), (256, 256)])
def test_a_projection_has_the_score_that_is_expected_of_it(kept: int, space: int) -> None:
    scores = []
    for seed in range(4):
        given = points(1, 300, space, seed)
        given = given / given.norm(dim=2, keepdim=True)
        scores.append(float(mantel(distances(given), distances(given[..., :kept]), permutations=0).score[0]))
    values = torch.ones(kept, dtype=torch.float64)
    assert float(effective_directions(values)) == pytest.approx(kept)
    expected = float(expected_of_linear(values, space))
    assert expected == pytest.approx(math.sqrt(kept / (2 * space - kept)))
    assert np.mean(scores) == pytest.approx(expected, abs=0.02)


def test_antipodal_points_raise_the_score_of_a_linear_map() -> None:
    given = points(1, 64, 3072)
    given = given / given.norm(dim=2, keepdim=True)
    both = torch.cat([given, -given], 1)
    alone, mixed = (mantel(distances(one), distances(one[..., :10]), permutations=0).score for one in (given, both))
    assert float(mixed[0]) > float(alone[0]) + 0.05


def test_what_has_no_score_is_refused_or_unknown() -> None:
    given = points(1, 6, 3)
    with pytest.raises(ValueError, match="at least 4 points"):
        mantel(distances(given[:, :3]), distances(given[:, :3]))
    same = given.clone()
    same[0, 1] = same[0, 0]
    with pytest.raises(ValueError, match="points that differ"):
        mantel(distances(same), distances(given))
    with pytest.raises(ValueError, match="pearson or spearman"):
        mantel(distances(given), distances(given), permutations=-1)
    constant = mantel(distances(given), torch.zeros(1, 6, 6, dtype=torch.float64), permutations=9)
    assert constant.score.isnan().all()
    assert constant.p.isnan().all()
    beside = mantel_where_distinct(distances(torch.cat([same, given])), distances(torch.cat([given, given])))
    assert beside.score.isnan().tolist() == [True, False]
