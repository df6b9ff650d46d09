"""A scan asks for each point once, in whole batches, and has every coarser lattice on the way."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.geometry.planes.progressive import Scan

CPU = torch.device("cpu")


def values(points: Tensor) -> Tensor:
    return points.double() @ torch.tensor([[100.0, 1.0], [1.0, 0.0]], dtype=torch.float64)


@given(side=st.integers(2, 70), batch=st.integers(1, 40))
def test_every_point_is_asked_for_once_in_whole_batches(side: int, batch: int) -> None:
    asked: list[Tensor] = []
    levels: list[int] = []
    scan = Scan(lambda points: [asked.append(points), values(points)][1], side, batch, CPU)

    def on_level(spacing: int) -> None:
        levels.append(spacing)
        steps = torch.arange(0, side, spacing)
        truth = values(torch.cartesian_prod(steps, steps)).view(len(steps), len(steps), 2)
        assert scan.points(spacing) == len(steps) > 1
        torch.testing.assert_close(scan.lattice(spacing), truth, rtol=0, atol=0)

    scan.run(on_level)
    points = torch.cat(asked)
    assert len(points) == side * side == len(points.unique(dim=0))
    assert all(len(part) % batch == 0 for part in asked[:-1])
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] == 1


def test_the_first_picture_is_there_after_a_256th_of_the_points() -> None:
    asked: list[int] = []
    told: dict[int, int] = {}
    scan = Scan(lambda points: [asked.append(len(points)), values(points)][1], 256, 64, CPU)
    scan.run(lambda spacing: told.update({spacing: sum(asked)}))
    assert told == {16: 256, 8: 1024, 4: 4096, 2: 16384, 1: 65536}
    assert max(asked) <= 64 * 64


def test_a_lattice_before_the_run_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a run before its lattice"):
        Scan(values, 9, 4, CPU).lattice(1)
