"""SparseFool against planes, balls and gates, loop by loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.sparse.box_solver import SPARSE_ORDERS, SparseOrder
from core.geometry.sparse.counted_margin import CountedMargin, SparseProblem
from core.geometry.sparse.sparsefool import (
    FOUND,
    INFEASIBLE,
    NO_DIRECTION,
    NOT_REACHED,
    STALLED,
    Attempts,
    TargetRule,
    first_planes,
    sparsefool,
)
from tests import truths

KAPPA = 1e-4


def problem(module: nn.Module, images: Tensor, bound: float = 1.0) -> tuple[SparseProblem, Tensor]:
    counted = CountedMargin(truths.classifier(module, images.shape[1:], images.dtype), 100)
    logits = counted.open(images)
    low, high = (images - bound).clamp(min=0), (images + bound).clamp(max=1)
    return SparseProblem(counted, images, low, high, KAPPA, "pixel"), logits


def search(
    module: nn.Module,
    images: Tensor,
    order: SparseOrder = "pixel",
    lambdas: tuple[float, ...] = (1.0,),
    rule: TargetRule = "l2",
    bound: float = 1.0,
    max_loops: int = 50,
) -> Attempts:
    task, logits = problem(module, images, bound)
    planes = first_planes(task, logits, images, rule=rule, order=order)
    return sparsefool(task, planes, order=order, multipliers=lambdas, max_loops=max_loops, tick=lambda share: None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("order", "entries", "size"), [("l1", 3, 0.36625), ("l0", 1, 0.375), ("pixel", 1, 0.375)])
def test_a_plane_is_crossed_in_one_loop_by_the_solvers_change(
    order: SparseOrder, entries: int, size: float, dtype: torch.dtype
) -> None:
    x = torch.tensor([0.99, 0.95, 0.5], dtype=torch.float64)
    w = torch.tensor([1.0, 0.9, 0.8], dtype=torch.float64)
    module = truths.Affine(torch.stack([0 * w, w]), torch.stack([w @ x + 0.3, 0 * w[0]]))
    found = search(module, x.view(1, 1, 1, 3).expand(5, -1, -1, -1).to(dtype), order)
    assert (found.status == FOUND).all()
    assert (found.loops == 1).all()
    change = found.adversarial.double() - x.view(1, 1, 1, 3)
    np.testing.assert_array_equal((found.adversarial != x.view(1, 1, 1, 3).to(dtype)).flatten(1).sum(1), entries)
    inside = change.flatten(1).abs().sum(1) - size  # overshoot of the entries that have room: 2 %, and kappa / w
    assert (inside > 0).all()
    assert (inside < 0.02 * size + 4 * KAPPA).all()


@pytest.mark.parametrize("size", [0.2, 0.6])
@pytest.mark.parametrize(("shape", "dtype"), [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES])
def test_the_first_plane_of_a_ball_is_its_tangent_plane(
    shape: tuple[int, ...], dtype: torch.dtype, size: float
) -> None:
    centre, away = (
        torch.full(shape, 0.5, dtype=torch.float64),
        torch.stack([truths.unit(shape, seed) for seed in range(3)]),
    )
    images = (centre + size * away).to(dtype)
    task, logits = problem(truths.Ball(centre, 1.0), images)
    planes = first_planes(task, logits, images, rule="l2", order="pixel")
    assert (planes.status == FOUND).all()
    np.testing.assert_allclose((planes.point - centre).flatten(1).norm(dim=1), 1, rtol=1e-4)
    np.testing.assert_allclose(planes.normal, away, atol=1e-3)
    np.testing.assert_allclose(planes.steepness, 2, rtol=1e-4)


class Bowl(nn.Module):
    """Class 1 where <w, r> - |r|² / 2 > 4 with r = x - 0.5: the class curves away from the image, to the side of w."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        way = images.flatten(1) - 0.5
        return torch.stack([4 + way.square().sum(1) / 2, way @ self.weight], 1)


@pytest.mark.parametrize("order", SPARSE_ORDERS)
def test_a_curved_boundary_takes_loops_and_larger_pushes_take_fewer(order: SparseOrder) -> None:
    images = torch.full((3, 1, 6, 6), 0.5, dtype=torch.float64)
    weight = 0.5 + truths.images(1, (36,))[0]
    flat = (weight / 2).sort(descending=True).values.cumsum(0)  # what the largest changes gain to first order,
    true = (weight / 2 - 1 / 8).sort(descending=True).values.cumsum(0)  # and what they do
    linear, least = int((flat < 4).sum()) + 1, int((true < 4).sum()) + 1
    assert linear < least
    loops, counts = [], []
    for push in (1.0, 3.0):
        found = search(Bowl(weight), images, order, (push,))
        assert (found.status == FOUND).all()
        with torch.no_grad():
            logits = Bowl(weight)(found.adversarial)
        assert (logits[:, 1] - logits[:, 0] > KAPPA).all()
        assert ((found.adversarial >= 0) & (found.adversarial <= 1)).all()
        changed = (found.adversarial != images).any(1)
        counts.append(changed.flatten(1).sum(1))
        loops.append(found.loops)
        for row in range(3):
            places = sorted(found.place[row][changed[row]].tolist())
            if order == "l1":  # loop after loop; of later ones, those changed before leave gaps
                assert places[0] == 0
                assert len(set(places)) == len(places)
            else:  # the pixels changed are the first ones of the order
                assert places == list(range(int(counts[-1][row])))
    assert (loops[0] > loops[1]).all()
    assert ((counts[0] >= least) & (counts[0] <= least + 2)).all()
    assert (counts[1] > counts[0]).all()


