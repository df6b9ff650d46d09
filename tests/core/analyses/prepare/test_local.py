"""`LocalAtImage` of a recipe: the plane around an image or a picked point, its rings and its rays."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.analyses.prepare.local import _all_round
from core.geometry.local.jacobian import Outputs
from core.geometry.planes.planes import Plane
from core.images.load import load_images
from core.models.load import load_classifier
from tests import local_maps, truths
from tests.asked import ask

QUICK = {"count": 8, "permutations": 9}


def test_a_linear_map_is_its_linearisation_in_every_direction() -> None:
    shape = (1, 6, 6)
    classifier = local_maps.scaled_axes((3.0, 4.0), shape, torch.float64)
    image = truths.images(1, shape)[0]
    image[0, 0, 0], image[0, 0, 1] = 1.0, 0.5  # logits 3 and 2
    axes = torch.zeros(2, *shape, dtype=torch.float64)
    axes[0, 0, 0, 0] = axes[1, 0, 0, 1] = 1.0
    plane = Plane.spanned(image, axes[0], axes[1])
    found = _all_round(Outputs(classifier), image, plane, 0.5, 10.0)
    angle = found["angle"]
    exact = np.hypot(3 * np.cos(angle), 4 * np.sin(angle))
    np.testing.assert_allclose(found["plane_linear"], exact, rtol=1e-6)
    for ring in found["plane_gain"]:
        np.testing.assert_allclose(ring, exact, rtol=1e-6)
    slope = 3 * np.cos(angle) - 4 * np.sin(angle)  # of the margin, which is 1
    far = np.where(slope < -0.1, -1 / np.minimum(slope, -0.1), np.nan)
    np.testing.assert_allclose(found["plane_boundary"], far, rtol=2e-3)
    np.testing.assert_array_equal(found["plane_class"], np.where(np.isnan(far), -1, 1))


def test_the_properties_of_an_image_and_of_a_picked_point() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    heard: list[float] = []
    result = ask(
        "local", classifier, images, rows=(5,), **QUICK, on_progress=lambda part, partial=None: heard.append(part)
    )
    assert result.words == images.words[5]
    assert result.x_label.startswith("gradient")
    assert result.plane_gain.shape == (3, 64)
    np.testing.assert_allclose(result.rings, [0.25, 0.5, 1.0])
    np.testing.assert_allclose(result.plane_linear[:32], result.plane_linear[32:], rtol=1e-4)
    assert heard[-1] == 1
    there = ask("local", classifier, images, rows=(5, 9, 14), plane="images", at=(0.3, 0.2), **QUICK)
    assert there.words == "point 0.30, 0.20"
    assert there.x_label.startswith("towards")
    assert there.gain.shape == (1, 8)
    along = ask(
        "local", classifier, images, rows=(5,), plane="directions", u="dct:0,1", v="dct:1,0", at=(0.1, 0.0), **QUICK
    )
    assert along.words == "point 0.10, 0.00"
    assert along.forwards > there.gain.size


@pytest.mark.parametrize("sampler", ["subspace", "pixels", "dct", "attack"])
def test_every_distribution_of_directions_makes_a_result(sampler: str) -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    result = ask("local", classifier, images, rows=(5,), sampler=sampler, **QUICK)  # type: ignore[arg-type]
    assert result.sampler == sampler
    assert math.isnan(result.mantel_expected[0])
    assert result.status.tolist() == ["measured"]
