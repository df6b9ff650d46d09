"""The local view: the plane, the numbers beside linear maps, several models, what is asked for, a picked point."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.pages import healthy

CHECKOUT = Path(__file__).resolve().parents[3]
Settle = Callable[..., AppTest]
QUICK = {"count": 8, "permutations": 9}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AppTest]:
    """The view of digits, with few directions and a cache of its own."""
    monkeypatch.setenv("BOUNDARY_ATLAS_CACHE", str(tmp_path))
    st.cache_resource.clear()
    app = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=120)
    app.session_state["models"] = ("demo:digits/standard",)
    app.session_state["settings:local"] = dict(QUICK)
    app.session_state["settings:local_layers"] = {"others": 0, "directions": 4}
    app.session_state["settings:local_sweep"] = {"others": 0, "directions": 4}
    app.session_state["settings:local_kinds"] = {"others": 2}
    app.run()
    app.switch_page("views/local.py")
    yield app
    st.cache_resource.clear()


def words(app: AppTest) -> str:
    said = [*(entry.value for entry in app.caption), *(entry.value for entry in app.markdown)]
    return " ".join([*said, *(element.proto.body for element in app.get("html"))])


def test_every_number_stands_beside_linear_maps_and_all_plots_are_there(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    assert app.title[0].value == "Local"
    assert len(app.get("plotly_chart")) == 3
    html = next(element.proto.body for element in app.get("html") if "<table" in element.proto.body)
    head, *rows = [re.findall("<t[hd]>(.*?)</t[hd]>", row) for row in html.split("<tr>")[1:]]
    assert head == ["", "measured", "linearised", "random map"]
    numbers = {(row[0], name): value for row in rows for name, value in zip(head[1:], row[1:], strict=True)}
    assert numbers["its p, by permutations", "random map"] == "–"
    for name, column in (
        ("its p, by permutations", "measured"),
        ("its p, by permutations", "linearised"),
        ("p of that, by permutations", "measured"),
    ):
        assert 0 < float(numbers[name, column]) <= 1
    assert -1 <= float(numbers["Mantel score", "linearised"]) <= 1
    for name in ("at the point", "product of layers, from above", "margin over slope", "rays without another class"):
        assert name in words(app)
    assert app.query_params["count"] == "8"
    for label in ("Follow changes through the layers, 0 more", "Measure at growing radii", "Compare 2 more images"):
        next(button for button in app.button if button.label.startswith(label)).click()
        healthy(settle(app.run()))
    assert len(app.get("plotly_chart")) == 6
    assert app.query_params["also"] == "local_layers,local_sweep,local_kinds"


def test_models_stand_side_by_side_and_laws_change(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    app.multiselect(key="frame:compare").set_value(["demo:digits/adversarial"])
    healthy(settle(app))
    assert "digits/adversarial" in str(app.get("plotly_chart")[0].proto)
    app.segmented_control(key="local:sampler").set_value("subspace")
    healthy(settle(app))
    assert app.query_params["sampler"] == "subspace"
    assert app.number_input(key="local:dimension").value == 8
    app.number_input(key="local:radius").set_value(1e-3)
    healthy(settle(app))
    assert "float64" in words(app)


def test_a_point_of_a_slice_is_asked_about(app: AppTest, settle: Settle) -> None:
    app.session_state["rows"] = (5, 9, 14)
    app.session_state["settings:local"] = {**QUICK, "at": (0.3, 0.2)}
    healthy(settle(app))
    assert "The point 0.30, 0.20 that was picked" in words(app)
    next(button for button in app.button if button.label == "Back to the image itself").click()
    healthy(settle(app.run()))
    assert "at" not in app.query_params
