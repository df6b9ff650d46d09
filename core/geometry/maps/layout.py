"""UMAP: the fuzzy graph of nearest neighbours, and its layout on a plane.

Image i has k - 1 neighbours j at distances d_ij. With rho_i = min_j d_ij over those above 0, and sigma_i such that

    sum_j exp(-max(0, d_ij - rho_i) / sigma_i) = log2 k,

the graph has the weight w_ij = exp(-max(0, d_ij - rho_i) / sigma_i) from i to j, and w_ij + w_ji - w_ij w_ji between
them. Two images at distance d on the map are taken to be joined with probability q = 1 / (1 + a d^(2b)), and the places
minimise the cross-entropy of q against the weights, by sampling: that is umap-learn's part (one thread, seeded: the
same bytes each time). It starts from the two first principal components, which are the same for every seed but for a
little noise, so that images far apart stay apart unless the graph joins them.

Where NVIDIA's cuML is installed it lays out large sets instead, if its map of a sample is as trustworthy.

References: McInnes, Healy, Melville, UMAP: Uniform Manifold Approximation and Projection, arXiv 1802.03426; Kobak,
Linderman, Initialization is critical for preserving global data structure, Nature Biotechnology 39, 2021.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from core.geometry.maps.neighbours import Metric, comparable, distances, nearest
from core.geometry.maps.quality import map_quality

_HALVINGS = 64  # of sigma
_LEAST_SIGMA = 1e-3  # of the mean distance to the neighbours, as in umap-learn
_EXTENT = 10.0  # where the layout starts: coordinates within that of 0
_NOISE = 1e-4
_LARGE = 10_000  # images: fewer are laid out on the processor in seconds
_SAMPLE = 2000  # images that cuML is tried on
_WORSE = 0.01  # of trustworthiness, that its map may be worse by


def memberships(distance: Float[Tensor, "n k"], total: float, *, local: bool = True) -> Float[Tensor, "n k"]:
    """The weights of the edges to the nearest neighbours.

    Args:
        distance: distances to them, ascending.
        total: what the weights of a row add up to where they can.
        local: subtract the distance of the nearest neighbour (rho), so that every image is joined to another one.

    Returns:
        Weights in [0, 1], float64.

    >>> memberships(torch.tensor([[1.0, 1.0, 2.0]]), 2.5)
    tensor([[1.0000, 1.0000, 0.5000]], dtype=torch.float64)
    """
    distance = distance.double()
    known = distance.where(distance > 0, torch.inf).amin(1, keepdim=True)
    above = (distance - (known.where(torch.isfinite(known), 0.0) if local else 0.0)).clamp(min=0)
    low = torch.zeros_like(above[:, :1])
    high = torch.full_like(low, torch.inf)
    sigma = torch.ones_like(low)
    for _ in range(_HALVINGS):
        over = torch.exp(-above / sigma).sum(1, keepdim=True) > total
        low, high = torch.where(over, low, sigma), torch.where(over, sigma, high)
        sigma = torch.where(torch.isfinite(high), (low + high) / 2, 2 * sigma)
    sigma = torch.maximum(sigma, _LEAST_SIGMA * distance.mean(1, keepdim=True))
    return torch.exp(-above / sigma).where(above > 0, 1.0)


def fuzzy_graph(distance: Float[Tensor, "n k"], index: Int64[Tensor, "n k"]) -> scipy.sparse.csr_matrix:
    """The graph that a layout is of.

    Args:
        distance: distances to the nearest other images, ascending.
        index: their numbers.

    Returns:
        (n, n) symmetric weights.
    """
    n, k = distance.shape
    weights = memberships(distance, float(np.log2(k + 1))).numpy().astype(np.float32)
    rows = np.repeat(np.arange(n), k)
    joined = scipy.sparse.csr_matrix((weights.ravel(), (rows, index.numpy().ravel())), shape=(n, n))
    joined.eliminate_zeros()
    return scipy.sparse.csr_matrix(joined + joined.T - joined.multiply(joined.T))


def principal_start(vectors: Float[Tensor, "n d"], seed: int) -> np.ndarray:
    """Where a layout starts: the two first principal components, and a little noise.

    Args:
        vectors: comparable ones, see `core.geometry.maps.neighbours`.
        seed: of the noise.

    Returns:
        (n, 2) coordinates, float32.
    """
    from sklearn.utils.extmath import randomized_svd

    centred = (vectors - vectors.mean(0)).cpu().numpy()
    left, sizes, _ = randomized_svd(centred, n_components=min(2, *centred.shape), random_state=0)
    start = np.zeros((len(centred), 2))
    start[:, : left.shape[1]] = left * sizes
    start *= _EXTENT / (np.abs(start).max() or 1.0)
    return (start + np.random.RandomState(seed).normal(scale=_NOISE, size=start.shape)).astype(np.float32)


def curve(min_dist: float, spread: float = 1.0) -> tuple[float, float]:
    """The a and b of q = 1 / (1 + a d^(2b)) that come nearest to 1 up to `min_dist`, then exp(-(d - min_dist)/spread).

    Args:
        min_dist: least distance of images on the map.
        spread: distance over which they part.

    Returns:
        a and b.
    """
    from umap.umap_ import find_ab_params

    a, b = find_ab_params(spread, min_dist)
    return float(a), float(b)


def lay_out(
    graph: scipy.sparse.csr_matrix, start: np.ndarray, a: float, b: float, seed: int, *, epochs: int | None = None
) -> np.ndarray:
    """The layout of a graph, by umap-learn.

    Args:
        graph: (n, n) symmetric weights.
        start: (n, 2) where it starts.
        a: see `curve`.
        b: see `curve`.
        seed: of the sampling.
        epochs: over the edges; None for 500, for 200 where there are more than 10,000 images.

    Returns:
        (n, 2) places, float32, with their mean at 0.
    """
    from umap.umap_ import simplicial_set_embedding

    places, _ = simplicial_set_embedding(
        data=start,
        graph=graph.copy(),  # it drops the weakest edges in place
        n_components=2,
        initial_alpha=1.0,
        a=a,
        b=b,
        gamma=1.0,
        negative_sample_rate=5,
        n_epochs=epochs,
        init=start,
        random_state=np.random.RandomState(seed),
        metric="euclidean",
        metric_kwds={},
        densmap=False,
        densmap_kwds={},
        output_dens=False,
        parallel=False,
    )
    centred: np.ndarray = places - places.mean(0)
    return centred


def warm_up() -> None:
    """Import umap-learn and compile its layout, which takes some seconds once per process."""
    distance, index = nearest(torch.eye(8), torch.eye(8), 3, "euclidean", same=True)
    a, b = curve(0.1)
    lay_out(fuzzy_graph(distance, index), principal_start(torch.eye(8).double(), 0), a, b, 0, epochs=2)


# -- cuML -------------------------------------------------------------------------------------------------------------


def gpu_layout(
    vectors: Float[Tensor, "n d"], metric: Metric, neighbours: int, min_dist: float, seed: int
) -> np.ndarray | None:
    """The layout by cuML, where it is installed, the images are many and its maps are as trustworthy as umap-learn's.

    Args:
        vectors: to be laid out.
        metric: how they are compared.
        neighbours: as UMAP counts them.
        min_dist: see `curve`.
        seed: of both.

    Returns:
        (n, 2) places; None where umap-learn is to do it.
    """
    if len(vectors) < _LARGE or importlib.util.find_spec("cuml") is None:
        return None
    chosen = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[:_SAMPLE]
    some = comparable(vectors[chosen.to(vectors.device)], metric)
    distance, index = nearest(some, some, neighbours - 1, "euclidean", same=True)
    distance = distance.square() / 2 if metric == "cosine" else distance
    known = lay_out(fuzzy_graph(distance, index), principal_start(some, seed), *curve(min_dist), seed)

    def trust(places: np.ndarray) -> float:
        nothing = torch.full((len(some),), -1)
        return map_quality(
            lambda rows: distances(some[rows.to(some.device)], some, metric),
            torch.from_numpy(np.ascontiguousarray(places, np.float32)),
            nothing,
            nothing,
        ).trustworthiness

    options = {"n_neighbors": neighbours, "min_dist": min_dist, "random_state": seed}
    if trust(_by_cuml(some, options)) < trust(known) - _WORSE:
        return None
    return _by_cuml(comparable(vectors, metric), options)


def _by_cuml(vectors: Tensor, options: dict[str, Any]) -> np.ndarray:
    engine = importlib.import_module("cuml.manifold").UMAP(**options)
    places = np.asarray(engine.fit_transform(vectors.float().cpu().numpy()), np.float32)
    centred: np.ndarray = places - places.mean(0)
    return centred
