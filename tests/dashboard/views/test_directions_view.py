"""The view of shared directions: curves and pictures, noise and models on demand, networks of kinks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import facts, healthy

Settle = Lens = Callable[..., AppTest]
QUICK = {"count": 2, "directions": 2}


@pytest.fixture
def app(lens: Lens) -> AppTest:
    """The view, with few images."""
    return lens(
        "directions",
        ("demo:digits/standard",),
        shared_directions={**QUICK, "noise": 1},
        direction_noise={**QUICK, "draws": 2, "lengths": (1.0, 4.0)},
        direction_overlap=QUICK,
    )


def test_directions_are_drawn_and_more_is_there_on_demand(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    assert app.title[0].value == "Shared directions"
    assert [element.value for element in app.subheader] == ["What noise along them flips", "Between models"]
    assert len(app.get("plotly_chart")) == 1
    words = facts(app)
    for name in ("largest mean curvature", "other images", "uniform noise", "sign of the mean returns", "products"):
        assert name in words
    assert "scale of the differences" not in words
    assert dict(app.query_params)["count"] == "2"
    app.button(key="ask:direction_noise").click()
    healthy(settle(app))
    app.button(key="ask:direction_overlap").click()
    healthy(settle(app))
    assert len(app.get("plotly_chart")) == 3
    captions = " ".join(caption.value for caption in app.caption)
    assert "Share of 2 draws of noise" in captions
    assert "Principal angles between the spans" in captions  # of one model with itself
    app.segmented_control(key="shared_directions:show").set_value("pictures")
    healthy(settle(app))
    assert any("grey is 0" in caption.value for caption in app.caption)


def test_two_models_stand_side_by_side_and_kinks_state_their_scale(app: AppTest, settle: Settle) -> None:
    app.session_state["models"] = ("demo:photos/standard", "demo:photos/relu")
    app.session_state["images"] = "demo:photos"
    app.session_state["asked"] = ("direction_overlap",)
    healthy(settle(app))
    assert any("Share of the row's 2 shared directions" in caption.value for caption in app.caption)
    assert any(element.value == "**photos/relu**" for element in app.markdown)
    assert facts(app).count("scale of the differences") == 1
    assert any("A network of kinks" in caption.value for caption in app.caption)
