"""Trees that meet around a corner, in the few directions that the margin feels."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from core.geometry.boundary.relabel import RegionMargin
from core.geometry.regions.rrt_connect import Bridge, Gaps, TreeSearch
from core.runtime.cost import Cost
from tests import corridors, curved, truths

SHAPE = (3, 32, 32)


def bridged(
    corners: tuple[tuple[float, float], ...],
    width: float,
    sides: list[tuple[tuple[float, float], tuple[float, float]]],
    dtype: torch.dtype = torch.float64,
    iterations: int = 64,
    seed: int = 0,
) -> tuple[list[Bridge], RegionMargin, curved.Surface, Tensor]:
    plane = corridors.Corridor(
        curved.rows(2, SHAPE), curved.centre(SHAPE), torch.tensor(corners, dtype=torch.float64), width
    )
    margin = RegionMargin(curved.classifier(plane, SHAPE, dtype))
    places = curved.at(plane, torch.tensor(sides, dtype=torch.float64).flatten(0, 1)).to(margin.dtype)
    gaps = Gaps(places[::2], places[1::2], torch.zeros(len(sides), dtype=torch.int64))
    return TreeSearch(margin, gaps, seed, iterations)(), margin, plane, places


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_the_u_is_walked_along_its_base(dtype: torch.dtype) -> None:
    (bridge,), margin, plane, places = bridged(corridors.U, 0.2, [((-0.85, 0.0), (0.85, 0.0))], dtype)
    assert bridge.found
    path = torch.cat([places[:1], bridge.corners, places[1:]])
    share = torch.linspace(0, 1, 50, dtype=path.dtype).view(-1, 1, 1, 1)
    points = torch.cat([torch.lerp(a, b, share) for a, b in itertools.pairwise(path)])
    assert (margin(points, torch.zeros(len(points), dtype=torch.int64)) > -1e-3).all()  # as finely as trees look
    offset = (path - plane.centre.detach()).flatten(1).double()
    rows = plane.rows.detach().double()
    coordinates = offset @ rows.T
    assert float(coordinates[:, 1].min()) < -1.8  # the base is at -2
    assert float((offset - coordinates @ rows).norm(dim=1).max()) < 1e-4  # felt directions alone


def test_a_gap_without_a_way_is_given_up(cost: Cost) -> None:
    apart = ((-1.0, 0.0), (-1.0, -2.0))
    (bridge,), *_ = bridged(apart, 0.2, [((-1.0, 0.0), (1.0, 0.0))], iterations=8)
    assert not bridge.found
    assert len(bridge.corners) == 0
    assert cost.gradients == 24


def test_gaps_are_searched_as_if_alone() -> None:
    sides = [((-0.85, -1.2), (0.85, -1.2)), ((-1.0, -1.5), (1.0, -1.3))]
    together, *_ = bridged(corridors.U, 0.2, sides)
    for row, side in enumerate(sides):
        (alone,), *_ = bridged(corridors.U, 0.2, [side])
        assert alone.found == together[row].found
        torch.testing.assert_close(alone.corners, together[row].corners)


def test_another_seed_is_another_way() -> None:
    sides = [((-0.85, -1.2), (0.85, -1.2))]
    (first,), *_ = bridged(corridors.U, 0.2, sides)
    (second,), *_ = bridged(corridors.U, 0.2, sides, seed=1)
    assert first.found
    assert second.found
    assert first.corners.shape != second.corners.shape or not torch.allclose(first.corners, second.corners)
