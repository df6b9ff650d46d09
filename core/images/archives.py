"""Archives of pictures: zips, and the arrays of NPZ files, read without trusting anything they claim.

Nothing is unpacked onto the disk. Names in an archive are words only and never become paths; sizes are compared with
what the file can hold before anything is read; arrays are read by their header and never unpickled.
"""

from __future__ import annotations

import io
import math
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from core.errors import ImageError
from core.images.files import MOST_BYTES, SUFFIXES, ending_of, short_name, zip_ends

MOST_ENTRIES = 50_000  # of a zip, below where its format changes
MOST_UNPACKED = 4 << 30  # bytes of all entries together
_DIRECTORY_BYTES = 16 << 20  # of the list of entries, which is read whole: 320 bytes for each
_FURTHER = 56 + 20  # bytes of the longer end record of large zips, and of what says where it is
_MOST_ARRAY = 2 << 30  # bytes of one array
_HEADER_BYTES = 10_000
_ENCRYPTED, _UTF8 = 1, 1 << 11  # flags of an entry
SYSTEM = ("__MACOSX", "Thumbs.db", "desktop.ini", ".git", ".svn", ".hg", ".Trashes", ".fseventsd", ".Spotlight-V100")
_OWN = (*SUFFIXES, ".csv", ".tsv")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".npz", ".rar", ".7z")
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    LookupError,
)


class Entry(NamedTuple):
    """A file in an archive or a folder.

    Attributes:
        name: its path inside, with `/` between the parts.
        read: gives its bytes; may raise `ImageError`.
    """

    name: str
    read: Callable[[], bytes]


