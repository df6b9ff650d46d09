"""What is loaded and compiled once for a process: before a page is drawn, or before somebody asks for it."""

from __future__ import annotations

import sys
import threading
from importlib import import_module

from dashboard.work import jobs

_QUIET_SECONDS = 20.0  # after the first page; and again where somebody waits for a job then
_started = threading.Event()


def at_once() -> None:
    """Load what has to be there whole before anything is drawn.

    Plotly uses of pandas whatever another thread has loaded of it so far, and fails where that is half of it.
    """
    import_module("pandas")


def later() -> None:
    """Compile umap-learn once, while no request is waiting; only in a server, which lives long enough."""
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
