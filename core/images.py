"""Images: what goes into a classifier, checked once, at the door.

An `ImageSet` holds pixels in [0, 1] with their labels and names. It comes from the demo sets in `assets/images`, from
an image file, or from a folder of images whose subfolders are the classes.
"""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

ASSETS = Path(__file__).resolve().parents[1] / "assets"
DEMO_SETS = ("photos", "digits", "digits-lowpass", "digits-flipped")
METADATA_KEY = "boundary-atlas"  # one key holding one JSON text: safetensors writes several keys in random order

# The formats Pillow decodes by itself; EPS, say, would start Ghostscript.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"}
_MOST_PIXELS = 50_000_000  # of one file: 600 MB as float32 RGB; a small file can claim far more
_MOST_VALUES = 2**29  # of one set: 2 GiB as float32
_GREY_MODES = ("1", "L", "LA")
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow clips these when it converts them to 8 bits
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error)

Rows = int | slice | Sequence[int] | np.ndarray | Tensor


class ImageError(ValueError):
    """An image cannot be used: one sentence says what was expected, what came and what to do."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one shape with their labels and names; indexing by rows gives a smaller `ImageSet`.

    Attributes:
        pixels: float32 values in [0, 1], (n, c, h, w), n >= 1; not to be changed in place.
        labels: int64 class of each image, (n,); an index into `class_names`, or -1 where it is not known.
        names: what to call each image.
        class_names: the classes that labels point to; may be empty.
        source: what `load_images` was asked for.

    Raises:
        ImageError: if a shape, a dtype or a value does not fit.
    """

    pixels: Tensor  # shapes are not in these types, because the checks below say more when they do not fit
    labels: Tensor
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    source: str

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
        return ImageSet(self.pixels[index], self.labels[index], names, self.class_names, self.source)

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
    def words(self) -> tuple[str, ...]:
        """The class of each image, or its own name where the class is not known."""
        pairs = zip(self.labels.tolist(), self.names, strict=True)
        return tuple(self.class_names[k] if k >= 0 else name for k, name in pairs)

    def __repr__(self) -> str:
        channels, height, width = self.pixels.shape[1:]
        return f"ImageSet({self.source}: {len(self)} of {channels} x {height} x {width})"


def load_images(source: str | Path, *, size: int | tuple[int, int] | None = None) -> ImageSet:
    """Load images with pixels in [0, 1].

    Files are turned as their EXIF orientation says, transparency is laid over white, animations give their first frame.
    One channel where every file is grey, else three. Folders are read in sorted order, without hidden files.

    Args:
        source: `demo:photos` or another of `DEMO_SETS`, an image file, or a folder: of images (labels -1), or of one
            subfolder of images per class.
        size: height and width in pixels (one number: both); larger sides are cropped about the centre, then the image
            is resized bilinearly with antialiasing. As they are when not given.

    Returns:
        The images; `names` are paths inside the folder, or the file's name.

    Raises:
        ImageError: if there is no such source, a file cannot be read, or the images differ in size.
    """
    text = str(source)
    if text.startswith("demo:"):
        name = text.removeprefix("demo:")
        if name not in DEMO_SETS:
            known = ", ".join(f"demo:{known}" for known in DEMO_SETS)
            raise ImageError(f"expected one of {known}, got {text}; choose one of these")
        return _demo_set(name) if size is None else _resized(_demo_set(name), _box(size))
    files, classes = _find_files(Path(source))
    images = _read_all(files, None if size is None else _box(size))
    names = tuple(name for _, name, _ in files)
    return ImageSet(_to_pixels(images, names), torch.tensor([label for *_, label in files]), names, classes, text)


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
        advice = "divide by 255" if low >= 0 and 2 < high <= 255 else "remove the normalisation or clip"
        raise ImageError(f"expected pixels in [0, 1], got values from {low:.3g} to {high:.3g}; {advice}")


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# -- demo sets --------------------------------------------------------------------------------------------------------


