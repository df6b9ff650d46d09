"""The cache that is bounded in size."""

from __future__ import annotations

import pytest

from core.runtime.cache import LRU


def test_the_least_recently_used_entry_is_dropped_first() -> None:
    cache = LRU[tuple[str, str], str](100)
    made: list[str] = []

    def fetch(owner: str, name: str, size: int = 40) -> str:
        def make() -> str:
            made.append(f"{owner} {name}")
            return made[-1]

        return cache.fetch((owner, name), make, lambda _: size)

    assert (fetch("ada", "x"), fetch("bob", "x")) == ("ada x", "bob x")  # each its own
    fetch("ada", "x")
    assert fetch("cleo", "x") == "cleo x"
    assert cache.size == 80
    fetch("ada", "x")
    assert made == ["ada x", "bob x", "cleo x"]
    assert cache.get(("bob", "x")) is None
    fetch("dan", "huge", 1000)  # more than there is room for: alone, until another comes
    assert cache.size == 1000
    fetch("ada", "y")
    assert cache.size == 40
    cache.drop(lambda key: key[0] == "ada")
    assert cache.size == 0


def test_a_replaced_entry_counts_once() -> None:
    cache = LRU[str, int](2)
    for value in range(5):
        cache.put("a", value)
    assert (cache.get("a"), cache.size) == (4, 1)


def test_failures_are_not_cached() -> None:
    cache = LRU[str, int](2)
    with pytest.raises(ZeroDivisionError):
        cache.fetch("a", lambda: 1 // 0)
    assert cache.get("a") is None
