"""Imported objects are left out of collections, once."""

from __future__ import annotations

import gc
import sys
import types
import weakref

import pytest

from dashboard.work import garbage


@pytest.fixture(autouse=True)
def begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the start of a process; what is passed over stays so, for the tests that follow."""
    monkeypatch.setattr(garbage, "_spared", 0)


class Node:
    def __init__(self) -> None:
        self.other: Node | None = None


def test_what_is_there_is_passed_over_until_more_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    garbage.spare_imports()
    first = gc.get_freeze_count()
    assert first > 10_000
    kept = [Node() for _ in range(100)]
    garbage.spare_imports()
    assert gc.get_freeze_count() <= first  # nothing new was imported: new objects stay with the collector
    monkeypatch.setitem(sys.modules, "just_imported", types.ModuleType("just_imported"))
    garbage.spare_imports()
    assert gc.get_freeze_count() >= first + len(kept)


def test_cycles_made_later_are_still_collected() -> None:
    garbage.spare_imports()
    one, other = Node(), Node()
    one.other, other.other = other, one
    seen = weakref.ref(one)
    del one, other
    gc.collect()
    assert seen() is None
