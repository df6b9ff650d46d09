"""Numbers about maps: against scikit-learn, by hand on a line, and for maps that are true or random."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness
from torch import Tensor

from core.geometry.maps import quality as module
from core.geometry.maps.quality import map_quality, stability

NOTHING = torch.full((60,), -1)


def by_vectors(vectors: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda rows: torch.cdist(vectors[rows], vectors)


@pytest.mark.parametrize("k", [1, 5, 12])
@pytest.mark.parametrize("block", [256, 7])
def test_trustworthiness_and_continuity_are_those_of_scikit_learn(
    k: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    generator = torch.Generator().manual_seed(k)
    vectors = torch.randn(60, 9, generator=generator, dtype=torch.float64)
    positions = vectors[:, :2] + 0.5 * torch.randn(60, 2, generator=generator, dtype=torch.float64)
    found = map_quality(by_vectors(vectors), positions, NOTHING, NOTHING, neighbours=k)
    here, there = positions.numpy(), vectors.numpy()
    assert found.trustworthiness == pytest.approx(trustworthiness(there, here, n_neighbors=k), abs=1e-12)
    assert found.continuity == pytest.approx(trustworthiness(here, there, n_neighbors=k), abs=1e-12)
    upper = np.triu_indices(60, 1)
    pairs = (torch.cdist(one, one).numpy()[upper] for one in (vectors, positions))
    assert found.correlation == pytest.approx(spearmanr(*pairs).statistic)


def test_a_map_that_is_the_space_is_perfect_and_a_random_one_is_at_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    positions = torch.randn(400, 2, generator=generator, dtype=torch.float64)
    labels = (positions[:, 0] > 0).long()
    true = map_quality(by_vectors(positions), 3 * positions + 1, labels, labels)
    perfect = (true.trustworthiness, true.continuity, true.neighbour_agreement, true.correlation)
    assert perfect == pytest.approx((1, 1, 1, 1))
    assert true.label_agreement[0] == true.label_agreement[1] > 0.95
    other = torch.randn(400, 2, generator=generator, dtype=torch.float64)
    random = map_quality(by_vectors(positions), other, labels, labels)
    assert random.trustworthiness == pytest.approx(0.5, abs=0.05)
    assert random.neighbour_agreement == pytest.approx(10 / 399, abs=0.01)
    assert random.correlation == pytest.approx(0, abs=0.05)
    assert random.label_agreement[0] == pytest.approx(0.5, abs=0.1)
    assert random.label_agreement[2] == pytest.approx(
        max(labels.float().mean().item(), 1 - labels.float().mean().item())
    )


def test_label_agreement_on_a_line_by_hand() -> None:
    places = torch.tensor([[0.0], [1.0], [2.1], [10.0], [11.0], [12.1], [13.3]], dtype=torch.float64)
    positions = torch.cat([places, torch.zeros_like(places)], 1)
    labels = torch.tensor([0, 0, 1, 1, 1, -1, 1])
    found = map_quality(by_vectors(places), positions, labels, labels, neighbours=2)
    # of image 2 both neighbours are 0; of those at 10, 11 and 13.3 the one that is known is 1; 12.1 is left out
    assert found.label_agreement == pytest.approx((5 / 6, 5 / 6, 4 / 6))


def test_too_few_images_or_nothing_to_compare_is_nan() -> None:
    two = torch.zeros(2, 2)
    found = map_quality(by_vectors(two), two, NOTHING[:2], NOTHING[:2])
    assert math.isnan(found.trustworthiness)
    assert math.isnan(found.label_agreement[0])
    still = torch.zeros(9, 2, dtype=torch.float64)
    assert math.isnan(map_quality(by_vectors(still), still, NOTHING[:9], NOTHING[:9]).correlation)


def test_maps_that_are_turned_mirrored_moved_and_scaled_are_stable() -> None:
    first = np.random.default_rng(0).normal(size=(50, 2))
    turn = np.array([[0.6, 0.8], [0.8, -0.6]])
    spread, common = stability([first, 3 * first @ turn + 5, first - 2])
    np.testing.assert_allclose(spread, 0, atol=1e-12)
    assert common == 1
    moved = first.copy()
    moved[7] += 2
    spread, common = stability([first, moved])
    assert spread.argmax() == 7
    assert common < 1
    random = np.random.default_rng(1).normal(size=(50, 2))
    assert np.median(stability([first, random])[0]) > 0.3
    with pytest.raises(ValueError, match="at least two maps"):
        stability([first])
