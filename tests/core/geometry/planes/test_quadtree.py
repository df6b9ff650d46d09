"""The quadtree follows every boundary it meets, asks for each point once, and fills the rest by cell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.geometry.planes.quadtree import LevelProgress, Quadtree

CPU = torch.device("cpu")
Field = Callable[[Tensor, Tensor], Tensor]


def grown(score: Field, side: int, base: int = 16, kappa: float = 0.0) -> tuple[Quadtree, list[Tensor]]:
    """A tree over two classes, the second where the score of (row, column) is positive, and all it asked for."""
    asked: list[Tensor] = []

    def evaluate(points: Tensor) -> Tensor:
        asked.append(points)
        values = score(*points.double().unbind(1))
        return torch.stack([torch.zeros_like(values), values, values], 1)

    tree = Quadtree(evaluate, side, base, kappa, 2, CPU)
    tree.run(lambda spacing: None)
    return tree, asked


def dense(score: Field, side: int) -> np.ndarray:
    rows, columns = torch.meshgrid(*[torch.arange(side, dtype=torch.float64)] * 2, indexing="ij")
    return (score(rows, columns) > 0).numpy().astype(int)


@given(
    angle=st.floats(0, 6.28),
    offset=st.floats(5, 60),
    side=st.integers(20, 70),
    base=st.sampled_from([4, 8, 16]),
)
def test_a_straight_line_is_followed_from_edge_to_edge(angle: float, offset: float, side: int, base: int) -> None:
    def score(rows: Tensor, columns: Tensor) -> Tensor:
        return rows * np.cos(angle) + columns * np.sin(angle) - offset + 1e-7

    tree, asked = grown(score, side, base)
    label, values, evaluated = tree.picture(1, torch.tensor([2]))
    np.testing.assert_array_equal(label.numpy(), dense(score, side))
    rows, columns = torch.meshgrid(*[torch.arange(side, dtype=torch.float64)] * 2, indexing="ij")
    torch.testing.assert_close(values[..., 0], score(rows, columns))  # bilinear fields are filled exactly
    points = torch.cat(asked)
    assert len(points) == len(points.unique(dim=0)) == tree.count
    assert evaluated.sum() <= tree.count


def test_a_curve_through_cells_whose_corners_agree_is_tracked() -> None:
    def score(rows: Tensor, columns: Tensor) -> Tensor:  # a wave that dips into cells between their corners
        return columns - 30 - 7 * torch.sin(rows / 3)

    tree, _ = grown(score, 65)
    np.testing.assert_array_equal(tree.picture(1, torch.tensor([0]))[0].numpy(), dense(score, 65))
    assert tree.count < 65 * 65 / 2


def test_the_guard_looks_where_corners_almost_disagree() -> None:
    def score(rows: Tensor, columns: Tensor) -> Tensor:  # an island inside one cell, felt at its corners
        return 5 - torch.hypot(rows - 22, columns - 25)

    blind, _ = grown(score, 65, kappa=0.0)
    wary, _ = grown(score, 65, kappa=1.0)
    assert blind.classes().tolist() == [0]
    assert wary.classes().tolist() == [0, 1]
    np.testing.assert_array_equal(wary.picture(1, torch.tensor([0]))[0].numpy(), dense(score, 65))


def test_a_constant_field_asks_for_the_lattice_alone() -> None:
    tree, _ = grown(lambda rows, columns: rows * 0 - 1, 65)
    assert tree.count == 25
    label, _, evaluated = tree.picture(1, torch.tensor([0]))
    assert not label.any()
    assert evaluated.sum() == 25


def test_a_picture_before_the_run_is_an_error() -> None:
    tree = Quadtree(lambda points: points, 9, 4, 0.0, 2, CPU)
    with pytest.raises(ValueError, match="expected a run before its picture"):
        tree.picture(1, torch.tensor([0]))


def test_each_level_takes_about_twice_as_long_as_the_one_before() -> None:
    told: list[float] = []
    progress = LevelProgress(2, lambda fraction, partial=None: told.append(fraction))
    for level in range(3):
        progress.level = level
        progress.within_level(0.5)
    assert told == [0.5 / 8, 2 / 8, 5 / 8]
    progress.level = 0
    assert progress.done(0.0) == 5 / 8  # never falls
