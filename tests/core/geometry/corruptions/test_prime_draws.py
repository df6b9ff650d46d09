"""Draws of PRIME for one image: what is shown is what was applied, and strengths of zero change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from core.errors import ImageError
from core.geometry.corruptions.prime_draws import ROWS, prime_draws
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from tests import truths

SHAPE = (3, 16, 16)


def a_classifier(shape: tuple[int, ...] = SHAPE) -> Classifier:
    centres = truths.images(4, shape, seed=1, dtype=torch.float32)
    return truths.classifier(truths.NearestCentre(centres), shape)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return 0.25 + 0.5 * truths.images(1, SHAPE, dtype=torch.float32)[0]


def test_the_kernel_shown_is_the_filter_applied(image: torch.Tensor) -> None:
    found = prime_draws(a_classifier(), image, draws=2, spectral=0.3)
    for draw in range(2):
        framed = np.pad(image[0].numpy(), 1, mode="edge")
        expected = convolve2d(framed, found.kernel[draw], mode="valid").clip(0, 1)
        np.testing.assert_allclose(found.images[ROWS.index("spectral"), draw, 0], expected, atol=1e-6)
        constant = np.abs(found.kernel[draw].sum())
        assert found.response[draw, 16, 16] == pytest.approx(constant, rel=1e-5)  # the constant is in the middle


def test_the_curve_shown_is_the_one_applied(image: torch.Tensor) -> None:
    found = prime_draws(a_classifier(), image, draws=1, cutoff=3)
    for channel in range(3):
        expected = np.interp(image[channel].numpy(), found.level, found.curve[0, channel])
        np.testing.assert_allclose(found.images[ROWS.index("colour"), 0, channel], expected, atol=2e-3)
    np.testing.assert_allclose(found.curve[..., [0, -1]], [[[0, 1]] * 3], atol=1e-7)  # black and white stay


def test_the_field_shown_is_the_one_applied() -> None:
    ramp = torch.linspace(0, 1, 16).expand(3, 16, 16).contiguous()  # moves of columns show as differences of levels
    found = prime_draws(a_classifier(), ramp, draws=1, cutoff=3)
    moved = (ramp - torch.from_numpy(found.images[ROWS.index("spatial"), 0])) * 15
    inside = np.s_[4:12, 4:12]
    np.testing.assert_allclose(moved[0].numpy()[inside], found.field[0, 1][inside], atol=1e-4)
    assert (np.abs(found.field[..., 0]) < 1e-6).all()  # the frame stays


def test_without_strength_every_row_is_the_image(image: torch.Tensor) -> None:
    found = prime_draws(a_classifier(), image, draws=2, spectral=0, spatial=0, colour=0)
    np.testing.assert_allclose(found.images, np.broadcast_to(image, found.images.shape), atol=1e-6)
    np.testing.assert_allclose(found.displacement, 0, atol=1e-5)
    assert (found.predicted == found.clean_class).all()
    alone = prime_draws(a_classifier(), image, draws=1, mix=0.0)
    np.testing.assert_allclose(alone.images[ROWS.index("mixture"), 0], image, atol=1e-7)
    np.testing.assert_allclose(found.weight.sum(1), 1, atol=1e-6)


def test_draws_follow_from_their_seed_and_a_strength_only_scales_them(image: torch.Tensor) -> None:
    first, shifted = (prime_draws(a_classifier(), image, draws=2, seed=seed) for seed in (0, 1))
    np.testing.assert_allclose(first.images[:, 1], shifted.images[:, 0], atol=3e-7)  # rounding differs by place
    np.testing.assert_array_equal(first.kernel[1], shifted.kernel[0])
    double = prime_draws(a_classifier(), image, draws=2, spectral=8.0)
    centre = np.zeros((3, 3))
    centre[1, 1] = 1
    np.testing.assert_allclose(double.kernel - centre, 2 * (first.kernel - centre), rtol=1e-4, atol=1e-5)
    state = torch.get_rng_state()
    prime_draws(a_classifier(), image)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("source", ["demo:photos/standard", "demo:digits/standard"])
def test_on_a_demo_model_predictions_are_those_of_the_images(source: str) -> None:
    classifier, images = load_classifier(source, "cpu"), load_images(source.split("/")[0])
    found = prime_draws(classifier, images.pixels[3])
    predicted = classifier.predict(torch.from_numpy(found.images).flatten(0, 1))
    np.testing.assert_array_equal(found.predicted.ravel(), predicted.label)
    np.testing.assert_allclose(found.confidence.ravel(), predicted.confidence, atol=1e-5)
    assert found.images.shape == (4, 3, *classifier.input_shape)
    assert (found.images >= 0).all()
    assert (found.images <= 1).all()
    assert found.forwards == 13


def test_wrong_calls_are_told(image: torch.Tensor) -> None:
    for wrong in ({"draws": 0}, {"mix": 1.5}):
        with pytest.raises(ValueError, match="at least one draw and a mix from 0 to 1"):
            prime_draws(a_classifier(), image, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="expected an image in"):
        prime_draws(a_classifier(), image + 1)
    with pytest.raises(ImageError, match="expected images of n x 3"):
        prime_draws(a_classifier(), image[:1])
