"""The content of a file or folder: its pictures, each with its class, and what is left out, with the reasons.

Classes come from the names of subfolders, from tables of names and classes, or from the arrays of an NPZ.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import numpy as np

from core.errors import ImageError
from core.files import read_start
from core.images.archives import (
    ARCHIVES,
    SYSTEM,
    Entry,
    Refused,
    guessed_names,
    hidden_reason,
    is_hidden,
    of_system,
    open_arrays,
    open_zip,
    zip_entries,
)
from core.images.arrays import Arrays, arrays_of
from core.images.classes import is_missing, key, missing, number_in, whole_numbers
from core.images.files import MOST_BYTES, SUFFIXES, Picture, ending_of, fitted_array, not_read, read_picture, short_name
from core.images.tables import TABLES, classes_in_tables
from core.sources.images import Fit, rows_of

ARRAYS = (".npz", ".npy")


class Named(NamedTuple):
    """A picture that is not read yet.

    Attributes:
        name: of the picture.
        label: its class as text, "" if it has none.
        read: returns the picture; may raise `ImageError`.
    """

    name: str
    label: str
    read: Callable[[Fit], Picture]


class Listed(NamedTuple):
    """The content of a source.

    Attributes:
        files: the pictures to read.
        refused: files that are left out.
        left: ignored parts of files that are used.
        class_names: names of the classes, where the source lists them.
        paired: whether the second half of the pictures are the partners of the first, one by one.
    """

    files: Sequence[Named]
    refused: Sequence[Refused] = ()
    left: Sequence[Refused] = ()
    class_names: tuple[str, ...] = ()
    paired: bool = False


def listed(path: Path, most: int | None, stack: ExitStack, classes: Sequence[str] = ()) -> Listed:
    """The content of a file or folder; an archive stays open as long as the stack.

    Args:
        path: an existing file or folder.
        most: number of pictures to take, spread evenly; None: all.
        stack: closes what is opened.
        classes: names that the source gives to the classes.

    Raises:
        ImageError: if there is nothing to read, or too much.
    """
    name = short_name(path.name)
    try:
        if path.is_dir():
            entries, refused = _inside(path)
            return _chosen(_classed(entries, refused, name, classes, loose_and_classes=False), most, name)
        zipped = read_start(path, 2) == b"PK"
    except OSError as error:  # a folder that may not be listed
        raise ImageError(f"expected an image or a folder of images, cannot open {name}; check it") from error
    if path.suffix.lower() in ARRAYS:
        return _of_arrays(arrays_of(*open_arrays(path, stack), name, classes), most, name)
    if zipped or path.suffix.lower() == ".zip":
        opened = stack.enter_context(open_zip(path))
        entries, refused = zip_entries(opened)
        found = _classed(entries, refused, name, classes, loose_and_classes=True)
        return _chosen(found._replace(left=[*found.left, *guessed_names(opened, name)]), most, name)
    return Listed([Named(path.name, "", _decoding(Entry(path.name, partial(read_bytes, path))))])


def _chosen(found: Listed, most: int | None, name: str) -> Listed:
    return found._replace(files=[found.files[row] for row in rows_of(len(found.files), most, name)])


def fitting(make: Callable[[], np.ndarray]) -> Callable[[Fit], Picture]:
    """A reader of a picture that is an array."""
    return lambda fit: fitted_array(make(), fit)


def _decoding(entry: Entry) -> Callable[[Fit], Picture]:
    return lambda fit: read_picture(entry.read(), entry.name, fit)


def _of_arrays(arrays: Arrays, most: int | None, name: str) -> Listed:
    rows = rows_of(len(arrays), most, name)
    files = [
        Named(arrays.name(row, stack), arrays.label(row), fitting(partial(arrays.picture, row, stack)))
        for stack in range(len(arrays.stacks))
        for row in rows
    ]
    return Listed(files, (), arrays.left, arrays.class_names, len(arrays.stacks) > 1)


# -- files and folders ------------------------------------------------------------------------------------------------


def _inside(folder: Path) -> tuple[list[Entry], list[Refused]]:
    """The files of a folder, sorted, and those that are hidden or broken links; a system's own files are left out."""
    names: list[str] = []
    refused: list[Refused] = []

    def failed(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        name = Path(error.filename).relative_to(folder).as_posix()
        refused.append(Refused(name, f"expected a folder, cannot open {short_name(name)}; check it"))

    for place, folders, files in os.walk(folder, onerror=failed):
        inside = Path(place).relative_to(folder).as_posix()
        start = "" if inside == "." else f"{inside}/"
        folders[:] = [each for each in folders if each not in SYSTEM]
        names += [start + each for each in files if not of_system(start + each)]
        refused += [
            Refused(
                start + each,
                f"expected a folder, {short_name(each)} is a link to one; put the pictures here",
            )
            for each in folders
            if (Path(place) / each).is_symlink()
        ]
    entries = []
    for name in sorted(names, key=lambda each: each.split("/")):
        path = folder / name
        if is_hidden(name):
            refused.append(Refused(name, hidden_reason(name)))
        elif path.is_file():
            entries.append(Entry(name, partial(read_bytes, path)))
        else:
            reason = f"expected a file, {short_name(name)} is a link to nothing, or a device; leave it away"
            refused.append(Refused(name, reason))
    return entries, refused


def read_bytes(path: Path) -> bytes:
    """The bytes of a file.

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


def _classed(
    entries: Sequence[Entry], refused: Sequence[Refused], where: str, classes: Sequence[str], *, loose_and_classes: bool
) -> Listed:
    """Pictures with their classes: from a table that names them, else from the folders that they are in.

    Raises:
        ImageError: if there are pictures both in a folder itself and in its subfolders, and no table.
    """
    pictures = [each for each in entries if ending_of(each.name) in SUFFIXES]
    tables = [each for each in entries if ending_of(each.name) in TABLES]
    others = [each.name for each in entries if ending_of(each.name) not in {*SUFFIXES, *TABLES}]
    refused = [*refused, *(Refused(name, _not_used(name)) for name in others)]
    if loose_and_classes:
        pictures = _without_common(pictures)
    loose = [each for each in pictures if "/" not in each.name]
    folders = len({each.name.partition("/")[0] for each in pictures if "/" in each.name}) > 1
    left: Sequence[Refused] = ()
    class_names: tuple[str, ...] = ()
    if tables and pictures:
        found = classes_in_tables(tables, [each.name for each in pictures], folders=folders, classes=classes)
        refused, left, class_names = [*refused, *found.refused], found.left, found.class_names
        if found.labels is not None:
            return _listed(pictures, found.labels, class_names, Listed((), refused, left), where)
    if loose and len(loose) < len(pictures):
        if not loose_and_classes:
            raise ImageError(
                f"expected images either in {where} itself or in one subfolder per class, got both; move them into the"
                " subfolders"
            )
        reason = "expected pictures in one folder per class, {} is in none; move it"
        refused += [Refused(each.name, reason.format(short_name(each.name))) for each in loose]
        pictures = [each for each in pictures if "/" in each.name]
        loose = []
    labels = ["" if loose else normalize("NFC", each.name.partition("/")[0]) for each in pictures]
    told: list[str] = []
    if all(is_missing(label) or number_in(label) is not None for label in labels):  # among words it is a word
        none, _ = missing(labels, "picture", (*class_names, *classes))
        told = [
            f"expected numbers as names of folders, {each} says that there is none; call it otherwise if it is a class"
            for each in sorted(none - {""})
        ]
        labels = ["" if label in none else label for label in labels]
    alike: dict[int, list[str]] = {}
    for label, number in (whole_numbers(set(labels)) or {}).items():
        if number is not None:
            alike.setdefault(number, []).append(label)
    told += [
        f"expected one folder for each number, {' and '.join(sorted(same))} are both class {number}; rename one if not"
        for number, same in alike.items()
        if len(same) > 1
    ]
    left = [*left, *(Refused(where, each) for each in told)]
    return _listed(pictures, labels, class_names, Listed((), refused, left), where)


def _listed(
    pictures: Sequence[Entry], labels: Sequence[str], class_names: tuple[str, ...], found: Listed, where: str
) -> Listed:
    """Pictures with their classes, and the names of these, if a list has names for all of them."""
    known = {label for label in labels if label}
    numbers, names = whole_numbers(known), Counter(map(key, class_names))
    if numbers is None:
        fit = all(names[key(label)] == 1 for label in known)
    else:
        fit = all(number is None or next(iter(class_names[number:]), "") != "" for number in numbers.values())
    left = found.left
    if class_names and known and not fit:
        came = f"{len(class_names):,} that lack some of theirs"
        reason = f"expected a list of what all classes of the pictures are called, got {came}; it is left aside"
        left = [*left, Refused(where, reason)]
    files = [Named(each.name, label, _decoding(each)) for each, label in zip(pictures, labels, strict=True)]
    return found._replace(files=files, left=left, class_names=class_names if known and fit else ())


def _not_used(name: str) -> str:
    if ending_of(name) in (*ARCHIVES, *ARRAYS):
        return f"expected pictures, {short_name(name)} is an archive among them; use it alone, or unpack it"
    return not_read(name)


def _without_common(entries: Sequence[Entry]) -> list[Entry]:
    """The entries without the folders that are common to all, as in an archive of one folder."""
    folders = [entry.name.split("/")[:-1] for entry in entries]
    if not folders:
        return []
    first, last = min(folders), max(folders)
    common = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    start = sum(len(folder) + 1 for folder, _ in common)
    return [Entry(entry.name[start:], entry.read) for entry in entries]
