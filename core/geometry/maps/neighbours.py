"""The nearest vectors of a set, all compared with all, in blocks that fit into memory.

Two metrics: the Euclidean length |a - b|, and the cosine distance 1 - <a, b> / |a||b| = |a/|a| - b/|b||² / 2. Distances
are ranked by a matrix product in float64; those of the nearest are then computed anew from the differences, so that
equal vectors are at distance 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Metric = Literal["euclidean", "cosine"]

_ROUNDING = 1e-14  # of squares: what is left of equal vectors' difference
_MOST_VALUES = 1 << 24  # distances, or differences, that are held at once


def comparable(vectors: Float[Tensor, "n d"], metric: Metric) -> Float[Tensor, "n d"]:
    """Vectors whose Euclidean distances are ranked as the metric ranks the given ones; float64.

    Args:
        vectors: any finite ones.
        metric: "cosine" brings them to length 1; a vector of zeros stays 0.

    Returns:
        Vectors on the same device, on the CPU where that has no float64.
    """
    exact = vectors.cpu().double() if vectors.device.type == "mps" else vectors.double()
    if metric == "euclidean":
        return exact
    size: Tensor = exact.norm(dim=1, keepdim=True)
    return exact / size.clamp(min=torch.finfo(torch.float64).tiny)


def distances(queries: Float[Tensor, "m d"], references: Float[Tensor, "n d"], metric: Metric) -> Float[Tensor, "m n"]:
    """All distances between two sets of comparable vectors.

    Args:
        queries: vectors as `comparable` returns them.
        references: vectors as `comparable` returns them.
        metric: the metric passed to `comparable`.

    Returns:
        Distances in the unit of the vectors, or cosine distances.
    """
    sizes = queries.square().sum(1)[:, None] + references.square().sum(1)
    squares = sizes - 2 * queries @ references.T
    squares = squares.where(squares > _ROUNDING * sizes, 0.0)
    return squares / 2 if metric == "cosine" else squares.sqrt()


def nearest(
    queries: Float[Tensor, "m d"],
    references: Float[Tensor, "n d"],
    count: int,
    metric: Metric,
    *,
    same: bool = False,
    on_progress: Callable[[float], None] = lambda part: None,
) -> tuple[Float[Tensor, "m k"], Int64[Tensor, "m k"]]:
    """The nearest references of each query.

    Args:
        queries: finite vectors.
        references: finite vectors.
        count: number of neighbours.
        metric: the metric.
        same: whether the queries are the references; then no vector is its own neighbour.
        on_progress: called with the fraction done.

    Returns:
        Distances in ascending order, float64, and the numbers of the references, both on the CPU.

    Raises:
        ValueError: if there are fewer references than asked for.
    """
    if not 1 <= count <= len(references) - same:
        raise ValueError(f"expected 1 to {len(references) - same} neighbours, got {count}")
    there = comparable(references, metric)
    here = there if same else comparable(queries, metric)
    block = max(1, _MOST_VALUES // max(len(there), count * here.shape[1]))
    found: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(here), block):
        on_progress(start / len(here))
        rows = here[start : start + block]
        far = distances(rows, there, metric)
        if same:
            far[torch.arange(len(rows)), torch.arange(start, start + len(rows))] = torch.inf
        index = far.topk(count, 1, largest=False).indices
        distance = (there[index] - rows[:, None]).norm(dim=2)
        distance, order = (distance.square() / 2 if metric == "cosine" else distance).sort(dim=1, stable=True)
        found.append((distance.cpu(), index.gather(1, order).cpu()))
    return torch.cat([distance for distance, _ in found]), torch.cat([index for _, index in found])
