"""The view of the detector: an exhibit with its caveat, the chosen overshoot, other attacks on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.geometry.detector.evaluation import NO_DEFENCE
from tests.pages import healthy

CHECKOUT = Path(__file__).resolve().parents[3]
Settle = Callable[..., AppTest]
QUICK = {"count": 4, "probes": 2, "classes": 1}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AppTest]:
    """The view, with few images and a cache of its own."""
    monkeypatch.setenv("BOUNDARY_ATLAS_CACHE", str(tmp_path))
    st.cache_resource.clear()
    app = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=120)
    app.session_state["models"] = ("demo:digits/standard",)
    app.session_state["settings:detector"] = {**QUICK, "overshoots": (1.1, 2.0)}
    app.session_state["settings:detector_attacks"] = {**QUICK, "overshoots": (1.1,)}
    app.run()
    app.switch_page("views/detector.py")
    yield app
    st.cache_resource.clear()


def facts(app: AppTest) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def test_the_exhibit_is_drawn_with_its_caveat(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    assert app.title[0].value == "Detector"
    assert app.info[0].value == NO_DEFENCE
    words = facts(app)
    for name in ("AUC, nearest boundary", "AUC, all class boundaries", "class before recovered", "class changed"):
        assert name in words
    assert any("Scores and curve: 1.1 times the distance" in caption.value for caption in app.caption)
    app.select_slider(key="detector:perturbation:slider").set_value(2.0)
    healthy(settle(app))
    assert app.query_params["perturbation"] == "1"
    assert any("Scores and curve: 2 times the distance" in caption.value for caption in app.caption)


def test_two_models_and_other_attacks(app: AppTest, settle: Settle) -> None:
    app.session_state["models"] = ("demo:digits/standard", "demo:digits/control")
    healthy(settle(app))
    app.button(key="ask:detector_attacks").click()
    healthy(settle(app))
    assert len(app.get("plotly_chart")) == 2
    assert any(element.value == "**digits/control**" for element in app.markdown)
    assert sum(NO_DEFENCE in caption.value for caption in app.caption) == 2
