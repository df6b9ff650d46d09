"""What a session has made of results, kept while it may be drawn again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar, cast

import streamlit as st

from core.result import Result
from core.runtime.cache import LRU

T = TypeVar("T")

_MOST = 12  # charts, figures and tables of one session


def memo(what: Hashable, results: Sequence[Result], make: Callable[[], T]) -> T:
    """What is made of results, made once: the last few are kept, because every click draws the page anew.

    Args:
        what: names it.
        results: what it is made of.
        make: makes it.

    Returns:
        The thing itself; read-only.
    """
    entries = cast(LRU[Any, tuple[Sequence[Result], Any]], st.session_state.setdefault("memo", LRU(_MOST)))
    key = what, tuple(map(id, results))
    # the results are kept too: their ids name them only while they live
    return cast(T, entries.fetch(key, lambda: (tuple(results), make()))[1])
