"""What a session has made of results, for as long as it may be drawn again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar, cast

import streamlit as st

from core.result import Result

T = TypeVar("T")

_MOST = 12  # charts, figures and tables of one session


def kept(what: Hashable, results: Sequence[Result], make: Callable[[], T]) -> T:
    """What is made of results, made once: the last few are kept, because every click draws the page anew.

    Args:
        what: names it.
        results: what it is made of.
        make: makes it.

    Returns:
        The thing itself; read-only.
    """
    shelf = cast(OrderedDict[Any, Any], st.session_state.setdefault("kept", OrderedDict()))
    key = what, tuple(map(id, results))
    if key not in shelf:
        shelf[key] = tuple(results), make()  # the results too: their ids name them only while they live
        while len(shelf) > _MOST:
            shelf.popitem(last=False)
    shelf.move_to_end(key)
    return cast(T, shelf[key][1])
