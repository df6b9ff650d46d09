"""Loads and compiles libraries once per process, before a page is drawn or before a user needs them."""

from __future__ import annotations

import sys
import threading
from importlib import import_module

from dashboard.work import jobs

_QUIET_SECONDS = 20.0  # after the first page; then again while a user waits for a job
_started = threading.Event()


def at_once() -> None:
    """Load pandas before anything is drawn.

    Plotly uses pandas even while another thread is still importing it, and fails on the incomplete module.
    """
    import_module("pandas")


def later() -> None:
    """Compile umap-learn once, while no job is waiting; only in a server, which runs long enough."""
    if "streamlit.web.bootstrap" in sys.modules and not _started.is_set():
        _started.set()
        _wait()


def _wait() -> None:
    timer = threading.Timer(_QUIET_SECONDS, _try)
    timer.daemon = True
    timer.start()


def _try() -> None:
    if jobs.shared().pending():
        _wait()
        return
    from core.geometry.maps import layout

    layout.warm_up()