class Refused(NamedTuple):
    """A file that was left out, or of which a part was.

    Attributes:
        name: of the file.
        reason: in one sentence.
    """

    name: str
    reason: str


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open an archive whose list of entries is of reasonable size.

    Raises:
        ImageError: if it is none, or damaged, or more than an archive.
    """
    name = short_name(path.name)
    with path.open("rb") as file:
        start = file.read(4)
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 65_557 - _FURTHER))
        tail = file.read()
    last, ends = tail.rfind(b"PK\x05\x06"), zip_ends(tail)
    if start not in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06") or not (ends or 0 <= last <= len(tail) - 22):
        raise ImageError(f"expected a zip, {name} is none, or cut off; pack it again")
    entries, listed = _claimed(tail, (ends or [last])[0])
    if entries > MOST_ENTRIES or listed > _DIRECTORY_BYTES:
        raise ImageError(f"expected at most {MOST_ENTRIES:,} files in a zip, {name} lists more; take fewer")
    if len(ends) != 1:
        raise ImageError(f"expected a zip and nothing besides, {name} goes on after its end; pack it again")
    try:
        # zipfile takes the last record, even one that a comment only quotes: it is then shown the file up to the end
        content = None if last == ends[0] else path.read_bytes()[: size - len(tail) + ends[0] + 22]
        opened = zipfile.ZipFile(path if content is None else io.BytesIO(content))
    except _BROKEN as error:
        raise ImageError(f"expected a zip, could not read {name}; it is damaged, pack it again") from error
    found = opened.infolist()
    too_many = sum(entry.compress_size for entry in found) > size  # entries that share their bytes
    if too_many or len(found) != entries or sum(entry.file_size for entry in found) > MOST_UNPACKED:
        opened.close()
        raise ImageError(
            f"expected a zip of at most {MOST_UNPACKED >> 30} GB, {name} claims more than it holds; unpack it"
        )
    return opened


def _claimed(tail: bytes, at: int) -> tuple[int, int]:
    """How many entries a zip says that it has, and in how many bytes they are listed.

    Args:
        tail: the last bytes of the file.
        at: where its end record lies; a longer one before it counts where numbers do not fit, or were not known yet.

    Returns:
        Both; -1 entries where the two records contradict each other.
    """
    entries, listed = struct.unpack_from("<HI", tail, at + 10)
    signs = tail[max(0, at - 20) : max(0, at - 16)], tail[max(0, at - _FURTHER) : max(0, at - _FURTHER + 4)]
    if signs != (b"PK\x06\x07", b"PK\x06\x06"):
        return entries, listed
    more, longer = struct.unpack_from("<QQ", tail, at - _FURTHER + 32)
    return more if entries in (0xFFFF, more) and listed in (0xFFFFFFFF, longer) else -1, longer


def zip_entries(
    opened: zipfile.ZipFile, suffixes: Collection[str] | None = None, most: int = MOST_BYTES
) -> tuple[list[Entry], list[Refused]]:
    """The files of an archive, and those that are refused before they are read.

    What a system packs along is neither; where only some endings are wanted, one sentence tells of all others.

    Args:
        opened: see `open_zip`.
        suffixes: endings of the names that are wanted; None: all.
        most: bytes of one entry.

    Returns:
        Entries in the order of their names, and the refused ones.
    """
    entries, refused = [], []
    others: list[str] = []
    seen: set[str] = set()
    for name, info in sorted(((_name(info), info) for info in opened.infolist()), key=itemgetter(0)):
        if name.endswith("/") or of_system(name) or (suffixes is not None and is_hidden(name)):
            others += [] if name.endswith("/") else [name]
            continue
        reason = _reason(info, name) or (hidden_reason(name) if is_hidden(name) else "")
        if name in seen:
            reason = f"expected every name once, {short_name(name)} comes twice; pack the archive again"
        seen.add(name)
        if reason:
            refused.append(Refused(_shown(name), reason))
        elif suffixes is None or ending_of(name) in suffixes:
            entries.append(Entry(name, partial(unpacked, opened, info, most)))
        else:
            others.append(name)
    if suffixes is not None and others:
        few = ", ".join(short_name(name) for name in others[:3])
        reason = f"expected files that end in {'/'.join(suffixes)} and are not hidden, got {len(others):,} more ({few})"
        refused.append(Refused(_shown(others[0]), f"{reason}; rename those that are wanted"))
    return entries, refused


def inside(
    progress: Callable[[float], None], path: str, suffixes: Collection[str], most: int
) -> tuple[list[str], list[Refused]]:
    """The names of the files in a zip, and those that are refused; for a process of its own (`core.runtime.sandbox`).

    Args:
        progress: not called: a list is read at once.
        path: of the zip.
        suffixes: endings of the names that are wanted.
        most: bytes of one entry.

    Returns:
        Names in their order, and the refused ones.

    Raises:
        ImageError: if it is no zip, or more than one.
    """
    with open_zip(Path(path)) as opened:
        entries, refused = zip_entries(opened, suffixes, most)
        return [entry.name for entry in entries], refused


def content(progress: Callable[[float], None], path: str, entry: str, suffixes: Collection[str], most: int) -> bytes:
    """One file in a zip; for a process of its own (`core.runtime.sandbox`).

    Args:
        progress: not called: one file is unpacked in seconds.
        path: of the zip.
        entry: its name, as `inside` gives it.
        suffixes: as for `inside`.
        most: bytes of it.

    Returns:
        Its bytes.

    Raises:
        ImageError: if it is damaged, or larger.
    """
    with open_zip(Path(path)) as opened:
        return next(each for each in zip_entries(opened, suffixes, most)[0] if each.name == entry).read()


def _name(info: zipfile.ZipInfo) -> str:
    """The path of an entry inside its archive, as the packer meant it.

    Some write UTF-8 without saying so, which is then taken for code page 437, and some part folders by backslashes.
    """
    return (info.filename if _guessed(info) else _decoded(info)).replace("\\", "/")


def _decoded(info: zipfile.ZipInfo) -> str:
    return info.filename if info.flag_bits & _UTF8 else info.filename.encode("cp437").decode("utf-8")


def _guessed(info: zipfile.ZipInfo) -> bool:
    """Whether the packer does not say how a name is written, and it is not UTF-8: then code page 437 is a guess."""
    try:
        _decoded(info)
    except UnicodeError:
        return True
    return False


def guessed_names(opened: zipfile.ZipFile, where: str) -> list[Refused]:
    """A sentence about the names of an archive that may have been read wrongly; none where all are sure.

    Args:
        opened: see `open_zip`.
        where: the name of the archive.
    """
    guessed = [info.filename for info in opened.infolist() if _guessed(info)]
    if not guessed:
        return []
    some = f"{len(guessed):,} names such as {_shown(guessed[0])!a}"
    reason = f"expected names in UTF-8, read {some} by code page 437; if they look wrong, pack the pictures again"
    return [Refused(where, reason)]


def unpacked(opened: zipfile.ZipFile, info: zipfile.ZipInfo, most: int = MOST_BYTES) -> bytes:
    """The bytes of one entry, never more than it says of itself.

    Raises:
        ImageError: if it is damaged, or larger than `most`.
    """
    name = short_name(_name(info))
    if info.file_size > most:
        raise ImageError(f"expected at most {most >> 20} MB, {name} has more; save it smaller")
    try:
        with opened.open(info) as file:
            return file.read(info.file_size)
    except _BROKEN as error:
        raise ImageError(
            f"expected a whole file, could not unpack {name}; it is damaged, pack the archive again"
        ) from error


def _reason(info: zipfile.ZipInfo, name: str) -> str:
    """Why an entry is not even read; "" where it may be."""
    short, parts = short_name(name), name.split("/")
    if name.startswith("/") or ".." in parts or (len(name) > 1 and name[1] == ":"):
        return f"expected a name inside the archive, {short} points outside; pack the archive again"
    if not name.isprintable() or len(name) > 1000:
        return f"expected a printable name, {short} has another; rename the file"
    if stat.S_ISLNK(info.external_attr >> 16):
        return f"expected a file, {short} is a link to another one; pack the file itself"
    if info.flag_bits & _ENCRYPTED:
        return f"expected a file without a password, {short} has one; pack it without"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"expected a file stored or deflated, {short} is packed otherwise; pack it as a plain zip"
    if ending_of(name) in ARCHIVES:
        return f"expected pictures, {short} is an archive in an archive; unpack it first"
    return ""


def of_system(name: str) -> bool:
    """Whether a file is none of the owner's: a system packed it along, or it is hidden and no picture or table."""
    parts = name.split("/")
    other = is_hidden(name) and ending_of(name) not in _OWN
    return other or parts[-1].startswith("._") or any(part in SYSTEM for part in parts)


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it lies in, begins with a dot."""
    return any(map(_is_dotted, name.split("/")))


def _is_dotted(part: str) -> bool:
    return part.startswith(".") and part not in (".", "..")


def hidden_reason(name: str) -> str:
    """Why a hidden file is left out."""
    part = next(each for each in name.split("/") if _is_dotted(each))
    return f"expected names that begin with no dot, {short_name(part)} is hidden; rename it to use it"


def _shown(name: str) -> str:
    return name[:120] if name.isprintable() else ascii(name[:120])


# -- arrays -----------------------------------------------------------------------------------------------------------


class Stored(NamedTuple):
    """An array that is still to be read.

    Attributes:
        name: of the array.
        shape: of it.
        read: gives it; may raise `ImageError`.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def open_arrays(path: Path, stack: ExitStack) -> tuple[list[Stored], list[Refused]]:
    """The arrays of numbers and words in an NPZ, or the one of an NPY under its file's name; of each only the header.

    Args:
        path: of the file.
        stack: keeps the file open.

    Returns:
        The arrays, and those that hold something else than numbers and words, or are damaged.

    Raises:
        ImageError: if the file is no NPZ as NumPy writes it.
    """
    members: list[tuple[str, int, Callable[[], Any]]] = []
    if path.suffix.lower() == ".npy":
        members = [(path.stem, path.stat().st_size, partial(path.open, "rb"))]
    else:
        opened = stack.enter_context(open_zip(path))
        for info in opened.infolist():
            name, plain = info.filename, info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            if not name.endswith(".npy") or info.flag_bits & _ENCRYPTED or not plain:
                raise ImageError(f"expected an NPZ as numpy writes it, got {short_name(name)!a} in it; save it again")
            members.append((name[:-4], info.file_size, partial(opened.open, info)))
    if len({name for name, _, _ in members}) < len(members):
        raise ImageError(f"expected every array once in {short_name(path.name)}, one comes twice; save it again")
    found, refused = [], []
    for name, size, member in members:
        try:
            shape, _ = _read(member, size, name, header=True)
            found.append(Stored(name, shape, lambda each=(member, size, name): _read(*each)[1]))  # type: ignore[misc]
        except ImageError as error:
            refused.append(Refused(_shown(name), str(error)))
    return found, refused


