"""Corruptions: what each does on paper, that severity and seed mean the same everywhere, equal distances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from core.errors import ImageError
from core.geometry.corruptions.corruptions import CORRUPTIONS, WORST, corrupt, severity_at
from core.images.load import load_images
from tests import truths

RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "motion_blur", "fog", "elastic")
STEPPED = ("pixelate", "jpeg")


def grey(value: float, count: int = 8) -> Tensor:
    """Grey images that differ in one pixel, so that each has random numbers of its own."""
    images = torch.full((count, 1, 32, 32), value, dtype=torch.float64)
    images[:, 0, 0, 0] += torch.arange(count) * 1e-6
    return images


def deviation(name: str, severity: float) -> float:
    return CORRUPTIONS[name].strength(severity)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", truths.SHAPES)
def test_severity_0_is_the_image_and_its_batch_does_not_matter(name: str, shape: tuple[int, ...]) -> None:
    images = truths.images(5, shape).float()
    untouched = corrupt(images, name, 0)
    torch.testing.assert_close(untouched, images, rtol=0, atol=0)
    assert untouched.data_ptr() != images.data_ptr()
    before, state = images.clone(), torch.get_rng_state()
    together = corrupt(images, name, 2.5, seed=1)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert together.dtype == images.dtype
    for row in range(5):
        alone = corrupt(images[row : row + 1], name, 2.5, seed=1)
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-6)
    other = corrupt(images, name, 2.5, seed=2)
    assert torch.equal(other, together) == (name not in RANDOM)


@settings(max_examples=25)
@given(st.sampled_from(sorted(CORRUPTIONS)), st.floats(0, WORST), st.integers(0, 2**40))
def test_images_stay_in_their_range(name: str, severity: float, seed: int) -> None:
    made = corrupt(truths.images(2, (1, 11, 8), seed % 100), name, severity, seed)
    assert made.shape == (2, 1, 11, 8)
    assert bool(torch.isfinite(made).all())
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severity_grows_continuously(name: str) -> None:
    images = load_images("demo:photos").pixels[::18].double()
    severities = torch.linspace(0, WORST, 21).tolist()
    changes = torch.stack([(corrupt(images, name, each) - images).flatten(1).norm(dim=1).mean() for each in severities])
    assert float(changes[0]) == 0
    assert float(changes[-1]) > 1
    if name not in STEPPED:
        assert bool((changes.diff() > 0).all())
        nearby = torch.stack([corrupt(images, name, each + 1e-4) for each in (0.0, 0.5, 1.5, 4.0)])
        here = torch.stack([corrupt(images, name, each) for each in (0.0, 0.5, 1.5, 4.0)])
        # counts and replaced values jump, but seldom
        jumps = ((nearby - here).abs() > 1e-2).double().mean()
        assert float(jumps) < (1e-3 if name in ("shot_noise", "impulse_noise") else 1e-9)
    assert CORRUPTIONS[name].strength(0) == 0
    assert [CORRUPTIONS[name].strength(each) for each in range(1, 6)] == pytest.approx(CORRUPTIONS[name].strengths)
    middle = (CORRUPTIONS[name].strengths[1] + CORRUPTIONS[name].strengths[2]) / 2
    assert CORRUPTIONS[name].strength(2.5) == pytest.approx(middle)


def test_noise_has_the_distribution_it_is_named_after() -> None:
    severity = 0.5  # nothing reaches the ends of the range
    grain = (corrupt(grey(0.5), "gaussian_noise", severity) - grey(0.5)) / deviation("gaussian_noise", severity)
    assert stats.kstest(grain.flatten(), "norm").pvalue > 1e-3
    for value in (0.25, 0.5):
        speckle = corrupt(grey(value), "speckle_noise", severity) / grey(value) - 1
        assert stats.kstest(speckle.flatten() / deviation("speckle_noise", severity), "norm").pvalue > 1e-3
        photons = deviation("shot_noise", 3) ** -2
        counts = corrupt(grey(value), "shot_noise", 3) * photons
        unclipped = counts[counts < photons * (1 - 1e-9)]
        torch.testing.assert_close(unclipped, unclipped.round(), rtol=0, atol=1e-9)
        few = torch.arange(7, dtype=torch.float64)
        seen = torch.tensor([float((counts - each).abs().lt(0.5).double().mean()) for each in few])
        expected = torch.from_numpy(stats.poisson.pmf(few.numpy(), photons * value))
        torch.testing.assert_close(
            seen, expected, rtol=0, atol=4.5 * math.sqrt(0.25 / counts.numel()), check_dtype=False
        )
    replaced = corrupt(grey(0.5), "impulse_noise", 4)
    half = deviation("impulse_noise", 4) / 2
    for value in (0.0, 1.0):
        assert float((replaced == value).double().mean()) == pytest.approx(half, abs=0.012)
    assert bool(((replaced == 0) | (replaced == 1) | ((replaced - 0.5).abs() < 1e-4)).all())


def test_noise_grows_in_place() -> None:
    images = grey(0.5)
    weak, strong = (corrupt(images, "gaussian_noise", each) - images for each in (0.25, 0.5))
    torch.testing.assert_close(2 * weak, strong, rtol=0, atol=1e-12)


@pytest.mark.parametrize("severity", [0.5, 1.0, 3.0, 5.0])
def test_brightness_contrast_and_fog_are_affine(severity: float) -> None:
    images = 0.2 + 0.3 * truths.images(3, (3, 16, 16))
    brighter = corrupt(images, "brightness", severity)
    torch.testing.assert_close(brighter, (images + deviation("brightness", severity)).clamp(max=1))
    flatter = corrupt(images, "contrast", severity)
    torch.testing.assert_close(flatter.mean((2, 3)), images.mean((2, 3)))
    torch.testing.assert_close(flatter.std((2, 3)), (1 - deviation("contrast", severity)) * images.std((2, 3)))
    density = deviation("fog", severity)
    night = corrupt(torch.zeros(1, 1, 16, 16, dtype=torch.float64), "fog", severity)
    assert float(night.min()) == pytest.approx(0)
    assert float(night.max()) == pytest.approx(density / (1 + density))
    foggy = corrupt(images, "fog", severity) * (1 + density) - images
    torch.testing.assert_close(foggy[:, 0], foggy[:, 1], rtol=0, atol=1e-12)  # fog has no colour


@pytest.mark.parametrize("side", [32, 64])
def test_blurs_spread_a_parabola_by_their_variance(side: int) -> None:
    """A kernel of variance v turns x² into x² + v; lengths grow with the side."""
    place = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    bowl = (place[:, None] ** 2 + place**2)[None, None] / (side**2 / 2)
    middle = slice(side // 2 - 2, side // 2 + 2)
    for name, severity in (("gaussian_blur", 1.0), ("gaussian_blur", 1.5), ("motion_blur", 1.0), ("motion_blur", 2.0)):
        length = deviation(name, severity) * side / 32
        spread = ((corrupt(bowl, name, severity) - bowl) * (side**2 / 2))[..., middle, middle]
        if name == "gaussian_blur":
            truth, slack = 2 * length**2, 0.005 * length**2  # of both axes; four deviations are seen
        else:
            places = math.ceil(15 * side / 32) + 1
            truth = length**2 / 12 * (places + 1) / (places - 1)
            slack = 0.5  # lines between pixels lie above the parabola, by at most 1/4 for each axis
        assert float(spread.min()) > truth - slack
        assert float(spread.max()) < truth + slack


def test_a_constant_image_survives_whatever_moves_pixels() -> None:
    for name in ("gaussian_blur", "motion_blur", "contrast", "elastic", "pixelate"):
        images = torch.full((2, 3, 16, 16), 0.3, dtype=torch.float64)
        torch.testing.assert_close(corrupt(images, name, 4), images, rtol=0, atol=1e-12)


def test_elastic_moves_pixels_as_far_as_it_says() -> None:
    ramp = torch.linspace(0, 1, 32, dtype=torch.float64).expand(200, 1, 32, 32).clone()
    ramp[:, 0, 0, 0] += torch.arange(200) * 1e-6
    moved = (corrupt(ramp, "elastic", 2) - ramp)[..., 6:-6] * 31
    # normal at the knots; between four of them cubic weights leave less, at the middle of a cell 0.66 of the variance
    assert 0.6 < float(moved.std()) / deviation("elastic", 2) < 1.0


def test_pixelated_blocks_are_means() -> None:
    images = truths.images(2, (3, 32, 32))
    means = images.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    torch.testing.assert_close(corrupt(images, "pixelate", 1), means.repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(corrupt(images, "pixelate", 0.4), images)  # blocks below a pixel


def test_jpeg_rounds_the_mean_of_a_block_as_its_table_says() -> None:
    """The mean of 8 x 8 pixels is the coefficient 8 (v - 128), in steps of 16 at quality 50, of 32 at quality 25."""
    values = torch.arange(0, 256, 5)
    values = values[values % 4 != 2]  # half way between two steps
    blocks = (values.double() / 255).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    made = (corrupt(blocks, "jpeg", 1) * 255).round()
    rounded = ((values - 128) * 8 / 32).round() * 32 / 8 + 128
    torch.testing.assert_close(made, rounded.double().clamp(0, 255).view(-1, 1, 1, 1).expand(-1, 1, 8, 8))


def test_jpeg_keeps_colours_at_half_the_resolution() -> None:
    """Stripes of one pixel that differ in colour but not in luminance become one colour; wider ones are still there."""
    red, blue = torch.tensor([0.62, 0.3, 0.3]).double(), torch.tensor([0.3, 0.395, 0.8]).double()
    for width in (1, 4):
        column = (torch.arange(32) // width) % 2
        image = torch.where(column == 0, red[:, None, None], blue[:, None, None]).expand(3, 32, 32)[None]
        made = corrupt(image, "jpeg", 0.02)
        contrast = float((made[0, 2] - made[0, 0]).std())
        assert contrast < 0.02 if width == 1 else contrast > 0.25


def test_severities_of_equal_distance() -> None:
    black = torch.zeros(2, 1, 16, 16, dtype=torch.float64)
    # |added| * sqrt(256) = 2.4 at 0.15, half way between the severities 1 and 2
    assert severity_at(black, "brightness", 2.4) == pytest.approx(1.5)
    assert math.isnan(severity_at(black, "contrast", 0.1))
    images = load_images("demo:photos").pixels[::45].double()
    for name in CORRUPTIONS:
        severity = severity_at(images, name, 1.0, seed=4)
        lengths = [
            float((corrupt(images, name, each, 4) - images).flatten(1).norm(dim=1).mean())
            for each in (severity, severity - 1e-6)
        ]
        assert lengths[0] >= 1.0
        assert lengths[1] < 1.0
        if name not in STEPPED:
            assert lengths[0] == pytest.approx(1.0, rel=0.02)


def test_wrong_calls_are_told_what_is_wrong() -> None:
    images = truths.images(2, (2, 8, 8))
    with pytest.raises(ValueError, match="gaussian_noise, .* got 'snow'"):
        corrupt(images, "snow", 1)
    for severity in (-0.1, 5.1, math.nan):
        with pytest.raises(ValueError, match="from 0 to 5"):
            corrupt(images, "fog", severity)
    for value in (1.1, math.nan):
        with pytest.raises(ImageError, match=r"\[0, 1\]"):
            corrupt(images + value, "fog", 1)
    with pytest.raises(ImageError, match="1 or 3 channels"):
        corrupt(images, "jpeg", 1)
    for distance in (0.0, math.inf):
        with pytest.raises(ValueError, match="positive distance"):
            severity_at(images, "fog", distance)
    with pytest.raises(ValueError, match="at least one image"):
        severity_at(images[:0], "fog", 1.0)
    assert len(corrupt(images[:0], "fog", 1)) == 0
