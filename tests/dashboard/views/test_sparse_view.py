"""The sparse view: a perturbation and its pixels, what many images say on demand, and the way from and to slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.pages import healthy

CHECKOUT = Path(__file__).resolve().parents[3]

Settle = Callable[..., AppTest]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settle: Settle) -> Iterator[AppTest]:
    """The sparse view of digits, with a cache of its own."""
    monkeypatch.setenv("BOUNDARY_ATLAS_CACHE", str(tmp_path))
    st.cache_resource.clear()
    app = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=120)
    app.query_params["models"] = "demo:digits/standard"
    app.query_params["rows"] = "5"
    app.run()
    app.switch_page("views/sparse.py")
    app.query_params["models"] = "demo:digits/standard"
    app.query_params["rows"] = "5"
    yield healthy(settle(app))
    st.cache_resource.clear()


def words(app: AppTest) -> str:
    return " ".join([*(entry.value for entry in app.caption), *(entry.value for entry in app.markdown)])


def facts(app: AppTest) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


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
    next(button for button in app.button if button.label == "Find the pixels of 6 images").click()
    healthy(settle(app.run(), timeout=120))
    assert "supports" in app.query_params["also"]
    assert len(app.get("plotly_chart")) >= 2


def test_the_plane_opens_in_slices(app: AppTest, settle: Settle) -> None:
    next(button for button in app.button if button.label == "Open this plane in Slices").click()
    app.run()
    app.switch_page("views/slices.py")  # where the browser goes by itself
    healthy(settle(app))
    assert app.query_params["u"] == "adversarial"
    assert app.query_params["v"] == "sparse"


def test_a_point_picked_on_a_slice_is_asked_about(app: AppTest, settle: Settle) -> None:
    app.switch_page("views/slices.py")
    app.query_params["models"] = "demo:digits/standard"
    app.query_params["rows"] = "5,9,14"
    app.query_params["point"] = "0.3,0.2"
    healthy(settle(app.run()))
    next(button for button in app.button if button.label == "Find few pixels here").click()
    app.run()
    app.switch_page("views/sparse.py")  # where the browser goes by itself
    healthy(settle(app))
    assert app.query_params["at"] == "0.3,0.2"
    assert "The point 0.30, 0.20 that was picked" in words(app)
    next(button for button in app.button if button.label == "Back to the image itself").click()
    healthy(settle(app.run()))
    assert "at" not in app.query_params
