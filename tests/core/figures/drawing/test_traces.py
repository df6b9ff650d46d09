"""What Plotly is told: literal words, colours of the theme, marks."""

from __future__ import annotations

import numpy as np
import pytest

from core.figures.drawing import style
from core.figures.drawing.chart import LinesLayer, PointsLayer
from core.figures.drawing.traces import escape_html, line_style, mark_style, transparent

PATH = (np.array([[0.0, 1.0], [1.0, 2.0]]),)


def test_words_are_shown_as_they_are() -> None:
    assert escape_html("a < b & $c$\nd") == "a &lt; b &amp; &#36;c&#36;<br>d"
    assert escape_html("plain words, 50 %") == "plain words, 50 %"


@pytest.mark.parametrize("theme", [style.LIGHT, style.DARK])
def test_a_line_without_a_colour_takes_the_theme_s_ink(theme: style.Theme) -> None:
    plain = line_style(LinesLayer(paths=PATH, role="curve"), theme)
    assert plain["color"] == getattr(theme, style.STROKES["curve"].colour)
    dashed = line_style(LinesLayer(paths=PATH, role="curve", colour="#123456", dash="dashed"), theme)
    assert (dashed["color"], dashed["dash"]) == (style.lifted("#123456", theme), "dash")
    assert (dashed["color"] == "#123456") == (theme is style.LIGHT)
    assert dashed["width"] == plain["width"]


def test_marks_of_one_colour_or_of_many() -> None:
    layer = PointsLayer(positions=np.zeros((2, 2)), marker="circle")
    assert mark_style(layer, ["#111111"])["color"] == "#111111"
    assert mark_style(layer, ["#111111", "#222222"])["color"] == ["#111111", "#222222"]
    ring = mark_style(PointsLayer(positions=np.zeros((1, 2)), marker="ring"), ["#111111"])
    assert ring["line"]["color"] == "#111111"


def test_a_transparent_colour_keeps_its_channels() -> None:
    assert transparent("#ff8000", 0.5).replace(" ", "") == "rgba(255,128,0,0.5)"
