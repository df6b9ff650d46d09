"""The view of margins: maps, a chosen block, the curve, several models, and the way to a slice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import facts, healthy

Settle = Lens = Callable[..., AppTest]
QUICK = {"count": 2, "slides": 0, "block": 16}


@pytest.fixture
def app(lens: Lens) -> AppTest:
    """The view, with few images."""
    return lens("margins", margins=QUICK, margin_curve={"stride": 12})


def test_the_map_and_the_curve_are_drawn_and_say_what_they_took(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    captions = [caption.value for caption in app.caption]
    assert any("3 images in 4 subspaces" in words for words in captions)
    assert any("median distance to the boundary inside each block" in words for words in captions)
    assert any("Line with marks: row 3" in words for words in captions)
    assert any("Click a block" in words for words in captions)
    assert len(app.get("plotly_chart")) == 1
    assert dict(app.query_params)["count"] == "2"


def test_a_chosen_block_shows_its_change_and_the_class_it_reaches(app: AppTest, settle: Settle) -> None:
    app.session_state["settings:margins"] = {**QUICK, "marked": 1}
    healthy(settle(app))
    assert app.query_params["marked"] == "1"
    words = facts(app)
    for name in ("0–15 down, 16–31 across", "reaches", "without a preferred direction", "outside the pixel box"):
        assert name in words
    assert "ℓ2" in words
    assert sum("image + change" in str(element.proto) for element in app.get("image")) == 1
    app.segmented_control(key="margins:over").set_value("patches")
    healthy(settle(app))
    assert any("Click a block" in element.value for element in app.caption)  # that block was one of another map
    app.session_state["settings:margins"] = {**app.session_state["settings:margins"], "marked": 1}
    healthy(settle(app))
    assert "rows 0–15, columns 16–31" in facts(app)


def test_models_are_compared_by_a_ratio(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    app.multiselect(key="frame:compare").set_value(["demo:photos/standard-1"])
    healthy(settle(app))
    assert [element.value for element in app.subheader] == ["Ratio of distances", "From low to high"]
    assert len(app.get("plotly_chart")) == 2
    app.segmented_control(key="margins:colour").set_value("ratio")
    healthy(settle(app))
    assert [element.value for element in app.subheader] == ["From low to high"]
    app.multiselect(key="frame:compare").set_value([])
    healthy(settle(app))
    assert any("median distance" in caption.value for caption in app.caption)


@pytest.mark.parametrize(
    ("block", "marked", "u", "v"),
    [(16, 3, "dct:0,1", "dct:24,24"), (8, 7, "band:0,0", "band:8,24"), (8, 0, "band:0,8", "band:0,0")],
)
def test_a_slice_along_two_bands_is_one_click_away(
    app: AppTest, settle: Settle, block: int, marked: int, u: str, v: str
) -> None:
    app.session_state["settings:margins"] = {**QUICK, "block": block, "marked": marked}
    app.session_state["settings:slice"] = {"resolution": 64}
    healthy(settle(app))
    healthy(app.button(key="margins:slice").click().run())  # one run: AppTest goes back to its own page with the next
    assert app.title[0].value == "Slices"
    assert app.session_state["settings:slice"]["u"] == u
    assert app.session_state["settings:slice"]["v"] == v


@pytest.mark.parametrize(("along", "label"), [("colours", "lightness"), ("components", "the rest")])
def test_curves_along_other_families(app: AppTest, settle: Settle, along: str, label: str) -> None:
    app.session_state["settings:margin_curve"] = {"along": along}
    healthy(settle(app))
    assert label in str(app.get("plotly_chart")[0].proto)
