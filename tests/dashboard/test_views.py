"""Every view opens and can be used; what is chosen travels in the link."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.recipe import Recipe
from dashboard import session

CHECKOUT = Path(__file__).resolve().parents[2]
VIEWS = sorted(path.stem for path in (CHECKOUT / "dashboard" / "views").glob("*.py") if path.stem != "__init__")

Settle = Callable[..., AppTest]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AppTest]:
    """The dashboard on its home view, with a cache of its own."""
    monkeypatch.setenv("BOUNDARY_ATLAS_CACHE", str(tmp_path))
    st.cache_resource.clear()
    yield AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=120)
    st.cache_resource.clear()


def opened(app: AppTest, view: str, settle: Settle) -> AppTest:
    app.run()
    app.switch_page(f"views/{view}.py")
    return settle(app)


def healthy(app: AppTest) -> AppTest:
    assert not app.exception, [element.value for element in app.exception]
    assert not app.error, [element.value for element in app.error]
    return app


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens(app: AppTest, view: str, settle: Settle) -> None:
    healthy(opened(app, view, settle))
    assert app.title[0].value
    assert len(app.get("bidi_component")) >= 1


def test_the_slices_view_computes_and_says_what_it_took(app: AppTest, settle: Settle) -> None:
    healthy(opened(app, "slices", settle))
    assert any("forwards" in caption.value for caption in app.caption)
    assert app.query_params["rows"] == "3,17,42"


def test_a_stored_slice_is_shown_without_asking_the_model(
    app: AppTest, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy(opened(app, "slices", settle))
    first = next(caption.value for caption in app.caption if "forwards" in caption.value)
    again = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=120)
    classifier = session.classifier("demo:photos/standard")
    monkeypatch.setattr(classifier.module, "forward", lambda *args: pytest.fail("the model was asked"))
    again.run()  # the home view shows predictions, which are kept as well
    again.switch_page("views/slices.py")
    healthy(again.run())
    assert next(caption.value for caption in again.caption if "forwards" in caption.value) == first


def test_settings_change_the_link_and_the_picture(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    app.segmented_control(key="slice:shading").set_value("entropy")
    healthy(settle(app))
    assert app.query_params["shading"] == "entropy"
    app.segmented_control(key="slice:resolution").set_value(128)
    healthy(settle(app))
    assert app.query_params["resolution"] == "128"
    assert any("16,384 points" in caption.value for caption in app.caption)


def test_a_link_opens_what_it_says(app: AppTest, settle: Settle) -> None:
    recipe = Recipe.make(
        "slice",
        models=["demo:digits/standard"],
        images="demo:digits",
        rows=[1, 2, 3],
        settings={"resolution": 64, "extent": [-2.0, 4.5, -1.25, 5.25], "shading": "margin"},
    )
    for name, value in (recipe.query() | {"point": "1.5,0.25"}).items():
        app.query_params[name] = value
    app.run()
    app.switch_page("views/slices.py")
    for name, value in (recipe.query() | {"point": "1.5,0.25"}).items():
        app.query_params[name] = value
    healthy(settle(app))
    assert dict(app.query_params) == recipe.query() | {"point": "1.5,0.25"}
    assert app.session_state["rows"] == (1, 2, 3)
    assert app.session_state["point"] == (1.5, 0.25)
    assert any("4,096 points" in caption.value for caption in app.caption)


@pytest.mark.parametrize(
    ("wild", "message"),
    [
        ({"models": "demo:no/such", "images": "demo:photos", "rows": "1,2,3"}, "expected one of demo:photos/standard"),
        ({"models": "demo:photos/standard", "images": "demo:photos", "rows": "1,2,9999"}, "expected rows below 540"),
        ({"models": "demo:photos/standard", "images": "demo:photos", "rows": "1,2,3", "shading": "x"}, "shading"),
        ({"models": "demo:photos/standard", "images": "demo:photos", "rows": "1,2,3", "point": "nan,1"}, "point"),
        ({"nonsense": "1"}, "expected"),
    ],
)
def test_a_wild_link_is_told_in_one_sentence_and_nothing_is_lost(
    app: AppTest, settle: Settle, wild: dict[str, str], message: str
) -> None:
    opened(app, "slices", settle)
    app.query_params.clear()
    for name, value in wild.items():
        app.query_params[name] = value
    settle(app)
    assert not app.exception
    assert [message in element.value for element in app.error] == [True]
    assert app.session_state["rows"] == (3, 17, 42)


def test_anchors_on_one_line_are_told_in_one_sentence(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    app.session_state["rows"] = (3, 3, 17)
    settle(app)
    assert not app.exception
    assert any("two that are equal" in element.value for element in app.error)


def test_a_picked_point_shows_the_image_that_lies_there(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    app.session_state["point"] = (1.0, 2.0)
    healthy(settle(app))
    assert app.query_params["point"] == "1.0,2.0"
    words = " ".join(element.proto.body for element in app.get("html"))
    assert "nearest boundary" in words
    assert "outside the pixel box" in words
