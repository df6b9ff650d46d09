"""A cache of loaded uploads, separate for each session.

All sessions share a server's memory, so one bound holds for all of them. The least recently used entry is dropped
first; its file stays and is read again on demand.
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
    """A session's value of a name, loaded unless it is in memory.

    Args:
        session: the token of the session; values of other sessions are never returned.
        name: of the value, in that session.
        load: makes it; if it raises, nothing is kept.
        size_of: its size in bytes.

    Returns:
        The value itself; read-only.
    """
    return cast(T, _shared().fetch((session, name), load, size_of))


def unload(session: str) -> None:
    """Drop all values of a session."""
    _shared().drop(lambda key: key[0] == session)
