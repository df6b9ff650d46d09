"""The regions view: a path, two images of two classes, the component graph on demand, and the way from slices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import facts, healthy, press, words

Settle = Lens = Callable[..., AppTest]


@pytest.fixture
def app(lens: Lens, settle: Settle) -> AppTest:
    """The view of two digits, once its picture is there."""
    return healthy(settle(lens("regions", ("demo:digits/standard",), (5, 9))))


def test_a_path_is_found_and_said_with_its_resolution(app: AppTest) -> None:
    assert "length of the path over the straight one" in facts(app)
    assert "widest gap between samples" in facts(app)
    assert "evidence at this resolution, not a proof" in words(app)
    assert len(app.get("plotly_chart")) == 1


@pytest.mark.parametrize("way", ["Move the second image until it is", "Take the nearest"])
def test_two_classes_are_said_with_two_ways_on(app: AppTest, settle: Settle, way: str) -> None:
    app.query_params["end"] = "image"
    app.query_params["rows"] = "5,9"
    healthy(settle(app.run()))
    assert "no region holds both" in words(app)
    press(app, way)
    healthy(settle(app.run()))
    assert "length of the path over the straight one" in facts(app)
    rows = app.query_params["rows"].split(",")
    assert rows[0] == "5"
    if way.startswith("Move"):
        assert app.query_params["end"] == "relabelled"
        assert rows[1] == "9"
        assert "end moved for its class" in facts(app)
    else:
        assert app.query_params["end"] == "image"
        assert rows[1] != "9"


def test_the_component_graph_is_asked_for_and_fills(app: AppTest, settle: Settle) -> None:
    app.query_params["region_graph.count"] = "4"
    healthy(settle(app.run()))
    press(app, "Join 4 images of")
    healthy(settle(app.run()))
    assert "region_graph" in app.query_params["also"]
    assert "A path was found for 6 of 6 pairs of one class." in words(app)
    assert len(app.get("bidi_component")) >= 2  # the matrix and the graph
