"""Reading sets of pictures: every picture is decoded and fitted to one size, within limits on memory.

Each picture that cannot be used is left out with a reason, and the rest is kept. Nothing here imports torch: it runs
in a small process of its own, see `core.runtime.sandbox`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import ImageError
from core.images.archives import Refused
from core.images.classes import mixed
from core.images.files import FIRST, Picture, short_name
from core.images.listing import Listed, Named, listed
from core.images.previews import preview
from core.sources.images import Fit

MOST_DECODED = 2**28  # pixels of all files of a set, and
PIXELS_PER_BYTE = 16  # further pixels per byte of its files; photographs have 3 to 10
_TOLD = 12  # files with further frames that are listed one by one


class Note(NamedTuple):
    """How one picture was read; see `core.images.files.Picture`.

    Attributes:
        name: of its file.
        came: description of the file's content.
        size: height and width of the upright picture, in pixels.
        box: the part that was kept: left, top, right and bottom, in pixels.
        done: the steps that were applied, in order.
    """

    name: str
    came: str
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    done: tuple[str, ...]


class Collected(NamedTuple):
    """Pictures of a set.

    Attributes:
        pictures: (h, w) or (h, w, 3) each, uint8 or float32 in [0, 1].
        labels: the class of each as text, "" if unknown.
        class_names: names of the classes, where the source lists them.
        partners: for pairs, the row of each picture's partner, -1 if that was left out; empty without pairs.
        notes: one for each picture.
        refused: files that were left out, with the reasons.
        left: ignored parts of files that are used, with the reasons.
    """

    pictures: list[np.ndarray]
    labels: tuple[str, ...]
    class_names: tuple[str, ...]
    partners: tuple[int, ...]
    notes: tuple[Note, ...]
    refused: tuple[Refused, ...]
    left: tuple[Refused, ...]


def read_set(
    path: str,
    fit: Sequence[Any],
    most: int | None,
    most_values: int,
    progress: Callable[[float], None],
    classes: Sequence[str] = (),
) -> tuple[Any, ...]:
    """Read a file or folder.

    Args:
        path: of the file or folder.
        fit: the fields of a `Fit`.
        most: number of pictures to take, spread evenly; None: all.
        most_values: largest number of values in the set, of 4 bytes each.
        progress: called with the fraction done.
        classes: names that the source gives to the classes: a word among them is never a missing value.

    Returns:
        The fields of a `Collected`.

    Raises:
        ImageError: if there is no usable picture, or too much data.
    """
    with ExitStack() as stack:
        place = Path(path)
        found = listed(place, most, stack, classes)
        return tuple(collected(found, Fit(*fit), most_values, short_name(place.name), progress))


def collected(found: Listed, fit: Fit, most_values: int, name: str, progress: Callable[[float], None]) -> Collected:
    """Read the pictures of a source.

    Args:
        found: the content of the source.
        fit: size and channels of every picture.
        most_values: largest number of values in the set, of 4 bytes each.
        name: of the source.
        progress: called with the fraction done.

    Raises:
        ImageError: if there is no usable picture, or too much data.
    """
    kept: list[tuple[int, Named, Picture]] = []
    refused = list(found.refused)
    values = decoded = stored = 0
    for row, file in enumerate(found.files):
        progress(row / len(found.files))
        try:
            picture = file.read(fit)
        except ImageError as error:
            refused.append(Refused(file.name, str(error)))
            continue
        values += (fit.channels or 3) * picture.pixels.shape[0] * picture.pixels.shape[1]
        decoded, stored = decoded + picture.size[0] * picture.size[1], stored + picture.stored
        _check_size(file.name, row, len(found.files), values, most_values, decoded, stored)
        kept.append((row, file, picture))
    if not kept:
        raise ImageError(_none_left(name, found, refused))
    labels = tuple(file.label for _, file, _ in kept)
    notes = tuple(Note(file.name, each.came, each.size, each.box, each.done) for _, file, each in kept)
    words = mixed(labels, found.class_names)
    left = (*found.left, *_further_frames(notes), *([Refused(name, words)] if words else []))
    half = len(found.files) // 2
    position = {row: at for at, (row, _, _) in enumerate(kept)}
    partners = tuple(position.get((row + half) % (2 * half), -1) for row in position) if found.paired else ()
    pictures = [picture.pixels for _, _, picture in kept]
    return Collected(pictures, labels, found.class_names, partners, notes, tuple(refused), left)


def _check_size(name: str, row: int, count: int, values: int, most_values: int, decoded: int, stored: int) -> None:
    where = f"{short_name(name)} (image {row + 1} of {count})"
    if values > most_values:
        much = f"{4 * most_values / 2**30:.3g} GiB as float32"
        raise ImageError(f"expected images of at most {much}, got more by {where}; take fewer or a smaller size")
    most = MOST_DECODED + PIXELS_PER_BYTE * stored
    if decoded > most:
        raise ImageError(
            f"expected files of at most {most / 1e6:,.0f} million pixels together, got more by {where}; make them"
            " smaller, or take fewer with most=500 in the source"
        )


def _none_left(name: str, found: Listed, refused: Sequence[Refused]) -> str:
    if len(refused) == 1:
        return refused[0].reason
    if not refused:
        return f"expected images in {name}, found none; known are PNG, JPEG, WebP, GIF, BMP, TIFF and PPM files"
    return f"expected an image that can be used, all {len(refused):,} were refused; the first: {refused[0].reason}"


def _further_frames(notes: Sequence[Note]) -> list[Refused]:
    names = [note.name for note in notes if FIRST in note.done]
    found = [
        Refused(
            name,
            f"expected one picture in a file, {short_name(name)} has more; only the first is taken",
        )
        for name in names[:_TOLD]
    ]
    if len(names) > _TOLD:
        found.append(Refused("more files", f"expected one picture in a file, {len(names) - _TOLD:,} more have several"))
    return found


def upright(path: Path, names: Sequence[str], most: int | None = None) -> list[Picture]:
    """Some original pictures of a set: turned upright, neither cropped nor resized.

    Args:
        path: of the set.
        names: of pictures that `read_set` kept.
        most: as for `read_set`.

    Returns:
        One for each name.

    Raises:
        ImageError: if one is missing.
    """
    with ExitStack() as stack:
        files = {file.name: file for file in listed(path, most, stack).files}
        missing = next((name for name in names if name not in files), None)
        if missing is not None:
            raise ImageError(f"expected a picture of {short_name(path.name)}, got {missing[:80]!a}; choose another")
        return [files[name].read(Fit()) for name in names]


def read_previews(
    path: str,
    names: Sequence[str],
    boxes: Sequence[tuple[float, float, float, float]],
    most: int | None,
    progress: Callable[[float], None],
) -> list[np.ndarray]:
    """Small copies of some original pictures of a set, each with a frame around the part that is kept.

    Args:
        path: of the set.
        names: of pictures that `read_set` kept.
        boxes: the part that is kept of each: left, top, right and bottom, in pixels.
        most: as for `read_set`.
        progress: called with the fraction done.

    Returns:
        (height, width, 3) uint8 each.

    Raises:
        ImageError: if one is missing.
    """
    progress(0.0)
    return [preview(each.pixels, box) for each, box in zip(upright(Path(path), names, most), boxes, strict=True)]
