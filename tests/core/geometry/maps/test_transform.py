"""New points on a map: between two images in closed form, whatever else is placed, far away said as such."""

from __future__ import annotations

import math

import pytest
import torch

from core.geometry.maps import transform
from core.geometry.maps.transform import anchored, distance_ratio, place

A, B = 1.577, 0.895


def grid() -> torch.Tensor:
    axis = torch.arange(8.0)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), 2).view(-1, 2) * 3


def test_without_steps_a_point_is_the_weighted_mean_of_its_neighbours() -> None:
    positions = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
    distance, index = torch.full((1, 3), 0.5), torch.tensor([[0, 1, 2]])
    torch.testing.assert_close(
        place(positions, distance, index, A, B, steps=0), torch.tensor([[2 / 3, 2 / 3]]).double()
    )


def test_a_point_between_two_images_stays_on_the_axis_of_symmetry() -> None:
    positions = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 40.0], [0.0, -40.0]])
    placed = place(positions, torch.tensor([[1.0, 1.0]]), torch.tensor([[0, 1]]), A, B)
    torch.testing.assert_close(placed, torch.zeros(1, 2).double(), atol=1e-4, rtol=0)


def test_where_the_descent_ends_the_objective_has_no_slope() -> None:
    positions = grid()
    generator = torch.Generator().manual_seed(1)
    distance = torch.rand(5, 6, generator=generator).sort(1).values + 0.2
    index = torch.stack([torch.randperm(64, generator=generator)[:6] for _ in range(5)])
    weights = transform.memberships(distance, math.log2(7), local=False)
    shares = weights / weights.sum(1, keepdim=True)

    def cost(at: torch.Tensor) -> torch.Tensor:
        near = (at[:, None] - positions.double()[index]).norm(dim=2)
        far = (at[:, None] - positions.double()).norm(dim=2)
        pull = (shares * torch.log1p(A * near ** (2 * B))).sum(1)
        joined = 1 / (1 + A * far ** (2 * B))
        return pull - 5 * torch.log1p(-joined).mean(1)

    start = place(positions, distance, index, A, B, steps=0)
    settled = place(positions, distance, index, A, B, steps=2000).requires_grad_()
    assert (cost(settled) < cost(start)).all()
    [slope] = torch.autograd.grad(cost(settled).sum(), settled)
    assert slope.norm(dim=1).max() < 0.02  # 1e-3 in the denominator, as in umap-learn, moves the zero by as much


def test_a_point_comes_to_the_same_place_whatever_else_is_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = grid()
    generator = torch.Generator().manual_seed(0)
    distance = torch.rand(50, 5, generator=generator).sort(1).values
    index = torch.stack([torch.randperm(64, generator=generator)[:5] for _ in range(50)])
    together = place(positions, distance, index, A, B)
    alone = torch.cat(
        [place(positions, distance[row : row + 1], index[row : row + 1], A, B) for row in range(0, 50, 7)]
    )
    torch.testing.assert_close(together[::7], alone, atol=1e-4, rtol=0)
    monkeypatch.setattr(transform, "_MOST_VALUES", 200)
    torch.testing.assert_close(place(positions, distance, index, A, B), together, atol=1e-4, rtol=0)


def test_distances_that_are_not_finite_have_no_place() -> None:
    distance = torch.tensor([[0.1, 0.2], [0.1, math.nan]])
    placed = place(grid(), distance, torch.tensor([[0, 1], [0, 1]]), A, B)
    assert torch.isfinite(placed[0]).all()
    assert torch.isnan(placed[1]).all()
    assert place(grid(), distance[:0], torch.zeros(0, 2, dtype=torch.long), A, B).shape == (0, 2)


def test_what_is_nearly_an_image_of_the_map_is_drawn_to_it() -> None:
    positions, places = torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]]), torch.full((6, 2), 4.0).double()
    index = torch.tensor([[0, 1, 2]]).expand(6, -1)
    first = torch.tensor([0.0, 1e-5, 0.5, 1.0, 1.5, math.nan]).double()
    distance = torch.stack([first, torch.full_like(first, 1.5), torch.full_like(first, 2.5)], 1)
    places[5] = math.nan
    r = torch.tensor([0.0, 0.0, 0.25, 0.5, 0.75, 0.0]).double()
    expected = 4 * (2 * r).square().clamp(max=1)[:, None].expand(-1, 2)
    found = anchored(places, positions, distance, index)
    torch.testing.assert_close(found[:5], expected[:5])
    assert found[:2].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert torch.isnan(found[5]).all()
    same = torch.zeros(1, 3).double()
    assert anchored(places[:1], positions, same, torch.tensor([[1, 0, 2]])).tolist() == [[8.0, 0.0]]


def test_the_ratio_says_how_far_a_point_is() -> None:
    distance = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    assert distance_ratio(distance, 2.0).tolist() == [1.0, 0.0]
    assert distance_ratio(distance, 0.0).tolist() == [math.inf, 0.0]
