"""The page's address, which holds the recipe, and the address that the browser sends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import streamlit as st

STALE_SECONDS = 4.0  # an outdated request mostly arrives within this time; a user who goes back takes longer
_OWN = "of the page"  # session: the next run was started by a widget or the page, not by the browser's address


def write(link: Mapping[str, str]) -> None:
    """Put a link into the page's address, in place of the previous one."""
    before = st.session_state.get("link")
    if before != link:
        _replaced()[_key(before or {})] = time.monotonic()
    st.session_state["link"] = link
    if dict(st.query_params) != link:
        st.query_params.from_dict(link)


def no_wish() -> None:
    """Ignore replaced links on the next run: a widget or the page starts it, not the browser's address."""
    st.session_state[_OWN] = True


def answered() -> None:
    """The run has come to its end, and the next one may be a person's wish; a run that is cut off asks for another."""
    st.session_state[_OWN] = False


def rerun() -> NoReturn:
    """Rerun the whole page on its own initiative."""
    no_wish()
    st.rerun()


def stale(link: Mapping[str, str]) -> bool:
    """Whether a link is an outdated one that this session replaced.

    A browser sends its address with every request, also with one that is under way while the page writes another
    address. On a busy machine that can take longer than any limit, so runs started by a widget or the page are marked.
    """
    replaced = _replaced().get(_key(link))
    own = st.session_state.get(_OWN, False)
    return replaced is not None and (own or time.monotonic() - replaced < STALE_SECONDS)


def _key(link: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(link.items()))


def _replaced() -> dict[tuple[tuple[str, str], ...], float]:
    """When each of the last links was replaced by another."""
    kept = cast(dict[Any, float], st.session_state.setdefault("replaced", {}))
    while len(kept) > 20:
        del kept[next(iter(kept))]
    return kept
