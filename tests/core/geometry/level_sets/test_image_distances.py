"""Distances between images against their formulas, and SSIM image by image."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from core.errors import ImageError
from core.geometry.level_sets import image_distances as module
from core.geometry.level_sets.image_distances import ImageDistances, image_distances
from core.images.load import load_images
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


class Network(torch.nn.Module):
    """Stands in for a network whose weights would have to be fetched."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        assert first.shape[1:] == second.shape[1:] == (3, 16, 16)
        assert bool(torch.isfinite(first).all())
        assert float(first.min()) < -0.9
        return (first - second).abs().mean((1, 2, 3), keepdim=True)


def test_perceptual_distances_need_the_package_and_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is downloaded: what is not there is said in one sentence, and the other distances stay."""
    images = truths.images(3, (1, 16, 16))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setitem(sys.modules, "lpips", None)
    without = image_distances(images, images.flip(0), images, perceptual=True)
    assert "the package lpips is not installed" in without.missing
    assert np.isnan(without.lpips).all()
    assert np.isfinite(without.rmse).all()
    package = ModuleType("lpips")
    package.__spec__ = ModuleSpec("lpips", None)
    package.LPIPS = lambda **options: Network()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", package)
    without = image_distances(images, images.flip(0), images, perceptual=True)
    assert "AlexNet's weights" in without.missing
    assert np.isnan(without.start_lpips).all()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").touch()
    ends = images.clone()
    ends[1] = torch.nan  # a walk that never began
    found = image_distances(ends, images.flip(0), images, perceptual=True)
    assert found.missing == ""
    expected = 2 * (images - images.flip(0)).abs().mean((1, 2, 3)).double()
    np.testing.assert_allclose(found.start_lpips, expected, rtol=1e-5)
    np.testing.assert_allclose(found.lpips, torch.where(torch.tensor([True, False, True]), expected, torch.nan), 1e-5)
    assert image_distances(images, images.flip(0), images).missing == ""


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
