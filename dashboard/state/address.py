"""The page's address, which holds the recipe, and the address that a browser sends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import streamlit as st

STALE_SECONDS = 4.0  # a request that was on its way mostly comes within this; a person goes back later
_OWN = "of the page"  # session: a run that no change of the browser's address has asked for is on its way


def write(link: Mapping[str, str]) -> None:
    """Put a link into the address of the page, in place of the one before."""
    before = st.session_state.get("link")
    if before != link:
        _replaced()[_key(before or {})] = time.monotonic()
    st.session_state["link"] = link
    st.session_state[_OWN] = False
    if dict(st.query_params) != link:
        st.query_params.from_dict(link)


def no_wish() -> None:
    """Whatever the browser's address, the next run follows no link that was replaced: a widget or the page asked."""
    st.session_state[_OWN] = True


def rerun() -> NoReturn:
    """Run the whole page again, for its own sake."""
    no_wish()
    st.rerun()


def stale(link: Mapping[str, str]) -> bool:
    """Whether this session replaced a link, and that it comes again is no wish; asked once in each run of a page.

    A browser sends its address with every request, also one on its way while the page writes another. On a busy machine
    that takes longer than any limit, so that a run which the page or a widget asked for is known as such.
    """
    replaced = _replaced().get(_key(link))
    own = st.session_state.pop(_OWN, False)
    return replaced is not None and (own or time.monotonic() - replaced < STALE_SECONDS)


def _key(link: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(link.items()))


def _replaced() -> dict[tuple[tuple[str, str], ...], float]:
    """When each of the links written lately was replaced by another."""
    kept = cast(dict[Any, float], st.session_state.setdefault("replaced", {}))
    while len(kept) > 20:
        del kept[next(iter(kept))]
    return kept
