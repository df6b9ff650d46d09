"""Progress of reading a file, with a button to cancel it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


@contextmanager
def watched(key: str, what: str, on_cancel: Callable[[], None]) -> Iterator[Callable[[float], None]]:
    """A progress bar and a Cancel button while a file is read, and nothing afterwards.

    The reader is another process, whose progress is polled every 50 ms. When the user cancels, or uses another widget,
    Streamlit ends this run at the next call, and the reader with it.

    Args:
        key: of the button.
        what: is read, such as "the pictures".
        on_cancel: called in the next run if the user cancelled.

    Yields:
        A function to call with the fraction done.
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
