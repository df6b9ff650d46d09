"""An uploader that empties itself at once, and lists refused files until the next drop."""

from __future__ import annotations

import streamlit as st

from dashboard.uploads.held_uploads import refused_uploads
from dashboard.uploads.session_uploads import LARGEST
from dashboard.viewer.words import escape_markdown

_ANY_SIZE = 1 << 20  # MB: the server refuses too large files with a reason; a browser would silently omit them
_MOST_SAID = 10


def dropped(label: str, page: str, *, more: str) -> list[tuple[str, bytes]]:
    """An uploader for one or several files.

    Args:
        label: what to drop.
        page: the name of the page, a prefix of keys in the session's state.
        more: the help text.

    Returns:
        Names and bytes, in the run that follows a drop; then a new uploader replaces this one, so that the server frees
        its copy, and a wrong file does not stay next to the right one.
    """
    count = st.session_state.setdefault(f"{page}:uploads", 0)
    files = st.file_uploader(
        f"{label}, at most {LARGEST:,} MB a file",
        accept_multiple_files=True,
        max_upload_size=_ANY_SIZE,
        key=f"{page}:upload:{count}",
        help=more,
    )
    if files:
        st.session_state[f"{page}:uploads"] = count + 1
        st.session_state[f"{page}:not taken"] = refused_uploads()
    refused = st.session_state.get(f"{page}:not taken", [])
    if refused:
        listed = "; ".join(f"{each.name}: {each.reason}" for each in refused[:_MOST_SAID])
        rest = f"; and {len(refused) - _MOST_SAID} more" if len(refused) > _MOST_SAID else ""
        st.warning(escape_markdown(f"{len(refused)} left out. {listed}{rest}"))
    return [(file.name, file.getvalue()) for file in files]
