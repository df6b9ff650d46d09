"""A link that was just replaced is known as such, for a while."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def page() -> None:
    import streamlit as st

    from dashboard.state import address

    for link in ({"a": "1"}, {"a": "2"}, {"a": "2"}):
        address.write(link)
    st.text(" ".join(str(address.stale(link)) for link in ({"a": "1"}, {"a": "2"}, {"a": "3"})))
    address.STALE_SECONDS, kept = -1.0, address.STALE_SECONDS
    st.text(str(address.stale({"a": "1"})))
    address.no_wish()  # a widget was used, or the page wants a run: however long the request was on its way
    st.text(" ".join(str(address.stale({"a": "1"})) for _ in range(2)))  # a run that was cut off, and the next
    address.answered()
    st.text(str(address.stale({"a": "1"})))
    address.STALE_SECONDS = kept


def test_only_a_link_that_was_replaced_just_now_is_stale() -> None:
    app = AppTest.from_function(page).run()
    assert not app.exception
    assert [element.value for element in app.text] == ["True False False", "False", "True True", "False"]
    assert app.query_params["a"] == "2"
