"""Smallest changes against one plane: worked examples, linear programs, and what holds for every plane and box."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import Tensor

from core.geometry.sparse.box_solver import ORDERS, Order, solve

X, W = (0.99, 0.95, 0.5), (1.0, 0.9, 0.8)


def row(
    values: tuple[float, ...] | Tensor, channels: int = 1, copies: int = 1, dtype: torch.dtype = torch.float64
) -> Tensor:
    return torch.as_tensor(values, dtype=dtype).view(1, channels, 1, -1).expand(copies, -1, -1, -1)


@pytest.mark.parametrize("copies", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("order", "change"),
    [
        ("l1", (0.01, 0.05, 0.30625)),
        ("l0", (0.0, 0.0, 0.375)),
        ("pixel", (0.0, 0.0, 0.375)),
        ("linf", (0.01, 0.05, 0.30625)),
    ],
)
def test_the_order_decides_which_entries_move(
    order: Order, change: tuple[float, ...], dtype: torch.dtype, copies: int
) -> None:
    """The plane <(1, .9, .8), r> = .3 seen from (.99, .95, .5): near walls, what is steepest cannot move far."""
    x, w = row(X, copies=copies, dtype=dtype), row(W, copies=copies, dtype=dtype)
    found = solve(w, torch.full((copies,), 0.3, dtype=dtype), -x, 1 - x, order)
    assert found.feasible.all()
    assert found.change.dtype == dtype
    rounding = 2e-7 if dtype == torch.float32 else 1e-14
    np.testing.assert_allclose(found.change, row(change, copies=copies), atol=rounding)
    first = {"l1": [0, 1, 2], "linf": [2, 1, 0]}.get(order, [2, 1, 0])  # gains .01, .045, .4
    np.testing.assert_array_equal(found.place[:, 0], [first] * copies)


def test_without_walls_the_lengths_are_those_to_a_plane() -> None:
    w, far = row(W), row((9.0, 9.0, 9.0))
    needed = torch.tensor([0.3], dtype=torch.float64)
    change = {order: solve(w, needed, -far, far, order).change.flatten() for order in ORDERS}
    np.testing.assert_allclose(change["l2"], 0.3 * w.flatten() / w.square().sum(), rtol=1e-12)
    np.testing.assert_allclose(change["linf"], 0.3 / w.sum(), rtol=1e-12)
    np.testing.assert_allclose(change["l1"], [0.3, 0, 0], rtol=1e-12)
    x = row(X)
    assert float(solve(w, needed, -x, 1 - x, "l2").change.norm()) == pytest.approx(0.3105, abs=5e-5)
    assert float(change["l2"].norm()) == pytest.approx(0.1917, abs=5e-5)


def test_a_pixel_counts_once_whatever_its_channels() -> None:
    """Gains of .31 in each channel of one pixel, and of .4 in one channel of two others; .9 is needed."""
    gains = torch.zeros(1, 3, 1, 3, dtype=torch.float64)
    gains[0, :, 0, 1] = 0.31
    gains[0, 0, 0, 0] = gains[0, 1, 0, 2] = 0.4
    low, high = torch.zeros_like(gains), torch.ones_like(gains)
    needed = torch.tensor([0.9], dtype=torch.float64)
    entries, pixels = (solve(gains, needed, low, high, order).change != 0 for order in ("l0", "pixel"))
    assert (int(entries.sum()), int(entries.any(1).sum())) == (3, 3)
    assert (int(pixels.sum()), int(pixels.any(1).sum())) == (3, 1)


@pytest.mark.parametrize("order", ORDERS)
def test_what_cannot_be_reached_is_said_and_left(order: Order) -> None:
    x, w = row(X, copies=6).clone(), row(W, copies=6).clone()
    w[2] = 0  # no weight
    x[3] = 1  # no room
    w[4], x[4] = 1, 0.5  # ties
    needed = torch.tensor([0.46, 0.0, 0.1, 0.1, 1.25, torch.nan], dtype=torch.float64)  # the first can gain .455
    found = solve(w, needed, -x, 1 - x, order)
    assert found.feasible.tolist() == [False, True, False, False, True, False]
    assert not found.change[[0, 1, 2, 3, 5]].any()
    assert torch.isfinite(found.change).all()
    np.testing.assert_allclose(found.change[4].sum(), 1.25, rtol=1e-12)
    assert sorted(found.place[4, 0].tolist()) == [0, 1, 2]


def random(seed: int, channels: int = 3, pixels: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A plane in a box, and the largest gain there."""
    generator = torch.Generator().manual_seed(seed)
    x, w = torch.rand((2, 1, channels, 1, pixels), generator=generator, dtype=torch.float64)
    w = 4 * w - 2
    gain = (w.abs() * torch.where(w > 0, 1 - x, x)).sum()
    return x, w, gain, torch.rand(1, generator=generator, dtype=torch.float64)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), order=st.sampled_from(ORDERS))
