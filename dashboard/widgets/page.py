"""The layout that all views share: the heading, two columns, and the text that explains the view."""

from __future__ import annotations

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
    """Begin the view of an analysis: write its link, title and question, and make two columns.

    Args:
        analysis: the view's first analysis.
        one: width of the left column with one model.
        several: its width with several models.
        narrow: width of the right column.
        explained: whether the view's explanation follows the cards.

    Returns:
        The recipe of the current choice, the left column for pictures, and a container for cards in the right one.
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
    """A view's title and the question it answers."""
    st.title(title)
    st.caption(question)


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
