"""The projection that every step is, in a half-space or a plane and the box at once; saturation and back-offs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from core.geometry.level_sets.step import MODES, Mode, rise_in_box
from core.geometry.level_sets.traverse import traverse
from tests import truths
from tests.core.geometry.level_sets.test_traverse import between, check, dot, halves


def bisected(base: Tensor, wanted: Tensor, gradient: Tensor, rise: float) -> Tensor:
    """clip(wanted + l gradient) with the l at which the function has risen just so; the rise grows with l."""
    high = 1e6 / float(gradient.square().sum())
    low = -high
    for _ in range(80):
        middle = (low + high) / 2
        risen = float((gradient * ((wanted + middle * gradient).clamp(0, 1) - base)).sum())
        low, high = (middle, high) if risen < rise else (low, middle)
    return (wanted + high * gradient).clamp(0, 1)


@given(st.integers(0, 10**6), st.floats(-0.9, 0.9))
@settings(max_examples=12)
def test_it_lands_where_the_bisected_projection_does(seed: int, share: float) -> None:
    shape = (3, 8, 8)
    base, wanted = (2 * truths.images(4, shape, seed + k) - 0.5 for k in range(2))
    base, wanted = base.clamp(0, 1), wanted.clamp(0, 1)  # half of the pixels at a wall
    gradient = torch.stack([truths.unit(shape, seed + k) for k in range(4)]) * torch.tensor([1e-3, 1, 7, 1e3]).view(
        -1, 1, 1, 1
    )
    most = (gradient * ((gradient > 0).double() - base)).flatten(1).sum(1)
    least = (gradient * ((gradient < 0).double() - base)).flatten(1).sum(1)
    rise = torch.where(torch.tensor(share > 0), most, -least) * share
    for exactly in (False, True):
        found, risen = rise_in_box(base, wanted, gradient, rise, exactly=exactly)
        assert bool(((found >= 0) & (found <= 1)).all())
        free = (gradient * (wanted - base)).flatten(1).sum(1)
        torch.testing.assert_close(risen, rise if exactly else torch.maximum(rise, free), rtol=1e-6, atol=1e-10)
        for row in range(4):
            if not exactly and free[row] >= rise[row]:
                truth = wanted[row]
            else:
                truth = bisected(base[row], wanted[row], gradient[row], float(rise[row]))
            torch.testing.assert_close(found[row], truth, rtol=0, atol=1e-6)


def test_more_than_the_box_holds_ends_at_its_corner_and_without_a_gradient_nothing_moves() -> None:
    base = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64)
    gradient = torch.tensor([[1.0, -1.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64).view(2, 1, 2, 2)
    found, risen = rise_in_box(base, base, gradient, torch.tensor([1e3, 1.0], dtype=torch.float64), exactly=False)
    assert found[0].flatten().tolist() == [1.0, 0.0, 1.0, 1.0]
    assert torch.equal(found[1], base[1])
    assert risen.tolist() == [2.5, 0.0]


class Saturated(truths.Affine):
    """So sure that cross-entropy and its gradient are 0 in float32."""

    def forward(self, images: Tensor) -> Tensor:
        return 1e3 * super().forward(images)


@pytest.mark.parametrize("mode", MODES)
def test_saturated_models_lose_no_walk(mode: Mode) -> None:
    shape = (3, 32, 32)
    module, normal = halves(shape, torch.full(shape, 0.5))
    sources, targets = between(4, shape, 1) + 0.1 * normal.sign(), between(4, shape, 2) - 0.1 * normal.sign()
    sure = truths.classifier(Saturated(module.weight.detach(), module.bias.detach()), shape)
    paths = traverse(sure, sources.float(), targets.float(), mode, 0.2, 200)
    assert (paths.log_odds[:, 0] > 150).all()
    away = targets - sources
    tangent = (away - dot(away, normal) * normal).flatten(1).norm(dim=1)
    left = ((torch.from_numpy(paths.endpoints) - targets).double().flatten(1)).norm(dim=1)
    assert (left < away.flatten(1).norm(dim=1)).all()
    moved = (torch.from_numpy(paths.endpoints) - sources).double().flatten(1).norm(dim=1)
    assert (moved > 0.9 * tangent).all()
    check(paths, mode)


class Cliff(nn.Module):
    """Sure of class 0 up to pixel 0 = 0.5, then of class 1, and nothing in the gradient tells of it."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.flatten(1)[:, 0], images.flatten(1)[:, 1]
        margin = 2 + 0.01 * second - 50 * (first > 0.5)
        return torch.stack([margin, torch.zeros_like(margin)], 1)


@pytest.mark.parametrize("mode", ["superlevel", "equality"])
def test_before_a_cliff_steps_are_halved_and_the_walk_goes_back(mode: Mode) -> None:
    source, target = (torch.tensor(each).view(1, 1, 1, 2) for each in ([0.1, 0.5], [0.9, 0.5]))
    classifier = truths.classifier(Cliff(), (1, 1, 2))
    paths = traverse(classifier, source, target, mode, 0.1, 200, stall=0)
    assert paths.status[0] == "blocked"
    end = float(paths.endpoints[0, 0, 0, 0])
    assert 0.5 - 0.4 * paths.eta / 16 < end <= 0.5  # given up where a sixteenth of a step was too long
    refused = np.flatnonzero(paths.moved[0, 1 : paths.taken[0] + 1] == 0)
    assert len(refused) >= 6
    check(paths, mode)
    stopped = traverse(classifier, source, target, "paper", 0.1, 200, stall=0)
    assert stopped.status[0] == "blocked"
    assert stopped.taken[0] < 40
    assert 0.5 - 0.4 * stopped.eta < stopped.endpoints[0, 0, 0, 0] <= 0.5
