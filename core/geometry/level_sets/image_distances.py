"""How different two images look: by pixel, at the worst pixel, by structure, and to a network fitted to people.

For images x and t of d values,

    RMSE     ||x - t||_2 / sqrt(d)
    largest  max_i |x_i - t_i|
    SSIM     mean of (2 m_x m_t + C1)(2 s_xt + C2) / ((m_x² + m_t² + C1)(s_x² + s_t² + C2)), 1 for the same image, with
             means m, variances s² and covariances s_xt of each channel in Gaussian windows (sigma 1.5, 11 x 11),
             C1 = 0.01² and C2 = 0.03²
    LPIPS    distance of AlexNet's features, calibrated on people's judgements: 0 for the same

The distance between the end of a walk and its target means little by itself: two photographs are 0.35 to 0.4 apart by
RMSE, two digits less. So each measure is also given between the start of the walk and its target.

LPIPS is optional: it needs the package lpips and the weights of AlexNet on this machine; nothing is downloaded. Without
them it is NaN, and `missing` names what is missing.

References: Wang, Bovik, Sheikh, Simoncelli, Image quality assessment, IEEE TIP 13, 2004, as scikit-image computes it;
Zhang, Isola, Efros, Shechtman, Wang, The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.result import Result, quantity
from core.runtime.cost import counted, spent

Measure = Literal["rmse", "largest", "ssim", "lpips"]

_WINDOW = 11  # pixels a side: Gaussian of sigma 1.5, cut at 3.5 of it
_MOST_VALUES = 1 << 22  # pixels compared at once: scikit-image keeps about ten arrays of them
_PERCEIVED = 32  # images in a batch of AlexNet


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageDistances(Result):
    """Distances of n images, and of where they started, from their targets; NaN where not measured."""

    rmse: np.ndarray = quantity("pixel", "n")
    largest: np.ndarray = quantity("pixel", "n")
    ssim: np.ndarray = quantity("", "n")  # NaN for images smaller than its window
    lpips: np.ndarray = quantity("", "n")  # NaN where not requested, or not available
    start_rmse: np.ndarray = quantity("pixel", "n")
    start_largest: np.ndarray = quantity("pixel", "n")
    start_ssim: np.ndarray = quantity("", "n")
    start_lpips: np.ndarray = quantity("", "n")
    missing: str = quantity("", default="")  # what LPIPS lacks where it was requested, in one sentence

    def ratio(self, measure: Measure) -> np.ndarray:
        """(n,) the distance over that of the start; NaN where the start was at the target.

        Args:
            measure: the measure; for SSIM, a similarity, the distance is 1 - SSIM.

        Returns:
            0 at the target, 1 where the image is no nearer than its start.
        """
        now, start = getattr(self, measure), getattr(self, f"start_{measure}")
        if measure == "ssim":
            now, start = 1 - now, 1 - start
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: np.ndarray = np.where(start > 0, now / start, np.nan)
        return ratio


@counted
def image_distances(
    images: Float[Tensor, "n c h w"],
    targets: Float[Tensor, "n c h w"],
    starts: Float[Tensor, "n c h w"],
    *,
    perceptual: bool = False,
) -> ImageDistances:
    """Compare images, and where they started, with their targets.

    Args:
        images: in [0, 1], as a rule the ends of walks; rows of NaN, walks that never began, have distances NaN.
        targets: in [0, 1].
        starts: in [0, 1].
        perceptual: also compute LPIPS, where the package lpips and its weights are available; made for images of 64
            pixels a side and more.

    Returns:
        The distances.

    Raises:
        ValueError: if there is no image, or counts or shapes differ.
        ImageError: if a pixel is outside of [0, 1].
    """
    shapes = [tuple(each.shape) for each in (images, targets, starts)]
    if len(set(shapes)) > 1 or not len(images):
        raise ValueError(f"expected as many images as targets and starts, of one shape, got {shapes}")
    ends, aims, first = (each.detach().to("cpu", torch.float64) for each in (images, targets, starts))
    for each in (ends, aims, first):
        if bool(((each < 0) | (each > 1)).any()):
            raise ImageError("expected images in [0, 1], got others; SSIM and LPIPS are made for these: clip them")
    missing = perceptual_missing() if perceptual else ""
    perceived = _perceived if perceptual and not missing else _not_perceived
    return ImageDistances(
        rmse=(ends - aims).flatten(1).square().mean(1).sqrt().numpy(),
        largest=(ends - aims).flatten(1).abs().amax(1).numpy(),
        ssim=_structure(ends, aims),
        lpips=perceived(ends, aims),
        start_rmse=(first - aims).flatten(1).square().mean(1).sqrt().numpy(),
        start_largest=(first - aims).flatten(1).abs().amax(1).numpy(),
        start_ssim=_structure(first, aims),
        start_lpips=perceived(first, aims),
        missing=missing,
        **spent(),
    )


def _structure(images: Tensor, targets: Tensor) -> np.ndarray:
    """SSIM of each pair: all images are passed as channels of one."""
    from skimage.metrics import structural_similarity

    count, channels, height, width = images.shape
    if min(height, width) < _WINDOW:
        return np.full(count, np.nan)
    edge, found = _WINDOW // 2, []
    for first, second in zip(
        *(each.split(max(1, _MOST_VALUES // images[0].numel())) for each in (images, targets)), strict=True
    ):
        _, similar = structural_similarity(
            *(each.flatten(0, 1).permute(1, 2, 0).numpy() for each in (first, second)),
            channel_axis=2,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        inner = similar[edge : height - edge, edge : width - edge]  # whole windows only
        found.append(inner.mean((0, 1)).reshape(-1, channels).mean(1))
    return np.concatenate(found)


def _not_perceived(images: Tensor, targets: Tensor) -> np.ndarray:
    return np.full(len(images), np.nan)


def _perceived(images: Tensor, targets: Tensor) -> np.ndarray:
    """LPIPS of each pair; NaN where a pixel is."""
    import lpips

    network = lpips.LPIPS(net="alex", verbose=False).eval()
    known = torch.isfinite(images).flatten(1).all(1)
    found = torch.full((len(images),), torch.nan, dtype=torch.float64)
    if not known.any():
        return found.numpy()
    with torch.no_grad():
        measured = []
        for first, second in zip(images[known].split(_PERCEIVED), targets[known].split(_PERCEIVED), strict=True):
            colours = [2 * each.float().expand(-1, 3, -1, -1) - 1 for each in (first, second)]
            measured.append(network(*colours).flatten().double())
    found[known] = torch.cat(measured)
    return found.numpy()


def perceptual_missing() -> str:
    """What LPIPS lacks on this machine.

    Returns:
        One sentence; "" where LPIPS can be measured.
    """
    if importlib.util.find_spec("lpips") is None:
        return "LPIPS is not measured: the package lpips is not installed (pip install lpips)."
    from torchvision.models import AlexNet_Weights

    folder, name = Path(torch.hub.get_dir()) / "checkpoints", Path(AlexNet_Weights.IMAGENET1K_V1.url).name
    if not (folder / name).is_file():
        return f"LPIPS is not measured: AlexNet's weights {name} are not in torch's folder of checkpoints."
    return ""