def test_every_solution_gains_what_is_needed_inside_the_box(seed: int, order: Order) -> None:
    x, w, gain, share = random(seed)
    found = solve(w, share * gain, -x, 1 - x, order)
    assert found.feasible.all()
    assert ((x + found.change >= -1e-15) & (x + found.change <= 1 + 1e-15)).all()
    np.testing.assert_allclose((w * found.change).sum(), share * gain, rtol=1e-9)
    shuffled = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    again = solve(w[..., shuffled], share * gain, -x[..., shuffled], 1 - x[..., shuffled], order)
    np.testing.assert_allclose(again.change, found.change[..., shuffled], atol=1e-12)
    np.testing.assert_array_equal(again.place, found.place[..., shuffled])


@pytest.mark.parametrize("seed", range(8))
def test_sums_and_largest_changes_are_those_of_a_linear_program(seed: int) -> None:
    x, w, gain, share = random(seed)
    w, x = w.flatten().numpy(), x.flatten().numpy()
    needed, size = float(share * gain), len(w)
    args = torch.tensor([needed], dtype=torch.float64), -row(torch.from_numpy(x)), 1 - row(torch.from_numpy(x))
    found = {order: solve(row(torch.from_numpy(w)), *args, order).change.flatten() for order in ("l1", "linf")}
    up = linprog(  # r = up - down, both >= 0
        np.ones(2 * size),
        A_ub=-np.concatenate([w, -w])[None],
        b_ub=[-needed],
        bounds=[*((0, 1 - each) for each in x), *((0, each) for each in x)],
    )
    np.testing.assert_allclose(found["l1"].abs().sum(), up.fun, rtol=1e-7)
    largest = linprog(  # the last variable bounds all others
        np.eye(size + 1)[-1],
        A_ub=np.vstack(
            [np.append(-w, 0)[None], np.c_[np.eye(size), -np.ones(size)], np.c_[-np.eye(size), -np.ones(size)]]
        ),
        b_ub=np.append(-needed, np.zeros(2 * size)),
        bounds=[*((-each, 1 - each) for each in x), (0, None)],
    )
    np.testing.assert_allclose(found["linf"].abs().max(), largest.fun, rtol=1e-7)


@pytest.mark.parametrize("seed", range(8))
def test_no_smaller_support_gains_as_much(seed: int) -> None:
    x, w, gain, share = random(seed, channels=2, pixels=4)
    full = torch.where(w > 0, 1 - x, x) * w.abs()
    needed = share * gain
    entries = int((solve(w, needed, -x, 1 - x, "l0").change != 0).sum())
    pixels = int((solve(w, needed, -x, 1 - x, "pixel").change != 0).any(1).sum())
    for count, values in ((entries, full.flatten()), (pixels, full.sum(1).flatten())):
        fewer = itertools.combinations(values.tolist(), count - 1)
        assert max((sum(each) for each in fewer), default=0.0) < float(needed)


@pytest.mark.parametrize("seed", range(4))
def test_the_euclidean_solution_is_the_projection(seed: int) -> None:
    """Optimality: r = clip(t w) for one t, so that the entries not at a wall share one ratio to w."""
    x, w, gain, share = random(seed)
    change = solve(w, share * gain, -x, 1 - x, "l2").change
    at_wall = (x + change < 1e-12) | (x + change > 1 - 1e-12)
    ratios = (change / w)[~at_wall]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
    assert ((change / w)[at_wall] <= ratios[0] + 1e-12).all()
