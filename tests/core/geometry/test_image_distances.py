"""Distances between images against their formulas, and SSIM image by image."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from core.geometry import image_distances as module
from core.geometry.image_distances import ImageDistances, image_distances
from core.images import ImageError, load_images
from core.result import Result
from tests import truths


def test_they_are_their_formulas() -> None:
    images, targets, starts = (truths.images(4, (3, 32, 32), seed) for seed in range(3))
    found = image_distances(images, targets, starts)
    np.testing.assert_allclose(found.rmse, ((images - targets) ** 2).mean((1, 2, 3)).sqrt(), rtol=1e-12)
    np.testing.assert_allclose(found.largest, (images - targets).abs().amax((1, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.start_rmse, ((starts - targets) ** 2).mean((1, 2, 3)).sqrt(), rtol=1e-12)
    np.testing.assert_allclose(found.ratio("largest"), found.largest / found.start_largest)
    assert np.isnan(found.lpips).all()
    assert np.isnan(found.ratio("lpips")).all()


@pytest.mark.parametrize("most", [1, 1 << 22])
def test_structure_is_that_of_each_image_alone(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_VALUES", most)
    images = load_images("demo:photos").pixels
    found = image_distances(images[:5], images[100:105], images[200:205])
    for row in range(5):
        one = structural_similarity(
            *(images[start + row].permute(1, 2, 0).double().numpy() for start in (0, 100)),
            channel_axis=2,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert found.ssim[row] == pytest.approx(one, abs=1e-12)


def test_of_flat_images_structure_is_known() -> None:
    """No variance: (2 a b + C1) / (a² + b² + C1)."""
    dark, bright = torch.full((1, 1, 16, 16), 0.25), torch.full((1, 1, 16, 16), 0.75)
    found = image_distances(dark, bright, bright)
    assert found.ssim[0] == pytest.approx((2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4), rel=1e-9)
    assert found.start_ssim[0] == pytest.approx(1)
    assert np.isnan(found.ratio("rmse")[0])
    same = image_distances(dark, dark, bright)
    assert (same.rmse[0], same.largest[0], same.ratio("rmse")[0]) == (0, 0, 0)
    assert same.ratio("ssim")[0] == pytest.approx(0, abs=1e-12)


def test_small_images_and_walks_that_never_began_have_no_structure() -> None:
    small = truths.images(2, (1, 8, 8))
    assert np.isnan(image_distances(small, small, small).ssim).all()
    images = truths.images(3, (1, 16, 16))
    ends = images.clone()
    ends[1] = torch.nan
    found = image_distances(ends, images.flip(0), images)
    for name in ("rmse", "largest", "ssim"):
        assert np.isnan(getattr(found, name)).tolist() == [False, True, False]
        assert np.isfinite(getattr(found, f"start_{name}")).all()


def test_perceptual_distances_see_colours_from_minus_one_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images = truths.images(3, (1, 16, 16))
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ValueError, match="install lpips"):
        image_distances(images, images, images, perceptual=True)

    class Network(torch.nn.Module):
        """Stands in for a network whose weights would have to be fetched."""

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            assert first.shape[1:] == second.shape[1:] == (3, 16, 16)
            assert float(first.min()) < -0.9
            return (first - second).abs().mean((1, 2, 3), keepdim=True)

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=lambda **options: Network()))
    found = image_distances(images, images.flip(0), images, perceptual=True)
    np.testing.assert_allclose(found.lpips, 2 * (images - images.flip(0)).abs().mean((1, 2, 3)), rtol=1e-5)


def test_they_are_read_back_and_wrong_calls_are_told_what_is_wrong() -> None:
    images = truths.images(2, (1, 16, 16))
    found = image_distances(images, images.flip(0), images)
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, ImageDistances)
    assert again.to_bytes() == found.to_bytes()
    with pytest.raises(ValueError, match="expected as many images"):
        image_distances(images[:0], images[:0], images[:0])
    with pytest.raises(ImageError, match=r"in \[0, 1\]"):
        image_distances(images, images + 1, images)
