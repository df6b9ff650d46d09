"""Common corruptions of images, by a continuous severity.

Severity 0 is the image itself; 1 to 5 are five strengths of increasing harm, and between them the strength grows
linearly. Every corruption has its own unit of strength; lengths are in 32nds of the image's shorter side, so that the
same severity means the same at every resolution. The strengths suit images of 32 x 32 pixels. Results are in [0, 1];
only JPEG rounds to 8 bits.

Random numbers belong to the image: they follow from its pixels, the corruption and the seed (not from its batch, so
that all classifiers see the same images; and not from the severity, so that noise grows in place).

These corruptions are our own, modelled on the kinds of ImageNet-C; results with them are not results on that benchmark.

References: Hendrycks, Dietterich, Benchmarking neural network robustness to common corruptions and perturbations, ICLR
2019 (arXiv 1903.12261).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from core.errors import ImageError
from core.geometry.common.random_streams import Stream
from core.geometry.corruptions.primitives import displaced

WORST = 5.0  # the largest severity
_SIDE = 32  # lengths are in parts of the shorter side, this many to it
_HALVINGS = 24  # of the interval of severities in which a distance is looked for
_FOG_OCTAVES = 5

Images = Float[Tensor, "n c h w"]


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        name: what `corrupt` calls it.
        meaning: its effect in one line.
        unit: unit of its strength.
        strengths: strengths at the severities 1 to 5; at severity 0 the strength is 0.
        apply: maps images, strength and random numbers to images, before they are clipped to [0, 1].
    """

    name: str
    meaning: str
    unit: str
    strengths: tuple[float, float, float, float, float]
    apply: Callable[[Images, float, Stream], Images]

    def strength(self, severity: float) -> float:
        """The strength at a severity between 0 and 5."""
        table = (0.0, *self.strengths)
        step = min(int(severity), len(table) - 2)
        return table[step] + (severity - step) * (table[step + 1] - table[step])


