"""The button that copies the page's address, which holds the current view."""

from __future__ import annotations

import streamlit as st

from dashboard.viewer.asset import asset

_mount = st.components.v2.component(
    "copy_link",
    html=(
        '<button type="button" part="button"><span class="ask">Copy link</span>'
        '<span class="done" aria-hidden="true">Copied</span></button><span class="spoken" role="status"></span>'
    ),
    css=asset("copy_link.css"),
    js=asset("copy_link.js"),
)


def copy_link(key: str) -> None:
    """Show a button that copies the page's current address to the clipboard.

    Args:
        key: identifies the button.
    """
    _mount(key=key, width="content")
