"""The frame that all views share: the heading, the columns, and the text that explains what is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.analyses.table import TABLE
from core.recipes.recipe import Recipe
from core.sources.models import ASSETS
from dashboard.state import session
from dashboard.viewer.words import LENSES


def lens(
    analysis: str, *, one: int = 640, several: int = 1040, narrow: int = 380, explained: bool = True
) -> tuple[Recipe, DeltaGenerator, DeltaGenerator]:
    """Begin the view of an analysis: its title and question, and two columns; the page's link is written.

    Args:
        analysis: the analysis that the view is about.
        one: width of the left column with one model.
        several: its width with several models.
        narrow: width of the right column.
        explained: whether the explanation of the view stands below the cards.

    Returns:
        The recipe of what is chosen, the wide left column for pictures, and the place for cards in the right one.
    """
    known = TABLE[analysis]
    heading(LENSES[known.view], known.question)
    made = session.recipe(analysis)
    left, right = st.columns([one if len(made.models) == 1 else several, narrow], gap="large")
    above = right.container()
    if explained:
        with right:
            about(known.view)
    return made, left, above


def heading(title: str, question: str) -> None:
    """A view's name and the question it answers."""
    st.title(title)
    st.caption(question)


def cards(*draw: Callable[[], None]) -> None:
    """Draw each of these in a frame of its own."""
    for each in draw:
        with st.container(border=True):
            each()


@cache
def explanation(view: str) -> str:
    """The text "What am I looking at?" of a view, in Markdown, from `assets/about`."""
    return (ASSETS / "about" / f"{view}.md").read_text(encoding="utf-8")


def about(view: str) -> None:
    """Show the explanation of a view.

    Args:
        view: the name of its file.
    """
    with st.expander("What am I looking at?", expanded=True):
        st.markdown(explanation(view))
