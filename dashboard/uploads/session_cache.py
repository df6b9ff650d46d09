"""What sessions brought, loaded: kept in memory while there is room, for each session by itself.

A server's memory is one for all its sessions, so that what they load is bounded together. What was used longest ago
goes first; its file stays, and is read again when it is asked for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

T = TypeVar("T")

MOST_BYTES = 4 << 30  # of all sessions together


class Held:
    """Loaded things of all sessions, by session and name.

    Args:
        most_bytes: what they may take together; the newest stays even where it is more.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._things: OrderedDict[tuple[str, str], tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """What is held now, in bytes."""
        with self._lock:
            return sum(size for _, size in self._things.values())

    def get(self, session: str, name: str, load: Callable[[], T], size_of: Callable[[T], int]) -> T:
        """A session's thing of a name, loaded where it is not held.

        Args:
            session: whose it is; nobody else's is ever given.
            name: of the thing, in that session.
            load: makes it; what it raises is raised here, and nothing is held.
            size_of: what it takes, in bytes.

        Returns:
            The thing itself; read-only.
        """
        key = session, name
        with self._lock:
            if key in self._things:
                self._things.move_to_end(key)
                return cast(T, self._things[key][0])
        found = load()  # without the lock: others need not wait for it
        with self._lock:
            self._things[key] = found, size_of(found)
            self._things.move_to_end(key)
            while sum(size for _, size in self._things.values()) > self.most_bytes and len(self._things) > 1:
                self._things.popitem(last=False)
        return found

    def drop(self, session: str) -> None:
        """Let go of all that a session has loaded."""
        with self._lock:
            for key in [key for key in self._things if key[0] == session]:
                del self._things[key]


@cache
def held() -> Held:
    """What this server holds."""
    return Held()
