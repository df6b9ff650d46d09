"""Kinks along rays: the first one exactly, and nothing changed before it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.geometry.local.activation_regions import Kink, first_change, pattern
from core.geometry.local.layers import watched
from tests import curved, truths

SHAPE = (1, 8, 8)


def test_sides_and_windows_are_told() -> None:
    given = torch.tensor([[[[-1.0, 7.0], [3.0, 0.0]]]])
    assert pattern(Kink(nn.ReLU(), given, 0)).tolist() == [[0, 1, 1, 0]]
    assert pattern(Kink(nn.ReLU6(), given, 0)).tolist() == [[0, 2, 1, 0]]
    assert pattern(Kink(nn.MaxPool2d(2), given, 0)).tolist() == [[1]]
    padded = pattern(Kink(nn.MaxPool2d(3, 1, 1), given, 0))
    assert padded.tolist() == [[5, 4, 2, 1]]  # the 7 at its place in each window


def test_the_first_change_is_solved_for() -> None:
    given, move = torch.tensor([[-1.0, 2.0, 0.0]]), torch.tensor([[0.5, -0.8, 1.0]])
    assert first_change([Kink(nn.ReLU(), given[:, :2], 0)], [move[:, :2]]).tolist() == pytest.approx([2.0])
    assert first_change([Kink(nn.ReLU(), given, 0)], [move]).tolist() == [0.0]  # on its kink, and rising
    assert first_change([Kink(nn.ReLU(), given[:, :2], 0)], [torch.zeros(1, 2)]).tolist() == [torch.inf]
    assert first_change([Kink(nn.ReLU6(), 5 + 0 * given, 0)], [2 + 0 * move]).tolist() == [0.5]
    window = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    grows = torch.tensor([[[[0.0, 2.0], [0.0, -1.0]]]])
    assert first_change([Kink(nn.MaxPool2d(2), window, 0)], [grows]).tolist() == [0.5]
    assert first_change([Kink(nn.MaxPool2d(2), window, 0)], [-grows]).tolist() == [1.0]


@pytest.mark.parametrize("pool", [False, True])
def test_up_to_the_first_change_a_network_is_its_linearisation(pool: bool) -> None:
    classifier = truths.classifier(curved.Kinked(SHAPE, pool=pool), SHAPE, torch.float64)
    images = truths.images(6, SHAPE)
    ways = torch.stack([truths.unit(SHAPE, seed) for seed in range(6)])
    with watched(classifier, ()) as watch:
        points = images.clone().requires_grad_()
        here = watch(points)
        moves = [
            torch.autograd.functional.jvp(lambda at, place=place: watch(at).kinks[place].given, images, ways)[1]
            for place in range(len(here.kinks))
        ]
        here = watch(points)
        end = first_change(here.kinks, moves)
        before = [pattern(kink) for kink in here.kinks]
        linear = torch.autograd.functional.jvp(classifier, images, ways)[1]
        for share, same in ((0.999, True), (1.001, False)):
            step = (share * end).view(-1, 1, 1, 1)
            there = watch(images + step * ways)
            equal = torch.stack(
                [(pattern(kink) == side).all(1) for kink, side in zip(there.kinks, before, strict=True)]
            ).all(0)
            assert bool(equal.all()) is same
            assert bool(equal.any()) is same
            rest = (there.logits - here.logits - step[:, :, 0, 0] * linear).abs().amax(1)
            if same:
                assert (rest < 1e-12).all()
    assert len(before) == (3 if pool else 2)
