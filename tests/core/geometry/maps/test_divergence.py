"""Jensen-Shannon lengths in closed form, and neighbours that are those of all pairs with few of them computed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import Tensor

from core.geometry.maps.divergence import DivergenceSearch, divergence
from core.runtime.cost import counting
from tests import truths
from tests.truths import BatchSize

SHAPE = (1, 8, 8)


def step(sharpness: float) -> truths.Affine:
    """Class 0 where the first pixel exceeds one half."""
    weight = torch.zeros(2, 64, dtype=torch.float64)
    weight[0, 0] = sharpness
    return truths.Affine(weight, torch.tensor([-sharpness / 2, 0.0], dtype=torch.float64))


def search(module: torch.nn.Module, images: Tensor, **options: object) -> tuple[DivergenceSearch, Tensor]:
    classifier = truths.classifier(module, SHAPE, torch.float64)
    logits = classifier(images)
    return DivergenceSearch(classifier, images, logits, **options), logits  # type: ignore[arg-type]


def test_the_divergence_is_that_of_scipy_squared() -> None:
    p, q = torch.rand(2, 30, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    truth = jensenshannon(p.numpy(), q.numpy(), base=2, axis=1)
    np.testing.assert_allclose(divergence(p, q).sqrt(), truth, rtol=1e-9)
    assert divergence(p, p).abs().max() < 1e-12


def test_the_root_obeys_the_triangle_inequality() -> None:
    p, q, r = torch.rand(3, 500, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).pow(6)
    p, q, r = (one / one.sum(1, keepdim=True) for one in (p, q, r))
    ways = [divergence(*pair).sqrt() for pair in ((p, q), (q, r), (p, r))]
    assert (ways[0] + ways[1] - ways[2] > -1e-9).all()


@pytest.mark.parametrize("segments", [1, 2, 6])
def test_a_line_across_one_sharp_boundary_is_one_bit_long(segments: int) -> None:
    images = torch.full((4, *SHAPE), 0.3, dtype=torch.float64)
    images[1, 0, 0, 0], images[2, 0, 0, 1], images[3, 0, 0, 0] = 0.95, 0.9, 0.8
    found, logits = search(step(1e4), images, segments=segments)
    pairs = torch.tensor([[0, 1], [0, 2], [1, 3], [2, 3], [3, 0]])
    lengths = found.lengths(images, logits.softmax(1), pairs)
    np.testing.assert_allclose(lengths, [1, 0, 0, 1, 1], atol=1e-6)


def test_a_line_with_a_gentle_slope_is_the_sum_of_its_parts() -> None:
    images = torch.full((2, *SHAPE), 0.5, dtype=torch.float64)
    images[0, 0, 0, 0], images[1, 0, 0, 0] = 0.0, 1.0
    found, logits = search(step(4.0), images, segments=5)
    share = 1 / (1 + np.exp(-(np.linspace(0, 1, 6) - 0.5) * 4))
    said = np.stack([share, 1 - share], 1)
    truth = sum(jensenshannon(a, b, base=2) for a, b in itertools.pairwise(said))
    with counting() as cost:
        length = float(found.lengths(images, logits.softmax(1), torch.tensor([[0, 1]]))[0])
    assert length == pytest.approx(truth)
    assert cost.forwards >= 4


@pytest.mark.parametrize("batch", [1, 5])
def test_neighbours_are_those_of_all_pairs(batch: int, batch_size: BatchSize) -> None:
    batch_size(batch)
    images = truths.images(40, SHAPE).double()
    centres = truths.images(4, SHAPE, seed=5).double()
    with counting() as cost:
        found, logits = search(truths.NearestCentre(centres), images, segments=4)
        distance, index, known = found.nearest(images, logits, 5, same=True)
    pairs = torch.triu_indices(40, 40, 1).T
    with counting() as of_all:
        lengths = found.lengths(images, logits.softmax(1), pairs)
    largest, longest = found.scale
    truth = torch.full((40, 40), math.inf, dtype=torch.float64)
    flat = images.flatten(1)
    value = 0.65 * (flat[pairs[:, 0]] - flat[pairs[:, 1]]).norm(dim=1) / largest + 0.35 * lengths / longest
    truth[pairs[:, 0], pairs[:, 1]] = truth[pairs[:, 1], pairs[:, 0]] = value
    best = truth.topk(5, 1, largest=False)
    torch.testing.assert_close(distance, best.values)
    torch.testing.assert_close(index, best.indices)
    assert (known <= truth + 1e-9).all()  # a bound from below where it is not the distance
    assert cost.forwards < of_all.forwards + 400 * 3 + 2 * batch  # fewer than all pairs, beside those that M is from
    assert found.published() == 40 * 39 * 4
    other, where, _ = found.nearest(images[:3], logits[:3], 2)
    assert where[:, 0].tolist() == [0, 1, 2]  # of images of the set the nearest are these themselves
    np.testing.assert_allclose(other[:, 0], 0, atol=1e-6)
    torch.testing.assert_close(where[:, 1], best.indices[:3, 0])


def test_scales_may_be_given_and_options_must_make_sense() -> None:
    images = truths.images(6, SHAPE).double()
    with counting() as cost:
        found, _ = search(step(3.0), images, scale=(2.0, 3.0))
    assert (found.scale, cost.forwards) == ((2.0, 3.0), 0)
    with pytest.raises(ValueError, match="expected a share in"):
        search(step(3.0), images, balance=1.5)
