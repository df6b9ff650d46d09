"""The sparse view: a perturbation and its pixels, what many images say on demand, and the way from and to slices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import facts, healthy, press, words

Settle = Lens = Callable[..., AppTest]


@pytest.fixture
def app(lens: Lens, settle: Settle) -> AppTest:
    """The view of a digit, once its picture is there."""
    return healthy(settle(lens("sparse", ("demo:digits/standard",), (5,))))


def test_a_perturbation_is_found_and_said_in_numbers(app: AppTest) -> None:
    assert "pixels changed" in facts(app)
    assert "Click a pixel" in words(app)
    assert app.query_params["models"] == "demo:digits/standard"


def test_pixels_are_replayed_and_the_place_travels_in_the_link(app: AppTest, settle: Settle) -> None:
    slider = next(entry for entry in app.slider if entry.label == "Pixels used")
    assert slider.value == slider.max >= 1
    slider.set_value(0)
    healthy(settle(app.run()))
    assert app.query_params["used"] == "0"
    again = next(entry for entry in app.slider if entry.label == "Pixels used")
    assert again.value == 0


def test_a_pixel_chosen_in_a_link_shows_its_profile(app: AppTest, settle: Settle) -> None:
    app.query_params["pixel.row"] = "3"
    app.query_params["pixel.column"] = "4"
    app.query_params["also"] = "pixel"
    healthy(settle(app.run()))
    assert "Pixel at row 3, column 4" in words(app)


def test_the_bound_is_a_setting_of_the_search(app: AppTest, settle: Settle) -> None:
    bound = next(entry for entry in app.slider if entry.label.startswith("Bound D"))
    before = facts(app)
    bound.set_value(0.5)
    healthy(settle(app.run()))
    assert app.query_params["bound"] == "0.5"
    assert facts(app) != before


def test_many_images_are_asked_for_and_shown(app: AppTest, settle: Settle) -> None:
    app.query_params["supports.count"] = "6"
    app.query_params["supports.draws"] = "50"
    healthy(settle(app.run()))
    press(app, "Find the pixels of 6 images")
    healthy(settle(app.run(), timeout=120))
    assert "supports" in app.query_params["also"]
    assert len(app.get("plotly_chart")) >= 2


def test_the_plane_opens_in_slices(app: AppTest, settle: Settle) -> None:
    press(app, "Open this plane in Slices")
    app.run()
    app.switch_page("views/slices.py")  # where the browser goes by itself
    healthy(settle(app))
    assert app.query_params["u"] == "adversarial"
    assert app.query_params["v"] == "sparse"
