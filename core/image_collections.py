"""Many pictures as one set: from files, folders, zips, arrays and the data sets of torchvision on disk.

What cannot be used is left out, one by one and each with its reason, and the rest is kept. Classes come from the names
of subfolders, from a table `labels.csv` of two columns, name and class, or from the arrays of an NPZ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from core.errors import ImageError
from core.image_archives import Entry, Refused, open_zip, read_arrays, zip_entries
from core.image_arrays import Arrays, arrays_of
from core.image_files import MOST_BYTES, SUFFIXES, Picture, fitted_array, read_picture, short_name
from core.image_sources import Fit, ImageSource
from core.image_tables import class_in_table, read_table
from core.images import ImageSet, to_pixels
from core.sources import MOST_CLASSES

Uploads = Callable[[str], Sequence[Path]]  # the files of an upload, by its digest

MOST_VALUES = 2**29  # of one set: 2 GiB as float32
_ARRAYS = (".npz", ".npy")


class Note(NamedTuple):
    """What became of one picture.

    Attributes:
        name: of its file.
        came: what the file held.
        size: height and width of the upright picture, in pixels.
        box: what was kept of it: left, top, right and bottom, in pixels.
        done: what was done, in order.
    """

    name: str
    came: str
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    done: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Gathered:
    """A set of images, and how it came about.

    Attributes:
        images: the set.
        notes: one for each image.
        refused: what was left out, with the reasons.
    """

    images: ImageSet
    notes: tuple[Note, ...]
    refused: tuple[Refused, ...]


class _Named(NamedTuple):
    """A picture still to be read, with its class ("" where it has none)."""

    name: str
    label: str
    read: Callable[[Fit], Picture]


class _Listed(NamedTuple):
    """What a source holds: its pictures, what of it is refused, its classes, and the partners of pairs."""

    files: Sequence[_Named]
    refused: Sequence[Refused] = ()
    class_names: tuple[str, ...] = ()
    partners: tuple[int, ...] = ()


def gather(
    source: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    uploads: Uploads | None = None,
    most_values: int = MOST_VALUES,
) -> Gathered:
    """Read a set of images; what cannot be read is left out, and the rest is kept.

    Args:
        source: see `core.image_sources`; any but a demo set.
        size: height and width in pixels (one number: both), where the source says none.
        uploads: finds the files of `upload:DIGEST`.
        most_values: of the set, each of 4 bytes.

    Returns:
        The set, what was done to each picture, and what was left out.

    Raises:
        ImageError: if there is no such source, nothing of it can be used, it is too much, or the sizes differ.
    """
    said = ImageSource.parse(source)
    fit = _with_size(said.fit, size)
    with ExitStack() as stack:
        listed = _listed(said, uploads, stack)
        chosen = _spread(listed, said.most)
        refused = list(listed.refused)
        read, notes = [], []
        values = 0
        for file in chosen:
            try:
                picture = file.read(fit)
            except ImageError as error:
                refused.append(Refused(file.name, str(error)))
                continue
            read.append((file, picture))
            notes.append(Note(file.name, picture.came, picture.size, picture.box, picture.done))
            values += (fit.channels or 3) * picture.pixels.shape[0] * picture.pixels.shape[1]
            if values > most_values:
                much = f"{4 * most_values / 2**30:.3g} GiB as float32"
                raise ImageError(
                    f"expected images of at most {much}, got more by {short_name(file.name)} (image {len(read)} of"
                    f" {len(chosen)}); take fewer or a smaller size"
                )
    if not read:
        raise ImageError(refused[0].reason if len(refused) == 1 else _none_left(said, refused))
    labels, class_names = _classes([file.label for file, _ in read], said, listed.class_names)
    names = tuple(file.name for file, _ in read)
    pixels = to_pixels([picture.pixels for _, picture in read], names)
    partners = _partners(names, listed)
    images = ImageSet(pixels, torch.tensor(labels), names, class_names, said.text(), partners)
    return Gathered(images, tuple(notes), tuple(refused))


def upright(source: str | Path, names: Sequence[str], *, uploads: Uploads | None = None) -> tuple[Picture, ...]:
    """Some pictures of a set as their files hold them: turned upright, neither cut nor resized.

    Args:
        source: see `gather`; its size and fit do not matter.
        names: of pictures that `gather` kept.
        uploads: see `gather`.

    Returns:
        One for each name.

    Raises:
        ImageError: if there is no such source, or none of these pictures is in it.
    """
    said = ImageSource.parse(source)
    with ExitStack() as stack:
        files = {file.name: file for file in _listed(said, uploads, stack).files}
        missing = next((name for name in names if name not in files), None)
        if missing is not None:
            raise ImageError(f"expected a picture of {short_name(said.place)}, got {missing[:80]!a}; choose another")
        return tuple(files[name].read(Fit()) for name in names)


def _none_left(said: ImageSource, refused: Sequence[Refused]) -> str:
    kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
    if not refused:
        return f"expected images in {short_name(said.place)}, found none; known endings are {kinds}"
    return f"expected an image that can be used, all {len(refused)} were refused; the first: {refused[0].reason}"


def _with_size(fit: Fit, size: int | tuple[int, int] | None) -> Fit:
    if size is None or fit.height is not None:
        return fit
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ImageError(f"expected a size of at least 1 x 1 pixel, got {height} x {width}; choose a larger one")
    return Fit(height, width, fit.how, fit.channels)


def _spread(listed: _Listed, most: int | None) -> Sequence[_Named]:
    """As many as asked for, evenly over all; of pairs, so many with their partners."""
    files = listed.files
    count = len(files) // 2 if listed.partners else len(files)
    if most is None or most >= count:
        return files
    rows = np.linspace(0, count - 1, most).round().astype(int).tolist()
    return [files[row] for row in (*rows, *(listed.partners[row] for row in rows if listed.partners))]


# -- what a source holds ----------------------------------------------------------------------------------------------


def _listed(said: ImageSource, uploads: Uploads | None, stack: ExitStack) -> _Listed:
    """What a source holds; its archive stays open as long as the stack.

    Raises:
        ImageError: if there is nothing to read.
    """
    if said.kind == "torchvision":
        from core.image_datasets import dataset_pictures

        pictures, class_names = dataset_pictures(said)
        return _Listed([_Named(name, label, _fitting(make)) for name, label, make in pictures], (), class_names)
    path = _path(said, uploads)
    try:
        if path.is_dir():
            entries = [_on_disk(path, inside) for inside in _inside(path)]
            return _classed(entries, path.name, loose_and_classes=False)
        if not path.is_file():
            raise ImageError(
                f"expected an image or a folder of images, found no {short_name(path.name)}; check the spelling"
            )
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
    except OSError as error:  # a name too long for the file system, a folder that may not be listed
        name = short_name(path.name)
        raise ImageError(f"expected an image or a folder of images, cannot open {name}; check it") from error
    if path.suffix.lower() in _ARRAYS:
        return _of_arrays(arrays_of(read_arrays(path), short_name(path.name)))
    if zipped or path.suffix.lower() == ".zip":
        entries, refused = zip_entries(stack.enter_context(open_zip(path)))
        found = _classed(_without_common(entries), path.name, loose_and_classes=True)
        return found._replace(refused=(*refused, *found.refused))
    return _Listed([_Named(path.name, "", _decoding(Entry(path.name, lambda: _bytes(path))))])


def _path(said: ImageSource, uploads: Uploads | None) -> Path:
    """Where the file or folder of a source lies.

    Raises:
        ImageError: if it is an upload that is not here.
    """
    if said.kind != "upload":
        return Path(said.place)
    files = () if uploads is None else uploads(said.place)
    if len(files) != 1:
        raise ImageError(
            f"expected the uploaded file {said.place[:12]!a}, it is not here; upload it on the Images view, "
            "or name it on the command line with --upload FILE"
        )
    return files[0]


def _inside(folder: Path) -> Iterator[Path]:
    """The pictures and the table of a folder, sorted; nothing hidden, nor in a hidden folder."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        known = path.suffix.lower() in SUFFIXES or (len(inside) == 1 and path.name.lower() == "labels.csv")
        if known and not any(part.startswith(".") for part in inside) and path.is_file():
            yield path


