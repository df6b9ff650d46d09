"""Nearest vectors against scikit-learn and by hand, in one block and in many."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from core.geometry.maps import neighbours
from core.geometry.maps.neighbours import Metric, comparable, distances, nearest


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("values", [1 << 24, 200])
def test_the_nearest_are_those_of_scikit_learn(metric: Metric, values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_MOST_VALUES", values)
    generator = torch.Generator().manual_seed(0)
    queries, references = (torch.randn(n, 7, generator=generator, dtype=torch.float64) for n in (23, 40))
    truth = NearestNeighbors(n_neighbors=5, metric=metric, algorithm="brute").fit(references.numpy())
    distance, index = nearest(queries, references, 5, metric)
    far, which = truth.kneighbors(queries.numpy())
    np.testing.assert_allclose(distance, far, rtol=1e-9)
    np.testing.assert_array_equal(index, which)
    distance, index = nearest(references, references, 5, metric, same=True)
    far, which = truth.kneighbors()
    np.testing.assert_allclose(distance, far, rtol=1e-9)
    np.testing.assert_array_equal(index, which)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_vectors_are_at_distance_zero_and_near_ones_keep_their_digits(dtype: torch.dtype) -> None:
    base = torch.full((1, 3072), 0.7, dtype=dtype)
    moved = base.clone()
    moved[0, 0] += 2.0**-20
    vectors = torch.cat([base, base, moved])
    distance, index = nearest(vectors, vectors, 2, "euclidean", same=True)
    assert distance[0].tolist() == pytest.approx([0.0, 2.0**-20], rel=0.05 if dtype == torch.float32 else 1e-6)
    assert index[:2, 0].tolist() == [1, 0]
    assert nearest(2 * base, base, 1, "cosine")[0].item() == 0


def test_cosine_distances_by_hand() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 3.0], [-2.0, 0.0], [0.0, 0.0]])
    given = comparable(vectors, "cosine")
    expected = torch.tensor([[0.0, 1.0, 2.0, 0.5]], dtype=torch.float64)  # of zeros, half: they point nowhere
    torch.testing.assert_close(distances(given[:1], given, "cosine"), expected)


def test_more_neighbours_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 to 2 neighbours, got 3"):
        nearest(torch.eye(3), torch.eye(3), 3, "euclidean", same=True)
