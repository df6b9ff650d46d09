"""The button that copies the page's address: with it, the view that was chosen travels."""

from __future__ import annotations

from pathlib import Path

import streamlit as st


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


_mount = st.components.v2.component(
    "copy_link",
    html=(
        '<button type="button" part="button"><span class="ask">Copy link</span>'
        '<span class="done" aria-hidden="true">Copied</span></button><span class="spoken" role="status"></span>'
    ),
    css=_asset("copy_link.css"),
    js=_asset("copy_link.js"),
)


def copy_link(key: str) -> None:
    """Show a button that copies the address of the page, as it is when pressed, to the clipboard.

    Args:
        key: what the button is known by.
    """
    _mount(key=key, width="content")
