"""The view of limits: the bound at once, a class painted by clicks, searches on demand, and two models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import facts, healthy, words

Settle = Lens = Callable[..., AppTest]


@pytest.fixture
def app(lens: Lens) -> AppTest:
    """The view, with few images."""
    return lens(
        "limits",
        ("demo:digits/standard",),
        survival={"count": 5, "draws": 60, "walks": 1},
        enumeration={"pixels": 2},
        overlay={"orders": 1},
    )


def test_the_limit_its_sliders_and_what_is_asked_for(app: AppTest, settle: Settle) -> None:
    healthy(settle(app))
    assert [element.value for element in app.subheader] == [
        "Measured on noise",
        "Paint a class",
        "Every small image",
        "What people see",
    ]
    assert "every classifier of images of 32 x 32 pixels, 1 channel, 8 bits" in words(app)
    assert "1,024" in facts(app)
    assert len(app.get("plotly_chart")) == 3
    app.slider(key="limits:bits:slider").set_value(1)
    app.select_slider(key="limits:side:slider").set_value(64)
    app.segmented_control(key="limits:norm").set_value("2")
    healthy(settle(app))
    assert "64 x 64 pixels, 1 channel, 1 bits" in words(app)
    assert "diagonal of the box" in facts(app)
    assert {name: app.query_params[name] for name in ("bits", "side", "norm")} == {
        "bits": "1",
        "side": "64",
        "norm": "2",
    }
    app.button(key="ask:survival").click()
    app.button(key="ask:enumeration").click()
    healthy(settle(app))
    assert "5 images drawn uniformly" in words(app)
    assert "Witnesses" in words(app)
    assert "All 16 black-and-white images" in words(app)


def test_a_class_is_painted_and_peels_off(app: AppTest, settle: Settle) -> None:
    app.session_state["settings:painting"] = {"painted": "0000", "radius": 2}
    healthy(settle(app))
    assert "0 of 16 images in the class" in words(app)
    assert app.query_params["painting.painted"] == "0000"
    app.slider(key="painting:radius:slider").set_value(1)
    app.button(key="painting:majority").click()
    healthy(settle(app))
    assert "8 of 16 images in the class; 2 keep it against every change of 1 pixel" in words(app)
    app.segmented_control(key="painting:side").set_value("3")
    healthy(settle(app))
    assert "All black-and-white images of 3 x 3 pixels" in words(app)
    app.session_state["settings:painting"] = {"painted": "00ff", "side": "3"}  # digits of the other side
    healthy(settle(app))
    assert "256 of 512 images" in words(app)


def test_a_click_on_the_board_toggles_the_image_there(checkout: Path) -> None:
    from core.analyses.table import TABLE
    from core.geometry.limits.painting import painted_class

    source = (checkout / "dashboard" / "views" / "limits.py").read_text()
    start, end = source.index("def toggle("), source.index("def paint(")
    changed: dict[str, str] = {}

    class Session:
        @staticmethod
        def change(analysis: str, **settings: str) -> None:
            assert analysis in TABLE
            changed.update(settings)

    from core.geometry.limits.painting import PaintedClass, painted_words

    names = {
        "np": np,
        "session": Session,
        "PAINTING": "painting",
        "painted_words": painted_words,
        "PaintedClass": PaintedClass,
    }
    exec(source[start:end], names)  # a view runs when imported
    for side, tall in ((2, 1), (3, 2)):
        found = painted_class(side, "ball")
        row, column = 2, 3
        names["toggle"](found, (column + 0.4, (row + 0.6) * tall))  # type: ignore[operator]
        after = painted_class(side, changed["painted"])
        assert np.flatnonzero(after.inside != found.inside).tolist() == [found.board[row, column]]
        changed.clear()
        names["toggle"](found, (-1.0, 0.5))  # type: ignore[operator]
        assert not changed


def test_two_models_stand_side_by_side(app: AppTest, settle: Settle) -> None:
    app.session_state["models"] = ("demo:digits/standard", "demo:digits/prime")
    app.session_state["asked"] = ("survival",)
    healthy(settle(app))
    assert words(app).count("5 images drawn uniformly") == 1  # what holds for both is said once
    assert "32 x 32" in words(app)
