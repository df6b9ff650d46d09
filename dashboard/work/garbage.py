"""Garbage collection that leaves what was imported alone.

Streamlit collects garbage after every run of a page or of a fragment, a few times a second while something is polled.
A collection walks through all objects of the process, most of which belong to imported modules (torch alone brings
hundreds of thousands) and never die, and it holds the interpreter's lock meanwhile, so that computing threads stand
still: beside other load the same work took up to forty times as long.
"""

from __future__ import annotations

import gc
import sys
import threading

_lock = threading.Lock()
_spared = 0  # modules that were there at the last `spare_imports`


def spare_imports() -> None:
    """Let later collections pass over every object that exists now, if modules were imported since the last call.

    Objects are freed all the same when their last reference goes; only cycles that live now and die later would stay,
    and that only as often as modules are imported.
    """
    global _spared
    with _lock:
        if len(sys.modules) > _spared:
            _spared = len(sys.modules)
            gc.collect()
            gc.freeze()