def _on_disk(root: Path, path: Path) -> Entry:
    return Entry(path.relative_to(root).as_posix(), lambda: _bytes(path))


def _bytes(path: Path) -> bytes:
    """What a file holds.

    Raises:
        ImageError: if it cannot be opened, or is too large.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ImageError(
                f"expected at most {MOST_BYTES >> 20} MB, {short_name(path.name)} has more; save it smaller"
            )
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"expected an image, cannot open {short_name(path.name)}; check it") from error


def _without_common(entries: Sequence[Entry]) -> list[Entry]:
    """The entries without the folders that all of them lie in, as an archive of one folder has."""
    left = list(entries)
    while (
        left and all("/" in entry.name for entry in left) and len({entry.name.partition("/")[0] for entry in left}) == 1
    ):
        left = [Entry(entry.name.partition("/")[2], entry.read) for entry in left]
    return left


def _classed(entries: Sequence[Entry], where: str, *, loose_and_classes: bool) -> _Listed:
    """Pictures with their classes: from a table where there is one, else from the folders that they lie in.

    Raises:
        ImageError: if there are pictures both in a folder itself and in its subfolders, and no table.
    """
    refused = []
    table: dict[str, str] | None = None
    for entry in (each for each in entries if each.name.lower().endswith(".csv")):
        try:
            table = {**(table or {}), **read_table(entry.read(), entry.name)}
        except ImageError as error:
            refused.append(Refused(entry.name, str(error)))
    pictures = [entry for entry in entries if not entry.name.lower().endswith(".csv")]
    if table is not None:
        return _Listed(
            [_Named(each.name, class_in_table(table, each.name), _decoding(each)) for each in pictures], refused
        )
    loose = [each for each in pictures if "/" not in each.name]
    if loose and len(loose) < len(pictures):
        if not loose_and_classes:
            raise ImageError(
                f"expected images either in {short_name(where)} itself or in one subfolder per class, got both; "
                "move them into the subfolders"
            )
        refused += [
            Refused(
                each.name, f"expected pictures in one folder per class, {short_name(each.name)} is in none; move it"
            )
            for each in loose
        ]
        pictures = [each for each in pictures if "/" in each.name]
        loose = []
    folders = [each.name.partition("/")[0] if not loose else "" for each in pictures]
    named = [_Named(each.name, label, _decoding(each)) for each, label in zip(pictures, folders, strict=True)]
    return _Listed(named, refused)


def _decoding(entry: Entry) -> Callable[[Fit], Picture]:
    return lambda fit: read_picture(entry.read(), entry.name, fit)


def _fitting(make: Callable[[], np.ndarray]) -> Callable[[Fit], Picture]:
    return lambda fit: fitted_array(make(), fit)


def _of_arrays(arrays: Arrays) -> _Listed:
    files = [
        _Named(name, arrays.labels[row], _fitting(partial(arrays.picture, row)))
        for row, name in enumerate(arrays.names)
    ]
    return _Listed(files, (), arrays.class_names, arrays.partners)


# -- classes and partners ---------------------------------------------------------------------------------------------


def _classes(labels: Sequence[str], said: ImageSource, own: tuple[str, ...]) -> tuple[list[int], tuple[str, ...]]:
    """The number of each picture's class (-1 where it is not known), and what the classes are called.

    Classes that are all whole numbers keep their numbers; words are counted in the order of `classes`, or of the
    alphabet.

    Raises:
        ImageError: if a picture has a class that `classes` does not name.
    """
    known = sorted({label for label in labels if label})
    if not said.labelled or not known:
        return [-1] * len(labels), ()
    given = said.classes or own
    if all(label.isascii() and label.isdecimal() and len(label) < 7 for label in known):
        numbers = [int(label) if label else -1 for label in labels]
        count = max(numbers) + 1
        if count > MOST_CLASSES or (given and count > len(given)):
            most = len(given) or MOST_CLASSES
            raise ImageError(
                f"expected classes below {most:,}, got {count - 1:,}; name every class, or mend the numbers"
            )
        return numbers, given or tuple(f"class {number}" for number in range(count))
    order = given or tuple(known)
    missing = next((label for label in known if label not in order), None)
    if missing is not None:
        raise ImageError(f"expected classes out of {'/'.join(order)[:200]}, got {missing[:40]!a}; name it too")
    place = {word: number for number, word in enumerate(order)}
    return [place[label] if label else -1 for label in labels], order


def _partners(names: Sequence[str], listed: _Listed) -> tuple[int, ...]:
    """The row of each picture's partner among those that were kept, -1 where it was not; empty without pairs."""
    if not listed.partners:
        return ()
    place = {name: row for row, name in enumerate(names)}
    partner = {file.name: listed.files[other].name for file, other in zip(listed.files, listed.partners, strict=True)}
    return tuple(place.get(partner[name], -1) for name in names)
