"""What a link says beside models and images: each value is taken or left out with a reason, whatever it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from core.analyses.table import TABLE
from core.errors import RecipeError
from core.images.load import load_images
from core.sources.models import at_image
from dashboard.state import links, missing_uploads
from dashboard.state.links import settings_in
from dashboard.state.missing_uploads import MissingUploadError, check_here
from dashboard.uploads import own_images
from dashboard.uploads.session_uploads import Uploads
from tests.pages import widget

CHECKOUT = Path(__file__).resolve().parents[3]
NAMES = st.sampled_from(sorted(TABLE))
TEXTS = st.text(max_size=20) | st.sampled_from(["nan", "-1", "1e400", "1,2,3,4", "0,1,0,1", "", "all", "10", "2.5"])


def test_links_by_former_names_are_followed() -> None:
    assert links._by_current_name("race.count") == "benchmark.count"
    assert links._by_current_name("count") == "count"
    values = {"benchmark.contest": "multipliers", "benchmark.count": "3"}
    assert links.settings_in("benchmark", values, [], before="benchmark.") == {"compare": "multipliers", "count": 3}
    assert not values


@settings(max_examples=100)
@given(name=NAMES, data=st.data(), before=st.sampled_from(["", "beside."]))
def test_every_value_is_taken_or_left_out_with_a_reason(name: str, data: st.DataObject, before: str) -> None:
    entries = {entry.name: entry for entry in (*TABLE[name].parameters, *TABLE[name].figure_settings)}
    said = data.draw(st.dictionaries(st.sampled_from(sorted(entries)) | st.text(max_size=9), TEXTS, max_size=6))
    link = {f"{before}{key}": value for key, value in said.items()}
    left_out: list[str] = []
    found: dict[str, Any] = settings_in(name, link, left_out, before)
    assert set(link) == {f"{before}{key}" for key in said if key not in entries}
    assert all("expected" in reason and "\n" not in reason for reason in left_out)
    for key, value in found.items():
        assert value == entries[key].parse(said[key])
    if not before:
        assert len(found) + len(left_out) == len(set(said) & set(entries))


def test_labels_that_the_model_does_not_have_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    images = load_images("demo:digits")[[0, 1]]
    names = tuple(map(str, range(13)))
    strange = replace(images, labels=torch.tensor([3, 12]), class_names=names)
    monkeypatch.setattr(links, "image_set", lambda source: strange)
    with pytest.raises(RecipeError, match="expected labels of the 10 classes of digits/standard, got 13"):
        links._check_fit("demo:digits/standard", "own")
    monkeypatch.setattr(links, "image_set", lambda source: images)
    links._check_fit("demo:digits/standard", "own")


@pytest.mark.parametrize(
    "source",
    [
        "demo:photos/standard?name=" + "x" * 500,  # which can be loaded
        "untrained:demo:photos/standard?name=" + "x" * 500,
        "demo:" + "x" * 500,
        "upload:" + "a" * 500,
        "untrained:" * 200 + "demo:photos/standard",
        "http://another.example/" + "x" * 500,
    ],
)
def test_a_long_source_is_refused_and_later_links_are_followed(
    source: str, settle: Callable[..., AppTest], dashboard: AppTest
) -> None:
    app = dashboard
    app.session_state["settings:limits"] = {"bits": 4}
    for name, bits in (("models", "3"), ("images", "5")):
        app.switch_page("views/limits.py")
        app.query_params[name] = source
        settle(app)
        assert not app.exception
        (said,) = [each.value for each in app.error]
        assert said.startswith("This link ")
        assert len(said) < 900
        assert "http:" not in said
        app.query_params.clear()
        app.query_params["bits"] = bits
        settle(app)
        assert [each.value for each in (*app.exception, *app.error)] == []
        assert app.session_state["models"] == ("demo:photos/standard",)
        app.query_params.clear()


def test_a_model_that_is_named_twice_is_shown_once_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "check_here", lambda sources: None)
    monkeypatch.setattr(links, "classifier", lambda source: None)
    left_out: list[str] = []
    assert links._models_in("demo:photos/standard,demo:photos/standard", left_out) == ("demo:photos/standard",)
    assert left_out == ["models: expected each model once, got 'demo:photos/standard' 2 times"]


def test_images_that_cannot_fit_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "image_set", lambda source: pytest.fail("images were made"))
    monkeypatch.setattr(links, "demo_images", lambda model: "demo:photos")
    left_out: list[str] = []
    for side in range(1024, 1000, -1):
        assert links._images_in(f"demo:photos@{side}", "demo:photos/standard", left_out) == "demo:photos"
    assert len(left_out) == 24
    assert re.fullmatch("images: expected images of n x 3 x 32 x 32 .*, got n x 3 x 1024 x 1024; .*", left_out[0])


def test_nulls_at_the_image_follow_it() -> None:
    chosen = ("demo:photos/vit", "untrained:demo:photos/vit", "linearised:demo:photos/vit?row=3&images=demo:photos")
    moved = "linearised:demo:photos/vit?row=17&images=upload:ab%3Fsize%3D32"
    assert at_image(chosen, "upload:ab?size=32", 17) == (*chosen[:2], moved)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("linearised:demo:photos/vit?images=upload:ab", MissingUploadError),
        ("analytic:ball:upload:cd?images=demo:photos", MissingUploadError),
        ("linearised:demo:photos/vit?images=/etc", RecipeError),
        ("untrained:/etc/passwd", RecipeError),
    ],
)
def test_a_null_of_what_is_not_here_is_refused(
    source: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Uploads()
    for module in (missing_uploads, own_images):
        monkeypatch.setattr(module, "own_uploads", lambda: nothing)
    with pytest.raises(error):
        check_here([source])


def test_the_null_is_added_beside_and_travels_in_the_link(settle: Callable[..., AppTest], dashboard: AppTest) -> None:
    app = dashboard.switch_page("views/slices.py")
    app.query_params["resolution"] = "64"
    settle(app)
    app.button(key="frame:null").click()
    settle(app)
    null = "untrained:demo:photos/standard"
    assert not app.exception
    assert not app.error
    assert app.query_params["models"] == f"demo:photos/standard,{null}"
    assert widget(app.multiselect, "frame:compare").value == [null]
    assert app.button(key="frame:null").disabled
    link = dict(app.query_params)
    widget(app.multiselect, "frame:compare").set_value([]).run()
    for kind in ("linearised", "analytic:ball"):
        app.radio(key="frame:null-kind").set_value(kind).run()
        app.button(key="frame:null").click().run()
    settle(app)
    assert not app.exception
    assert not app.error
    end = "demo:photos/standard?row=3&images=demo:photos"
    assert app.query_params["models"] == f"demo:photos/standard,linearised:{end},analytic:ball:{end}"
    assert "**Known on paper**" in [each.value for each in app.markdown]
    legends = [each.proto.body for each in app.get("html")]
    assert sum("exact boundary" in words for words in legends) == 2
    lengths = [words for words in legends if "<span>exact</span>" in words]
    assert len(lengths) == 2
    for words in lengths:  # what was found in the plane is what is known of it
        computed, exact = (float(length) for length in re.findall(r"<b>([0-9.]+) ℓ2", words))
        assert computed == pytest.approx(exact, rel=1e-3)
    again = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=120)
    again.switch_page("views/slices.py")
    for name, value in link.items():
        again.query_params[name] = value
    settle(again)
    assert not again.exception
    assert not again.error
    assert dict(again.query_params) == link
    again.radio(key="frame:model:photos").set_value("demo:photos/adversarial")
    settle(again)
    assert again.query_params["models"] == "demo:photos/adversarial,untrained:demo:photos/adversarial"
    widget(again.multiselect, "frame:compare").set_value([])
    settle(again)
    assert again.query_params["models"] == "demo:photos/adversarial"
