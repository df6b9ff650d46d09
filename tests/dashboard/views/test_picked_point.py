"""A point that was picked on a slice is asked about in other views, and each of them leads back to the image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import healthy, press, words

Settle = Lens = Callable[..., AppTest]

QUICK = {
    "curvature": {"spectrum": "ends", "keep": 4},
    "curvature_section": {"resolution": 16},
    "level_set": {"steps": 12},
    "level_triangle": {"resolution": 6},
    "local": {"count": 8, "permutations": 9},
    "slice": {"resolution": 64},
}


@pytest.mark.parametrize(
    ("button", "view"),
    [
        ("Find few pixels here", "sparse"),
        ("Curvature here", "curvature"),
        ("Path from here", "regions"),
        ("Walks from here", "level_sets"),
        ("Small changes here", "local"),
    ],
)
def test_a_point_picked_on_a_slice_is_asked_about(lens: Lens, settle: Settle, button: str, view: str) -> None:
    app = lens("slices", ("demo:digits/standard",), (5, 9, 14), **QUICK)
    app.session_state["point"] = (0.3, 0.2)
    healthy(settle(app))
    press(app, button)
    app.run()
    app.switch_page(f"views/{view}.py")  # where the browser goes by itself
    healthy(settle(app))
    assert app.query_params["at"] == "0.3,0.2"
    assert "The point 0.30, 0.20 that was picked" in words(app)
    assert "point 0.30, 0.20" in words(app)
    press(app, "Back to the image itself")
    healthy(settle(app.run()))
    assert "at" not in app.query_params
