"""Every view opens and can be used; what is chosen travels in the link."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.runtime.caching import clear_session_resource_cache
from streamlit.testing.v1 import AppTest

from core.recipes.recipe import Recipe
from core.runtime.progress import OnProgress
from dashboard.state import address, session
from dashboard.work import jobs
from tests.pages import healthy, widget

CHECKOUT = Path(__file__).resolve().parents[3]
TESTED = {
    path.stem.removeprefix("test_").removesuffix("_view") for path in Path(__file__).parent.glob("test_*_view.py")
}
VIEWS = sorted(  # those that no test file of their own opens
    path.stem for path in (CHECKOUT / "dashboard" / "views").glob("*.py") if path.stem not in TESTED | {"__init__"}
)

Settle = Callable[..., AppTest]


@pytest.fixture
def app(dashboard: AppTest) -> AppTest:
    """The dashboard on its home view."""
    return dashboard


def opened(app: AppTest, view: str, settle: Settle) -> AppTest:
    app.run()
    app.switch_page(f"views/{view}.py")
    return settle(app)


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
    widget(app.segmented_control, "slice:resolution").set_value(128)
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


LINK = {"models": "demo:photos/standard", "images": "demo:photos", "rows": "1,2,3"}
CHOSEN = (3, 17, 42)


WILD = [
    (LINK | {"models": "demo:no/such"}, "models: expected one of demo:photos/standard", (1, 2, 3)),
    (LINK | {"models": "net.safetensors"}, "expected demo models and images", (1, 2, 3)),
    (LINK | {"rows": "1,2,9999"}, "rows: expected rows below 540", CHOSEN),
    (LINK | {"rows": "1,2"}, "rows: expected 3 images for slice, got 2", CHOSEN),
    (LINK | {"shading": "x"}, "shading: expected one of", (1, 2, 3)),
    (LINK | {"point": "nan,1"}, "point: expected two numbers", (1, 2, 3)),
    (LINK | {"point": "5e6,0"}, "point: expected two numbers", (1, 2, 3)),
    (LINK | {"images": "demo:digits"}, "images: expected images of n x 3", (1, 2, 3)),
    (LINK | {"images": "/tmp"}, "expected demo models and images", (1, 2, 3)),
    (
        LINK | {"models": ",".join(f"demo:photos/standard{n}" for n in ("", "-1", "-2")) + ",demo:photos/vit"},
        "models: expected at most 3",
        (1, 2, 3),
    ),
    ({"nonsense": "1"}, "expected settings of slice", CHOSEN),
    ({"a": "1", "levels": "x", "point": "1", "also": "x", "dpi": "1e9"}, "; and 2 more", CHOSEN),
]


def test_one_bad_value_of_a_link_is_told_in_one_sentence_and_the_rest_is_followed(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    for wild, message, rows in WILD:
        app.session_state["rows"] = CHOSEN
        app.query_params.clear()
        for name, value in (wild | {"resolution": "64"}).items():
            app.query_params[name] = value
        settle(app)
        assert not app.exception
        assert [message in element.value.replace("\\", "") for element in app.error] == [True], wild
        assert app.session_state["rows"] == rows
        assert app.query_params["resolution"] == "64"
        assert any("4,096 points" in caption.value for caption in app.caption)
        widget(app.segmented_control, "slice:resolution").set_value(128)
        healthy(settle(app))  # told until something else is chosen


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


def test_planes_of_directions_are_cut(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    app.segmented_control(key="slice:plane").set_value("directions")
    settle(app)
    for kind in ("random", "image", "mean", "pca", "dct"):
        app.selectbox(key="slice:v:kind").set_value(kind)
        healthy(settle(app))
        assert dict(app.query_params).get("v", "random").startswith(kind)  # the one it begins with is not written
    app.selectbox(key="slice:v:kind").set_value("gradient")  # alone it is parallel to the other axis
    settle(app)
    assert app.query_params["plane"] == "directions"
    assert not app.exception
    assert any("parallel" in element.value for element in app.error)
    widget(app.selectbox, "slice:v:0").set_value(5)
    healthy(settle(app))
    assert app.query_params["v"] == "gradient:5"


def test_two_models_are_compared(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    app.multiselect(key="frame:compare").set_value(["demo:photos/standard-1"])
    healthy(settle(app))
    assert app.query_params["models"] == "demo:photos/standard,demo:photos/standard-1"
    words = {name for table in app.dataframe for name in table.value.columns}
    assert {"agreement", "mean IoU", "IoU", "gained (ℓ2²)", "regions"} <= words


def test_another_model_brings_its_own_images(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    app.segmented_control(key="frame:family:photos").set_value("digits")
    settle(app)
    app.radio(key="frame:model:digits").set_value("demo:digits/standard")
    healthy(settle(app))
    assert app.query_params["images"] == "demo:digits"
    app.radio(key="frame:model:digits").set_value("demo:digits/flipped")
    healthy(settle(app))
    assert app.query_params["images"] == "demo:digits-flipped"
    widget(app.radio, "frame:images").set_value("demo:digits")
    healthy(settle(app))
    assert app.query_params["images"] == "demo:digits"
    assert app.query_params["models"] == "demo:digits/flipped"


def test_a_wild_extent_is_told_and_the_picture_stays(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    for wild in ("1,2,3", "a,b,c,d", "0,1,0,nan", "0,1,0,1e99", "0,1,0,2", "1,0,1,0"):
        app.text_input(key="slice:extent").set_value(wild)
        app.button(key="slice:extent:set").click()
        healthy(settle(app))
        assert any("extent: expected" in toast.value for toast in app.toast), wild
        assert "extent" not in app.query_params


def test_an_extent_can_be_typed_and_taken_back(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    for typed, written in (("-1, 2, 0, 3", "-1.0,2.0,0.0,3.0"), ("", None)):
        app.text_input(key="slice:extent").set_value(typed)
        app.button(key="slice:extent:set").click()
        healthy(settle(app))
        assert dict(app.query_params).get("extent") == written


def test_a_dropped_file_opens_its_view(app: AppTest, settle: Settle) -> None:
    recipe = Recipe.make(
        "slice",
        models=["demo:digits/standard"],
        images="demo:digits",
        rows=[4],
        settings={"resolution": 32, "plane": "directions", "u": "dct:0,1", "v": "dct:1,0"},
    )
    app.run()
    app.file_uploader[0].set_value(("slice.json", recipe.json().encode(), "application/json"))
    app.run()
    healthy(settle(app))
    assert app.title[0].value == "Slices"
    assert dict(app.query_params) == recipe.query()


def test_a_foreign_file_is_refused_in_one_sentence(app: AppTest) -> None:
    app.run()
    for content in (b"", b"%PDF-1.7 cut", b"{", b'{"recipe": 1, "analysis": "slice"}', b"PK\x03\x04"):
        app.file_uploader[0].set_value(("file.pdf", content, "application/pdf"))
        app.run()
        assert not app.exception
        assert ["cannot be opened" in element.value for element in app.error] == [True], content


def test_a_wild_link_is_still_told_after_the_first_picture_has_come(app: AppTest, settle: Settle) -> None:
    app.switch_page("views/slices.py")
    app.query_params["rows"] = "1,2"
    settle(app)
    assert not app.exception
    assert ["rows: expected 3 images" in element.value for element in app.error] == [True]
    assert any("forwards" in caption.value for caption in app.caption)


def test_contours_at_the_boundary_itself_are_left_to_its_lines(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    app.segmented_control(key="slice:shading").set_value("margin")
    settle(app)
    app.text_input(key="slice:levels").set_value("0,2")
    app.button(key="slice:levels:set").click()
    healthy(settle(app))


def test_a_dropped_profile_opens_at_its_point(app: AppTest, settle: Settle) -> None:
    recipe = Recipe.make(
        "profile",
        models=["demo:photos/standard"],
        images="demo:photos",
        rows=[4],
        settings={"rays": 16, "at": [0.5, -0.25], "plane": "directions", "u": "dct:0,1", "v": "dct:1,0"},
    )
    app.run()
    app.file_uploader[0].set_value(("profile.json", recipe.json().encode(), "application/json"))
    app.run()
    healthy(settle(app))
    assert app.query_params["point"] == "0.5,-0.25"
    assert app.query_params["u"] == "dct:0,1"
    assert app.query_params["plane"] == "directions"


def test_a_link_holds_what_is_shown_beside_the_slice(
    app: AppTest, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "STALE_SECONDS", 0.0)  # it goes back to links that were just replaced
    opened(app, "slices", settle)
    widget(app.number_input, "profile:rays").set_value(48)
    healthy(settle(app))
    link = dict(app.query_params)
    assert link["profile.rays"] == "48"
    widget(app.number_input, "profile:rays").set_value(120)
    healthy(settle(app))
    assert "profile.rays" not in app.query_params
    app.query_params.clear()
    for name, value in {**link, "fragmentation.planes": "2", "fragmentation.resolution": "8"}.items():
        app.query_params[name] = value
    healthy(settle(app))
    assert app.session_state["settings:profile"] == {"rays": 48}
    assert widget(app.number_input, "profile:rays").value == 48
    app.button[[button.label for button in app.button].index("Count regions on 2 random planes")].click()
    healthy(settle(app))
    asked = dict(app.query_params)
    assert asked == {**link, "fragmentation.planes": "2", "fragmentation.resolution": "8", "also": "fragmentation"}
    assert any("2 planes through three random images" in caption.value for caption in app.caption)
    app.multiselect(key="frame:compare").set_value(["demo:photos/standard-1"])
    healthy(settle(app))
    assert "also" not in app.query_params  # of other models it is asked for again
    app.query_params.clear()
    for name, value in asked.items():
        app.query_params[name] = value
    healthy(settle(app))
    assert dict(app.query_params) == asked
    assert any("2 planes through three random images" in caption.value for caption in app.caption)


def test_what_a_link_says_beside_the_slice_is_checked(app: AppTest, settle: Settle) -> None:
    opened(app, "slices", settle)
    for wild, message in (
        ({"profile.rays": "3"}, "rays: expected a number from 8 to 1440"),
        ({"also": "slice"}, "also: expected some of profile"),
        ({"nothing.rays": "3"}, "expected settings of slice"),
        ({"profile.at": "1,2"}, ""),
    ):
        for name, value in wild.items():
            app.query_params[name] = value
        settle(app)
        assert not app.exception
        told = [element.value.replace("\\", "") for element in app.error]
        assert [message in words for words in told] == ([True] if message else [])
        assert not set(wild) & set(app.query_params) or message


def test_a_dropped_count_of_regions_is_shown(app: AppTest, settle: Settle) -> None:
    recipe = Recipe.make(
        "fragmentation",
        models=["demo:digits/standard"],
        images="demo:digits",
        rows=[0],
        settings={"planes": 3, "resolution": 8},
    )
    app.run()
    app.file_uploader[0].set_value(("fragmentation.json", recipe.json().encode(), "application/json"))
    app.run()
    healthy(settle(app))
    assert app.query_params["also"] == "fragmentation"
    assert any("3 planes through three random images" in caption.value for caption in app.caption)


def test_what_a_session_wanted_is_dropped_when_its_browser_goes(app: AppTest, settle: Settle) -> None:
    healthy(opened(app, "slices", settle))
    started, go = threading.Event(), threading.Event()

    def work(on_progress: OnProgress) -> None:
        started.set()
        assert go.wait(60)
        on_progress(0.5)

    left = jobs.shared().submit(app.session_state["user"], "left", work, device="elsewhere", slot="slice/0")
    assert started.wait(60)
    app.switch_page("views/home.py")
    app.run()
    assert left not in jobs.shared().pending()  # another view wants it no more
    started.clear()
    job = jobs.shared().submit(app.session_state["user"], "a long one", work, device="elsewhere", slot="series")
    app.switch_page("views/gallery.py")
    app.run()
    assert job in jobs.shared().pending()  # a series is made beside all views
    clear_session_resource_cache("test session id")  # what Streamlit does when a connection ends; AppTest's own id
    go.set()
    assert left.wait(60)
    assert job.wait(60)
    assert (left.state, job.state) == (jobs.State.CANCELLED, jobs.State.CANCELLED)


def test_an_address_that_was_just_replaced_undoes_nothing(
    app: AppTest, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "STALE_SECONDS", 600.0)  # however slow the machine
    healthy(opened(app, "slices", settle))
    before = dict(app.query_params)
    app.segmented_control(key="slice:method").set_value("careful")
    healthy(settle(app))
    for name in list(app.query_params):
        del app.query_params[name]
    for name, value in before.items():  # a request that was on its way still holds the old address
        app.query_params[name] = value[0] if isinstance(value, list) else value
    healthy(settle(app))
    assert app.query_params["method"] == "careful"
    monkeypatch.setattr(address, "STALE_SECONDS", 0.0)
    app.session_state["of the page"] = True  # as after a picture is complete, however late that request came
    del app.query_params["method"]
    healthy(settle(app))
    assert app.query_params["method"] == "careful"
    del app.query_params["method"]  # and now it is someone who goes back
    healthy(settle(app))
    assert "method" not in app.query_params
