"""Archives of pictures: zips, and the arrays of NPZ files, read without trusting anything they claim.

Nothing is unpacked onto the disk. Names in an archive never become paths; claimed sizes are compared with the file's
before anything is read; arrays are read by their header and never unpickled.
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

MOST_ENTRIES = 50_000  # of a zip; its format changes at 65,535
MOST_UNPACKED = 4 << 30  # bytes of all entries together
_DIRECTORY_BYTES = 16 << 20  # of the list of entries, which is read whole: 320 bytes for each
_FURTHER = 56 + 20  # bytes of the zip64 end record and its locator
_MOST_ARRAY = 2 << 30  # bytes of one array
_HEADER_BYTES = 10_000
_ENCRYPTED, _UTF8 = 1, 1 << 11  # flags of an entry
_UNICODE_PATH = 0x7075  # a field beside the name of an entry
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
        read: returns its bytes; may raise `ImageError`.
    """

    name: str
    read: Callable[[], bytes]


class Refused(NamedTuple):
    """A file that was left out, or a part of it.

    Attributes:
        name: of the file.
        reason: one sentence.
    """

    name: str
    reason: str


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open an archive, if its list of entries has a reasonable size.

    Raises:
        ImageError: if the file is not a zip, is damaged, or holds anything besides.
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
        # zipfile takes the last end record, even one quoted in a comment: it is then given the file up to the true one
        content = None if last == ends[0] else path.read_bytes()[: size - len(tail) + ends[0] + 22]
        opened = zipfile.ZipFile(path if content is None else io.BytesIO(content))
    except _BROKEN as error:
        raise ImageError(f"expected a zip, could not read {name}; it is damaged, pack it again") from error
    found = opened.infolist()
    too_many = sum(entry.compress_size for entry in found) > size  # entries share their bytes
    if too_many or len(found) != entries or sum(entry.file_size for entry in found) > MOST_UNPACKED:
        opened.close()
        raise ImageError(
            f"expected a zip of at most {MOST_UNPACKED >> 30} GB, {name} claims more than it holds; unpack it"
        )
    return opened


def _claimed(tail: bytes, at: int) -> tuple[int, int]:
    """The number of entries that a zip claims, and the bytes of their list.

    Args:
        tail: the last bytes of the file.
        at: position of its end record; a zip64 record before it counts where numbers do not fit, or were not known yet.

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
    """The files of an archive, and those refused before they are read.

    A system's own files are left out silently. With `suffixes`, one sentence reports all other files.

    Args:
        opened: see `open_zip`.
        suffixes: endings of the wanted names; None: all.
        most: bytes of one entry.

    Returns:
        Entries sorted by name, and the refused ones.
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
    """The names of the files in a zip, and the refused ones; runs in `core.runtime.sandbox`.

    Args:
        progress: not called: a list is read at once.
        path: of the zip.
        suffixes: endings of the wanted names.
        most: bytes of one entry.

    Returns:
        Sorted names, and the refused files.

    Raises:
        ImageError: if it is not a zip, or holds anything besides.
    """
    with open_zip(Path(path)) as opened:
        entries, refused = zip_entries(opened, suffixes, most)
        return [entry.name for entry in entries], refused


def content(progress: Callable[[float], None], path: str, entry: str, suffixes: Collection[str], most: int) -> bytes:
    """One file in a zip; runs in `core.runtime.sandbox`.

    Args:
        progress: not called: one file is unpacked in seconds.
        path: of the zip.
        entry: its name, as returned by `inside`.
        suffixes: as for `inside`.
        most: bytes it may have.

    Returns:
        Its bytes.

    Raises:
        ImageError: if it is damaged, or larger than `most`.
    """
    with open_zip(Path(path)) as opened:
        return next(each for each in zip_entries(opened, suffixes, most)[0] if each.name == entry).read()


def _name(info: zipfile.ZipInfo) -> str:
    """The path of an entry inside its archive, as the packer meant it.

    Some packers write UTF-8 without a flag, which zipfile reads as code page 437, and some separate folders by
    backslashes.
    """
    return (_name_in_utf8(info) or info.filename).replace("\\", "/")


def _unicode_path(info: zipfile.ZipInfo) -> str | None:
    """The name in the field that Info-ZIP writes beside a name in another code page; None if it belongs to no name."""
    at, extra = 0, info.extra
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        content = extra[at + 4 : at + 4 + size]
        if kind == _UNICODE_PATH and len(content) > 5 and content[0] == 1 and not info.flag_bits & _UTF8:
            (checksum,) = struct.unpack_from("<I", content, 1)
            if checksum == zlib.crc32(info.orig_filename.encode("cp437")):
                return content[5:].decode("utf-8")
        at += 4 + size
    return None


def _name_in_utf8(info: zipfile.ZipInfo) -> str | None:
    """The name of an entry, if it is in UTF-8; else None, and code page 437 is a guess."""
    try:
        if (beside := _unicode_path(info)) is not None:
            return beside
        return info.filename if info.flag_bits & _UTF8 else info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return None


def guessed_names(opened: zipfile.ZipFile, where: str) -> list[Refused]:
    """A sentence about the names of an archive that may have been misread; none if all are certain.

    Args:
        opened: see `open_zip`.
        where: the name of the archive.
    """
    guessed = [info.filename for info in opened.infolist() if _name_in_utf8(info) is None]
    if not guessed:
        return []
    some = f"{len(guessed):,} names such as {_shown(guessed[0])!a}"
    reason = f"expected names in UTF-8, read {some} by code page 437; if they look wrong, pack the pictures again"
    return [Refused(where, reason)]


def unpacked(opened: zipfile.ZipFile, info: zipfile.ZipInfo, most: int = MOST_BYTES) -> bytes:
    """The bytes of one entry, never more than its claimed size.

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
    """Why an entry must not be read; "" if it may be."""
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
    """Whether a file is a system's and not the owner's, or is hidden and neither a picture nor a table."""
    parts = name.split("/")
    other = is_hidden(name) and ending_of(name) not in _OWN
    return other or parts[-1].startswith("._") or any(part in SYSTEM for part in parts)


def is_hidden(name: str) -> bool:
    """Whether the name of a file or of a folder around it begins with a dot."""
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
    """An array that is not read yet.

    Attributes:
        name: of the array.
        shape: of the array.
        read: returns the array; may raise `ImageError`.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def open_arrays(path: Path, stack: ExitStack) -> tuple[list[Stored], list[Refused]]:
    """The arrays of numbers and text in an NPZ, or the one of an NPY under its file's name; only headers are read.

    Args:
        path: of the file.
        stack: keeps the file open.

    Returns:
        The arrays, and those that are damaged or hold anything but numbers and text.

    Raises:
        ImageError: if the file is not an NPZ as NumPy writes it.
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
    """Shape and values of an array in numpy's format; memory is limited by the file's size, not by its claims.

    Raises:
        ImageError: if it is damaged, or holds objects.
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
