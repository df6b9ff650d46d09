"""Images: what goes into a classifier, checked once, at the door.

An `ImageSet` holds pixels in [0, 1] with their labels and names. It comes from the demo sets in `assets/images`, or
from files, as `core.images.collections` reads them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import operator
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from core import wording
from core.errors import ImageError
from core.images.arrays import scale_advice
from core.sources.images import ImageSource
from core.sources.models import ASSETS

if TYPE_CHECKING:
    from core.images.collections import Uploads

logger = logging.getLogger(__name__)

DEMO_SETS = ("photos", "digits", "digits-lowpass", "digits-flipped")
METADATA_KEY = "boundary-atlas"  # one key holding one JSON text: safetensors writes several keys in random order

_MOST_TOLD = 20  # files that were left out, each with its reason

Rows = int | slice | Sequence[int] | np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one shape with their labels and names; indexing by rows gives a smaller `ImageSet`.

    Attributes:
        pixels: float32 values in [0, 1], (n, c, h, w), n >= 1; not to be changed in place.
        labels: int64 class of each image, (n,); an index into `class_names`, or -1 where it is not known.
        names: what to call each image; kept as `core.wording.name` cleans them, like those of classes.
        class_names: the classes that labels point to; may be empty.
        source: what `load_images` was asked for.
        partners: of pairs of a clean and an adversarial image, the row of each image's partner, -1 where it is not in
            the set; empty where there are no pairs.

    Raises:
        ImageError: if a shape, a dtype or a value does not fit.
    """

    pixels: Tensor  # shapes are not in these types, because the checks below say more when they do not fit
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
        """The images of these rows, copied.

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
        """Rows of the clean and of the adversarial image of each whole pair; sources list the clean one first."""
        partners = np.array(self.partners, dtype=np.int64)
        clean = (partners > np.arange(len(partners))).nonzero()[0]
        return clean, partners[clean]

    @property
    def words(self) -> tuple[str, ...]:
        """The class of each image, or its own name where the class is not known."""
        pairs = zip(self.labels.tolist(), self.names, strict=True)
        return tuple(self.class_names[k] if k >= 0 else name for k, name in pairs)

    def __repr__(self) -> str:
        channels, height, width = self.pixels.shape[1:]
        return f"ImageSet({self.source}: {len(self)} of {channels} x {height} x {width})"


def load_images(
    source: str | Path, *, size: int | tuple[int, int] | None = None, uploads: Uploads | None = None
) -> ImageSet:
    """Load images with pixels in [0, 1].

    Files are turned as their EXIF orientation says, transparency is laid over white, animations give their first frame.
    One channel where every file is grey, else three. Folders are read in sorted order, without hidden files. What
    cannot be used is left out and logged as a warning, with its reason; `core.images.collections.gather` returns it.

    Args:
        source: `demo:photos` or another of `DEMO_SETS`, or resized for another model, as `demo:photos@224` (the first
            67 MB of the set, 48 images at least, without labels, because its classes are others); an image file; a
            folder or zip: of images (labels -1 without a `labels.csv`), or of one subfolder of images per class; an
            NPZ; a data set of torchvision on disk; with options as `core.sources.images` describes them.
        size: height and width in pixels (one number: both); larger sides are cropped about the centre, then the image
            is resized bilinearly with antialiasing. As they are when not given.
        uploads: finds the file of `upload:DIGEST`; where it is not given, or finds none, that is asked for.

    Returns:
        The images; `names` are paths inside the folder, or the file's name.

    Raises:
        ImageError: if there is no such source, no file of it can be read, or the images differ in size.
    """
    text = str(source)
    if text.startswith("demo:"):
        name, at, side = text.removeprefix("demo:").partition("@")
        if name not in DEMO_SETS or (at and not _side(side)):
            known = ", ".join(f"demo:{known}" for known in DEMO_SETS)
            raise ImageError(
                f"expected one of {known}, or one at another size as demo:photos@224, got {text[:40]}; choose one"
            )
        if at:
            return _fitted(_demo_set(name), _side(side), text)
        return _demo_set(name) if size is None else _resized(_demo_set(name), _box(size))
    from core.images.collections import gather

    found = gather(source, size=size, uploads=uploads)
    for what, some in (("left out", found.refused), ("left aside", found.left)):
        for name, reason in some[:_MOST_TOLD]:
            logger.warning("%s %s: %s", what, name if name.isprintable() else ascii(name), reason)
        if len(some) > _MOST_TOLD:
            logger.warning("%s %d more of %s", what, len(some) - _MOST_TOLD, text)
    return found.images


def _check_pixels(pixels: Tensor) -> None:
    """Enforce shape, dtype, finiteness and range.

    Raises:
        ImageError: if one of them does not hold.
    """
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


# -- demo sets --------------------------------------------------------------------------------------------------------


@functools.cache
def _demo_set(name: str) -> ImageSet:
    """The held-out images of a demo set, as `core.training.train` wrote them.

    Raises:
        ImageError: if their file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = ASSETS / "images" / f"{name}.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            classes = tuple(json.loads(file.metadata()[METADATA_KEY])["class_names"])
            pixels, labels = file.get_tensor("pixels"), file.get_tensor("labels")
    except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
        raise ImageError(f"expected the demo images in {path.name}, could not read it; restore that file") from error
    seen = [0] * len(classes)
    names = []
    for label in labels.tolist():
        names.append(f"{classes[label]} #{seen[label]}")
        seen[label] += 1
    return ImageSet(pixels.float() / 255, labels.clone(), tuple(names), classes, f"demo:{name}")


