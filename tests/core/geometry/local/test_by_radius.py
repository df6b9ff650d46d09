"""Local properties by radius: slope 1 of a paraboloid, nothing before the first kink of a piecewise linear net."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.local.by_radius import RadiusSweep, radius_sweep
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import curved, local_maps, truths

SHAPE = (1, 6, 6)


def test_a_paraboloid_grows_with_slope_1_until_it_is_even() -> None:
    centre = torch.full(SHAPE, 0.5, dtype=torch.float64)
    module = local_maps.Curved(2.0 * truths.unit(SHAPE), 1.5, centre)
    found = radius_sweep(truths.classifier(module, SHAPE, torch.float64), centre[None], (1e-5, 1e-4, 100.0), count=20)
    assert found.asymmetry[0, 1] / found.asymmetry[0, 0] == pytest.approx(10, rel=0.05)
    assert found.asymmetry[0, 2] == pytest.approx(1)
    assert np.isnan(found.changed).all()
    assert np.isnan(found.first_kink).all()
    assert found.kinks == "no ReLU and no max-pooling in its modules"


@pytest.mark.parametrize("count", [1, 5])
def test_before_the_first_kink_nothing_bends(count: int) -> None:
    classifier = truths.classifier(curved.Kinked((1, 8, 8)), (1, 8, 8), torch.float64)
    images = truths.images(count, (1, 8, 8))
    first = radius_sweep(classifier, images, (1.0,), count=6)
    assert (first.first_kink > 0).all()
    assert (first.changed > 0).all()
    assert first.kinks == "units of ReLU and max-pooling"
    near = float(first.first_kink.min())
    found = radius_sweep(classifier, images, (0.5 * near, 0.99 * near, 10.0), count=6)
    np.testing.assert_array_equal(found.first_kink, first.first_kink)
    np.testing.assert_array_equal(found.changed[:, :2], 0)
    np.testing.assert_allclose(found.residual[:, :2], 0, atol=1e-7)
    assert (found.residual[:, 2] > 1e-3).all()


def test_kinks_outside_of_modules_are_said_to_be_unseen() -> None:
    class Sorted(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1).sort(1).values[:, :3]

    found = radius_sweep(truths.classifier(Sorted(), SHAPE), truths.images(1, SHAPE), (0.5,), count=4)
    assert found.kinks == "not all kinks are seen: sort"
    assert np.isnan(found.changed).all()


def test_a_linear_model_stays_at_0_and_flips_on_one_side() -> None:
    classifier = local_maps.scaled_axes((3.0, 2.0), SHAPE, torch.float64)
    images = truths.images(3, SHAPE)
    found = radius_sweep(classifier, images, (0.1, 1.0, 1000.0), count=30)
    np.testing.assert_allclose(found.asymmetry, 0, atol=1e-8)
    np.testing.assert_allclose(found.residual, 0, atol=1e-8)
    assert found.flipped[:, 2] == pytest.approx([0.5] * 3, abs=0.1)


def test_on_a_demo_model_units_change_with_the_radius() -> None:
    classifier, images = load_classifier("demo:photos/relu", "cpu"), load_images("demo:photos").pixels[:2]
    found = radius_sweep(classifier, images, (0.1, 0.5, 2.0), count=4)
    assert (np.diff(found.changed, axis=1) > 0).all()
    assert ((found.asymmetry >= 0) & (found.asymmetry <= 1)).all()
    assert found.forwards > 2 * 4 * 2 * 3
    assert isinstance(Result.from_bytes(found.to_bytes()), RadiusSweep)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radii": ()}, "positive radii that grow"),
        ({"radii": (1.0, 0.5)}, "positive radii that grow"),
        ({"radii": (0.0, 0.5)}, "positive radii that grow"),
        ({"images": torch.empty(0, 1, 6, 6)}, "at least one image"),
    ],
)
def test_sweeps_without_an_answer_are_refused(options: dict[str, Any], words: str) -> None:
    settings = {"images": truths.images(1, SHAPE), "radii": (0.5,), **options}
    with pytest.raises(ValueError, match=words):
        radius_sweep(local_maps.scaled_axes((3.0, 2.0), SHAPE, torch.float32), **settings)
