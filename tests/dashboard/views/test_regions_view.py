"""The regions view: a path, two images of two classes, the component graph on demand, and the way from slices."""

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
    """The regions view of digits, with a cache of its own."""
    monkeypatch.setenv("BOUNDARY_ATLAS_CACHE", str(tmp_path))
    st.cache_resource.clear()
    app = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=120)
    app.query_params["models"] = "demo:digits/standard"
    app.query_params["rows"] = "5,9"
    app.run()
    app.switch_page("views/regions.py")
    app.query_params["models"] = "demo:digits/standard"
    app.query_params["rows"] = "5,9"
    yield healthy(settle(app))
    st.cache_resource.clear()


def words(app: AppTest) -> str:
    return " ".join([*(entry.value for entry in app.caption), *(entry.value for entry in app.markdown)])


def facts(app: AppTest) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label.startswith(label)).click()


def test_a_path_is_found_and_said_with_its_resolution(app: AppTest) -> None:
    assert "times as long as straight" in facts(app)
    assert "samples at most apart" in facts(app)
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
    assert "times as long as straight" in facts(app)
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


def test_a_point_picked_on_a_slice_is_where_the_path_begins(app: AppTest, settle: Settle) -> None:
    app.switch_page("views/slices.py")
    app.query_params["models"] = "demo:digits/standard"
    app.query_params["rows"] = "5,9,14"
    app.query_params["point"] = "0.3,0.2"
    healthy(settle(app.run()))
    press(app, "Path from here")
    app.run()
    app.switch_page("views/regions.py")  # where the browser goes by itself
    healthy(settle(app))
    assert app.query_params["at"] == "0.3,0.2"
    assert "From the point 0.30, 0.20 that was picked" in words(app)
    press(app, "Back to the image itself")
    healthy(settle(app.run()))
    assert "at" not in app.query_params
