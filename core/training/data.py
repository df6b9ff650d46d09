"""The data of the demo models: patches of nine photographs, ten digits, and the digits with other frequencies.

The photographs ship with scikit-image and scikit-learn, the digits with scikit-learn; licences stand in
`assets/images`. A photograph's left 70 % of columns are for training, the rest for the held-out patches.

With C the orthonormal cosine transform (DCT-II) of n points, an image X has the coefficients C X C^T: rows and columns
by frequency, k half periods per image. `low_passed` keeps those with both indices below a bandwidth; `flipped` turns
the order of rows and columns round, so that what was slowest is fastest.

Reference: both are experiments of Ortiz-Jimenez, Modas, Moosavi-Dezfooli, Frossard, Hold me tight! Influence of
discriminative features on deep network boundaries, NeurIPS 2020.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from core.files import atomic_write
from core.images.image_set import METADATA_KEY

PHOTOS = ("astronaut", "chelsea", "coffee", "hubble", "ihc", "retina", "rocket", "china", "flower")
_SKIMAGE_NAMES = {"hubble": "hubble_deep_field", "ihc": "immunohistochemistry"}  # where the package's word is longer
_SKLEARN_FILES = {"china": "china.jpg", "flower": "flower.jpg"}
_SIDE = 32
CROPS = (48, 96)  # smallest and largest side of a crop, in pixels of the photograph
_TRAINING_SHARE = 0.7  # of each photograph's columns, from the left
_TEST_PATCHES = 60  # of each photograph
PATCHES_PER_EPOCH = 1000  # of each photograph
TEST_SEED = 2026
BANDWIDTH = 5  # of the low-passed digits, out of 32: removes a tenth of the energy that is not the mean
_PROJECTIONS = 60  # between band and pixel range, by turns: what is left over is below the rounding to 8 bits


def photograph(name: str) -> UInt8[np.ndarray, "h w 3"]:
    """One of `PHOTOS` in full, from the installed packages; licences are in `assets/images/photos.md`."""
    if name in _SKLEARN_FILES:
        from sklearn.datasets import load_sample_image

        return np.asarray(load_sample_image(_SKLEARN_FILES[name]))
    import skimage.data

    return np.asarray(getattr(skimage.data, _SKIMAGE_NAMES.get(name, name))())


def columns(width: int, part: str) -> tuple[int, int]:
    """First column and the one after the last that the "training" or "test" part of a photograph may use."""
    split = int(_TRAINING_SHARE * width)
    return {"training": (0, split), "test": (split, width)}[part]


def draw_crops(
    shape: tuple[int, ...], part: str, count: int, generator: torch.Generator
) -> Int64[np.ndarray, "count 3"]:
    """Draw square crops (top, left, side) that lie inside one part of a photograph of this shape."""
    first, stop = columns(shape[1], part)
    sides = torch.randint(CROPS[0], CROPS[1] + 1, (count,), generator=generator).numpy()
    places = torch.rand(count, 2, generator=generator, dtype=torch.float64).numpy()
    tops = np.floor(places[:, 0] * (shape[0] - sides + 1)).astype(np.int64)
    lefts = first + np.floor(places[:, 1] * (stop - first - sides + 1)).astype(np.int64)
    return np.stack([tops, lefts, sides], axis=1)


class Patches:
    """Cuts crops out of a photograph and area-averages them to 32 x 32, many at once.

    A pixel of a patch is the mean of the pixels its cell touches, rounded to 8 bits, as `interpolate(mode="area")` does
    it; sums over rectangles come from a table of running sums.
    """

    def __init__(self, photo: UInt8[np.ndarray, "h w 3"]) -> None:
        self.shape = photo.shape
        self._sums = np.zeros((photo.shape[0] + 1, photo.shape[1] + 1, 3), dtype=np.int64)
        self._sums[1:, 1:] = photo.astype(np.int64).cumsum(0).cumsum(1)

    def cut(self, crops: Int64[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n 3 32 32"]:
        """Patches of the crops (top, left, side)."""
        tops, lefts, sides = crops.T[:, :, None]
        cells = np.arange(_SIDE)
        starts, stops = cells * sides // _SIDE, -(-(cells + 1) * sides // _SIDE)
        above, below = (tops + starts)[:, :, None], (tops + stops)[:, :, None]
        left, right = (lefts + starts)[:, None, :], (lefts + stops)[:, None, :]
        sums = self._sums
        totals = sums[below, right] - sums[above, right] - sums[below, left] + sums[above, left]
        means = totals / ((below - above) * (right - left))[..., None]
        return np.ascontiguousarray((means + 0.5).astype(np.uint8).transpose(0, 3, 1, 2))


@dataclass(frozen=True, eq=False)
class DemoData:
    """Held-out images to ship, and training images made anew for every epoch."""

    class_names: tuple[str, ...]
    test_images: UInt8[Tensor, "n c 32 32"]
    test_labels: Int64[Tensor, " n"]
    test_origins: Int64[Tensor, "n o"]  # photos: top, left and side of the crop; digits: row in the package's set
    epoch: Callable[[torch.Generator], tuple[Tensor, Tensor]]  # uint8 images and labels
    jitter: bool  # mirror, and change brightness and contrast, in training


def _photos() -> DemoData:
    cutters = [Patches(photograph(name)) for name in PHOTOS]
    generator = torch.Generator().manual_seed(TEST_SEED)
    crops = np.stack([draw_crops(cutter.shape, "test", _TEST_PATCHES, generator) for cutter in cutters])
    patches = np.stack([cutter.cut(crop) for cutter, crop in zip(cutters, crops, strict=True)])

    def epoch(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        count = PATCHES_PER_EPOCH
        drawn = [cutter.cut(draw_crops(cutter.shape, "training", count, generator)) for cutter in cutters]
        return torch.from_numpy(np.concatenate(drawn)), torch.arange(len(PHOTOS)).repeat_interleave(count)

    return DemoData(
        class_names=PHOTOS,
        # The classes take turns, so that any few neighbouring rows show different ones.
        test_images=torch.from_numpy(patches.swapaxes(0, 1).reshape(-1, 3, _SIDE, _SIDE)),
        test_labels=torch.arange(len(PHOTOS)).repeat(_TEST_PATCHES),
        test_origins=torch.from_numpy(crops.swapaxes(0, 1).reshape(-1, 3)),
        epoch=epoch,
        jitter=True,
    )


def low_passed(images: Float64[Tensor, "n c s s"], bandwidth: int = BANDWIDTH) -> Float64[Tensor, "n c s s"]:
    """Images in [0, 1] without the frequencies from `bandwidth` on.

    Removing them leaves [0, 1], and cutting at 0 and 1 brings some back: by turns, both come to hold (projections onto
    two convex sets).
    """
    kept = _cosines(images.shape[-1])[:bandwidth]
    band = kept.T @ kept
    for _ in range(_PROJECTIONS):
        images = (band @ images @ band).clamp(0, 1)
    return images


def flipped(images: Float64[Tensor, "n c s s"]) -> Float64[Tensor, "n c s s"]:
    """Images with the order of their frequencies turned round, about mid-grey and with half the contrast.

    In full contrast a fifth of the pixels would leave [0, 1]; so one in five thousand does, and is cut.
    """
    cosines = _cosines(images.shape[-1])
    turn = cosines.T @ cosines.flip(0)
    return (0.5 + turn @ (images - 0.5) @ turn.T / 2).clamp(0, 1)


def _cosines(size: int) -> Float64[Tensor, "size size"]:
    """The orthonormal DCT-II as a matrix: row k has frequency k."""
    from scipy.fft import dct

    return torch.from_numpy(dct(np.eye(size), axis=0, norm="ortho"))


def _digits(change: Callable[[Tensor], Tensor] = lambda images: images) -> DemoData:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    levels, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(levels).reshape(-1, 1, 8, 8) / 16
    large = F.interpolate(small, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
    images, targets = (change(large) * 255).round().to(torch.uint8), torch.from_numpy(labels)
    training, test = train_test_split(np.arange(len(labels)), test_size=500, stratify=labels, random_state=TEST_SEED)
    ranks = np.array([np.sum(labels[test[:place]] == labels[row]) for place, row in enumerate(test)])
    test = test[np.lexsort((labels[test], ranks))]  # the classes take turns here, too
    return DemoData(
        class_names=tuple("0123456789"),
        test_images=images[test],
        test_labels=targets[test],
        test_origins=torch.from_numpy(test)[:, None],
        epoch=lambda generator: (images[training], targets[training]),
        jitter=False,
    )


DATA: Mapping[str, Callable[[], DemoData]] = {
    "photos": _photos,
    "digits": _digits,
    "digits-lowpass": partial(_digits, low_passed),
    "digits-flipped": partial(_digits, flipped),
}


def write_images(path: Path, data: DemoData) -> None:
    """Write the held-out images of a demo set as 8-bit values, which is what they are: nothing is lost."""
    from safetensors.torch import save

    tensors = {"pixels": data.test_images, "labels": data.test_labels, "origins": data.test_origins}
    text = json.dumps({"class_names": data.class_names}, sort_keys=True)
    with atomic_write(path) as file:
        file.write_bytes(save({name: t.contiguous() for name, t in tensors.items()}, {METADATA_KEY: text}))
