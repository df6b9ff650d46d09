"""The page's address, which holds the recipe, and what a browser says of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

import streamlit as st

STALE_SECONDS = 4.0  # a request that was on its way comes within this; a person goes back later


def write(link: Mapping[str, str]) -> None:
    """Put a link into the address of the page, in place of the one before."""
    before = st.session_state.get("link")
    if before != link:
        _replaced()[_key(before or {})] = time.monotonic()
    st.session_state["link"] = link
    if dict(st.query_params) != link:
        st.query_params.from_dict(link)


def stale(link: Mapping[str, str]) -> bool:
    """Whether this session replaced a link just now.

    A browser sends its address with every request, also one on its way while the page writes another: that is no wish.
    """
    replaced = _replaced().get(_key(link))
    return replaced is not None and time.monotonic() - replaced < STALE_SECONDS


def _key(link: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(link.items()))


def _replaced() -> dict[tuple[tuple[str, str], ...], float]:
    """When each of the links written lately was replaced by another."""
    kept = cast(dict[Any, float], st.session_state.setdefault("replaced", {}))
    while len(kept) > 20:
        del kept[next(iter(kept))]
    return kept
