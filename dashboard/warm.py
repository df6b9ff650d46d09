"""What takes seconds once for a process is done before somebody asks for it: umap-learn and walks are compiled."""

from __future__ import annotations

import sys
import threading

from dashboard import jobs

_QUIET_SECONDS = 20.0  # after the first page; and again where somebody waits for a job then
_started = threading.Event()


def later() -> None:
    """Warm up when nobody waits, once; only in a server, which lives long enough."""
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
    from core.geometry import layouts, level_kernels

    level_kernels.warm_up()
    layouts.warm_up()
