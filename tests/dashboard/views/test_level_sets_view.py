"""The view of level sets: films, ends, the plane and its picked point, shares, stars, and the way to a slice."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.geometry.level_sets import image_distances
from dashboard.widgets import plane_controls
from tests.pages import healthy, words

Settle = Lens = Callable[..., AppTest]
QUICK = {"steps": 12}


@pytest.fixture
def app(lens: Lens) -> AppTest:
    """The view, with short walks."""
    few = {"count": 3, "directions": 4}
    return lens("level_sets", level_set=QUICK, level_triangle={"resolution": 6}, level_star=few)


def test_walks_their_ends_the_plane_and_the_shares_are_shown(
    app: AppTest, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    healthy(settle(app))
    said = words(app)
    assert "A walk from hubble towards flower" in said
    assert "Targets, where the walks from hubble ended" in said
    assert "Colour: confidence in the source's class" in said
    assert "first model's walk on its level set towards image 17" in said
    assert "Share of the triangle" in said
    (table,) = app.dataframe
    assert table.value.columns.tolist() == ["walk towards", "flower", "rocket"]
    assert "left of the way" in table.value["walk towards"].tolist()
    assert "LPIPS" not in table.value["walk towards"].tolist()
    assert dict(app.query_params)["steps"] == "12"
    app.select_slider(key="level_set:step:slider").set_value(10)
    healthy(settle(app))
    assert app.query_params["step"] == "10"
    app.segmented_control(key="level_set:shown").set_value(2)
    healthy(settle(app))
    assert "towards rocket" in words(app)


def test_a_point_of_the_plane_is_picked_and_belongs_to_slices_too(app: AppTest, settle: Settle) -> None:
    app.session_state["settings:level_triangle"] = {"resolution": 6, "through": "target"}
    app.session_state["settings:slice"] = {
        "plane": "directions",
        "u": "walk:17,equality,5,12",
        "v": "image:17",
        "resolution": 64,
    }
    app.session_state["point"] = (1.0, 0.5)
    healthy(settle(app))
    assert any("Picked point of the plane" in element.value for element in app.markdown)
    healthy(app.button(key="level_sets:slices").click().run())  # one run: AppTest goes back to its own page
    assert app.title[0].value == "Slices"
    assert app.session_state["settings:slice"]["u"] == "walk:17,equality,5,12"
    assert app.session_state["point"] == (1.0, 0.5)


def test_the_plane_of_other_walks_has_other_names_or_none_and_people_judge_where_they_can(
    app: AppTest, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    perceived = SimpleNamespace(eval=lambda: lambda first, second: (first - second).abs().mean((1, 2, 3)))
    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=lambda **options: perceived))
    monkeypatch.setattr(image_distances, "perceptual_missing", lambda: "")
    app.session_state["settings:level_set"] = {**QUICK, "mode": "superlevel", "delta": 0.123}
    healthy(settle(app))
    assert "Drawn for walks with a delta of whole percents: others have no name" in words(app)
    assert "Below a delta of the walks' own a share says nothing" in words(app)
    assert app.dataframe[0].value["walk towards"].tolist()[5:8] == ["l-infinity", "SSIM", "LPIPS"]


def test_walks_start_at_a_point_that_was_picked_and_lead_to_the_targets_that_are_clicked(
    app: AppTest, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks: list[tuple[int, ...]] = []  # AppTest fires no event of a grid
    drawn = plane_controls.targets

    def clicked(chosen: tuple[int, ...], most: int, aim: Callable[[tuple[int, ...]], None]) -> None:
        drawn(chosen, most, aim)
        if clicks:
            aim(clicks.pop())
            st.rerun()

    monkeypatch.setattr(plane_controls, "targets", clicked)
    app.session_state["settings:level_set"] = {**QUICK, "plane": "images", "at": (1.5, 0.25)}
    healthy(settle(app))
    said = words(app)
    assert "The point 1.50, 0.25 that was picked on a slice" in said
    assert "A walk from point 1.50, 0.25 (hubble) towards flower" in said
    assert "Drawn for walks from an image of the set" in said
    assert "how the confidence in the source's class changes on all mixes" in said
    assert app.query_params["at"] == "1.5,0.25"
    app.session_state["settings:slice"] = {"resolution": 64}
    clicks.append((3, 17, 42, 60))
    healthy(settle(app.run()))
    assert app.query_params["rows"] == "3,17,42,60"
    assert app.query_params["at"] == "1.5,0.25"  # the plane is the same
    assert len(app.dataframe[0].value.columns) == 4
    clicks.append((3, 42))
    healthy(settle(app.run()))
    assert "at" not in app.query_params
    assert app.dataframe[0].value.columns.tolist() == ["walk towards", "rocket"]
    assert "Share of the triangle" not in words(app)
    assert "Colour: confidence in the source's class" in words(app)


def test_models_stand_side_by_side_and_the_star_is_asked_for(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    app.multiselect(key="frame:compare").set_value(["demo:photos/adversarial"])
    healthy(settle(app))
    assert "photos/adversarial → rocket" in app.dataframe[0].value.columns.tolist()
    assert "how the confidence in the source's class changes on all mixes" in words(app)
    app.button(key="ask:level_star").click()
    healthy(settle(app))
    star = app.dataframe[-1].value
    assert star["model"].tolist() == ["photos/standard", "photos/adversarial"]
    assert star["ends"].tolist() == ["3", "3"]
    assert star["share of ends seen from the source"].astype(float).between(0, 1).all()
    assert app.query_params["also"] == "level_star"
