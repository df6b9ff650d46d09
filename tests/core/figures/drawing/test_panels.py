"""One panel with matplotlib: what cannot be drawn is refused, words are literal, lines keep their role."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from core.figures.drawing import style
from core.figures.drawing.chart import Axis, FieldLayer, LinesLayer, Panel, PointsLayer, Scale
from core.figures.drawing.panels import colour_bar, draw_panel, line_styles, mark_style

PATH = (np.array([[0.0, 1.0], [1.0, 100.0]]),)


def drawn(panel: Panel) -> Figure:
    figure = Figure()
    draw_panel(figure, panel, 7.0)
    return figure


def test_a_polar_panel_refuses_a_field_in_a_sentence() -> None:
    field = FieldLayer(x=np.arange(2.0), y=np.arange(2.0), colours=np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="expected lines, points, bands or bars in a polar panel, got a field"):
        drawn(Panel(layers=(field,), kind="polar"))


def test_axes_carry_names_units_and_limits() -> None:
    panel = Panel(
        layers=(LinesLayer(paths=PATH),),
        title="50 % $x$",
        x=Axis(label="radius", unit="ℓ2", limits=(0.0, 2.0)),
        y=Axis(label="count", scale="log"),
    )
    with rc_context({"text.parse_math": False}):
        (axes,) = drawn(panel).axes
    assert axes.get_title() == "50 % $x$"
    assert axes.get_xlabel() == "radius (ℓ2)"
    assert axes.get_xlim() == (0.0, 2.0)
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize("role", ["boundary", "curve", "reference"])
def test_a_line_has_its_role_s_width_above_its_halo(role: str) -> None:
    *halo, line = line_styles(LinesLayer(paths=PATH, role=role))  # type: ignore[arg-type]
    assert line["linewidth"] == style.STROKES[role].width
    assert len(halo) == bool(style.STROKES[role].halo)
    assert all(below["linewidth"] > line["linewidth"] for below in halo)


def test_rings_are_hollow_and_circles_filled() -> None:
    ring = mark_style(PointsLayer(positions=np.zeros((1, 2)), marker="ring"), "#123456")
    circle = mark_style(PointsLayer(positions=np.zeros((1, 2)), marker="circle"), "#123456")
    assert (ring["markerfacecolor"], ring["markeredgecolor"]) == ("none", "#123456")
    assert circle["markerfacecolor"] == "#123456"


def test_a_colour_bar_spans_its_scale() -> None:
    axes = colour_bar(Figure(), Scale(palette="paleness", limits=(0.25, 1.0), label="confidence"))
    assert axes.get_ylim() == (0.25, 1.0)
    assert "confidence" in axes.get_ylabel()
    assert axes.get_xticks().size == 0