def corrupt(images: Images, name: str, severity: float, seed: int = 0) -> Images:
    """Corrupt images.

    Args:
        images: values in [0, 1].
        name: one of CORRUPTIONS.
        severity: from 0, which returns the images unchanged, to 5.
        seed: seed of the random numbers.

    Returns:
        Images in [0, 1], of the same shape, dtype and device.

    Raises:
        ValueError: if there is no such corruption or the severity is not in [0, 5].
        ImageError: if a value is outside [0, 1], or JPEG gets images of neither 1 nor 3 channels.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"expected a corruption out of {', '.join(CORRUPTIONS)}, got {name[:40]!r}")
    if not 0 <= severity <= WORST:
        raise ValueError(f"expected a severity from 0 to {WORST:g}, got {severity}")
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise ImageError("expected images in [0, 1], got others; remove the normalisation")
    kind = CORRUPTIONS[name]
    if severity == 0 or not len(images):
        return images.detach().clone()
    pixels = images.detach()
    return kind.apply(pixels, kind.strength(severity), Stream(pixels, name, seed)).clamp(0, 1)


def severity_at(images: Images, name: str, distance: float, seed: int = 0) -> float:
    """The severity at which corrupted images have this mean ℓ2 distance from the clean ones.

    It compares corruptions at equal distance, so that differences do not come from a table of strengths. JPEG and
    pixelation are step functions: there, the severity at which the distance is exceeded.

    Args:
        images: values in [0, 1].
        name: one of CORRUPTIONS.
        distance: mean ℓ2 length of the change, over pixels.
        seed: seed of the random numbers.

    Returns:
        A severity between 0 and 5; NaN where even 5 does not reach the distance.

    Raises:
        ValueError: if there is no image, no such corruption, or the distance is not positive.
    """
    if not len(images) or not 0 < distance < math.inf:
        raise ValueError(f"expected at least one image and a positive distance, got {len(images)} and {distance}")

    def reaches(severity: float) -> bool:
        change = corrupt(images, name, severity, seed).double() - images.double()
        return float(change.flatten(1).norm(dim=1).mean()) >= distance

    if not reaches(WORST):
        return math.nan
    low, high = 0.0, WORST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


# -- the corruptions --------------------------------------------------------------------------------------------------


def _gaussian_noise(images: Images, deviation: float, stream: Stream) -> Images:
    return images + deviation * stream.normal(*images.shape[1:])


def _shot_noise(images: Images, deviation: float, stream: Stream) -> Images:
    photons = deviation**-2  # of a white pixel: their count has the deviation of its square root
    return stream.poisson(photons * images) / photons


def _impulse_noise(images: Images, share: float, stream: Stream) -> Images:
    chance = stream.uniform(*images.shape[1:])
    return images.where(chance >= share / 2, 0.0).where(chance <= 1 - share / 2, 1.0)


def _speckle_noise(images: Images, deviation: float, stream: Stream) -> Images:
    return images + deviation * images * stream.normal(*images.shape[1:])


def _gaussian_blur(images: Images, deviation: float, stream: Stream) -> Images:
    """Rows first, then columns; the image is mirrored at its frame."""
    sigma = _pixels(images, deviation)
    reach = min(math.ceil(4 * sigma), min(images.shape[2:]) - 1)  # mirrored no further than once
    place = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.softmax(-0.5 * (place / sigma).square(), 0)
    planes = F.pad(images.flatten(0, 1)[:, None], (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(planes, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1)).view_as(images)


def _motion_blur(images: Images, extent: float, stream: Stream) -> Images:
    """The mean along a straight path of this length through each pixel, seen at one place per pixel of the longest."""
    path, places = _pixels(images, extent), math.ceil(_pixels(images, _LONGEST_PATH)) + 1
    angle = math.pi * stream.uniform(1, 1)
    direction = torch.stack([angle.sin(), angle.cos()], 1)
    moved = torch.zeros_like(images)
    for place in range(places):
        moved += displaced(images, (path * (place / (places - 1) - 0.5)) * direction)
    return moved / places


def _contrast(images: Images, lost: float, stream: Stream) -> Images:
    grey = images.mean(dim=(2, 3), keepdim=True)
    return grey + (1 - lost) * (images - grey)


def _brightness(images: Images, added: float, stream: Stream) -> Images:
    return images + added


def _fog(images: Images, density: float, stream: Stream) -> Images:
    """Clouds: smooth noise of ever finer grids, each half as strong as the one before, from 0 to 1 in each image."""
    clouds = images.new_zeros(len(images), 1, *images.shape[2:])
    for octave in range(_FOG_OCTAVES):
        grid = stream.uniform(1, 2**octave + 1, 2**octave + 1)
        clouds += 0.5**octave * F.interpolate(grid, images.shape[2:], mode="bilinear", align_corners=True)
    low, high = clouds.amin((2, 3), keepdim=True), clouds.amax((2, 3), keepdim=True)
    clouds = (clouds - low) / (high - low).clamp(min=torch.finfo(clouds.dtype).tiny)
    return (images + density * clouds) / (1 + density)


def _elastic(images: Images, deviation: float, stream: Stream) -> Images:
    """Moved by smooth noise: normal at the knots of 8 x 8 cells, cubic between them."""
    knots = stream.normal(2, 9, 9)
    field = F.interpolate(knots, images.shape[2:], mode="bicubic", align_corners=True)
    return displaced(images, _pixels(images, deviation) * field)


def _pixelate(images: Images, block: float, stream: Stream) -> Images:
    width = max(_pixels(images, block), 1.0)
    rows, columns = (max(1, round(extent / width)) for extent in images.shape[2:])
    return F.interpolate(F.adaptive_avg_pool2d(images, (rows, columns)), images.shape[2:], mode="nearest-exact")


def _jpeg(images: Images, loss: float, stream: Stream) -> Images:
    """Encoded and decoded one by one, as codecs do it, with colours at half the resolution, as most files have them."""
    if images.shape[1] not in (1, 3):
        raise ImageError(
            f"expected images of 1 or 3 channels for JPEG, got {images.shape[1]}; choose another corruption"
        )
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    coded = np.stack([_through_jpeg(image, round(100 - loss)) for image in pixels])
    return torch.from_numpy(coded).to(images).permute(0, 3, 1, 2) / 255


def _through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
        file, "JPEG", quality=quality, subsampling="4:2:0"
    )
    return np.asarray(Image.open(file)).reshape(pixels.shape)


def _pixels(images: Images, length: float) -> float:
    """A length in parts of the shorter side, in pixels."""
    return length * min(images.shape[2:]) / _SIDE


_LENGTH = f"1/{_SIDE} of the side"
_LONGEST_PATH = 15.0

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Corruption(
                "gaussian_noise",
                "adds normal noise to every value",
                "standard deviation",
                (0.08, 0.12, 0.18, 0.26, 0.38),
                _gaussian_noise,
            ),
            Corruption(
                "shot_noise",
                "counts photons: noise of bright values is larger",
                "standard deviation at white",
                (0.13, 0.20, 0.29, 0.45, 0.58),
                _shot_noise,
            ),
            Corruption(
                "impulse_noise",
                "replaces values by 0 or 1, as often",
                "share of values",
                (0.03, 0.06, 0.09, 0.17, 0.27),
                _impulse_noise,
            ),
            Corruption(
                "speckle_noise",
                "multiplies every value by normal noise about 1",
                "standard deviation at white",
                (0.15, 0.20, 0.35, 0.45, 0.60),
                _speckle_noise,
            ),
            Corruption(
                "gaussian_blur",
                "takes the mean around each pixel, weighted by a Gaussian",
                f"standard deviation, {_LENGTH}",
                (1.0, 1.5, 2.0, 2.5, 3.0),
                _gaussian_blur,
            ),
            Corruption(
                "motion_blur",
                "takes the mean along a straight path, in a random direction for each image",
                f"length, {_LENGTH}",
                (5.0, 7.0, 9.0, 11.0, _LONGEST_PATH),
                _motion_blur,
            ),
            Corruption(
                "contrast",
                "draws every channel towards its mean",
                "share lost",
                (0.60, 0.70, 0.80, 0.85, 0.90),
                _contrast,
            ),
            Corruption("brightness", "adds to every value", "added", (0.1, 0.2, 0.3, 0.4, 0.5), _brightness),
            Corruption(
                "fog",
                "mixes the image with bright clouds",
                "parts of cloud to one of image",
                (0.4, 0.7, 1.0, 1.4, 1.8),
                _fog,
            ),
            Corruption(
                "elastic",
                "moves pixels by a smooth random field",
                f"standard deviation, {_LENGTH}",
                (0.5, 1.0, 1.5, 2.0, 2.5),
                _elastic,
            ),
            Corruption(
                "pixelate",
                "replaces blocks by their mean",
                f"side of a block, {_LENGTH}",
                (32 / 16, 32 / 12, 32 / 10, 32 / 8, 32 / 6),
                _pixelate,
            ),
            Corruption("jpeg", "encodes and decodes as JPEG", "100 - quality", (75, 82, 85, 90, 93), _jpeg),
        )
    }
)
