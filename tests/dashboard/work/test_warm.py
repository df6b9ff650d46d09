"""What is loaded before a page is drawn, and what is warmed up: once, in a server only, and when nobody waits."""

from __future__ import annotations

import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

from core.geometry.maps import layout
from dashboard.work import jobs, warm


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

    monkeypatch.setattr(layout, "warm_up", count)
    monkeypatch.setitem(sys.modules, "streamlit.web.bootstrap", types.ModuleType("bootstrap"))
    queue = types.SimpleNamespace(pending=lambda: next(looks))
    monkeypatch.setattr(jobs, "shared", lambda: queue)
    warm.later()
    warm.later()
    assert done.wait(10)
    assert calls == [1]
    assert next(looks, None) is None  # it looked twice: once somebody waited


def test_pandas_is_whole_before_anything_is_drawn(checkout: Path) -> None:
    """Plotly takes half of it for all of it where another thread is still loading it."""
    script = """
import sys
import traceback

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            ours = [frame for frame in traceback.extract_stack() if "dashboard" in frame.filename]
            print("first loaded by", [frame.name for frame in ours])

sys.meta_path.insert(0, Watch())
from streamlit.testing.v1 import AppTest
AppTest.from_file("dashboard/app.py", default_timeout=60).run()
"""
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=checkout, capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert "first loaded by ['<module>', 'at_once']" in said
