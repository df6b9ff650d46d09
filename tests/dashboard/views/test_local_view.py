"""The local view: the plane, the numbers beside linear maps, several models, what is asked for, a picked point."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import facts, healthy, press, words

Settle = Lens = Callable[..., AppTest]
QUICK = {"count": 8, "permutations": 9}


@pytest.fixture
def app(lens: Lens) -> AppTest:
    """The view of a digit, with few directions."""
    few = {"others": 0, "directions": 4}
    return lens(
        "local",
        ("demo:digits/standard",),
        local=QUICK,
        local_layers=few,
        local_sweep=few,
        adversarial_comparison={"others": 2},
    )


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
    for name in ("slope at the image", "product of the layers", "margin over the steepest slope", "rays that meet no"):
        assert name in (words(app) + facts(app))
    assert app.query_params["count"] == "8"
    for label in ("Follow changes through the layers, 0 more", "Measure at growing radii", "Compare 2 more images"):
        press(app, label)
        healthy(settle(app.run()))
    assert len(app.get("plotly_chart")) == 6
    assert app.query_params["also"] == "local_layers,local_sweep,adversarial_comparison"


def test_models_stand_side_by_side_and_distributions_change(app: AppTest, settle: Settle) -> None:
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
    assert "float64" in (words(app) + facts(app))
