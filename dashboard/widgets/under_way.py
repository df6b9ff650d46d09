"""Progress of a picture, with a button to stop or resume it; and the pictures of several models side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import streamlit as st

from dashboard.state import session
from dashboard.state.session import Outcome
from dashboard.viewer.viewer import Busy

R = TypeVar("R")
T = TypeVar("T")


def progress_words(outcome: Outcome, what: str) -> Busy | None:
    """The progress line under a picture while it is computed; None if nothing is running.

    Args:
        outcome: the results so far.
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
    """A progress bar while something runs; if it was stopped before its first picture, a line saying so.

    Args:
        outcome: the results so far.
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
    """A cancel button while something is computed, and a button to resume it after it was stopped.

    Args:
        outcome: the results so far.
        name: tells it from the page's own buttons, if it belongs to a further picture.
    """
    if outcome.waiting:
        st.button("Cancel", key=f"cancel{name}", on_click=session.cancel, args=(outcome,))
    elif outcome.cancelled:
        st.button("Stopped here. Go on", key=f"resume{name}", on_click=session.resume)


def model_name(source: str) -> None:
    """The name of a model above what belongs to it, where several are shown."""
    if len(session.models()) > 1:
        st.markdown(f"**{session.classifier(source).name}**")


def per_model(pictures: Iterable[tuple[str, R]], draw: Callable[[int, str, R], T]) -> list[T]:
    """One column per model under its name.

    Args:
        pictures: a source and its result for each model.
        draw: draws one picture, given its number, the source and the result.

    Returns:
        What `draw` returned for each.
    """
    shown, drawn = list(pictures), []
    columns = st.columns(len(shown)) if len(shown) > 1 else [st.container()]
    for place, (column, (source, result)) in enumerate(zip(columns, shown, strict=True)):
        with column:
            model_name(source)
            drawn.append(draw(place, source, result))
    return drawn


def side_by_side(
    outcome: Outcome,
    what: str,
    pictures: Iterable[tuple[str, Any]],
    draw: Callable[[int, str, Any], T],
    name: str = "",
) -> list[T]:
    """One column per model: its progress until a first result is there, then its picture; below, a way to stop.

    Args:
        outcome: the results so far.
        what: the size of the work, e.g. "512 x 512".
        pictures: a source and its result for each model, None where there is none yet.
        draw: draws one picture, given its number, the source and the result.
        name: tells the cancel button from the page's own, see `stop_or_resume`.

    Returns:
        What `draw` returned for each picture that is there.
    """

    def draw_or_wait(place: int, source: str, result: Any) -> T | None:
        if result is None:
            progress(outcome, what)
            return None
        return draw(place, source, result)

    drawn = per_model(pictures, draw_or_wait)
    stop_or_resume(outcome, name)
    return [each for each in drawn if each is not None]
