"""Limits of a server: sessions, uploads, memory; set once, by `python -m dashboard`.

On the user's own machine checkpoints may have several GB. A shared server accepts less from each session, so that all
of them together fit into its memory.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

MB = 1 << 20
_SPARE = 256  # descriptors of libraries, logs, the listening socket and plain requests
_EACH = 16  # descriptors of a session: 8 connections, an event loop of three, that of a lost one, files being read
_CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Limits:
    """Limits of one server.

    Attributes:
        upload: bytes of one uploaded file.
        session_uploads: bytes of all uploads of one session; in memory, and again on disk.
        all_uploads: bytes of the uploads of all sessions; in memory, and again on disk.
        files: uploads of one session in memory.
        sessions: browsers connected at once.
        memory: resident bytes above which the server asks for a restart.
        read_only: whether it accepts no uploads at all.
    """

    upload: int = 8192 * MB
    session_uploads: int = 16384 * MB
    all_uploads: int = 16384 * MB
    files: int = 6000  # thousands of pictures at once, see `dashboard.uploads.own_images.MOST_FILES`
    sessions: int = 64
    memory: int = 0
    read_only: bool = False


OWN_MACHINE = Limits()
SHARED = Limits(upload=500 * MB, session_uploads=1000 * MB, all_uploads=4000 * MB)
_current = OWN_MACHINE


def use(limits: Limits) -> None:
    """Set the limits of this process; call before pages are imported."""
    global _current
    _current = limits


def current() -> Limits:
    """The limits of this process; by default those of the user's own machine."""
    return _current


def memory_here() -> int:
    """Bytes of memory available to this process: those of the machine, or of its control group if that has less."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in map(Path, _CONTROL_GROUPS):
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(found)


def resident_memory() -> int:
    """Resident bytes of this process; without /proc, its maximum so far."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def descriptors() -> tuple[int, int]:
    """The number of open descriptors of this process, and its limit."""
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    return len(os.listdir(folder)), resource.getrlimit(resource.RLIMIT_NOFILE)[0]  # noqa: PTH208 - names, no paths


def allow_descriptors(sessions: int) -> None:
    """Raise the limit of descriptors to what this number of sessions needs.

    Raises:
        ValueError: if the system allows too few.
    """
    needed = _SPARE + _EACH * sessions
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            most = max(1, (hard - _SPARE) // _EACH)
            raise ValueError(
                f"expected {needed} descriptors for {sessions} sessions, got {hard} at most; "
                f"raise `ulimit -n`, or pass --sessions {most}"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
