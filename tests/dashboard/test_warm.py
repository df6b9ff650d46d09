"""What is warmed up: once, in a server only, and when nobody waits."""

from __future__ import annotations

import sys
import threading
import types

import pytest

from core.geometry import layouts, level_kernels
from dashboard import jobs, warm


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been started, and quiet comes at once."""
    monkeypatch.setattr(warm, "_started", threading.Event())
    monkeypatch.setattr(warm, "_QUIET_SECONDS", 0.02)


def test_a_page_outside_of_a_server_warms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "streamlit.web.bootstrap", raising=False)
    warm.later()
    assert not warm._started.is_set()


def test_a_server_warms_up_once_and_not_while_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    done, calls, looks = threading.Event(), [], iter([["a job"], []])

    def count() -> None:
        calls.append(1)
        done.set()

    monkeypatch.setattr(layouts, "warm_up", count)
    monkeypatch.setattr(level_kernels, "warm_up", lambda: None)
    monkeypatch.setitem(sys.modules, "streamlit.web.bootstrap", types.ModuleType("bootstrap"))
    queue = types.SimpleNamespace(pending=lambda: next(looks))
    monkeypatch.setattr(jobs, "shared", lambda: queue)
    warm.later()
    warm.later()
    assert done.wait(10)
    assert calls == [1]
    assert next(looks, None) is None  # it looked twice: once somebody waited
