"""Widgets that show part of the choice, without taking outdated values from the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import streamlit as st


def showing(name: str, value: Any, take: Callable[[Any], None]) -> dict[str, Any]:
    """The arguments of a widget that shows `value`, under a new key whenever the value was changed elsewhere.

    A browser sends the values of all its widgets with every request, even with one that is under way while a click
    elsewhere (on a picture, say) changes the same value. Under the same key that request would set the old value again.

    Args:
        name: of the widget.
        value: the value to show.
        take: called with the value that the user chose.

    Returns:
        `key` and `on_change` of the widget; the session's state holds the value under the key.
    """
    times = cast(dict[str, int], st.session_state.setdefault("changed elsewhere", {}))

    def newest() -> str:
        return f"{name} {times[name]}" if name in times else name

    def changed() -> None:
        if key == newest():  # else the value of an older widget
            take(st.session_state[key])

    if st.session_state.get(newest(), value) != value:
        times[name] = times.get(name, 0) + 1
    key = newest()
    st.session_state[key] = value
    return {"key": key, "on_change": changed}
