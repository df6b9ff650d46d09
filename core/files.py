"""Read the start of a file; write files whole or not at all, so that a full disk destroys no older file.

The bytes go to a temporary file in the same folder, are synced, and the file is then renamed. Devices and pipes hold
nothing to lose and are written directly. A link stays a link: the file it leads to is replaced.
"""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import OutputError


def keep_private(folder: Path) -> None:
    """Make a folder that only its owner can open; an existing folder of ours is closed to others.

    A folder for everybody's files, such as the system's temporary one, keeps its permissions.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.stat()
    if (
        os.name == "posix"
        and state.st_mode & 0o077
        and state.st_uid == os.getuid()
        and not state.st_mode & stat.S_ISVTX
    ):
        folder.chmod(0o700)


@contextmanager
def atomic_write(path: Path, *, private: Path | None = None) -> Iterator[Path]:
    """Write a file whole or not at all: to a temporary neighbour, synced, then renamed into place.

    Args:
        path: the file to write, not a link; its folder is made when missing.
        private: a folder above the file; it and all below are readable by their owner only. None: others may read.

    Yields:
        The temporary file to fill.
    """
    if private is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        private.parent.mkdir(parents=True, exist_ok=True)
        for depth in range(len(path.parent.relative_to(private).parts), -1, -1):
            keep_private(path.parents[depth])
    unfinished = path.with_name(f".{uuid.uuid4().hex}.part")  # not mkstemp: others may read the file
    try:
        unfinished.touch(0o666 if private is None else 0o600, exist_ok=False)
        yield unfinished
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def check_place(path: Path | str) -> None:
    """Raise if no file can be written at a path, before anything is computed for it.

    Args:
        path: the file to be written.

    Raises:
        OutputError: if its folder is missing or not writable, or the path is a folder.
    """
    named, real = Path(path), Path(os.path.realpath(path))
    if os.path.isdir(named):  # noqa: PTH112 - `Path` raises for a name that is too long
        raise OutputError(f"expected a file to write, got the folder {str(named)!r}; add a name")
    if _device(named):
        return
    if not os.path.isdir(real.parent):  # noqa: PTH112
        raise OutputError(
            f"expected a folder for {named.name!r}, got {str(real.parent)!r}, which is none; make it first"
        )
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise OutputError(f"expected a folder to write {named.name!r} into, got a closed one; choose another")


def write_whole(path: Path | str, data: bytes) -> None:
    """Write bytes to a file, all of them or none: after a failure the old content is still there.

    Args:
        path: the file to write, or a link to it; its folder must exist.
        data: the bytes.

    Raises:
        OutputError: if the file cannot be written.
    """
    named, real = Path(path), Path(os.path.realpath(path))
    check_place(named)
    try:
        if _device(named):
            named.write_bytes(data)
            return
        with atomic_write(real) as file:
            file.write_bytes(data)
            with suppress(OSError):  # no file yet, or another user's: the new one keeps the usual permissions
                shutil.copymode(real, file)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise OutputError(
            f"expected to write {len(data):,} bytes to {named.name!r}, got {reason!r}; nothing was changed there, free"
            " some space or choose another place"
        ) from error


def _device(path: Path) -> bool:
    """Whether a path exists and is neither a file nor a folder: a pipe, a terminal, /dev/null."""
    # `Path` raises for a name that is too long
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))  # noqa: PTH110, PTH112, PTH113


def read_start(path: Path | str, count: int) -> bytes:
    """The first `count` bytes of a file, or all of a shorter one."""
    with Path(path).open("rb") as file:
        return file.read(count)


def cache_folder() -> Path:
    """The folder for results and measured batch shapes: `BOUNDARY_ATLAS_CACHE`, or the user's cache folder."""
    folder = os.environ.get("BOUNDARY_ATLAS_CACHE")
    if folder:
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boundary-atlas"
