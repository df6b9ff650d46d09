"""How far the reading of a file is, and the way to stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


@contextmanager
def watched(key: str, what: str, on_cancel: Callable[[], None]) -> Iterator[Callable[[float], None]]:
    """A bar and a Cancel button while a file is read, and nothing afterwards.

    The reader runs beside this page and asks every 50 ms. Where somebody cancels, or does something else on the page,
    Streamlit ends this run at that moment, and the reader with it.

    Args:
        key: names the button.
        what: is read, such as "the pictures".
        on_cancel: called in the next run, where somebody cancelled.

    Yields:
        What is called with the fraction done.
    """
    place = st.empty()
    bars: list[DeltaGenerator] = []

    def progress(fraction: float) -> None:
        if not bars:
            with place.container():
                bars.append(st.progress(0.0))
                st.button("Cancel", key=key, on_click=on_cancel)
        bars[0].progress(fraction, f"Reading {what}: {fraction:.0%}")

    yield progress
    place.empty()
