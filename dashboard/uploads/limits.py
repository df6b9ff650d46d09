"""What one server takes from those who use it: sessions, uploads, memory; set once, by `python -m dashboard`.

On one's own machine checkpoints of several GB are welcome. A server that others reach takes less from each, so that
what all of them may hold together fits into its memory.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

MB = 1 << 20
_SPARE = 256  # descriptors of libraries, logs, the listening socket and plain requests
_EACH = 16  # descriptors of one session: 8 connections, an event loop of three, that of a lost one, files that it reads
_CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Limits:
    """Limits of one server.

    Attributes:
        upload: of one uploaded file, in bytes.
        session_uploads: of all uploads of one session that are held at once, in bytes; in memory, and again on disk.
        all_uploads: of all sessions together, in bytes; in memory, and again on disk.
        files: uploads of one session that are held in memory at once.
        sessions: browsers that are connected at once.
        memory: resident bytes from which on the server says that it should be restarted.
        read_only: whether it takes no uploads at all.
    """

    upload: int = 8192 * MB
    session_uploads: int = 16384 * MB
    all_uploads: int = 16384 * MB
    files: int = 6000  # pictures are dropped by the thousand, see `dashboard.uploads.own_images.MOST_FILES`
    sessions: int = 64
    memory: int = 0
    read_only: bool = False


OWN_MACHINE = Limits()
SHARED = Limits(upload=500 * MB, session_uploads=1000 * MB, all_uploads=4000 * MB)
_current = OWN_MACHINE


def use(limits: Limits) -> None:
    """Set the limits of this process; before pages are imported."""
    global _current
    _current = limits


def current() -> Limits:
    """The limits of this process: those of one's own machine where none were set."""
    return _current


def memory_here() -> int:
    """Bytes of memory that this process can have: the machine's, or those of its control group where they are less."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in map(Path, _CONTROL_GROUPS):
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # there is none, or it says "max"
            continue
    return min(found)


def resident_memory() -> int:
    """Bytes of memory that this process has now; where there is no /proc, the most that it ever had."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def descriptors() -> tuple[int, int]:
    """Descriptors that this process has open, and how many it may open."""
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    return len(os.listdir(folder)), resource.getrlimit(resource.RLIMIT_NOFILE)[0]  # noqa: PTH208 - names, no paths


def allow_descriptors(sessions: int) -> None:
    """See that as many sessions can be served as are let in, before any is.

    Raises:
        ValueError: if the system allows too few descriptors for that.
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
