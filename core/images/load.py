"""`load_images`: from one line of text to the image set that it names."""

from __future__ import annotations

import functools
import itertools
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from weakref import WeakSet

import torch

from core.errors import ImageError
from core.images.files import fitted_array
from core.images.image_set import METADATA_KEY, ImageSet, to_pixels
from core.sources.images import Fit, ImageSource
from core.sources.models import ASSETS
from core.sources.options import UploadFinder

logger = logging.getLogger(__name__)

DEMO_SETS = ("photos", "digits", "digits-lowpass", "digits-flipped")

_MOST_TOLD = 20  # files whose reasons are logged


def load_images(
    source: str | Path, *, size: int | tuple[int, int] | None = None, uploads: UploadFinder | None = None
) -> ImageSet:
    """Load images with pixels in [0, 1].

    Files are rotated by their EXIF orientation, transparency is laid over white, animations give their first frame. One
    channel if every file is grey, else three. Folders are read in sorted order, without hidden files. Files that cannot
    be used are left out and logged as warnings with the reason; `core.images.collections.gather` returns them.

    Args:
        source: `demo:photos` or another of `DEMO_SETS`, or resized for another model, as `demo:photos@224` (the first
            67 MB of the set, at least 48 images, without labels, since the model's classes are others); an image file;
            a folder or zip: of images (labels -1 without a `labels.csv`), or of one subfolder of images per class; an
            NPZ; a torchvision data set on disk; with the options of `core.sources.images`.
        size: height and width in pixels (one number: both); the image is cropped about the centre to their ratio, then
            resized bilinearly with antialiasing. Unchanged by default.
        uploads: finds the file of `upload:DIGEST`; an upload that is not found is an error.

    Returns:
        The images; their `names` are paths inside the folder, or the file's name.

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
        return _demo_set(name) if size is None else _resized(_demo_set(name), Fit().sized(size))
    from core.images.collections import gather

    found = gather(source, size=size, uploads=uploads)
    for what, some in (("left out", found.refused), ("note on", found.left)):
        for name, reason in some[:_MOST_TOLD]:
            logger.warning("%s %s: %s", what, name if name.isprintable() else ascii(name), reason)
        if len(some) > _MOST_TOLD:
            logger.warning("%s %d more of %s", what, len(some) - _MOST_TOLD, text)
    return found.images


@functools.cache
def _demo_set(name: str) -> ImageSet:
    """The held-out images of a demo set, written by `core.training.train`.

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
    numbers = [itertools.count() for _ in classes]
    names = tuple(f"{classes[label]} #{next(numbers[label])}" for label in labels.tolist())
    return ImageSet(pixels.float() / 255, labels.clone(), names, classes, f"demo:{name}")


def demo_images_of(shape: Sequence[int]) -> str:
    """The source of the demo images at a model's input size (c, h, w); "" if there are none of that shape."""
    channels, height, width = shape
    fits = channels in (1, 3) and height == width and _side(str(height))
    return f"demo:{'photos' if channels == 3 else 'digits'}@{height}" if fits else ""


def _side(text: str) -> int:
    """The size after the @ of a demo set's name; 0 if it is not valid."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 5 and 8 <= int(text) <= 1024 else 0


def check_shape(source: str, shape: Sequence[int], name: str) -> None:
    """Raise if a source states a shape that does not fit a model, before any image is made or read.

    Args:
        source: of images.
        shape: of the model's input (c, h, w).
        name: of the model.

    Raises:
        ImageError: if the source is not valid, or its shape is known and is another.
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


_MOST_KEPT = 1 << 30  # bytes of resized demo sets in the cache

_MOST_IN_USE = 4 << 30  # bytes of all resized demo sets that are in use

_sizes: OrderedDict[str, ImageSet] = OrderedDict()  # least recently used first

_in_use: WeakSet[ImageSet] = WeakSet()

_sizing = threading.Lock()  # sets are made one at a time, so that the count of bytes is complete


def _fitted(images: ImageSet, side: int, source: str) -> ImageSet:
    """The first images of a demo set at another size, without labels.

    Raises:
        ImageError: if those in use leave no room for them.
    """
    bytes_each = 4 * images.pixels.shape[1] * side * side
    many = min(max(48, 2**26 // bytes_each), len(images))  # 67 MB, but more than the 43 rows used by default
    with _sizing:
        if source not in _sizes:
            while _sizes and sum(each.pixels.nbytes for each in _sizes.values()) + many * bytes_each > _MOST_KEPT:
                _sizes.popitem(last=False)
            if sum(each.pixels.nbytes for each in _in_use) + many * bytes_each > _MOST_IN_USE:
                raise ImageError(f"expected room for {source}, demo images at other sizes fill it; try again later")
            few = replace(images[:many], labels=torch.full((many,), -1), class_names=(), source=source)
            made = _resized(few, Fit(side, side))
            _sizes[source] = made
            _in_use.add(made)
        _sizes.move_to_end(source)
        return _sizes[source]


def _resized(images: ImageSet, fit: Fit) -> ImageSet:
    levels = (images.pixels * 255).round().byte().permute(0, 2, 3, 1).numpy()
    pictures = [fitted_array(level, fit).pixels for level in levels]
    return replace(images, pixels=to_pixels(pictures, images.names))
