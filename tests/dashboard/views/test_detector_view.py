"""The view of the detector: an exhibit with its caveat, the chosen overshoot, other attacks on demand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.geometry.detector.evaluation import NO_DEFENCE
from tests.pages import facts, healthy

Settle = Lens = Callable[..., AppTest]
QUICK = {"count": 4, "probes": 2, "classes": 1}


@pytest.fixture
def app(lens: Lens) -> AppTest:
    """The view, with few images."""
    return lens(
        "detector",
        ("demo:digits/standard",),
        detector={**QUICK, "overshoots": (1.1, 2.0)},
        detector_attacks={**QUICK, "overshoots": (1.1,)},
    )


def test_the_exhibit_is_drawn_with_its_caveat(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    assert app.title[0].value == "Detector"
    assert app.info[0].value == NO_DEFENCE
    words = facts(app)
    for name in ("AUC by the nearest boundary", "AUC by all boundaries", "class recovered", "class changed"):
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
