"""Widgets that show a part of the choice, and the values that a browser sends for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import streamlit as st


def showing(name: str, value: Any, take: Callable[[Any], None]) -> dict[str, Any]:
    """How a widget shows `value` and takes another: under a new key whenever the value was changed elsewhere.

    A browser sends what all its widgets show with every request, also with one on its way while a click elsewhere (on
    a picture, say) changes the same value. Under the same key that would be a wish to have the old value back.

    Args:
        name: of the widget.
        value: what it is to show.
        take: called with what was chosen in it.

    Returns:
        Its `key` and `on_change`; in the session's state the key holds the value.
    """
    times = cast(dict[str, int], st.session_state.setdefault("changed elsewhere", {}))

    def newest() -> str:
        return f"{name} {times[name]}" if name in times else name

    def changed() -> None:
        if key == newest():  # else it is what an older widget showed
            take(st.session_state[key])

    if st.session_state.get(newest(), value) != value:
        times[name] = times.get(name, 0) + 1
    key = newest()
    st.session_state[key] = value
    return {"key": key, "on_change": changed}
