"""The noise forecast: exact for affine logits, off where they bend."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from core.geometry.corruptions.noise import NoiseForecast, noise_forecast
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import truths
from tests.truths import BatchSize

CASES = [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES]


@pytest.fixture(params=[1, 5])
def batch(request: pytest.FixtureRequest, batch_size: BatchSize) -> int:
    """A fixed batch size instead of the measured one."""
    size: int = request.param
    batch_size(size)
    return size


def affine(shape: tuple[int, ...], classes: int) -> truths.Affine:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn((classes, math.prod(shape)), generator=generator, dtype=torch.float64)
    return truths.Affine(weight / weight.norm(dim=1, keepdim=True), torch.zeros(classes, dtype=torch.float64))


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_of_affine_logits_the_forecast_is_what_happens(
    shape: tuple[int, ...], dtype: torch.dtype, classes: int, batch: int
) -> None:
    classifier = truths.classifier(affine(shape, classes), shape, dtype)
    images = truths.images(7, shape).to(dtype)
    found = noise_forecast(classifier, images, torch.arange(7) % classes, [0.1, 1.0], draws=20)
    assert found.forecast.shape == (7, 2)
    np.testing.assert_array_equal(found.forecast, found.measured)
    assert (found.disagreement == 0).all()
    assert (found.gap == 0).all()
    assert 0 < found.forecast_accuracy[1] < 1
    padded = -(-7 // batch) * batch
    assert found.forwards == padded * (2 + 20 * 2)
    assert found.gradients == padded * (classes - 1)


def test_of_two_flat_regions_it_is_the_normal_distribution() -> None:
    shape, draws = (1, 8, 8), 1500
    direction = truths.unit(shape).flatten()
    module = truths.Affine(torch.stack([direction, -direction]), torch.zeros(2, dtype=torch.float64))
    images = torch.stack([away * direction.view(shape) for away in (-0.3, 0.0, 0.2, 0.5)])
    classifier = truths.classifier(module, shape, torch.float64)
    found = noise_forecast(classifier, images, torch.zeros(4, dtype=torch.int64), [0.2, 0.5], draws=draws)
    truth = stats.norm.cdf(np.array([[-0.3], [0.0], [0.2], [0.5]]) / np.array([0.2, 0.5]))
    np.testing.assert_allclose(found.forecast, truth, atol=4.5 * math.sqrt(0.25 / draws))


def test_of_a_wedge_it_is_not_that_of_one_flat_boundary() -> None:
    """Two planes at right angles, both at distance d: Phi(d / s)², which one plane alone overestimates."""
    shape, draws = (1, 8, 8), 1500
    weight = torch.zeros(3, 64, dtype=torch.float64)
    weight[1, 0], weight[2, 1] = 1, 1
    classifier = truths.classifier(truths.Affine(weight, torch.zeros(3, dtype=torch.float64)), shape, torch.float64)
    image = torch.zeros(1, *shape, dtype=torch.float64)
    image.view(-1)[:2] = -0.3
    found = noise_forecast(classifier, image, torch.tensor([0]), [0.3], draws=draws)
    one = stats.norm.cdf(1)
    assert found.forecast[0, 0] == pytest.approx(one**2, abs=4.5 * math.sqrt(0.25 / draws))
    assert found.forecast[0, 0] < one - 0.08


def test_a_ball_is_left_more_often_than_its_tangent_plane_says() -> None:
    """In D dimensions noise adds D s² to the squared distance from the centre, which no plane can see."""
    shape = (1, 8, 8)
    centre = torch.zeros(shape, dtype=torch.float64)
    images = torch.stack([0.5 * truths.unit(shape, seed) for seed in range(6)])
    classifier = truths.classifier(truths.Ball(centre, 1.0), shape, torch.float64)
    found = noise_forecast(classifier, images, torch.zeros(6, dtype=torch.int64), [0.02, 0.2], draws=500)
    squares = stats.ncx2.cdf((1 / np.array([0.02, 0.2])) ** 2, 64, (0.5 / np.array([0.02, 0.2])) ** 2)
    np.testing.assert_allclose(found.measured_accuracy, squares, atol=4.5 * math.sqrt(0.25 / 3000))
    # the plane through F(x) = 3/4 with slope 1 lies 3/4 away
    np.testing.assert_allclose(found.forecast_accuracy, stats.norm.cdf(0.75 / np.array([0.02, 0.2])), atol=1e-2)
    assert found.gap[1] < -0.9
    assert found.gap[0] == 0


class Broken(nn.Module):
    """Logits without a gradient where an image is black in its first corner."""

    def forward(self, images: Tensor) -> Tensor:
        corner = images[:, 0, 0, 0].abs().sqrt()
        return torch.stack([corner, 0.5 - corner], 1)


def test_without_a_gradient_there_is_no_forecast() -> None:
    images = truths.images(3, (1, 4, 4)).float()
    images[1, 0, 0, 0] = 0
    classifier = truths.classifier(Broken(), (1, 4, 4))
    found = noise_forecast(classifier, images, torch.zeros(3, dtype=torch.int64), [0.01], draws=8)
    assert np.isnan(found.forecast[:, 0]).tolist() == [False, True, False]
    assert found.forecast_accuracy[0] == np.nanmean(found.forecast[:, 0])
    alone = noise_forecast(classifier, images[1:2], torch.zeros(1, dtype=torch.int64), [0.01], draws=8)
    assert np.isnan(alone.gap).all()


def test_demo_digits_bend_at_the_scale_of_noise() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")[range(0, 500, 10)]
    found = noise_forecast(classifier, images.pixels, images.labels, [0.02, 0.4], draws=16)
    assert abs(found.gap[0]) < 0.02
    assert found.gap[1] < -0.2
    assert found.disagreement[:, 1].mean() > found.disagreement[:, 0].mean()
    alone = noise_forecast(classifier, images.pixels[4:5], images.labels[4:5], [0.02, 0.4], draws=16)
    np.testing.assert_array_equal(alone.measured[0], found.measured[4])
    other = noise_forecast(classifier, images.pixels, images.labels, [0.02, 0.4], draws=16, seed=1)
    assert (other.measured != found.measured).any()
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, NoiseForecast)
    np.testing.assert_array_equal(again.gap, found.gap)
