"""The view of corruptions: a walk, the image at one severity, the lab, sets when asked for, the way to a slice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import facts, healthy, press, words

Settle = Lens = Callable[..., AppTest]


@pytest.fixture
def app(lens: Lens) -> AppTest:
    """The view, with few steps and images."""
    return lens(
        "corruptions",
        severity={"steps": 6},
        augmentation={"draws": 1},
        corruption={"corruptions": "fog,contrast", "count": 3},
        noise={"count": 2, "draws": 2},
    )


def test_the_walk_and_the_lab_are_drawn_and_sets_wait_to_be_asked_for(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    assert len(app.get("plotly_chart")) == 2
    assert "Contrast from severity 0 to 5" in words(app)
    assert "PRIME's primitives, drawn anew" in words(app)
    assert "of 4 draws keep the class" in words(app)
    for name in ("signed distance", "another class from severity", "strength", "change"):
        assert name in facts(app)
    assert [button.label for button in app.button if "of the set" in button.label] == [
        "Corrupt 3 images of the set",
        "Forecast noise on 2 images of the set",
    ]
    assert app.query_params["steps"] == "6"
    assert app.query_params["augmentation.draws"] == "1"


def test_the_marked_severity_travels_in_the_link_and_shows_the_image_there(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    assert "0.8 (share lost)" in facts(app)
    app.slider(key="severity:at").set_value(5.0)
    healthy(settle(app))
    assert app.query_params["marked"] == "5.0"
    assert "0.9 (share lost)" in facts(app)
    app.selectbox(key="severity:corruption").set_value("gaussian_blur")
    healthy(settle(app))
    assert app.query_params["corruption"] == "gaussian_blur"
    assert "3 (standard deviation, 1/32 of the side)" in facts(app)
    assert "Gaussian blur from severity 0 to 5" in words(app)


def test_sets_are_computed_when_asked_for_and_the_link_says_so(app: AppTest, settle: Settle) -> None:
    settle(app)
    for label in ("Corrupt 3 images", "Forecast noise on 2 images"):
        press(app, label)
        healthy(settle(app))
    assert app.query_params["also"] == "corruption,noise"
    assert app.query_params["corruption.corruptions"] == "fog,contrast"
    assert len(app.get("plotly_chart")) == 4
    assert "Accuracy on 3 images" in words(app)
    assert "draws of white noise" in words(app)
    app.segmented_control(key="corruption:shown").set_value("distance")
    healthy(settle(app))
    assert app.query_params["corruption.shown"] == "distance"
    assert "Median signed distance of 3 images" in words(app)


def test_settings_of_the_lab_redraw_it(app: AppTest, settle: Settle) -> None:
    settle(app)
    for name in ("spectral", "spatial", "colour", "mix"):
        app.segmented_control(key=f"augmentation:{name}").set_value(0.0)
    healthy(settle(app))
    assert app.query_params["augmentation.mix"] == "0.0"
    assert "4 of 4 draws keep the class of the image itself" in words(app)


def test_two_models_share_the_walk_and_have_a_card_each(app: AppTest, settle: Settle) -> None:
    app.session_state["models"] = ("demo:photos/standard", "demo:photos/standard-1")
    healthy(settle(app))
    assert facts(app).count("signed distance") == 2
    assert "the class each model predicts" in words(app)
    assert len(app.get("plotly_chart")) == 2
    app.segmented_control(key="severity:joined").set_value("seeds")
    healthy(settle(app))
    assert "One line for 2 seeds (photos/standard, photos/standard-1)" in words(app)
    assert app.query_params["joined"] == "seeds"


def test_the_slice_along_a_corruption_is_a_plane_of_slices(app: AppTest, settle: Settle) -> None:
    app.session_state["settings:slice"] = {"resolution": 32}
    app.session_state["settings:profile"] = {"rays": 16}
    settle(app)
    healthy(app.button(key="corruptions:slice").click().run())  # AppTest goes back to its own page with the next run
    assert app.title[0].value == "Slices"
    assert app.session_state["settings:slice"]["u"] == "corruption:contrast"
    assert app.session_state["settings:slice"]["v"] == "adversarial"
    app.switch_page("views/slices.py")
    healthy(settle(app))
    assert app.selectbox(key="slice:u:kind").value == "corruption"
    app.selectbox(key="slice:u:corruption").set_value("fog")
    healthy(settle(app))
    assert app.query_params["u"] == "corruption:fog"
    app.selectbox(key="slice:v:kind").set_value("band:seed")
    healthy(settle(app))
    assert app.query_params["v"] == "band:0,0,0"
    app.number_input(key="slice:v:1").set_value(16)
    healthy(settle(app))
    assert app.query_params["v"] == "band:0,16,0"
    app.selectbox(key="slice:v:kind").set_value("band")
    healthy(settle(app))
    assert app.query_params["v"] == "band:0,0"
