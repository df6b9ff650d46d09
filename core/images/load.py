"""`load_images`: from one line of text to the set of images that it names."""

from __future__ import annotations

import functools
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

_MOST_TOLD = 20  # files that were left out, each with its reason


def load_images(
    source: str | Path, *, size: int | tuple[int, int] | None = None, uploads: UploadFinder | None = None
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
    """Raise if a source already states a shape that does not fit a model, before any image is made or read.

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


_MOST_KEPT = 1 << 30  # bytes of resized demo sets that are cached

_MOST_IN_USE = 4 << 30  # the same, including those still in use

_sizes: OrderedDict[str, ImageSet] = OrderedDict()  # least recently used first

_in_use: WeakSet[ImageSet] = WeakSet()

_sizing = threading.Lock()  # one at a time is made, so that the count of bytes is complete


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
            few = replace(images[:many], labels=torch.full((many,), -1), class_names=(), source=source)
            made = _resized(few, Fit(side, side))
            _sizes[source] = made
            _in_use.add(made)
        _sizes.move_to_end(source)
        return _sizes[source]


def _resized(images: ImageSet, fit: Fit) -> ImageSet:
    """A demo set at another size."""
    levels = (images.pixels * 255).round().byte().permute(0, 2, 3, 1).numpy()
    pictures = [fitted_array(level, fit).pixels for level in levels]
    return replace(images, pixels=to_pixels(pictures, images.names))
