"""Figures on a screen: pictures where they belong, literal words, hover, themes, words for those who cannot see."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from core.figures.drawing import screen, style
from core.figures.drawing.chart import (
    Axis,
    BandLayer,
    BarsLayer,
    Chart,
    FieldLayer,
    ImagesLayer,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
    PointsLayer,
    Scale,
)
from core.figures.drawing.traces import escape_html

NAME = "a$b_c$ & <i>d</i>"
LITERAL = "a&#36;b_c&#36; &amp; &lt;i&gt;d&lt;/i&gt;"


def picture(side: int = 200, **change: Any) -> FieldLayer:
    labels = np.add.outer(np.arange(side), np.zeros(side, int)) // (side // 2)
    given: dict[str, Any] = {
        "x": np.linspace(-3, 3, side),
        "y": np.linspace(-1, 5, side),
        "colours": style.class_colours(labels),
        "hover": (NAME, "other"),
        "hover_index": np.where(np.arange(side) < side // 4, -1, labels),
        **change,
    }
    return FieldLayer(**given)


def a_chart(*layers: Layer, columns: int = 1, count: int = 1, **change: Any) -> Chart:
    panel = Panel(
        layers=layers or (picture(),),
        x=Axis(label="towards", unit="ℓ2"),
        y=Axis(label=NAME),
        **{"isometric": True, "scale_bar": "ℓ2", **change},
    )
    legend = (LegendEntry(colour="#123456", label=NAME, share=0.351), LegendEntry(colour="", label="rest"))
    return Chart(panels=(panel,) * count, columns=columns, name="slice", alt="what it shows", legend=legend)


def of_kind(figure: go.Figure, kind: str) -> list[Any]:
    return [trace for trace in figure.data if trace.type == kind]


def test_a_field_lies_on_its_cells_with_row_zero_at_the_bottom() -> None:
    field = picture()
    figure = screen.draw(a_chart(field))
    (image,) = of_kind(figure, "image")
    assert (image.x0, image.y0) == (-3.0, -1.0)
    assert image.dx == pytest.approx(6 / 199)
    assert image.dy == pytest.approx(6 / 199)
    assert figure.layout.xaxis.range == pytest.approx(field.edges[:2])
    assert figure.layout.yaxis.range == pytest.approx(field.edges[2:])  # upwards, or the first row would be on top
    with Image.open(io.BytesIO(base64.b64decode(image.source.split(",")[1]))) as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), field.colours)


def test_labels_never_blend_and_scalars_do() -> None:
    assert of_kind(screen.draw(a_chart(picture())), "image")[0].zsmooth is False
    assert of_kind(screen.draw(a_chart(picture(smooth=True))), "image")[0].zsmooth == "fast"


def test_the_pointer_says_what_lies_below_it() -> None:
    (hover,) = of_kind(screen.draw(a_chart()), "heatmap")
    assert len(hover.x) <= 100
    assert hover.opacity == 0
    assert hover.text[0][0] == ""
    assert hover.text[0][-1] == LITERAL
    assert hover.text[-1][-1] == "other"
    assert set(np.round(hover.x, 9)) <= set(np.round(picture().x, 9))
    assert not of_kind(screen.draw(a_chart(picture(hover_index=None))), "heatmap")


def test_isometric_axes_have_equal_steps() -> None:
    axis = screen.draw(a_chart()).layout.yaxis
    assert (axis.scaleanchor, axis.scaleratio, axis.constrain) == ("x", 1, "domain")
    second = screen.draw(a_chart(count=2, columns=2)).layout.yaxis2
    assert second.scaleanchor == "x2"


@pytest.mark.parametrize("dark", [False, True])
def test_a_boundary_stays_a_dark_line_over_a_light_halo(dark: bool) -> None:
    border = LinesLayer(paths=(np.zeros((3, 2)), np.ones((2, 2))), role="boundary")
    halo, line = [
        trace for trace in of_kind(screen.draw(a_chart(border), dark=dark), "scatter") if trace.mode == "lines"
    ]
    assert (halo.line.color, line.line.color) == (style.HALO, style.LIGHT.ink)
    assert halo.line.width > 2 * line.line.width
    assert np.isnan(line.x).sum() == 1  # a gap between the paths


def test_the_page_follows_the_theme() -> None:
    light, dark = (screen.draw(a_chart(), dark=dark).layout for dark in (False, True))
    assert (light.paper_bgcolor, dark.paper_bgcolor) == (style.LIGHT.paper, style.DARK.paper)
    assert (light.font.color, dark.font.color) == (style.LIGHT.ink, style.DARK.ink)


def test_words_are_literal_and_titles_carry_units() -> None:
    layout = screen.draw(a_chart()).layout
    assert layout.xaxis.title.text == "towards (ℓ2)"
    assert layout.yaxis.title.text == LITERAL
    assert escape_html("a\nb") == "a<br>b"


def test_the_legend_names_classes_with_shares_and_each_layer_once() -> None:
    line = LinesLayer(paths=(np.zeros((2, 2)),), name="edge", role="outline")
    figure = screen.draw(a_chart(picture(), line, count=2, columns=2))
    shown = [trace.name for trace in of_kind(figure, "scatter") if trace.showlegend]
    assert [name.split(" <span")[0] for name in shown] == [LITERAL, "rest", "edge"]
    assert "35 %" in shown[0]


def test_without_a_legend_its_place_goes_too() -> None:
    with_it, without = screen.draw(a_chart()), screen.draw(a_chart(), legend=False)
    assert not without.layout.showlegend
    assert without.layout.height < with_it.layout.height
    assert without.layout.margin.t == with_it.layout.margin.t


def test_alt_text_and_caption_stay_with_the_figure() -> None:
    assert screen.draw(a_chart()).layout.meta == {"alt": "what it shows", "caption": "", "name": "slice"}


@pytest.mark.parametrize("residual", [0.0, 2.0])
def test_thumbnails_lie_at_their_positions(residual: float) -> None:
    images = np.full((1, 4, 4, 3), 55, np.uint8)
    layer = ImagesLayer(positions=np.array([[1.0, 2.0]]), images=images, labels=(NAME,), residuals=(residual,))
    figure = screen.draw(a_chart(picture(), layer))
    (image,) = figure.layout.images
    assert (image.x + image.sizex / 2, image.y - image.sizey / 2) == pytest.approx((1.0, 2.0))
    with Image.open(io.BytesIO(base64.b64decode(image.source.split(",")[1]))) as drawn:
        assert np.asarray(drawn)[0, 0, 0] == (155 if residual else 55)
    words = [note.text for note in figure.layout.annotations]
    assert LITERAL + ("<br>2 off the plane" if residual else "") in words
    assert [shape.type for shape in figure.layout.shapes].count("rect") == 3  # its frame, a plate


def test_a_scale_bar_has_its_length() -> None:
    figure = screen.draw(a_chart())
    assert "1 ℓ2" in [note.text for note in figure.layout.annotations]
    bars = [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert [bar.x1 - bar.x0 for bar in bars] == pytest.approx([1.0])
    (plate,) = (shape for shape in figure.layout.shapes if shape.type == "rect")
    assert plate.x0 < bars[0].x0 < bars[0].x1 < plate.x1


def test_a_colour_bar_shows_the_scale() -> None:
    scale = Scale(palette="cividis", limits=(0.0, 15.0), label="margin", unit="logit")
    figure = screen.draw(a_chart(picture(scale=scale), count=2, columns=2))
    bars = [trace.marker for trace in figure.data if trace.type == "scatter" and trace.marker.showscale]
    assert len(bars) == 1  # side by side they share it
    assert (bars[0].cmin, bars[0].cmax, bars[0].colorbar.title.text) == (0.0, 15.0, "margin (logit)")
    assert bars[0].colorscale[0] == (0.0, "rgb(0,34,78)")


def test_curves_bands_bars_and_points() -> None:
    x = np.arange(1.0, 4.0)
    layers = (
        BandLayer(x=x, low=x, high=x + 1, colour="#3b678e", name="interval"),
        LinesLayer(paths=(np.stack([x, x], 1),), name="curve", labels=("here",)),
        BarsLayer(x=x, heights=x, low=x - 1, high=x + 2, colours=("#111111", "#222222", "#333333")),
        PointsLayer(positions=np.ones((2, 2)), labels=("p", "q"), marker="cross", name="marks"),
        PointsLayer(positions=np.ones((1, 2)), labels=("alone",), marker="none"),
    )
    panel = Panel(layers=layers, x=Axis(scale="log", limits=(1.0, 100.0), ticks=((1.0, "$1"),)))
    figure = screen.draw(Chart(panels=(panel,), name="curves"))
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.range == (0.0, 2.0)
    assert figure.layout.xaxis.ticktext == ("&#36;1",)
    assert figure.layout.width is None  # as wide as the page
    (bars,) = of_kind(figure, "bar")
    np.testing.assert_array_equal(bars.error_y.array, [2, 2, 2])
    np.testing.assert_array_equal(bars.error_y.arrayminus, [1, 1, 1])
    filled = [trace for trace in of_kind(figure, "scatter") if trace.fill == "toself"]
    assert filled[0].fillcolor == "rgba(59,103,142,0.22)"
    assert {"alone", "here"} <= {note.text for note in figure.layout.annotations}
    assert [trace.name for trace in of_kind(figure, "scatter") if trace.showlegend] == ["interval", "curve", "marks"]


def test_polar_panels_measure_angles_in_radians() -> None:
    angles = np.array([0.0, np.pi / 2, np.pi])
    layers: tuple[Layer, ...] = (
        LinesLayer(paths=(np.stack([angles, angles], 1),), name="profile"),
        BarsLayer(x=angles, heights=angles, width=np.pi / 4),
    )
    panel = Panel(kind="polar", layers=layers, x=Axis(ticks=((np.pi, "back"),)), y=Axis(label="distance", unit="ℓ2"))
    figure = screen.draw(Chart(panels=(panel,), name="profile"))
    np.testing.assert_allclose(of_kind(figure, "scatterpolar")[0].theta, [0, 90, 180])
    assert of_kind(figure, "barpolar")[0].width == pytest.approx(45)
    assert figure.layout.polar.angularaxis.tickvals == (180.0,)
    assert not of_kind(figure, "scatter")  # or Plotly would draw axes for it
    assert "distance (ℓ2)" in [note.text for note in figure.layout.annotations]
    with pytest.raises(ValueError, match="polar panel, got a field"):
        screen.draw(Chart(panels=(Panel(kind="polar", layers=(picture(),)),), name="x"))


def test_an_incomplete_grid_and_an_image_panel() -> None:
    figure = screen.draw(a_chart(count=3, columns=2, kind="image", title="a picture"))
    assert len(of_kind(figure, "image")) == 3
    assert figure.layout.xaxis.visible is False
    assert [note.text for note in figure.layout.annotations].count("a picture") == 3
    assert figure.layout.width > 800


def heights(chart: Chart) -> list[float]:
    figure = screen.draw(chart)
    plot = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    return [round((axis.domain[1] - axis.domain[0]) * plot) for axis in figure.select_yaxes()]


def test_a_row_of_pictures_is_as_high_as_they_are_and_one_of_curves_lower() -> None:
    strip = Panel(layers=(), kind="image", x=Axis(limits=(0, 10)), y=Axis(limits=(0, 1)))
    curve = Panel(layers=(LinesLayer(paths=(np.eye(2),)),))
    first, second, third = heights(Chart(panels=(strip, curve, curve), name="walk"))
    assert 50 < first < 100
    assert second == third > 2 * first
    alone = screen.draw(Chart(panels=(strip,), name="strip")).layout
    assert alone.margin.l < screen.draw(Chart(panels=(curve,), name="curve")).layout.margin.l


def test_a_grid_of_curves_with_words_outside_only_is_close() -> None:
    inner, outer = (Panel(layers=(), x=Axis(label=words), y=Axis(label=words)) for words in ("", "words"))
    close, wide = (Chart(panels=(panel,) * 6, columns=3, name="grid") for panel in (inner, outer))
    assert max(heights(close)) < 200
    gaps = [
        screen.draw(chart).layout.xaxis2.domain[0] - screen.draw(chart).layout.xaxis.domain[1]
        for chart in (close, wide)
    ]
    assert gaps[0] < gaps[1]


def test_words_at_the_side_of_a_picture_are_held_at_their_outer_end() -> None:
    words = PointsLayer(positions=np.array([[0.2, 1], [5, 1], [9.9, 1]]), labels=("a", "b", "c"), marker="none")
    panel = Panel(layers=(words,), kind="image", x=Axis(limits=(0, 10)), y=Axis(limits=(0, 2)))
    notes = screen.draw(Chart(panels=(panel,), name="words")).layout.annotations
    assert [note.xanchor for note in notes] == ["left", "center", "right"]


def test_words_have_a_halo_on_a_picture_only() -> None:
    words = PointsLayer(positions=np.array([[0.0, 0], [0, -20]]), labels=("on", "below"), marker="none")
    panel = Panel(layers=(picture(), words), kind="image", x=Axis(limits=(-9, 9)), y=Axis(limits=(-30, 9)))
    on, below = screen.draw(Chart(panels=(panel,), name="words"), dark=True).layout.annotations
    assert (on.font.color, below.font.color) == (style.LIGHT.ink, style.DARK.ink)
    assert on.font.shadow
    assert not below.font.shadow