def test_once_an_image_has_arrived_its_other_attempts_are_cut_short() -> None:
    images, weight = torch.full((3, 1, 6, 6), 0.5, dtype=torch.float64), 0.5 + truths.images(1, (36,))[0]
    alone, beside = (search(Bowl(weight), images, lambdas=lambdas) for lambdas in ((1.0,), (1.0, 3.0)))
    assert beside.multiplier.tolist() == [1.0] * 3 + [3.0] * 3
    assert beside.number.tolist() == [0, 1, 2] * 2
    assert beside.status.tolist() == [STALLED] * 3 + [FOUND] * 3
    assert (alone.status == FOUND).all()
    assert (beside.loops[:3] == 2).all()
    assert (alone.loops > 2).all()


def wall_classes() -> truths.Affine:
    """Class 1 is 0.2 away along 16 pixels, two of which suffice; class 2 is 0.4 away along one, which suffices."""
    weight = torch.zeros(3, 17, dtype=torch.float64)
    weight[1, :16] = 1
    weight[2, 16] = 3
    bias = -weight.sum(1) / 2 - torch.tensor([0.0, 0.8, 1.2])
    return truths.Affine(weight, bias)


@pytest.mark.parametrize(("rule", "pixels"), [("l2", 2), ("l0", 1)])
def test_the_nearest_class_is_not_the_one_that_takes_the_fewest_pixels(rule: TargetRule, pixels: int) -> None:
    images = torch.full((5, 1, 1, 17), 0.5, dtype=torch.float64)
    for order in ("pixel", "l0"):
        found = search(wall_classes(), images, order, rule=rule)
        np.testing.assert_array_equal((found.adversarial != images).flatten(1).sum(1), pixels)
        assert (wall_classes()(found.adversarial).argmax(1) == (1 if rule == "l2" else 2)).all()


def test_pixels_are_preferred_to_entries_where_they_are_what_counts() -> None:
    """Gains .31 in three channels of one pixel, .4 in one channel of two others; .9 is needed."""
    weight = torch.zeros(2, 3, 1, 3, dtype=torch.float64)
    weight[1, :, 0, 1], weight[1, 0, 0, 0], weight[1, 1, 0, 2] = 0.31, 0.4, 0.4
    module = truths.Affine(weight.flatten(1), torch.tensor([0.9, 0.0], dtype=torch.float64))
    images = torch.zeros(1, 3, 1, 3, dtype=torch.float64)
    entries, pixels = (search(module, images, order).adversarial != 0 for order in ("l0", "pixel"))
    assert (int(entries.sum()), int(entries.any(1).sum())) == (3, 3)
    assert (int(pixels.sum()), int(pixels.any(1).sum())) == (3, 1)


class Valley(nn.Module):
    """Class 1 beyond pixel 0 = 0.9, but the first half of the way is a plateau, or has a steep false start."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images: Tensor) -> Tensor:
        first = images.flatten(1)[:, 0]
        if self.kind == "plateaus":
            margin = torch.where(first < 5.0, 1 + 0 * first, -1 + 0 * first)
        elif self.kind == "saturated":
            margin = torch.sigmoid(-1e4 * (first - 0.9)) + 0.1
        else:
            margin = torch.exp(-first)
        return torch.stack([margin, torch.zeros_like(margin)], 1)


@pytest.mark.parametrize(
    ("kind", "status"), [("plateaus", NO_DIRECTION), ("saturated", NO_DIRECTION), ("fading", NOT_REACHED)]
)
def test_without_a_way_there_is_a_status(kind: str, status: int) -> None:
    found = search(Valley(kind), torch.full((2, 1, 1, 2), 0.1, dtype=torch.float64), lambdas=(1.0, 2.0))
    assert (found.status == status).all()
    assert (found.adversarial == 0.1).all()


@pytest.mark.parametrize("order", SPARSE_ORDERS)
def test_a_box_that_is_too_small_is_infeasible(order: SparseOrder) -> None:
    images = torch.full((2, 1, 1, 4), 0.5, dtype=torch.float64)
    weight = torch.tensor([[0.0] * 4, [1.0] * 4], dtype=torch.float64)
    module = truths.Affine(weight, torch.tensor([3.0, 0.0], dtype=torch.float64))  # 1 is needed, 2 can be had
    assert (search(module, images, order).status == FOUND).all()
    found = search(module, images, order, bound=0.2)
    assert (found.status == INFEASIBLE).all()
    assert torch.equal(found.adversarial, images)
    pushed = search(module, images, order, lambdas=(3.0,))  # so far it cannot be pushed
    assert (pushed.status == FOUND).all()


def test_loops_end_where_they_are_told_to() -> None:
    images = torch.full((1, 1, 6, 6), 0.5, dtype=torch.float64)
    found = search(Bowl(0.5 + truths.images(1, (36,))[0]), images, max_loops=1)
    assert (found.status.tolist(), found.loops.tolist()) == ([STALLED], [1])
    assert torch.equal(found.adversarial, images)
