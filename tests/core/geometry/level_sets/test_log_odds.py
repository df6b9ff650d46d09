"""Log-odds against the softmax they come from, in both tails, and the levels below them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.geometry.level_sets.log_odds import LogOdds, level_below, log_odds
from core.runtime.cost import counting
from tests import truths


def test_log_odds_are_those_of_the_softmax() -> None:
    logits = torch.randn((40, 7), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    classes = torch.arange(40) % 7
    p = logits.softmax(1).gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(log_odds(logits, classes), p.logit(), rtol=1e-10, atol=1e-10)


def test_of_two_classes_they_are_the_difference_and_saturated_ones_keep_their_gradient() -> None:
    logits = torch.tensor([[300.0, -200.0], [-1e4, 1e4]], requires_grad=True)
    value = log_odds(logits, torch.tensor([0, 0]))
    assert value.tolist() == [500.0, -2e4]
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert gradient.tolist() == [[1.0, -1.0], [1.0, -1.0]]


def test_what_is_not_finite_is_undefined() -> None:
    logits = torch.tensor([[0.0, math.inf], [math.nan, 0.0], [-math.inf, 0.0], [0.0, 1.0]])
    assert torch.isnan(log_odds(logits, torch.zeros(4, dtype=torch.long))).tolist() == [True, True, True, False]


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_level_is_the_log_odds_of_a_smaller_confidence(dtype: torch.dtype) -> None:
    p, delta = torch.tensor([0.9, 0.5, 0.3]), torch.tensor([0.2, 0.05, 0.29])
    level = level_below(p.to(dtype).logit(), delta.to(dtype))
    torch.testing.assert_close(level.sigmoid(), (p - delta).to(dtype), rtol=1e-5, atol=0)
    sure = level_below(torch.tensor([200.0], dtype=dtype), torch.tensor([1e-12], dtype=dtype))
    assert float(sure) == pytest.approx(math.log(1e12), rel=1e-6)  # 1 - 1e-12 has no digits in float32
    same = torch.tensor([250.0, -3.0], dtype=dtype)
    torch.testing.assert_close(level_below(same, torch.zeros(2, dtype=dtype)), same, rtol=0, atol=0)
    assert torch.isnan(level_below(torch.zeros(2, dtype=dtype), torch.tensor([0.5, 0.6], dtype=dtype))).all()


class Small(truths.Affine):
    """Has memory for four images."""

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(images)


def test_gradients_are_each_row_s_own_and_pieces_are_halved_when_memory_runs_out() -> None:
    weight = torch.randn((3, 16), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    images, classes = truths.images(11, (1, 4, 4)), torch.arange(11) % 3
    bias = torch.zeros(3, dtype=torch.float64)
    whole = LogOdds(truths.classifier(truths.Affine(weight, bias), (1, 4, 4), torch.float64), 64)
    pieces = LogOdds(truths.classifier(Small(weight, bias), (1, 4, 4), torch.float64), 64)
    with counting() as cost:
        expected, found = whole.slope(images, classes), pieces.slope(images, classes)
    assert cost.gradients == 22
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    share = expected.logits.softmax(1)
    others = share.scatter(1, classes[:, None], 0.0)
    slope = weight[classes] - (others / others.sum(1, keepdim=True)) @ weight
    torch.testing.assert_close(expected.gradient.flatten(1), slope, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(pieces.logits(images), expected.logits, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_the_slope_is_that_of_the_log_odds_also_where_they_are_saturated(dtype: torch.dtype) -> None:
    weight = torch.randn((3, 16), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = torch.cat([weight, 300 * weight[:1]])  # of which some rows are far beyond what a softmax can say
    module = truths.Affine(weight.to(dtype), torch.zeros(4, dtype=dtype))
    classifier = truths.classifier(module, (1, 4, 4), dtype)
    images, classes = truths.images(8, (1, 4, 4)).to(dtype), torch.arange(8) % 4
    found = LogOdds(classifier, 64).slope(images, classes)
    points = images.clone().requires_grad_()
    truth = log_odds(classifier(points), classes)
    (gradient,) = torch.autograd.grad(truth.sum(), points)
    torch.testing.assert_close(found.value, truth.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-4, atol=1e-4)
    assert found.value.abs().max() > 100
    endless = truths.Affine(weight.to(dtype), torch.tensor([0.0, 0.0, 0.0, -math.inf], dtype=dtype))
    odd = LogOdds(truths.classifier(endless, (1, 4, 4), dtype), 64).slope(images, classes)
    assert torch.isnan(odd.value).all()
