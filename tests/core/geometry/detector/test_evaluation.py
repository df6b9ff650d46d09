"""Curves and areas of known samples, and the exhibit on a convex region, where the sign argument is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from core.geometry.detector.evaluation import ATTACKS, PAIRS, DetectionExhibit, _curve, detection_exhibit
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import curved, truths

SHAPE = (1, 6, 6)


def test_areas_of_normal_samples_are_known_and_lie_in_their_bands() -> None:
    """Two normal samples of variance 1, apart by m: AUC = Phi(m / sqrt 2)."""
    generator = np.random.default_rng(0)
    clean, perturbed = generator.standard_normal(400), 1.0 + generator.standard_normal(300)
    curve = _curve(clean, np.r_[perturbed, np.nan], 0.95, 400, seed=1)
    truth = stats.norm.cdf(1 / 2**0.5)
    assert curve["auc_low"] < truth < curve["auc_high"]
    assert curve["auc_low"] < curve["auc"] < curve["auc_high"]
    assert curve["auc_high"] - curve["auc_low"] < 0.1
    grid = np.linspace(0, 1, 101)
    exact = stats.norm.sf(stats.norm.isf(grid) - 1)
    assert np.abs(curve["true_positives"] - exact).max() < 0.1
    rates = curve["true_positives"]
    inside = (curve["true_positives_low"] - 1e-9 <= rates) & (rates <= curve["true_positives_high"] + 1e-9)
    assert inside.mean() > 0.95
    assert (np.diff(curve["true_positives"]) >= 0).all()


def test_degenerate_samples() -> None:
    equal = _curve(np.ones(5), np.ones(4), 0.9, 50, 0)
    assert (equal["auc"], equal["auc_low"], equal["auc_high"]) == (0.5, 0.5, 0.5)
    apart = _curve(np.zeros(5), np.ones(4), 0.9, 50, 0)
    assert (apart["auc"], apart["auc_low"]) == (1, 1)
    assert math.isnan(_curve(np.ones(3), np.array([np.nan]), 0.9, 50, 0)["auc"])


def test_on_a_convex_region_every_small_step_is_found_and_undone() -> None:
    surface = curved.Ball(None, curved.centre(SHAPE), 2.0)
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    images = curved.centre(SHAPE) + torch.stack([(1 + seed / 10) * truths.unit(SHAPE, seed) for seed in range(6)])
    found = detection_exhibit(classifier, images, overshoots=(1.1, 1.5), resamples=50)
    assert found.attack.tolist() == ["overshoot"] * 2 + ["projected gradient"] * 2 + ["shortest"]
    np.testing.assert_array_equal(found.overshoot, [1.1, 1.5, 1.1, 1.5, math.nan])
    assert found.changed.all()
    np.testing.assert_array_equal(found.auc, 1)
    np.testing.assert_array_equal(found.recovery, 1)
    np.testing.assert_allclose(found.clean_nearest, -0.5, rtol=1e-3)
    np.testing.assert_allclose(found.score_nearest, 0.5, rtol=1e-3)
    assert found.true_positives.shape == (5, 2, 101)
    assert "not a defence" in found.caveat
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, DetectionExhibit)
    np.testing.assert_array_equal(again.auc_high, found.auc_high)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_given_pairs_are_scored_as_a_step_of_their_length_is(dtype: torch.dtype) -> None:
    """Steps of 1.5 distances made elsewhere, of which every third stays on its side."""
    radius, middle = 2.0, curved.centre(SHAPE)
    classifier = curved.classifier(curved.Ball(None, middle, radius), SHAPE, dtype)
    ways = torch.stack([truths.unit(SHAPE, seed) for seed in range(6)])
    inside = torch.linspace(1.0, 1.5, 6).view(-1, 1, 1, 1)
    factor = torch.tensor([1.5, 1.5, 0.5] * 2).view(-1, 1, 1, 1)
    images, perturbed = middle + inside * ways, middle + (inside + factor * (radius - inside)) * ways
    found = detection_exhibit(classifier, images, attacks=(), perturbed=perturbed, classes=0, resamples=50)
    assert found.attack.tolist() == [PAIRS]
    np.testing.assert_array_equal(found.changed[0], [True, True, False] * 2)
    np.testing.assert_allclose(found.overshoot, 1.5, rtol=1e-3)
    np.testing.assert_allclose(found.score_nearest[0], [0.5, 0.5, np.nan] * 2, rtol=1e-2)
    np.testing.assert_allclose((found.auc[0, 0], found.auc_low[0, 0], found.recovery[0]), 1, rtol=1e-12)
    stepped = detection_exhibit(classifier, images, attacks=("overshoot",), overshoots=(1.5,), classes=0, resamples=50)
    np.testing.assert_array_equal(found.clean_nearest, stepped.clean_nearest)
    np.testing.assert_allclose(found.score_nearest[0, ::3], stepped.score_nearest[0, ::3], rtol=1e-3)
    with pytest.raises(ValueError, match="expected a perturbed image for each of 6, got 5"):
        detection_exhibit(classifier, images, perturbed=perturbed[:5])


def test_one_image_alone_makes_no_exhibit() -> None:
    surface = curved.Ball(None, curved.centre(SHAPE), 2.0)
    classifier, images = curved.classifier(surface, SHAPE, torch.float64), truths.images(1, SHAPE)
    with pytest.raises(ValueError, match="at least two images"):
        detection_exhibit(classifier, images)


def test_demo_photos() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos").pixels[0:512:64]
    told: list[float] = []
    found = detection_exhibit(
        classifier,
        images,
        overshoots=(1.02,),
        probes=8,
        classes=0,
        resamples=50,
        on_progress=lambda fraction, partial=None: told.append(fraction),
    )
    assert set(found.attack) == set(ATTACKS)
    assert told == sorted(told)
    assert (found.auc_low[:, 0] <= found.auc[:, 0]).all()
    assert (found.auc[:, 0] <= found.auc_high[:, 0]).all()
    assert np.isnan(found.auc[:, 1]).all()  # the second score was left out
    assert found.recovery[0] >= 0.75
