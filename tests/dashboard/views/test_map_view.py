"""The view of maps: the map and its numbers, chosen images, paths, several models, and the way to a slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.recipes.recipe import Recipe
from tests.pages import healthy, words

Settle = Lens = Callable[..., AppTest]
QUICK = {"count": 40, "seeds": 2, "neighbours": 6, "resolution": 8}


@pytest.fixture
def app(lens: Lens) -> AppTest:
    """The view, with few images."""
    return lens("map", ("demo:digits/standard",), map=QUICK)


def test_the_map_is_drawn_with_its_numbers_beside_chance(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    said = words(app)
    assert "UMAP of 40 images by features, what goes into layer 10, 6 neighbours" in said
    assert "laid out by umap-learn" in said
    table = app.dataframe[0].value
    assert table.columns.tolist() == ["of 10 neighbours, or of all pairs", "value", "by chance"]
    assert table["by chance"][0] == "25.6%"  # 10 of 39
    assert 0.3 < float(table["value"][0].rstrip("%")) / 100 <= 1
    assert table["value"].tolist()[-1].endswith("%")  # two seeds were compared
    assert dict(app.query_params)["rows"] == "3,17,42"
    assert "image_scatter" in str([element.proto for element in app.get("bidi_component")])
    app.segmented_control(key="map:space").set_value("divergence")
    app.selectbox(key="map:colour").set_value("curvature")
    healthy(settle(app))
    assert "No curvature was measured." in words(app)
    app.button(key="map:measure").click()
    healthy(settle(app))
    said = words(app)
    assert "of 40 images drawn" in said
    assert app.query_params["curved"] == "40"
    assert app.number_input(key="map:curved").value == 40
    assert "UMAP of 40 images by divergence" in said
    assert "for all pairs, takes 9,360 forwards" in said
    assert "The round trip was not measured" in said


def test_chosen_images_do_not_make_another_map_and_lead_to_their_slice(app: AppTest, settle: Settle) -> None:
    app.session_state["settings:slice"] = {"resolution": 32, "plane": "directions"}
    healthy(settle(app))
    from dashboard.work import jobs

    before = list(jobs.shared()._ended)
    app.session_state["rows"] = tuple(range(10, 30))
    healthy(settle(app))
    assert list(jobs.shared()._ended) == before
    assert "20 images; other views show the first three" in words(app)
    assert dict(app.query_params)["rows"].startswith("10,11,12,13")
    healthy(app.button(key="map:slice").click().run())
    assert app.title[0].value == "Slices"
    assert app.session_state["rows"] == (10, 11, 12)
    assert app.session_state["settings:slice"]["plane"] == "images"


def test_a_path_is_drawn_across_the_map_and_takes_the_plane_of_slices(app: AppTest, settle: Settle) -> None:
    app.session_state["settings:map_path"] = {"steps": 4}
    app.session_state["settings:slice"] = {"plane": "directions", "u": "random:3", "v": "random:4"}
    healthy(settle(app))
    app.button(key="map:path").click()
    healthy(settle(app))
    assert "Squares: gaussian blur, severity 0 to 5, image 3" in words(app)
    assert app.query_params["also"] == "map_path"
    app.segmented_control(key="map_path:kind").set_value("slice")
    healthy(settle(app))
    assert "The plane through A, B and C." in words(app)
    app.button(key="map:plane").click()
    healthy(settle(app))
    assert "at A along random:3 and random:4" in words(app)
    assert app.query_params["map_path.slice_u"] == "random:3"
    app.session_state["settings:level_set"] = {"steps": 7}
    app.session_state["settings:slice"] = {"extent": (0.0, 1.0, 0.0, 1.0)}
    healthy(settle(app))
    app.button(key="map:plane").click()
    healthy(settle(app))
    assert "The plane through A, B and C, the part that Slices was zoomed to." in words(app)
    app.segmented_control(key="map_path:kind").set_value("walk")
    healthy(settle(app))
    assert "level set walk, image 3 towards image 17" in words(app)
    app.button(key="map:walk").click()
    healthy(settle(app))
    assert "equality, delta 0.05, at most 7 steps." in words(app)


def test_a_path_that_comes_while_the_page_is_drawn_is_drawn_across_the_map(
    app: AppTest, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashboard.state import session

    app.session_state["settings:map_path"] = {"steps": 4}
    app.session_state["asked"] = ("map_path",)
    healthy(settle(app))
    said, compute, asked = words(app), session.compute, []
    assert said.count("Squares: gaussian blur") == 2  # of the map, and of the path alone

    def late(made: Recipe, **options: Any) -> session.Outcome:
        there = compute(made, **options)
        asked.append(made.analysis)
        if made.analysis != "map_path" or asked.count("map_path") > 1:
            return there
        job: Any = object()
        return replace(there, results=(None,), waiting=(job,))

    monkeypatch.setattr(session, "compute", late)
    healthy(app.run())
    assert words(app) == said


def test_two_models_have_a_map_each_and_their_numbers_side_by_side(app: AppTest, settle: Settle) -> None:
    app.session_state["models"] = ("demo:digits/standard", "demo:digits/adversarial")
    healthy(settle(app))
    assert words(app).count("UMAP of 40 images") == 2
    assert app.dataframe[0].value.columns.tolist()[1:3] == ["digits/standard", "digits/adversarial"]
    assert app.subheader[0].value == "How faithful are these maps?"


def test_a_layer_that_is_not_there_is_said_to_be(app: AppTest, settle: Settle) -> None:
    app.session_state["settings:map"] = {**QUICK, "layer": "nowhere"}
    settle(app)
    assert not app.exception
    assert any("expected the path of a layer" in element.value for element in app.error)
