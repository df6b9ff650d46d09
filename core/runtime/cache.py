"""A cache in memory of bounded size, usually in bytes. Results on disk: `core.recipes.store`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRU(Generic[K, V]):
    """A thread-safe cache that drops the least recently used entries first.

    Values are shared between callers and must be treated as read-only.

    >>> cache = LRU[str, bytes](5)
    >>> cache.put("a", b"123", 3)
    >>> cache.put("b", b"456", 3)
    >>> cache.get("a") is None, cache.get("b"), cache.size
    (True, b'456', 3)

    Args:
        most: the total size allowed: bytes, or entries where each counts 1. The newest entry stays even if it is
            larger.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """The total size of the entries."""
        with self._lock:
            return self._size()

    def _size(self) -> int:
        return sum(size for _, size in self._entries.values())

    def get(self, key: K) -> V | None:
        """The value of a key, or None; marks it as just used."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: K, value: V, size: int = 1) -> None:
        """Keep a value, and drop the least recently used ones while the total size exceeds the bound."""
        with self._lock:
            self._entries[key] = value, size
            self._entries.move_to_end(key)
            while self._size() > self.most and len(self._entries) > 1:
                self._entries.popitem(last=False)

    def fetch(self, key: K, make: Callable[[], V], size_of: Callable[[V], int] = lambda value: 1) -> V:
        """The value of a key, made if it is not there.

        Args:
            key: of the value.
            make: makes it, outside the lock, so that no other thread waits; if it raises, nothing is kept.
            size_of: the size of a value; 1 by default.
        """
        found = self.get(key)
        if found is None:
            found = make()
            self.put(key, found, size_of(found))
        return found

    def drop(self, belongs: Callable[[K], bool]) -> None:
        """Drop every entry whose key satisfies `belongs`."""
        with self._lock:
            for key in [key for key in self._entries if belongs(key)]:
                del self._entries[key]
