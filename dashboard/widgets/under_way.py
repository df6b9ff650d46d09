"""How far a picture is, and the way to stop it or to go on."""

from __future__ import annotations

import streamlit as st

from dashboard.state import session
from dashboard.state.session import Outcome
from dashboard.viewer.viewer import Busy


def progress_words(outcome: Outcome, what: str) -> Busy | None:
    """The line under a picture while it is computed; None when nothing is under way.

    Args:
        outcome: what is there.
        what: the size of the work, e.g. "512 x 512".
    """
    if not outcome.waiting:
        return None
    job = outcome.waiting[0]
    if job.position:
        return {"text": f"{what}, waiting: {job.position} in the queue", "fraction": 0.0}
    left = job.remaining
    words = f"{what}, {job.fraction:.0%}"
    return {"text": words if left is None else f"{words}, about {max(1, round(left))} s left", "fraction": job.fraction}


def progress(outcome: Outcome, what: str) -> bool:
    """The bar of what is under way; of what was stopped before its first picture, that there is none.

    Args:
        outcome: what is there.
        what: the size of the work, e.g. "512 x 512".

    Returns:
        Whether something is under way.
    """
    busy = progress_words(outcome, what)
    if busy:
        st.progress(busy["fraction"] or 0.0, busy["text"])
    elif any(result is None for result in outcome.results):
        st.caption("No picture yet.")
    return busy is not None


def stop_or_resume(outcome: Outcome, name: str = "") -> None:
    """A cancel button while something is computed, and a way to go on after it was stopped.

    Args:
        outcome: what is there.
        name: tells it from the page's own buttons, where it is about something beside.
    """
    if outcome.waiting:
        st.button("Cancel", key=f"cancel{name}", on_click=session.cancel, args=(outcome,))
    elif outcome.cancelled:
        st.button("Stopped here. Go on", key=f"resume{name}", on_click=session.resume)
