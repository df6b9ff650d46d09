"""The curvature view: tiles, the parts on demand, kinks at a stated scale, two models, and the way from a slice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import facts, healthy, words

QUICK = {"spectrum": "ends", "keep": 4}
Settle = Lens = Callable[..., AppTest]


@pytest.fixture
def app(lens: Lens) -> AppTest:
    """The view of a digit, with few directions."""
    return lens(
        "curvature",
        ("demo:digits/standard",),
        (5,),
        curvature=QUICK,
        curvature_section={"resolution": 16},
        curvature_walk={"steps": 9},
    )


def test_all_curvatures_their_numbers_and_a_section_are_shown(app: AppTest, settle: Settle) -> None:
    app.session_state["settings:curvature"] = {"keep": 4, "spectrum": "ends"}
    healthy(settle(app))
    assert "Both ends alone" in words(app)
    assert "sum of negative" not in facts(app)
    app.button(key="curvature:all").click()
    healthy(settle(app))
    assert "Both ends alone" not in words(app)
    for name in ("curvature x distance below 0.1", "directions that share", "focal test", "products with directions"):
        assert name in facts(app)
    assert "1,023" in facts(app)
    assert "radius of the osculating circle" in facts(app)
    assert "is the convex one" in words(app)
    assert "cut along principal direction -1" in words(app)
    assert len(app.get("plotly_chart")) == 1
    assert [element.value for element in app.subheader] == [
        "Principal directions",
        "Along one direction",
        "Walk along it",
        "Curvature against scale",
    ]


def test_a_direction_is_chosen_walked_along_and_travels_in_the_link(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    app.number_input(key="curvature_section:number").set_value(1)
    app.slider(key="curvature_section:tilt:slider").set_value(60.0)
    app.button(key="ask:curvature_walk").click()
    healthy(settle(app))
    assert "cut along principal direction 1" in words(app)
    assert "(Meusnier)" in words(app)
    assert "From the boundary point along its tangent" in words(app)
    assert app.query_params["curvature_section.number"] == "1"
    assert app.query_params["curvature_section.tilt"] == "60.0"
    assert app.query_params["also"] == "curvature_walk"
    assert "Meusnier&#x27;s factor" in facts(app)
    app.button(key="ask:curvature_scale").click()
    healthy(settle(app))
    assert "Where a line is level" in words(app)
    assert len(app.get("plotly_chart")) == 3


def test_kinks_are_measured_at_a_stated_scale(app: AppTest, settle: Settle) -> None:
    app.session_state["models"] = ("demo:photos/relu",)
    app.session_state["images"] = "demo:photos"
    healthy(settle(app))
    assert "photos/relu: differences of the gradient over h = 0.217 ℓ2, asymmetry" in words(app)
    assert "Where a line is level" in words(app)  # by itself: it is the only result there is
    assert "step h of differences" in facts(app)


def test_kinks_may_be_rounded(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    app.segmented_control(key="curvature:method").set_value("softplus")
    healthy(settle(app))
    assert "kinks rounded with sharpness 10, which keeps the class of 100% of the images" in words(app)
    app.number_input(key="curvature:sharpness").set_value(20.0)
    healthy(settle(app))
    assert app.query_params["sharpness"] == "20.0"


def test_two_models_stand_side_by_side(app: AppTest, settle: Settle) -> None:
    app.session_state["models"] = ("demo:digits/standard", "demo:digits/prime")
    healthy(settle(app))
    [table] = app.dataframe
    assert list(table.value.columns)[1:] == ["digits/standard", "digits/prime"]
    assert "largest residual / largest |k|" in table.value.iloc[:, 0].tolist()
    assert len(app.get("plotly_chart")) == 1
    assert words(app).count("cut along principal direction -1") == 2


def test_a_route_that_is_none_is_said_in_one_sentence(app: AppTest, settle: Settle) -> None:
    app.session_state["models"] = ("demo:photos/relu",)
    app.session_state["images"] = "demo:photos"
    app.session_state["settings:curvature"] = {**QUICK, "method": "exact"}
    settle(app)
    assert not app.exception
    assert any("expected a smooth network, got kinks" in element.value for element in app.error)
