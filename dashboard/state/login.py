"""Login by OIDC through Streamlit, if the server's secrets have an [auth] section; otherwise everybody may enter."""

from __future__ import annotations

import streamlit as st

from dashboard.viewer.words import escape_markdown


def configured() -> bool:
    """Whether this server requires a login."""
    return bool(st.secrets.load_if_toml_exists()) and "auth" in st.secrets


def required() -> None:
    """Stop the page unless the user is logged in; show the user's name with a button to log out."""
    if not configured():
        return
    if not st.user.is_logged_in:
        st.title("Boundary Atlas")
        st.caption("This server asks you to log in.")
        st.button("Log in", key="login", on_click=st.login)
        st.stop()
    with st.sidebar:
        st.caption(escape_markdown(str(st.user.get("email") or st.user.get("name") or "logged in")))
        st.button("Log out", key="logout", on_click=st.logout)
