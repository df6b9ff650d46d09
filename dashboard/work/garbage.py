"""Garbage collection that skips the objects of imported modules.

Streamlit collects garbage after every run of a page or a fragment, several times a second while a page polls. A
collection visits all objects of the process, most of which belong to imported modules (torch alone has hundreds of
thousands) and never die, and it holds the interpreter's lock, so that computing threads stop: under other load the same
work took up to forty times as long.
"""

from __future__ import annotations

import gc
import sys
import threading

_lock = threading.Lock()
_spared = 0  # number of modules at the last `spare_imports`


def spare_imports() -> None:
    """Let later collections skip every object that exists now, if modules were imported since the last call.

    Objects are still freed with their last reference; only cycles that exist now and die later remain, and that only as
    often as modules are imported.
    """
    global _spared
    with _lock:
        if len(sys.modules) > _spared:
            _spared = len(sys.modules)
            gc.collect()
            gc.freeze()
