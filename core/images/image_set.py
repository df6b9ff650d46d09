"""Images: the input of a classifier, checked once on construction.

An `ImageSet` holds pixels in [0, 1] with their labels and names. It comes from the demo sets in `assets/images`, or
from files that `core.images.collections` reads.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core import wording
from core.errors import ImageError
from core.images.arrays import scale_advice

METADATA_KEY = "boundary-atlas"  # one key holding one JSON text: safetensors writes several keys in random order


Rows = int | slice | Sequence[int] | np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one shape with their labels and names; indexing by rows gives a smaller `ImageSet`.

    Attributes:
        pixels: float32 values in [0, 1], (n, c, h, w), n >= 1; not to be changed in place.
        labels: int64 class of each image, (n,); an index into `class_names`, or -1 if unknown.
        names: of the images; cleaned by `core.wording.name`, as those of classes.
        class_names: the classes that labels point to; may be empty.
        source: the source that `load_images` read.
        partners: for pairs of a clean and an adversarial image, the row of each image's partner, -1 if it is not in
            the set; empty without pairs.

    Raises:
        ImageError: if a shape, a dtype or a value does not fit.
    """

    pixels: Tensor  # shapes are not in these types, because the checks below give a better message
    labels: Tensor
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    source: str
    partners: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_pixels(self.pixels)
        n, most = len(self.pixels), len(self.class_names) - 1
        if self.labels.dtype != torch.int64 or tuple(self.labels.shape) != (n,):
            came = f"{_plain(self.labels.dtype)} of shape {tuple(self.labels.shape)}"
            raise ImageError(f"expected one int64 label for each of {n} images, got {came}; pass -1 where unknown")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < -1 or high > most:
            came = f"labels from {low} to {high}"
            raise ImageError(f"expected labels from -1 to {most} for {most + 1} classes, got {came}; name every class")
        object.__setattr__(self, "names", wording.names(self.names, "image"))
        object.__setattr__(self, "class_names", wording.names(self.class_names, "class"))
        if len(self.names) != n:
            raise ImageError(f"expected {n} names, one per image, got {len(self.names)}; name every image")

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: Rows) -> ImageSet:
        """A copy of the images of these rows.

        Args:
            rows: a row, a slice, or a sequence or one-dimensional tensor of rows; negative rows count from the end.

        Raises:
            ImageError: if there is no such row, or no row at all.
        """
        chosen = self._rows(rows)
        index = torch.tensor(chosen, device=self.pixels.device)
        names = tuple(self.names[row] for row in chosen)
        place = {row: at for at, row in enumerate(chosen)}
        partners = tuple(place.get(self.partners[row], -1) for row in chosen) if self.partners else ()
        return ImageSet(self.pixels[index], self.labels[index], names, self.class_names, self.source, partners)

    def __iter__(self) -> Iterator[ImageSet]:
        return (self[row] for row in range(len(self)))

    def _rows(self, rows: Rows) -> list[int]:
        n = len(self)
        if isinstance(rows, slice):
            chosen = list(range(n))[rows]
        else:
            if isinstance(rows, Tensor | np.ndarray):
                rows = rows.tolist()
            entries = rows if isinstance(rows, Sequence) else [rows]
            if any(isinstance(row, bool) or not hasattr(row, "__index__") for row in entries):
                raise ImageError("expected rows as whole numbers, got something else; pass row numbers, not a mask")
            chosen = [operator.index(row) for row in entries]
        if not chosen:
            raise ImageError(f"expected at least one of the {n} rows, got none; choose a row")
        outside = [row for row in chosen if not -n <= row < n]
        if outside:
            raise ImageError(f"expected rows from 0 to {n - 1}, got {outside[0]}; choose a row of this set")
        return [row % n for row in chosen]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the shape and the bytes of the pixels, in hexadecimal."""
        values = np.ascontiguousarray(self.pixels.detach().cpu().numpy(), dtype="<f4")
        return hashlib.sha256(json.dumps(values.shape).encode() + values.tobytes()).hexdigest()

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the clean and of the adversarial image of each complete pair; sources list the clean one first."""
        partners = np.array(self.partners, dtype=np.int64)
        clean = (partners > np.arange(len(partners))).nonzero()[0]
        return clean, partners[clean]

    @property
    def words(self) -> tuple[str, ...]:
        """The class of each image, or its own name if the class is unknown."""
        pairs = zip(self.labels.tolist(), self.names, strict=True)
        return tuple(self.class_names[k] if k >= 0 else name for k, name in pairs)

    def __repr__(self) -> str:
        channels, height, width = self.pixels.shape[1:]
        return f"ImageSet({self.source}: {len(self)} of {channels} x {height} x {width})"


def _check_pixels(pixels: Tensor) -> None:
    shape = " x ".join(map(str, pixels.shape))
    if pixels.ndim != 4 or pixels.dtype != torch.float32:
        came = f"{_plain(pixels.dtype)} of shape {shape}"
        raise ImageError(f"expected float32 pixels of shape n x c x h x w, got {came}; reshape or convert them")
    if 0 in pixels.shape:
        raise ImageError(f"expected at least one image with at least one pixel, got shape {shape}; choose an image")
    if not bool(torch.isfinite(pixels).all()):
        raise ImageError("expected finite pixels, got NaN or infinity; look at how the images were made")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        advice = scale_advice(low, high, whole=bool((pixels == pixels.round()).all()))
        raise ImageError(f"expected pixels in [0, 1], got values from {low:.3g} to {high:.3g}; {advice}")


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def to_pixels(images: Sequence[np.ndarray], names: Sequence[str]) -> Tensor:
    """Stack pictures of one size.

    Args:
        images: (h, w) or (h, w, 3); uint8, or float32 in [0, 1]. Grey ones among colours get three equal channels.
        names: of the images.

    Returns:
        float32 pixels in [0, 1], (n, c, h, w).

    Raises:
        ImageError: if two differ in size.
    """
    height, width = images[0].shape[:2]
    channels = max(3 if image.ndim == 3 else 1 for image in images)
    pixels = torch.empty(len(images), channels, height, width)
    for row, (image, name) in enumerate(zip(images, names, strict=True)):
        if image.shape[:2] != (height, width):
            came = f"{height} x {width} ({Path(names[0]).name}) and {image.shape[0]} x {image.shape[1]}"
            raise ImageError(f"expected images of one size, got {came} ({Path(name).name}); pass a size")
        values = torch.from_numpy(np.array(image))
        values = values.float() / 255 if image.dtype == np.uint8 else values
        pixels[row] = values[None] if image.ndim == 2 else values.permute(2, 0, 1)
    return pixels
