"""The fuzzy graph against umap-learn's own functions and closed forms; the layout's start, seeds and engines."""

from __future__ import annotations

import importlib.machinery
import math
import sys
import types

import numpy as np
import pytest
import torch

from core.geometry.maps import layout
from core.geometry.maps.layout import curve, fuzzy_graph, gpu_layout, lay_out, memberships, principal_start
from core.geometry.maps.neighbours import nearest


def test_the_graph_is_that_of_umap_learn() -> None:
    from umap.umap_ import compute_membership_strengths, smooth_knn_dist

    vectors = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    distance, index = nearest(vectors, vectors, 9, "euclidean", same=True)
    far = np.concatenate([np.zeros((40, 1)), distance.numpy()], 1).astype(
        np.float32
    )  # there, an image is its own first
    which = np.concatenate([np.arange(40)[:, None], index.numpy()], 1)
    sigmas, rhos = smooth_knn_dist.py_func(far, 10.0)  # not compiled
    _, _, values, _ = compute_membership_strengths.py_func(which, far, sigmas, rhos)
    ours = memberships(distance, math.log2(10))
    np.testing.assert_allclose(ours, values.reshape(40, 10)[:, 1:], atol=2e-5)
    np.testing.assert_allclose(ours.sum(1), math.log2(10), rtol=1e-9)
    graph = fuzzy_graph(distance, index)
    dense = np.zeros((40, 40))
    np.put_along_axis(dense, index.numpy(), ours.numpy(), 1)
    np.testing.assert_allclose(graph.toarray(), dense + dense.T - dense * dense.T, atol=1e-6)


def test_weights_in_closed_form() -> None:
    far = torch.full((1, 8), 2.0)
    # without rho, 8 equal weights exp(-2 / sigma) add up to 3
    torch.testing.assert_close(memberships(far, 3.0, local=False), torch.full((1, 8), 3 / 8, dtype=torch.float64))
    same = memberships(torch.zeros(2, 4), 2.0)
    assert same.tolist() == [[1.0] * 4] * 2  # identical images cannot be told apart
    scaled = (
        memberships(torch.tensor([[1.0, 2, 3, 4]]), 2.0),
        memberships(torch.tensor([[1e-9, 2e-9, 3e-9, 4e-9]]), 2.0),
    )
    torch.testing.assert_close(*scaled)


def test_the_curve_is_that_of_umap_learn() -> None:
    a, b = curve(0.1)
    assert (a, b) == pytest.approx((1.577, 0.895), abs=1e-3)  # as its documentation says


def test_the_start_is_the_principal_plane() -> None:
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(30, 2, generator=generator, dtype=torch.float64) * torch.tensor([5.0, 1.0])
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0][:2]
    start = principal_start(flat @ turn + 3, 0)
    assert np.abs(start).max() == pytest.approx(10, abs=0.01)
    distance = torch.cdist(torch.from_numpy(start).double(), torch.from_numpy(start).double())
    truth = torch.cdist(flat, flat)
    torch.testing.assert_close(distance / distance.max(), truth / truth.max(), atol=1e-4, rtol=0)
    other = principal_start(flat @ turn + 3, 1)
    assert 0 < np.abs(start - other).max() < 1e-3
    assert np.isfinite(principal_start(torch.zeros(5, 3).double(), 0)).all()


def some(count: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 5, generator=generator, dtype=torch.float64)


def test_a_seed_gives_the_same_bytes_and_another_one_others() -> None:
    vectors = some()
    graph = fuzzy_graph(*nearest(vectors, vectors, 9, "euclidean", same=True))
    before = graph.toarray()
    maps = [lay_out(graph, principal_start(vectors, seed), 1.5, 0.9, seed, epochs=50) for seed in (0, 0, 1)]
    assert maps[0].tobytes() == maps[1].tobytes() != maps[2].tobytes()
    assert maps[0].shape == (40, 2)
    np.testing.assert_allclose(maps[0].mean(0), 0, atol=1e-5)
    np.testing.assert_array_equal(graph.toarray(), before)


class Engine:
    """In place of cuML's: a map that is the first two coordinates, or noise."""

    good = True

    def __init__(self, **options: object) -> None:
        assert set(options) == {"n_neighbors", "min_dist", "random_state"}

    def fit_transform(self, vectors: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).normal(size=(len(vectors), 2))
        return vectors[:, :2] if self.good else noise


@pytest.mark.parametrize("good", [True, False])
def test_another_engine_is_used_where_it_is_there_and_as_trustworthy(
    good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = torch.cat([some(300)[:, :2], torch.zeros(300, 1)], 1)
    monkeypatch.setattr(layout, "_LARGE", 200)
    monkeypatch.setattr(layout, "_SAMPLE", 150)
    manifold = types.ModuleType("cuml.manifold")
    monkeypatch.setattr(Engine, "good", good)
    manifold.UMAP = Engine  # type: ignore[attr-defined]
    package = types.ModuleType("cuml")
    package.__spec__ = importlib.machinery.ModuleSpec("cuml", None)
    assert gpu_layout(vectors, "euclidean", 10, 0.1, 0) is None  # not installed
    monkeypatch.setitem(sys.modules, "cuml", package)
    monkeypatch.setitem(sys.modules, "cuml.manifold", manifold)
    found = gpu_layout(vectors, "euclidean", 10, 0.1, 0)
    assert (found is not None) == good
    if found is not None:
        np.testing.assert_allclose(found, (vectors[:, :2] - vectors[:, :2].mean(0)).numpy(), atol=1e-5)
    assert gpu_layout(vectors[:100], "euclidean", 10, 0.1, 0) is None  # few: umap-learn's
