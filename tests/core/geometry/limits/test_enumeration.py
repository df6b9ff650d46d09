"""Every image of small formats: exact distances, every class of the 2 x 2 images, and a model on 4 x 4."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import nn

from core.errors import ImageError
from core.geometry.limits.enumeration import (
    best_survivors,
    class_distance,
    complement_distance,
    every_class,
    every_image,
)
from core.models.classifier import Classifier
from core.models.load import load_classifier
from tests.truths import Affine, classifier


@pytest.mark.parametrize("values", [2, 3, 4])
def test_every_class_obeys_the_limits_and_reaches_harpers(values: int) -> None:
    found = every_class(values)
    assert found.classes.sum() == 2 ** (2**values)
    np.testing.assert_array_equal(found.violations, 0)
    np.testing.assert_array_equal(found.most, found.best)
    assert values == 2 or found.tightest[1] == pytest.approx(1)
    if values == 4:
        np.testing.assert_array_equal(found.most[8], [8, 2, 0, 0, 0])  # a quarter survives one change, none two
        assert found.checks > 190_000


def test_best_survivors_are_the_closed_form_for_halves() -> None:
    for values in (6, 8, 10):
        half = 2 ** (values - 1)
        changed = np.arange(values + 1)
        expected = 2 * half * 2 * binom.cdf((values - 2) / 2 - changed, values - 1, 0.5) / 2
        np.testing.assert_allclose(best_survivors(values)[half], expected, atol=1e-6)


@pytest.mark.parametrize(("values", "bits"), [(6, 1), (3, 2), (2, 3)])
def test_distances_are_those_of_brute_force(values: int, bits: int) -> None:
    q, rng = 2**bits, np.random.default_rng(0)
    digits = np.stack(np.unravel_index(np.arange(q**values), (q,) * values), 1)
    apart = (digits[:, None] != digits[None]).sum(2)
    for label in rng.integers(0, 3, (5, q**values)):
        truth = np.where(label[:, None] != label[None], apart, 99).min(1)
        np.testing.assert_array_equal(class_distance(label, values, bits), truth)
    inside = rng.random((4, q**values)) < 0.9  # a batch of classes
    rows = np.stack([complement_distance(row, values, bits) for row in inside])
    np.testing.assert_array_equal(complement_distance(inside, values, bits), rows)
    assert (class_distance(np.zeros(q**values, int), values, bits) == -1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("side", [3, 4])
def test_votes_of_enlarged_pixels_keep_what_the_best_class_keeps(side: int, dtype: torch.dtype) -> None:
    count = side**2
    weight = torch.ones(2, 64)
    weight[1] = -1
    votes = torch.zeros(2, 1, 8, 8)
    rows = torch.arange(8) * side // 8
    small = torch.zeros(side, side)
    small[rows[:, None], rows] = 1  # one cell of each enlarged pixel votes
    for r in range(side):
        for c in range(side):
            votes[:, 0, int((rows == r).nonzero()[0]), int((rows == c).nonzero()[0])] = 1
    odd = count if count % 2 else count - 1
    if count != odd:
        votes[:, 0, int((rows == side - 1).nonzero()[0]), int((rows == side - 1).nonzero()[0])] = 0
    weight = votes.flatten(1) * torch.tensor([[1.0], [-1.0]])
    model = classifier(Affine(weight, torch.tensor([-odd / 2, odd / 2])), (1, 8, 8), dtype)
    found = every_image(model, side)
    np.testing.assert_array_equal(found.counts, 2 ** (count - 1))
    for k in (0, 1):
        np.testing.assert_array_equal(found.survivors(k), best_survivors(count)[2 ** (count - 1)])
        np.testing.assert_allclose(found.limit(k), found.survivors(k) / 2 ** (count - 1), atol=1e-9)
    assert found.violations == 0
    assert found.forwards >= 2**count


def test_small_nets_of_4_x_4_images_obey_the_limits() -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 3))
        found = every_image(Classifier(net, (1, 4, 4), device="cpu"), 4)
        assert found.counts.sum() == 65536
        assert found.violations == 0
        assert (found.distance >= 1).all()


def test_a_demo_model_on_every_3_x_3_image() -> None:
    told: list[float] = []
    found = every_image(
        load_classifier("demo:digits/standard", "cpu"), 3, on_progress=lambda part, _=None: told.append(part)
    )
    assert len(found.label) == 512
    assert found.violations == 0
    assert told
    top = int(found.counts.argmax())
    assert found.survivors(top)[0] == found.counts[top]
    if found.counts[top] > 256:
        assert (found.limit(top) == 1).all()


def test_formats_with_too_many_images_are_refused() -> None:
    model = classifier(Affine(torch.randn(2, 9), torch.zeros(2)), (1, 3, 3))
    with pytest.raises(ValueError, match="at most 65,536 images"):
        every_image(model, 3, bits=8)
    with pytest.raises(ImageError, match="at least 4 x 4"):
        every_image(model, 4)
    with pytest.raises(ValueError, match="2 to 4 values"):
        every_class(5)
    with pytest.raises(ValueError, match="1 to 16 values"):
        best_survivors(17)
    assert math.isfinite(every_image(model, 2).seconds)
