"""Pruning and exchange: on minima and maxima of pixels, planes and networks, against every subset."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.sparse import pruning
from core.geometry.sparse.counted_margin import CountedMargin, SparseProblem, Unit
from core.geometry.sparse.pruning import exchange, first_places, losses, prune
from tests import truths

KAPPA = 1e-4


class Gate(nn.Module):
    """Class 1 where two pixels, by their channel means, both ("and") or one of them ("or") pass a half."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images: Tensor) -> Tensor:
        values = images.mean(1).flatten(1)[:, [3, 9]]
        value = values.amin(1) if self.kind == "and" else values.amax(1)
        return torch.stack([torch.full_like(value, 0.5), value], 1)


def problem(module: nn.Module, images: Tensor, unit: Unit = "pixel", size: int = 5) -> SparseProblem:
    counted = CountedMargin(truths.classifier(module, images.shape[1:], images.dtype), size)
    counted.open(images)
    return SparseProblem(counted, images, 0 * images, 0 * images + 1, KAPPA, unit)


def network(seed: int, shape: tuple[int, int, int]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        size = shape[0] * shape[1] * shape[2]
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 12), nn.ReLU(), nn.Linear(12, 3)).double()


def crossing(task: SparseProblem, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random corners of the box of another class, and the images that they belong to."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 2, (120, *task.images.shape), generator=generator).to(task.images)
    numbers = torch.arange(len(task.images)).repeat(120)
    found = corners.flatten(0, 1)
    keep = task.counted(found, numbers) < -KAPPA
    return numbers[keep], found[keep]


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize(("kind", "left"), [("and", {3, 9}), ("or", {9})])
def test_two_pixels_that_must_agree_stay_and_of_two_that_suffice_one_stays(
    kind: str, left: set[int], size: int
) -> None:
    images = torch.full((2, 3, 4, 4), 0.25, dtype=torch.float64)
    task = problem(Gate(kind), images, size=size)
    changed = torch.full_like(images, 0.8)
    changed[..., 2, 1] = 0.9  # pixel 9 passes by more, so pixel 3 is cheaper to give back
    found = prune(task, torch.arange(2), changed)
    support = (found.adversarial != images).any(1).flatten(1)
    assert [set(row.nonzero()[:, 0].tolist()) for row in support] == [left] * 2
    np.testing.assert_array_equal(found.items, len(left))
    again = exchange(task, torch.arange(2), found, rounds=3)
    np.testing.assert_array_equal(again.items, found.items)


@pytest.mark.parametrize("unit", ["pixel", "entry"])
@pytest.mark.parametrize("measured", [0, 12])
def test_nothing_more_can_be_given_back(unit: Unit, measured: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_MEASURED", measured)
    images = truths.images(4, (2, 3, 4))
    task = problem(network(1, (2, 3, 4)), images, unit)
    numbers, corners = crossing(task)
    assert len(numbers) > 20
    rough = prune(task, numbers, corners)
    found = exchange(task, numbers, rough, rounds=2)
    for each in (rough, found):
        at = task.items(each.adversarial)
        np.testing.assert_allclose(each.margin, task.margins(numbers, at), atol=1e-12)
        assert (each.margin < -KAPPA).all()
        assert (losses(task, numbers, at) >= -KAPPA).all()
        np.testing.assert_array_equal(each.items, (at != task.items(images)[numbers]).any(1).sum(1))
    kept = rough.adversarial == corners
    assert (kept | (rough.adversarial == images[numbers])).all()
    assert (found.items <= rough.items).all()
    assert found.items.sum() < rough.items.sum()
    assert ((found.adversarial >= 0) & (found.adversarial <= 1)).all()


def test_exchange_finds_the_smallest_supports_of_a_small_network() -> None:
    """Of 8 pixels, the fewest that cross at corners of the box, by looking at all: reached from most starts."""
    images, shape = truths.images(3, (1, 2, 4), seed=4), (1, 2, 4)
    task = problem(network(3, shape), images)
    numbers, corners = crossing(task)
    found = exchange(task, numbers, prune(task, numbers, corners), rounds=4)
    least = []
    for number in range(len(images)):
        choices = torch.tensor(list(itertools.product([-1.0, 0.0, 1.0], repeat=8)), dtype=torch.float64).view(
            -1, *shape
        )
        points = torch.where(choices < 0, images[number], choices)
        margins = task.counted(points, torch.full((len(points),), number))
        counts = (points != images[number]).flatten(1).sum(1)[margins < -KAPPA]
        least.append(int(counts.min()) if len(counts) else 99)
    best = torch.tensor(least)[numbers]
    assert (found.items >= best).all()
    assert (found.items == best).double().mean() > 0.8


def test_planes_are_crossed_with_as_few_pixels_as_can_be() -> None:
    """Of an affine classifier, greedy pruning of a corner leaves the k largest gains, which is the optimum."""
    shape, images = (3, 8, 8), truths.images(2, (3, 8, 8)) / 2 + 0.25
    weight = torch.stack([0 * truths.unit(shape).flatten(), truths.unit(shape, 1).flatten()])
    gain = (weight[1].view(shape) * (weight[1].view(shape) > 0) * (1 - images)).sum(1).flatten(1)
    gain = gain - (weight[1].view(shape) * (weight[1].view(shape) < 0) * images).sum(1).flatten(1)
    ordered = gain.sort(1, descending=True).values
    needed = ordered[:, :20].sum(1).amin()  # 20 pixels of one image
    bias = torch.stack([needed + (images.flatten(1) @ weight[1]).amin(), torch.zeros(())])
    task = problem(truths.Affine(weight, bias), images)
    corner = torch.where(weight[1].view(shape) > 0, 1.0, 0.0).double().expand_as(images)
    found = prune(task, torch.arange(2), corner)
    margin = bias[0] - images.flatten(1) @ weight[1]
    optimum = (ordered.cumsum(1) < (margin + KAPPA)[:, None]).sum(1) + 1
    np.testing.assert_array_equal(found.items, optimum)


def test_the_cheapest_come_first_and_the_rest_are_not_sorted() -> None:
    cost = torch.tensor([[3.0, 1.0, 2.0, torch.inf], [0.0, -1.0, 5.0, 4.0]])
    assert first_places(cost, 2).tolist() == [[4, 0, 1, 4], [1, 0, 4, 4]]
    assert first_places(cost, 9).tolist() == [[2, 0, 1, 3], [1, 0, 3, 2]]
