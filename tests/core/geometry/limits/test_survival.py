"""Small changes of drawn images: witnesses are what they say, near the exact distances, and shares have intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import beta
from torch import Tensor, nn

from core.geometry.limits.bounds import NORMS, robustness_bound
from core.geometry.limits.extremal import EXTREMAL, Extremal, extremal_classifier, extremal_size
from core.geometry.limits.minimal_changes import SEARCHES, Witnesses
from core.geometry.limits.survival import clopper_pearson, halved, survival, survivors, uniform_levels
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from tests.truths import Affine, classifier


def near(kind: Extremal, shape: tuple[int, int, int], bits: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Smallest sizes found for drawn images (n, norm), and the exact ones."""
    model = extremal_classifier(kind, shape, bits)
    search = Witnesses(model, bits, walks=2, seed=0)
    levels = uniform_levels(count, math.prod(shape), bits, torch.Generator().manual_seed(3))
    flat = search.flat(levels)
    label = search.label(flat)
    found = search.sizes(flat, label, flat, label, lambda part: None)
    assert found.size.shape == (len(SEARCHES), count, len(NORMS))
    moved = found.witness
    assert bool((search.label(moved) != label).all())
    steps = moved * search.top
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)  # on the grid
    assert bool(((moved >= 0) & (moved <= 1)).all())
    exact = torch.stack([extremal_size(kind, levels, bits, p) for p in NORMS], 1)
    return np.nan_to_num(found.size.numpy(), nan=np.inf).min(0), exact.numpy()


@pytest.mark.parametrize("kind", EXTREMAL)
@pytest.mark.parametrize("bits", [1, 4])
def test_witnesses_are_never_nearer_than_the_exact_distance(kind: Extremal, bits: int) -> None:
    found, exact = near(kind, (1, 4, 4), bits, 20)
    assert (found >= exact * (1 - 1e-6)).all()
    if kind != "majority" or bits == 1:
        assert np.median(found[:, 0] / exact[:, 0]) <= 1.5


def test_the_gradient_walk_is_exact_for_the_sum_in_changed_values() -> None:
    found, exact = near("sum", (3, 4, 4), 8, 25)
    np.testing.assert_array_equal(found[:, 0], exact[:, 0])
    assert (found[:, 2] <= 2.5 * exact[:, 2]).mean() > 0.8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_flat_boundary_is_met_and_its_classes_are_counted(dtype: torch.dtype) -> None:
    weight = torch.zeros(2, 48)
    weight[0] = torch.linspace(-1, 1, 48)
    model = classifier(Affine(weight, torch.tensor([-float(weight[0].sum()) / 2, 0.0])), (3, 4, 4), dtype)
    found = survival(model, torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0)), count=15, draws=400)
    assert found.counts.sum() == 400
    assert (found.share_low <= found.counts / 400).all()
    assert (found.counts / 400 <= found.share_high).all()
    assert np.isfinite(found.least(0)).all()
    distance = np.abs((found.start.reshape(len(found.start), -1) - 0.5) @ weight[0].numpy()) / np.linalg.norm(weight[0])
    nearest = found.least(2)[: len(distance)]
    assert (nearest >= distance * (1 - 1e-5)).all()
    assert (nearest <= 1.3 * distance + math.sqrt(48) / 255).all()
    assert found.set_size.shape == (3, 3, 4)
    assert found.forwards > 0
    assert found.gradients > 0
    again = survival(model, torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0)), count=15, draws=400)
    np.testing.assert_array_equal(found.size, again.size)


class Always(nn.Module):
    """One label for everything."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([torch.ones(len(images)), torch.zeros(len(images)), 0.001 * images.flatten(1).sum(1)], 1)


def test_an_exempt_class_is_said_and_nothing_is_searched() -> None:
    model = Classifier(Always(), (1, 3, 3), device="cpu")
    found = survival(model, torch.rand(2, 1, 3, 3), count=5, draws=100)
    assert found.exempt == 0
    assert found.share_low[0] > 0.95
    assert np.isnan(found.share).all()
    assert found.size.shape[1] == 0
    assert np.isnan(survivors(found.least(0), np.arange(3.0))).all()
    assert np.isnan(found.set_size).all()  # no other label anywhere


def test_a_model_with_one_label_for_noise_is_halved_at_its_median() -> None:
    model = halved(Classifier(Always(), (1, 3, 3), device="cpu"), 8)
    found = survival(model, torch.rand(2, 1, 3, 3), count=10, draws=1000)
    assert abs(found.counts[0] - 500) < 70
    assert np.isfinite(found.share).all()
    assert 0 < found.share[0] <= found.share[1] <= 0.5


def test_a_demo_model_stays_below_the_limit() -> None:
    images = load_images("demo:digits")[:5].pixels
    told: list[float] = []
    found = survival(
        load_classifier("demo:digits/standard", "cpu"),
        images,
        partition="halved",
        count=5,
        draws=100,
        walks=1,
        on_progress=lambda part, _=None: told.append(part),
    )
    assert told[-1] == pytest.approx(1)
    assert found.witness.shape == found.start.shape == (3, 1, 32, 32)
    changed = (np.abs(found.witness - found.start) > 1e-6).sum((1, 2, 3))
    np.testing.assert_array_equal(changed, found.least(0)[:3])
    limit = robustness_bound(32, 1, 8, 0, tuple(found.share.tolist()), sizes=np.array([60.0])).fraction
    assert survivors(found.least(0), np.array([60.0]))[0] <= limit[0]


def test_intervals_are_exact() -> None:
    low, high = clopper_pearson(np.array([0, 3, 10]), 10)
    np.testing.assert_allclose(low, [0, beta.ppf(0.025, 3, 8), beta.ppf(0.025, 10, 1)])
    np.testing.assert_allclose(high, [beta.ppf(0.975, 1, 10), beta.ppf(0.975, 4, 7), 1])


def test_survival_counts_images_beyond_a_size() -> None:
    np.testing.assert_allclose(
        survivors(np.array([1.0, 2.0, np.inf]), np.array([0.0, 1.0, 1.5, 2.0])), [1, 2 / 3, 2 / 3, 1 / 3]
    )


def test_numbers_out_of_range_are_refused() -> None:
    model = extremal_classifier("sum", (1, 2, 2), 1)
    images = torch.rand(1, 1, 2, 2)
    with pytest.raises(ValueError, match="at 1 to 16 bits"):
        survival(model, images, bits=17)
    with pytest.raises(ValueError, match="at least one image"):
        survival(model, images, count=0)