@functools.cache
def _demo_set(name: str) -> ImageSet:
    """The held-out images of a demo set, as `core.demo` wrote them.

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


def _resized(images: ImageSet, box: tuple[int, int]) -> ImageSet:
    """A demo set at another size."""
    levels = (images.pixels * 255).round().byte().permute(0, 2, 3, 1).numpy()
    arrays = [
        np.asarray(_fit(Image.fromarray(level.squeeze(-1) if level.shape[-1] == 1 else level), box)) for level in levels
    ]
    return ImageSet(_to_pixels(arrays, images.names), images.labels, images.names, images.class_names, images.source)


# -- files and folders ------------------------------------------------------------------------------------------------


def _find_files(path: Path) -> tuple[list[tuple[Path, str, int]], tuple[str, ...]]:
    """The one file, or what the folder holds; see `_files_by_class`.

    Raises:
        ImageError: if there is nothing that can be opened.
    """
    try:
        if path.is_dir():
            return _files_by_class(path)
        if path.is_file():
            return [(path, path.name, -1)], ()
    except OSError as error:  # a name too long for the file system, a folder that may not be listed
        raise ImageError(f"expected an image or a folder of images, cannot open {path.name[:80]}; check it") from error
    raise ImageError(f"expected an image or a folder of images, found no {path.name[:80]}; check the spelling")


def _files_by_class(folder: Path) -> tuple[list[tuple[Path, str, int]], tuple[str, ...]]:
    """The image files of a folder as (path, name, label), and the classes its subfolders name.

    Raises:
        ImageError: if there is no image, or there are images both in the folder and in subfolders.
    """
    loose = [(path, path.name, -1) for path in _image_files(folder, folder.iterdir())]
    inside = {
        child.name: found
        for child in sorted(folder.iterdir())
        if child.is_dir() and not child.name.startswith(".") and (found := _image_files(folder, child.rglob("*")))
    }
    if loose and inside:
        raise ImageError(
            f"expected images either in {folder.name} itself or in one subfolder per class, got both; "
            "move them into the subfolders"
        )
    if not loose and not inside:
        kinds = ", ".join(sorted(suffix[1:] for suffix in _SUFFIXES))
        raise ImageError(f"expected images in {folder.name}, found none; known endings are {kinds}")
    sorted_in = [
        (path, path.relative_to(folder).as_posix(), label)
        for label, found in enumerate(inside.values())
        for path in found
    ]
    return loose or sorted_in, tuple(inside)


def _image_files(root: Path, paths: Iterator[Path]) -> list[Path]:
    """Those of the paths that look like images, sorted; nothing hidden, nor in a hidden folder."""
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in _SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    )


def _box(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width.

    Raises:
        ImageError: if one is not positive.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ImageError(f"expected a size of at least 1 x 1 pixel, got {height} x {width}; choose a larger one")
    return height, width


def _read_all(files: Sequence[tuple[Path, str, int]], box: tuple[int, int] | None) -> list[np.ndarray]:
    """Every file as uint8 (h, w) where all are grey, else (h, w, 3).

    Raises:
        ImageError: if one cannot be read, or together they are too many.
    """
    images, values = [], 0
    for path, _, _ in files:
        image = _read(path)
        images.append(np.asarray(image if box is None else _fit(image, box)))
        values += 3 * images[-1].shape[0] * images[-1].shape[1]
        if values > _MOST_VALUES:
            raise ImageError(
                f"expected images of at most 2 GiB as float32, got more by {path.name} (image "
                f"{len(images)} of {len(files)}); choose fewer or a smaller size"
            )
    if all(image.ndim == 2 for image in images):
        return images
    return [image if image.ndim == 3 else np.stack([image] * 3, axis=-1) for image in images]


def _read(path: Path) -> Image.Image:
    """One file as an upright picture in mode L or RGB.

    Raises:
        ImageError: if the file is no whole, 8-bit image of bearable size.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > _MOST_PIXELS:
                raise ImageError(_too_large(path))
            if image.mode in _DEEP_MODES:
                raise ImageError(f"expected 8 bits per channel, {path.name} has more; convert it to 8 bits")
            return _flat(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_too_large(path)) from error
    except _DAMAGED as error:
        advice = "it is damaged or not an image; save it again as PNG or JPEG"
        raise ImageError(f"expected an image, could not read {path.name}; {advice}") from error


def _too_large(path: Path) -> str:
    return f"expected at most {_MOST_PIXELS // 10**6} million pixels, {path.name} has more; make it smaller"


def _flat(image: Image.Image) -> Image.Image:
    """Mode L or RGB, with transparency laid over white."""
    grey = image.mode in _GREY_MODES
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


def _fit(image: Image.Image, box: tuple[int, int]) -> Image.Image:
    height, width = box
    return image if image.size == (width, height) else ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)


def _to_pixels(images: Sequence[np.ndarray], names: Sequence[str]) -> Tensor:
    """Stack uint8 images of one size into float32 pixels.

    Raises:
        ImageError: if two differ in size.
    """
    height, width = images[0].shape[:2]
    for image, name in zip(images, names, strict=True):
        if image.shape[:2] != (height, width):
            came = f"{height} x {width} ({Path(names[0]).name}) and {image.shape[0]} x {image.shape[1]}"
            raise ImageError(f"expected images of one size, got {came} ({Path(name).name}); pass a size")
    stack: Any = np.stack(images)
    stack = stack[:, None] if stack.ndim == 3 else stack.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(stack)).float() / 255
