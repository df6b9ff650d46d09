"""The frame that all views share: the heading, the columns, and the text that explains what is shown."""

from __future__ import annotations

from functools import cache

import streamlit as st

from core.sources.models import ASSETS


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
