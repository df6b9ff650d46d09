"""Estimates how long a slice takes, and gives the first slice of a slow model a coarser grid.

The seconds per image are measured once for each architecture and size, when the model is checked or chosen. Demo models
are small and start with the default grid.
"""

from __future__ import annotations

from typing import cast

import streamlit as st

from core.models.inspection import seconds_per_image
from core.sources.models import Source
from dashboard.state import session

SIDES = (64, 128, 256, 512)  # points per side that a first slice may have
PATIENCE = 30.0  # seconds that a first slice may take by the estimate
_PER_SIDE = 20  # forwards per point of a side, where boundaries are followed: 13 to 23 on the demo models


def of(source: str) -> float:
    """Seconds per image of a model, measured here; 0 for demo models."""
    parsed = Source.parse(source).trained
    if parsed.kind == "demo":
        return 0.0
    known, key = _known(), _key(parsed)
    if key not in known:
        known[key] = min(seconds_per_image(session.classifier(parsed.text())))
    return known[key]


def note(source: str, seconds: float) -> None:
    """Record the seconds per image that the checks of a model measured."""
    _known()[_key(Source.parse(source).trained)] = seconds


def first_side(seconds: float) -> int:
    """Points per side of a model's first slice, given its seconds per image."""
    return next((side for side in reversed(SIDES) if _seconds(seconds, side) <= PATIENCE), SIDES[0])


def words(seconds: float) -> str:
    """One sentence on how long slices of a slow model take; "" if the finest is quick."""
    if first_side(seconds) == SIDES[-1]:
        return ""
    each = ", ".join(f"{_label(_seconds(seconds, side))} at {side} x {side}" for side in SIDES)
    return (
        f"At {1e3 * seconds:.3g} ms per image, as measured here, an adaptive slice takes about {each}; full asks about"
        " every point."
    )


def begin() -> None:
    """Give the first slice of a newly chosen slow model a coarser grid, unless a resolution was chosen by hand."""
    models = session.models()
    if st.session_state.get("pace:models") == models:
        return
    st.session_state["pace:models"] = models
    before, own = session.settings("slice").get("resolution"), st.session_state.get("pace:side")
    if before is not None and before != own:
        return
    side = first_side(max(map(of, models)))
    st.session_state["pace:side"] = chosen = side if side < SIDES[-1] else None
    if chosen != before:
        session.change("slice", resolution=chosen)


def as_said() -> None:
    """Keep the resolution of a link or a file, or the default where it gives none."""
    st.session_state["pace:models"], st.session_state["pace:side"] = session.models(), None


def beside(side: int) -> int:
    """Points per side of a further slice on a view: `side`, or fewer if the model is slow."""
    return min(side, first_side(max(map(of, session.models()))))


def _known() -> dict[str, float]:
    return cast(dict[str, float], st.session_state.setdefault("pace", {}))


def _key(parsed: Source) -> str:
    """What the speed of a model depends on."""
    return " ".join(parsed.options.get(name, "") for name in ("arch", "size")).strip() or parsed.text()


def _seconds(seconds: float, side: int) -> float:
    return seconds * _PER_SIDE * side


def _label(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 100 else f"{seconds / 60:,.0f} min"