def _read(
    member: Callable[[], IO[bytes]], size: int, name: str, header: bool = False
) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and values of an array in numpy's format; memory is taken for what the file holds, whatever it claims.

    Raises:
        ImageError: if it is damaged, or of objects.
    """
    short = short_name(name)
    try:
        with member() as file:
            shape, columns_first, dtype = _header(file, size, short)
            if header:
                return shape, np.empty(0)
            count = math.prod(shape) * dtype.itemsize
            content = file.read(count)
            if len(content) != count or file.read(1):
                raise ImageError(f"expected a whole array, {short} is cut off or goes on after its end; save it again")
    except ImageError:
        raise
    except _BROKEN as error:
        raise ImageError(f"expected an array, could not read {short}; it is damaged, save it again") from error
    return shape, np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if columns_first else "C")


def _header(file: io.BufferedIOBase | IO[bytes], size: int, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and kind of an array.

    Raises:
        ImageError: if they are damaged, of objects, or more than the file holds.
    """
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(file)
        reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, columns_first, dtype = reader(file, max_header_size=_HEADER_BYTES)
    except (SyntaxError, TypeError, MemoryError, RecursionError, *_BROKEN) as error:
        raise ImageError(f"expected an array of numpy, could not read the header of {name}; save it again") from error
    if dtype.kind not in "uifbUS" or dtype.itemsize == 0:
        raise ImageError(f"expected numbers or words in {name}, got {str(dtype)[:30]}; save it without objects")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize > min(size, _MOST_ARRAY):
        raise ImageError(f"expected an array of at most {_MOST_ARRAY >> 30} GB, {name} claims more than it holds")
    return shape, columns_first, dtype
