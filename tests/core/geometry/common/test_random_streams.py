"""Random numbers of an image: where they come from, and that they have the distributions they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from core.geometry.common.random_streams import Stream
from tests import truths

SHAPE = (3, 8, 8)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_numbers_belong_to_the_image_and_not_to_its_batch(dtype: torch.dtype) -> None:
    images = truths.images(5, SHAPE, dtype=dtype)
    together = Stream(images, "noise", 3)
    first, second = together.normal(4, 7), together.uniform(2)
    for row in range(5):
        alone = Stream(images[row : row + 1], "noise", 3)
        torch.testing.assert_close(alone.normal(4, 7)[0], first[row], rtol=0, atol=0)
        torch.testing.assert_close(alone.uniform(2)[0], second[row], rtol=0, atol=0)
    assert len(torch.unique(torch.cat([first.flatten(), second.flatten()]))) == 5 * 30


def test_numbers_change_with_pixels_their_places_the_purpose_and_the_seed() -> None:
    image = truths.images(1, SHAPE)
    turned, touched = image.flip(3), image.clone()
    touched[0, 0, 0, 0] += 1e-3
    streams = [
        Stream(image, "noise", 0),
        Stream(turned, "noise", 0),
        Stream(touched, "noise", 0),
        Stream(image, "fog", 0),
        Stream(image, "noise", 1),
    ]
    draws = torch.stack([stream.uniform(2000)[0] for stream in streams])
    correlation = torch.corrcoef(draws) - torch.eye(5, dtype=draws.dtype)
    assert float(correlation.abs().max()) < 4.5 / math.sqrt(2000)


def test_minus_zero_is_zero_and_the_dtype_plays_no_part() -> None:
    image = torch.zeros(1, *SHAPE)
    torch.testing.assert_close(Stream(-image, "a", 0).uniform(9), Stream(image, "a", 0).uniform(9), rtol=0, atol=0)
    exact = Stream(image.double(), "a", 0).uniform(9)
    torch.testing.assert_close(Stream(image, "a", 0).uniform(9).double(), exact, rtol=0, atol=6e-8)


def test_numbers_have_the_distributions_they_claim() -> None:
    images = truths.images(4, SHAPE)
    uniform, normal = Stream(images, "u", 0).uniform(25000), Stream(images, "n", 0).normal(25000)
    assert stats.kstest(uniform.flatten(), "uniform").pvalue > 1e-3
    assert stats.kstest(normal.flatten(), "norm").pvalue > 1e-3
    assert float(uniform.min()) > 0
    assert float(uniform.max()) < 1
    neighbours = np.corrcoef(uniform[:, :-1].flatten(), uniform[:, 1:].flatten())[0, 1]
    assert abs(neighbours) < 4.5 / math.sqrt(1e5)
    assert bool(torch.isfinite(Stream(images.float(), "n", 0).normal(25000)).all())


def test_counts_are_the_quantiles_of_the_poisson_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    images = truths.images(8, SHAPE)
    mean = torch.rand(8, 1, 50, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64).pow(3) * 300
    mean[:, :, 0] = 0.0
    shares = Stream(images, "counts", 0).uniform(1, 50, 50)
    counts = Stream(images, "counts", 0).poisson(mean)
    exact = torch.from_numpy(stats.poisson.ppf(shares.numpy(), mean.numpy())).clamp(min=0)
    off = (counts - exact).abs()
    small = mean < 32
    assert float(off[small].max()) == 0
    assert float(off.max()) <= 1
    assert float((off[~small] > 0).double().mean()) < 1e-3
    assert bool((counts[:, :, 0] == 0).all())


def test_counts_of_nothing() -> None:
    found: Tensor = Stream(truths.images(2, SHAPE).float(), "counts", 0).poisson(torch.zeros(2, 1, 3, 3))
    torch.testing.assert_close(found, torch.zeros(2, 1, 3, 3), rtol=0, atol=0)
