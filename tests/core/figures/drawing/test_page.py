"""A page of panels: as wide as asked, panels of one row equally high, everything on the paper."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.text import Text

from core.figures.drawing import style
from core.figures.drawing.chart import Axis, Chart, FieldLayer, LegendEntry, LinesLayer, Panel, Scale
from core.figures.drawing.page import Page


def curve_panel(title: str = "") -> Panel:
    line = LinesLayer(paths=(np.array([[0.0, 0.0], [1.0, 2.0]]),), role="curve")
    return Panel(layers=(line,), title=title, x=Axis(label="radius", unit="ℓ2"), y=Axis(label="margin", unit="logit"))


def field_panel() -> Panel:
    field = FieldLayer(
        x=np.linspace(-1, 1, 8),
        y=np.linspace(-1, 1, 8),
        colours=np.full((8, 8, 3), 120, np.uint8),
        scale=Scale(palette="paleness", limits=(0.0, 1.0), label="confidence"),
    )
    return Panel(layers=(field,), x=Axis(label="u"), y=Axis(label="v"), isometric=True)


def a_page(*panels: Panel, columns: int = 2, width: float = 3.5, legend: int = 0, title: str = "") -> Page:
    entries = tuple(LegendEntry(colour=style.class_colour(k), label=f"class number {k}") for k in range(legend))
    chart = Chart(panels=panels, columns=columns, name="x", alt="x", legend=entries, title=title)
    with rc_context({"font.size": 8}):
        return Page(chart, width, 8.0, 100)


def inside(figure: Figure) -> bool:
    """Whether every word and axis lies on the paper, up to a pixel."""
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [axes.get_tightbbox() for axes in figure.axes] + [text.get_window_extent() for text in figure.texts]
    return all(box.x0 >= -1 and box.x1 <= width + 1 and box.y0 >= -1 and box.y1 <= height + 1 for box in boxes if box)


@pytest.mark.parametrize(("width", "columns"), [(2.0, 1), (3.5, 1), (3.5, 2), (7.0, 2)])
def test_the_page_is_as_wide_as_asked_and_holds_everything(width: float, columns: int) -> None:
    page = a_page(curve_panel("first"), field_panel(), columns=columns, width=width, legend=4, title="A title")
    assert page.figure.get_size_inches()[0] == pytest.approx(width)
    assert inside(page.figure)


def test_panels_of_one_row_are_equally_high_and_stand_in_their_order() -> None:
    figure = a_page(curve_panel(), field_panel(), columns=2, width=7.0).figure
    first, second = (axes.get_position() for axes in figure.axes[:2])
    assert first.y0 == pytest.approx(second.y0)
    assert first.height == pytest.approx(second.height)
    assert first.x1 < second.x0


def test_an_isometric_panel_keeps_its_shape() -> None:
    figure = a_page(field_panel(), columns=1).figure
    width, height = figure.get_size_inches()
    place = figure.axes[0].get_position()
    assert place.width * width == pytest.approx(place.height * height, rel=0.01)


def test_a_longer_legend_takes_more_lines_and_makes_the_page_higher() -> None:
    heights = [a_page(curve_panel(), columns=1, legend=count).figure.get_size_inches()[1] for count in (0, 2, 12)]
    assert heights[0] < heights[1] < heights[2]


def test_names_that_do_not_fit_stay_apart() -> None:
    labels = [f"{'x' * 60}{middle}{'y' * 60}" for middle in "AB"]
    entries = tuple(LegendEntry(colour=style.class_colour(k), label=label) for k, label in enumerate(labels))
    chart = Chart(panels=(field_panel(),), columns=1, name="x", alt="x", legend=entries)
    with rc_context({"font.size": 8}):
        page = Page(chart, 3.5, 8.0, 100)
    words = [text.get_text() for text in page.figure.findobj(Text)]
    shown = [text for text in words if text.startswith("xx")]
    assert len(shown) == len(set(shown)) == 2
    assert inside(page.figure)
