"""The results found last, because zooms, and paths on a map, ask for the same ones again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Recent(Generic[Found]):
    """At most so many results by key, the least recently used dropped first; safe for several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[object, ...], Found] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[object, ...], find: Callable[[], Found]) -> Found:
        """The result kept under a key, or a new one; of a model without a fingerprint (`key[0]`) nothing is kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = find()
        with self._lock:
            if key[0]:
                self._kept[key] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found