def demo_images_of(shape: Sequence[int]) -> str:
    """The source of the demo images at the input size (c, h, w) of a model, or "" where there are none so shaped."""
    channels, height, width = shape
    fits = channels in (1, 3) and height == width and _side(str(height))
    return f"demo:{'photos' if channels == 3 else 'digits'}@{height}" if fits else ""


def _side(text: str) -> int:
    """The size after the @ of a demo set's name; 0 where it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 5 and 8 <= int(text) <= 1024 else 0


def check_shape(source: str, shape: Sequence[int], name: str) -> None:
    """Raise where a source says by itself that its images do not fit a model: before any of them is made or read.

    Args:
        source: of images.
        shape: of the model's input (c, h, w).
        name: of the model.

    Raises:
        ImageError: if their shape is known and is another, or the source is none.
    """
    if source.startswith("demo:"):
        demo, _, side = source.removeprefix("demo:").partition("@")
        channels, height, width = _demo_set(demo).pixels.shape[1:] if demo in DEMO_SETS else (None, None, None)
        known = (channels, _side(side) or None, _side(side) or None) if side else (channels, height, width)
    else:
        fit = ImageSource.parse(source).fit
        known = fit.channels, fit.height, fit.width
    if any(length not in (None, expected) for length, expected in zip(known, shape, strict=True)):
        came, expected = (" x ".join(str(length or "any") for length in lengths) for lengths in (known, shape))
        raise ImageError(f"expected images of n x {expected} for {name}, got n x {came}; resize or regroup them")


_MOST_KEPT = 1 << 30  # bytes of demo sets at other sizes, for whoever asks next
_MOST_IN_USE = 4 << 30  # with those that somebody works with
_sizes: OrderedDict[str, ImageSet] = OrderedDict()  # the one that was asked for longest ago first
_in_use: WeakSet[ImageSet] = WeakSet()
_sizing = threading.Lock()  # one at a time is made, so that what is counted is all there is


def _fitted(images: ImageSet, side: int, source: str) -> ImageSet:
    """The first images of a demo set at another size, without labels.

    Raises:
        ImageError: if there is no room for them beside those that are in use.
    """
    bytes_each = 4 * images.pixels.shape[1] * side * side
    many = min(max(48, 2**26 // bytes_each), len(images))  # 67 MB, but more than the 43 rows asked for by default
    with _sizing:
        if source not in _sizes:
            while _sizes and sum(each.pixels.nbytes for each in _sizes.values()) + many * bytes_each > _MOST_KEPT:
                _sizes.popitem(last=False)
            if sum(each.pixels.nbytes for each in _in_use) + many * bytes_each > _MOST_IN_USE:
                raise ImageError(f"expected room for {source}, demo images at other sizes fill it; try again later")
            few = _resized(images[:many], (side, side))
            made = ImageSet(few.pixels, torch.full((many,), -1), few.names, (), source)
            _sizes[source] = made
            _in_use.add(made)
        _sizes.move_to_end(source)
        return _sizes[source]


def _resized(images: ImageSet, box: tuple[int, int]) -> ImageSet:
    """A demo set at another size."""
    levels = (images.pixels * 255).round().byte().permute(0, 2, 3, 1).numpy()
    arrays = [
        np.asarray(_fit(Image.fromarray(level.squeeze(-1) if level.shape[-1] == 1 else level), box)) for level in levels
    ]
    return ImageSet(to_pixels(arrays, images.names), images.labels, images.names, images.class_names, images.source)


def _box(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width.

    Raises:
        ImageError: if one is not positive.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ImageError(f"expected a size of at least 1 x 1 pixel, got {height} x {width}; choose a larger one")
    return height, width


def _fit(image: Image.Image, box: tuple[int, int]) -> Image.Image:
    height, width = box
    return image if image.size == (width, height) else ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)


def to_pixels(images: Sequence[np.ndarray], names: Sequence[str]) -> Tensor:
    """Stack pictures of one size.

    Args:
        images: (h, w), or (h, w, 3); uint8, or float32 in [0, 1]. Grey ones among colours get three equal channels.
        names: of each.

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
