"""Many pictures as one set: from files, folders, zips, arrays and torchvision data sets on disk.

Each picture that cannot be used is left out with a reason, and the rest is kept. Classes come from the names of
subfolders, from a table of names and classes, or from the arrays of an NPZ. Files are read in a process of their own
with limits on memory and time, see `core.runtime.sandbox`; torchvision reads its data sets itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from core.errors import ImageError
from core.images.archives import Refused
from core.images.classes import numbered
from core.images.files import short_name
from core.images.image_set import ImageSet, to_pixels
from core.images.reading import MOST_DECODED, Collected, Note, collected
from core.runtime.sandbox import Limits, isolated
from core.sources.images import Fit, ImageSource
from core.sources.options import UploadFinder

MOST_VALUES = 2**29  # of one set: 2 GiB as float32
_MEMORY = 2 << 30  # bytes for one picture of the most pixels, with all intermediate copies
_WORDS = 256 << 20  # bytes of names, classes and notes


@dataclass(frozen=True, eq=False)
class Gathered:
    """A set of images, with a record of how it was read.

    Attributes:
        images: the set.
        notes: one for each image.
        refused: files that were left out, with the reasons.
        left: ignored parts of files that are used (frames, rows of tables, arrays), with the reasons.
        labels: the label of each image as it is written, "" without one.
        class_names: names of the classes, where the source lists them.
    """

    images: ImageSet
    notes: tuple[Note, ...]
    refused: tuple[Refused, ...]
    left: tuple[Refused, ...]
    labels: tuple[str, ...]
    class_names: tuple[str, ...]

    def classed(self, source: str | ImageSource) -> Gathered:
        """The same images with the classes of another source of the same files.

        Args:
            source: the source, which differs only in `classes` and `labels`.

        Returns:
            The set; it shares the pixels.

        Raises:
            ImageError: if an image has a class that the source does not name.
        """
        parsed = source if isinstance(source, ImageSource) else ImageSource.parse(source)
        rows, names = numbered(self.labels, self.class_names, parsed)
        images = replace(self.images, labels=torch.tensor(rows), class_names=names, source=parsed.text())
        return replace(self, images=images)


def gather(
    source: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    uploads: UploadFinder | None = None,
    most_values: int = MOST_VALUES,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> Gathered:
    """Read a set of images; pictures that cannot be read are left out, and the rest is kept.

    Args:
        source: see `core.sources.images`; any but a demo set.
        size: height and width in pixels (one number: both), if the source gives none.
        uploads: finds the files of `upload:DIGEST`.
        most_values: largest number of values in the set, of 4 bytes each.
        on_progress: called with the fraction done, several times a second; an exception from it ends the reading.

    Returns:
        The set, what was done to each picture, and what was left out.

    Raises:
        ImageError: if there is no such source, it has no usable picture or is too large, or the sizes differ.
        BaseException: from `on_progress`.
    """
    parsed = ImageSource.parse(source)
    fit = parsed.fit if size is None or parsed.fit.height is not None else parsed.fit.sized(size)
    if parsed.kind == "torchvision":
        from core.images.datasets import dataset_pictures

        found = collected(dataset_pictures(parsed), fit, most_values, parsed.place, on_progress)
    else:
        found = _read(_place(parsed, uploads), parsed, fit, most_values, on_progress)
    names = tuple(note.name for note in found.notes)
    pixels = to_pixels(found.pictures, names)
    unknown = torch.full((len(names),), -1)
    images = ImageSet(pixels, unknown, names, (), parsed.text(), found.partners)
    return Gathered(images, found.notes, found.refused, found.left, found.labels, found.class_names).classed(parsed)


def _read(
    path: Path, source: ImageSource, fit: Fit, most_values: int, on_progress: Callable[[float], None]
) -> Collected:
    pictures, labels, class_names, partners, notes, refused, left = isolated(
        "core.images.reading:read_set",
        name=short_name(path.name),
        limits=_limits(path, _MEMORY + 4 * most_values, 4 * most_values + _WORDS),
        refusal=ImageError,
        on_progress=on_progress,
        path=path,
        fit=[fit.height, fit.width, fit.how, fit.channels],
        most=source.most,
        most_values=most_values,
        classes=list(source.classes),
    )
    return Collected(
        pictures,
        labels,
        class_names,
        partners,
        tuple(Note(*note) for note in notes),
        tuple(Refused(*each) for each in refused),
        tuple(Refused(*each) for each in left),
    )


def previews(source: str | Path, notes: Sequence[Note], *, uploads: UploadFinder | None = None) -> list[np.ndarray]:
    """Small copies of some original pictures of a set, each with a frame around the part that is kept.

    Args:
        source: see `gather`; its size and fit do not matter.
        notes: of pictures that `gather` kept.
        uploads: see `gather`.

    Returns:
        (height, width, 3) uint8 each.

    Raises:
        ImageError: if there is no such source, or one of the pictures is not in it.
    """
    parsed = ImageSource.parse(source)
    path = _place(parsed, uploads)
    found: list[np.ndarray] = isolated(
        "core.images.reading:read_previews",
        name=short_name(path.name),
        limits=_limits(path, _MEMORY, _WORDS),
        refusal=ImageError,
        path=path,
        names=[note.name for note in notes],
        boxes=[note.box for note in notes],
        most=parsed.most,
    )
    return found


def _limits(path: Path, memory: int, output: int) -> Limits:
    """Limits for reading; for a folder, which is the owner's, the longest time that the machine's settings allow."""
    size = path.stat().st_size if path.is_file() else 0
    return Limits.of(size + MOST_DECODED if path.is_file() else 1 << 60, memory=memory + size, output=output)


def _place(source: ImageSource, uploads: UploadFinder | None) -> Path:
    if source.kind == "upload":
        files = () if uploads is None else uploads(source.place)
        if len(files) != 1:
            raise ImageError(
                f"expected the uploaded file {source.place[:12]!a}, it is not here; upload it on the Images view, "
                "or name it on the command line with --upload FILE"
            )
        return files[0]
    path = Path(source.place)
    if not (os.path.isdir(path) or os.path.isfile(path)):  # noqa: PTH112, PTH113 - `Path` raises for long names
        raise ImageError(
            f"expected an image or a folder of images, found no {short_name(path.name)}; check the spelling"
        )
    return path
