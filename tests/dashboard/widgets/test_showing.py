"""A widget has another key once its value was changed elsewhere, and only then."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.pages import widget


def page() -> None:
    import streamlit as st

    from dashboard.widgets.showing import showing

    st.session_state.setdefault("number", 1)

    def take(number: float) -> None:
        st.session_state["number"] = number

    st.number_input("number", **showing("the number", st.session_state["number"], take))


def test_what_a_browser_still_says_of_an_older_widget_is_no_wish() -> None:
    app = AppTest.from_function(page).run()
    first = app.number_input[0]
    first.set_value(2).run()
    assert app.number_input[0].key == first.key == "the number"  # changed by the widget itself
    older = app.number_input[0].set_value(2)
    app.session_state["number"] = 3
    app.run()
    assert widget(app.number_input, "the number").key == "the number 1"
    older.set_value(2).run()  # a request that was on its way
    assert (app.session_state["number"], app.number_input[0].value) == (3, 3)
    app.number_input[0].set_value(2).run()
    assert (app.session_state["number"], app.number_input[0].key) == (2, "the number 1")
