"""From a link or a file to the choice: what comes from outside is checked before anything is changed."""

from __future__ import annotations

import math
from typing import Any, cast

import streamlit as st

from core.analyses import TABLE
from core.recipe import Recipe, RecipeError, shown
from dashboard import address
from dashboard.session import (
    MOST_MODELS,
    OF_THE_PLANE,
    Point,
    beside,
    classifier,
    demo_images,
    image_set,
    settings,
)

FARTHEST = 1e6  # of plane coordinates: the limits of `extent` and `at` in the table of analyses


def open_link(view: str) -> None:
    """Set the choice to what the page's link says, if it is new; called before anything is drawn.

    Where a link cannot be followed the choice stays as it was, and `refused` says why.

    Args:
        view: the page that is opened, as the table of analyses names it.
    """
    link = dict(st.query_params)
    analysis = next((name for name, entry in TABLE.items() if entry.view == view), None)
    if analysis is None or not link or link == st.session_state.get("link") or address.stale(link):
        return
    st.session_state["link"] = link
    try:
        _follow(analysis, link)
        st.session_state["refused"] = ""
    except ValueError as error:
        st.session_state["refused"] = f"This link cannot be followed: {error}"


def refused() -> str:
    """Why the last link could not be followed, until something else is chosen; "" where nothing was wrong."""
    return cast(str, st.session_state.get("refused", ""))


def _follow(analysis: str, link: dict[str, str]) -> None:
    """Set the choice to what a link says.

    Raises:
        RecipeError: if anything in the link is not known or out of range.
        ValueError: if a model or image set cannot be loaded, or they do not fit together.
    """
    settings_said = dict(link)
    at = settings_said.pop("point", None)
    others = beside(analysis)
    besides = {other: _settings_of(other, settings_said) for other in others}
    also = tuple(name for name in settings_said.pop("also", "").split(",") if name)
    if not set(also) <= set(others):
        raise RecipeError(f"also: expected some of {', '.join(others)}, got {shown(also)}")
    settings_said.setdefault("images", demo_images(settings_said.get("models", "").split(",")[0]))
    opened = Recipe.from_query(analysis, settings_said)
    opened_at = None if at is None else _point(at)
    _adopt(opened, opened_at)
    for other, said in besides.items():
        st.session_state[f"settings:{other}"] = said
    st.session_state["asked"] = also


def _settings_of(analysis: str, said: dict[str, str]) -> dict[str, Any]:
    """Take the settings of an analysis that is shown beside out of what a link says: `profile.rays`, say.

    Raises:
        RecipeError: if one is out of range.
    """
    known = TABLE[analysis]
    found = {}
    for entry in (*known.parameters, *known.figure_settings):
        text = said.pop(f"{analysis}.{entry.name}", None)
        if text is not None and entry.name not in OF_THE_PLANE:
            found[entry.name] = entry.parse(text)
    return found


def _adopt(opened: Recipe, at: Point | None) -> None:
    """Set the choice to a recipe from outside, which may name no file of this machine.

    Raises:
        RecipeError: if it names something else than demo models and images, too many, or rows beyond the set.
        ValueError: if one cannot be loaded, or they do not fit together.
    """
    foreign = [source for source in (*opened.models, opened.images) if not source.startswith("demo:")]
    if foreign:
        raise RecipeError(f"expected demo models and images, got {shown(foreign[0])}; open it on the command line")
    chosen = tuple(dict.fromkeys(opened.models))
    if len(chosen) > MOST_MODELS:
        raise RecipeError(f"expected at most {MOST_MODELS} models side by side, got {len(chosen)}")
    for source in chosen:
        classifier(source).accept(image_set(opened.images).pixels[:1])
    opened.check_rows(image_set(opened.images))
    st.session_state["models"], st.session_state["images"] = chosen, opened.images
    st.session_state["rows"], st.session_state["point"] = opened.rows, at
    st.session_state[f"settings:{opened.analysis}"] = {**opened.parameters, **opened.figure}


def restore(opened: Recipe) -> None:
    """Set the choice to what a recipe says.

    Raises:
        ValueError: if one of its models or images cannot be loaded.
    """
    start = opened.parameters.get("at")
    _adopt(opened, start if start and any(start) else None)
    first = next(name for name, entry in TABLE.items() if entry.view == opened.definition.view)
    st.session_state["asked"] = (opened.analysis,) if opened.analysis != first else ()
    if opened.analysis != "slice":  # the plane that it lies in is shown too
        plane = {name: opened.parameters[name] for name in ("plane", "u", "v") if name in opened.parameters}
        st.session_state["settings:slice"] = {**settings("slice"), "extent": None, **plane}


def _point(text: str) -> Point:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = math.nan
    if not (abs(x) <= FARTHEST and abs(y) <= FARTHEST):
        raise RecipeError(f"point: expected two numbers x,y, got {text[:40]!r}")
    return x, y
