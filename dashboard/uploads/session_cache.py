"""What sessions brought, loaded: kept in memory while there is room, for each session by itself.

A server's memory is shared by all its sessions, so what they load is bounded together. What was used longest ago goes
first; its file stays, and is read again when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from core.runtime.cache import LRU

T = TypeVar("T")

MOST_BYTES = 4 << 30  # of all sessions together


@cache
def _shared() -> LRU[tuple[str, str], Any]:
    return LRU(MOST_BYTES)


def loaded(session: str, name: str, load: Callable[[], T], size_of: Callable[[T], int]) -> T:
    """A session's thing of a name, loaded unless it is in memory.

    Args:
        session: the token of the session; another session's things are never returned.
        name: of the thing, in that session.
        load: makes it; if it raises, nothing is kept.
        size_of: its size in bytes.

    Returns:
        The thing itself; read-only.
    """
    return cast(T, _shared().fetch((session, name), load, size_of))


def unload(session: str) -> None:
    """Drop everything that a session has loaded."""
    _shared().drop(lambda key: key[0] == session)
