"""Figures on paper: true size, true shape, the same bytes each time, literal words, the recipe inside."""

from __future__ import annotations

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pypdf
import pytest
from matplotlib.figure import Figure
from matplotlib.offsetbox import OffsetImage
from matplotlib.text import Text
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from PIL import Image

from core.figures.drawing import paper, style
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

NAMES = ("a$b_c$ & <i>d</i>", "ℓ2 straße", "猫 \N{CAT FACE}\ntwo")
RECIPE = {"recipe": 1, "analysis": "slices", "models": ["demo:photos/ℓ2"], "note": NAMES[2], "parameters": {"r": 0.1}}


def picture(rows: int = 24, columns: int = 24) -> FieldLayer:
    labels = np.add.outer(np.arange(rows), np.arange(columns)) // 8 % 3
    return FieldLayer(
        x=np.linspace(-3, 3, columns),
        y=np.linspace(-1, 5 if rows == columns else 2, rows),
        colours=style.class_colours(labels),
        scale=Scale(palette="paleness", limits=(0.1, 1.0), label="confidence"),
    )


def a_chart(*more: Layer, **change: Any) -> Chart:
    border = LinesLayer(paths=(np.array([[-3.0, 0.0], [0.0, 2.0], [3.0, 1.0]]),), role="boundary")
    thumbnails = ImagesLayer(
        positions=np.array([[0.0, 0.0], [2.0, 2.0]]),
        images=np.full((2, 8, 8, 3), 90, np.uint8),
        labels=NAMES[:2],
        residuals=(0.0, 1.5),
    )
    panel = Panel(
        layers=(picture(), border, thumbnails, *more),
        x=Axis(label="towards $x_1$", unit="ℓ2"),
        y=Axis(label="towards 猫", unit="ℓ2"),
        isometric=True,
        scale_bar="ℓ2",
    )
    legend = tuple(LegendEntry(colour=style.class_colour(k), label=NAMES[k], share=0.3) for k in range(3))
    given: dict[str, Any] = {"panels": (panel,), "name": "slice", "legend": legend, "recipe": RECIPE, **change}
    return Chart(**given)


def curves() -> Chart:
    x = np.arange(1.0, 9.0)
    angles = np.linspace(0, 2 * np.pi, 50)
    around = LinesLayer(paths=(np.stack([angles, 3 + np.sin(3 * angles)], 1),), name="profile")
    return Chart(
        name="curves",
        columns=2,
        panels=(
            Panel(kind="polar", y=Axis(label="distance", unit="ℓ2"), title="around", layers=(around,)),
            Panel(
                x=Axis(label="severity", scale="log"),
                y=Axis(label="accuracy", unit="%"),
                layers=(
                    BandLayer(x=x, low=90 - 9 * x, high=95 - 5 * x, name="interval"),
                    LinesLayer(paths=(np.stack([x, 92 - 7 * x], 1),), name="blur", role="reference"),
                    PointsLayer(positions=np.array([[2.0, 60.0]]), labels=("here",), marker="ring", name="picked"),
                ),
            ),
            Panel(
                x=Axis(ticks=((0, "one"), (1, "$two$"))),
                layers=(
                    BarsLayer(x=np.arange(2), heights=np.ones(2), low=np.zeros(2), high=2 * np.ones(2), name="bars"),
                ),
            ),
        ),
    )


def words_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("width", [89.0, 183.0])
def test_a_pdf_page_has_the_width_asked_for(width: float) -> None:
    page = pypdf.PdfReader(io.BytesIO(paper.figure_bytes(a_chart(), "pdf", width_mm=width))).pages[0]
    assert float(page.mediabox.width) * 25.4 / 72 == pytest.approx(width, abs=0.01)


def test_a_png_has_the_width_asked_for_at_its_resolution() -> None:
    with Image.open(io.BytesIO(paper.figure_bytes(a_chart(), "png", width_mm=50.8, dpi=100))) as image:
        assert image.width == 200
        assert image.info["dpi"] == pytest.approx((100, 100), abs=0.1)


@pytest.mark.parametrize("rows", [24, 12])
def test_isometric_axes_have_equal_steps(rows: int) -> None:
    field = picture(rows=rows)
    figure = paper.draw(Chart(panels=(Panel(layers=(field,), isometric=True),), name="slice"))
    axes = figure.axes[0]
    box = axes.get_window_extent()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert (left, right, low, high) == field.edges
    assert box.width / (right - left) == pytest.approx(box.height / (high - low), rel=1e-9)
    assert len(axes.get_xticks()) > 2


def wordy(columns: int) -> Chart:
    """Titles longer than their axes, a logarithmic axis with ticks of its own, and a last tick on the right edge."""
    ends = ((0.2, "0.2"), (5.0, "5.0"))
    panel = Panel(
        layers=(LinesLayer(paths=(np.array([[0.2, 0.2], [5.0, 5.0]]),)),),
        x=Axis(label="shared direction, by magnitude of curvature", scale="log", limits=(0.2, 5.0), ticks=ends),
        y=Axis(label="share of the noise that changes the class", limits=(0.2, 5.0), ticks=ends),
    )
    return Chart(panels=(panel,) * columns, columns=columns, name="wordy")


@pytest.mark.parametrize(
    ("chart", "width_mm", "least"), [(a_chart(title="a title"), 89.0, 0.7), (wordy(3), 183.0, 0.2)]
)
def test_nothing_leaves_the_page_and_the_picture_takes_most_of_it(chart: Chart, width_mm: float, least: float) -> None:
    figure = paper.draw(chart, width_mm=width_mm)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    box = figure.get_tightbbox(renderer)
    width, height = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    assert figure.axes[0].get_position().width > least
    assert not any("mathdefault" in text.get_text() for text in figure.findobj(Text))  # of ticks nobody asked for


@pytest.mark.parametrize("format", paper.FORMATS)
@pytest.mark.parametrize("make", [a_chart, curves])
def test_the_same_chart_has_the_same_bytes(format: paper.Format, make: Any) -> None:
    assert paper.figure_bytes(make(), format) == paper.figure_bytes(make(), format)


def test_settings_of_the_caller_neither_count_nor_change() -> None:
    plain = paper.figure_bytes(a_chart(), "svg")
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "image.origin": "lower", "lines.linewidth": 9}):
        inside = dict(mpl.rcParams)
        assert paper.figure_bytes(a_chart(), "svg") == plain
        assert dict(mpl.rcParams) == inside
    assert dict(mpl.rcParams) == before


def test_threads_do_not_disturb_each_other() -> None:
    options = [{"width_mm": 60.0, "font_size": 6.0}, {"width_mm": 120.0, "font": "serif"}]
    alone = [paper.figure_bytes(a_chart(), "pdf", **option) for option in options]  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(paper.figure_bytes, a_chart(), "pdf", **options[n % 2]) for n in range(6)]  # type: ignore[arg-type]
        assert [job.result() for job in jobs] == alone * 3


@pytest.mark.parametrize("format", paper.FORMATS)
def test_the_recipe_comes_back_from_every_format(format: paper.Format, tmp_path: Path) -> None:
    path = tmp_path / f"figure.{format.upper()}"
    paper.write_figure(a_chart(), path)
    assert paper.read_recipe(path) == RECIPE
    assert paper.read_recipe(path.read_bytes()) == RECIPE


def test_the_recipe_is_ascii_inside_a_pdf() -> None:
    information = pypdf.PdfReader(io.BytesIO(paper.figure_bytes(a_chart(), "pdf"))).metadata
    assert information is not None
    assert information.subject is not None
    assert information.subject.isascii()
    assert json.loads(information.subject) == RECIPE
    assert "/CreationDate" not in information


def npz(header: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, result=np.array(header))
    return buffer.getvalue()


def test_the_recipe_comes_back_from_saved_results_and_json() -> None:
    header = json.dumps({"kind": "core.x.Y", "fields": {"recipe": RECIPE, "forwards": 3}})
    assert paper.read_recipe(npz(header)) == RECIPE
    assert paper.read_recipe(header.encode()) == RECIPE
    assert paper.read_recipe(b"\xef\xbb\xbf " + json.dumps(RECIPE).encode()) == RECIPE


BILLION = (
    b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    b'<s xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description>{"recipe": 1, "x": "&b;"}</dc:description></s>'
)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("PDF", b"%PDF-1.4\nbroken"),
        ("PNG", b"\x89PNG\r\n\x1a\nbroken"),
        ("SVG", b"<svg><unclosed>"),
        ("SVG", BILLION),
        ("npz", b"PK\x03\x04broken"),
        ("npz", npz(json.dumps({"fields": {"recipe": None}}))),
        ("npz", npz(3)),
        ("file", b"{}"),
        ("file", b"[" * 100_000),
        ("file", b'{"a":' * 100_000),
        ("file", b"\xff\xfe\x00"),
        ("file", b""),
    ],
)
def test_a_file_without_a_recipe_is_refused_in_one_sentence(kind: str, data: bytes) -> None:
    with pytest.raises(ValueError, match=f"expected a figure or a result .* got a .?{kind}.* without one") as caught:
        paper.read_recipe(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", paper.FORMATS)
def test_a_figure_without_a_recipe_has_none(format: paper.Format) -> None:
    with pytest.raises(ValueError, match=f"got a {format.upper()} without one"):
        paper.read_recipe(paper.figure_bytes(a_chart(recipe=None), format))


def test_a_bomb_is_not_unpacked() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("result.npy", bytes(17 << 20))
    with pytest.raises(ValueError, match="without one"):
        paper.read_recipe(buffer.getvalue())


def test_class_names_are_drawn_literally() -> None:
    words = words_of(paper.draw(a_chart()))
    assert NAMES[0] in words
    assert "towards $x_1$ (ℓ2)" in words
    assert not any(text.get_parse_math() for text in paper.draw(a_chart()).findobj(Text) if text.get_text())
    assert not any("\N{REPLACEMENT CHARACTER}" in text for text in words)  # see test_glyphs.py
    svg = paper.figure_bytes(a_chart(), "svg").decode()
    assert "a$b_c$ &amp; &lt;i&gt;d&lt;/i&gt;" in svg


@pytest.mark.parametrize("font", ["sans", "serif"])
def test_fonts_are_embedded_as_truetype(font: paper.Font) -> None:
    reader = pypdf.PdfReader(io.BytesIO(paper.figure_bytes(a_chart(), "pdf", font=font)))
    fonts = [entry.get_object() for entry in reader.pages[0]["/Resources"]["/Font"].values()]  # type: ignore[index]
    assert fonts
    for entry in fonts:
        assert entry["/Subtype"] == "/Type0"
        descriptor = entry["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
        assert "/FontFile2" in descriptor
    assert "towards" in reader.pages[0].extract_text()


def test_labels_never_blend_and_scalars_do() -> None:
    def interpolation(smooth: bool) -> str:
        panel = Panel(layers=(replace(picture(), smooth=smooth),), isometric=True)
        return str(paper.draw(Chart(panels=(panel,), name="x")).axes[0].images[0].get_interpolation())

    assert (interpolation(False), interpolation(True)) == ("nearest", "bilinear")


def test_a_boundary_is_a_dark_line_over_a_light_halo() -> None:
    halo, line = paper.draw(a_chart()).axes[0].lines[:2]
    assert (halo.get_color(), line.get_color()) == (style.HALO, style.LIGHT.ink)
    assert halo.get_linewidth() > 2 * line.get_linewidth() > 0


def test_row_zero_is_drawn_at_the_bottom() -> None:
    colours = np.zeros((2, 2, 3), np.uint8)
    colours[0] = (255, 0, 0)
    field = FieldLayer(x=np.arange(2.0), y=np.arange(2.0), colours=colours)
    data = paper.figure_bytes(Chart(panels=(Panel(layers=(field,), kind="image"),), name="x"), "png", dpi=60)
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    column = pixels[:, pixels.shape[1] // 2]
    assert column[int(0.75 * len(column))].tolist() == [255, 0, 0]
    assert column[int(0.25 * len(column))].tolist() == [0, 0, 0]


def test_the_legend_names_classes_shares_and_layers() -> None:
    words = words_of(paper.draw(curves()))
    assert {"profile", "interval", "blur", "picked", "bars"} <= set(words)
    assert {"accuracy (%)", "severity", "distance (ℓ2)", "$two$", "here"} <= set(words)
    assert "30 %" in words_of(paper.draw(a_chart()))


def test_a_logarithmic_axis_of_less_than_a_decade_has_ticks() -> None:
    figure = paper.draw(curves())
    shown = [text.get_text() for text in figure.axes[1].get_xticklabels()]
    assert {"1", "2", "5"} <= set(shown)


def test_thumbnails_shrink_with_small_panels_and_the_scale_bar_has_a_plate() -> None:
    def zoom(chart: Chart) -> float:
        return float(paper.draw(chart).findobj(OffsetImage)[0].get_zoom())  # type: ignore[union-attr]

    one = a_chart()
    assert zoom(replace(one, panels=one.panels * 2, columns=2)) == pytest.approx(0.56 * zoom(one), abs=0.05)
    (bar,) = paper.draw(one).findobj(AnchoredSizeBar)
    assert bar.patch.get_facecolor() == (1.0, 1.0, 1.0, 1.0)  # type: ignore[union-attr]


def test_equal_scales_side_by_side_share_a_bar() -> None:
    panel = Panel(layers=(picture(),), isometric=True)
    other = Panel(layers=(replace(picture(), scale=Scale(palette="vik", limits=(-1.0, 1.0), label="m")),))
    assert len(paper.draw(Chart(panels=(panel, panel), columns=2, name="x")).axes) == 3
    assert len(paper.draw(Chart(panels=(panel, panel), columns=1, name="x")).axes) == 4
    assert len(paper.draw(Chart(panels=(panel, other), columns=2, name="x")).axes) == 4


def test_wrong_settings_say_what_was_expected(tmp_path: Path) -> None:
    chart = curves()
    draw = paper.draw.__wrapped__  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="20 to 1000 mm, got 2"):
        draw(chart, width_mm=2.0)
    with pytest.raises(ValueError, match="3 to 72 points, got 1"):
        draw(chart, font_size=1.0)
    with pytest.raises(ValueError, match="30 to 2400 dpi, got 0"):
        draw(chart, dpi=0)
    with pytest.raises(ValueError, match="fonts sans, serif, got 'comic'"):
        draw(chart, font="comic")
    with pytest.raises(ValueError, match=r"ending in .pdf, .svg or .png, got 'figure.gif'"):
        paper.write_figure(chart, tmp_path / "figure.gif")
    with pytest.raises(ValueError, match="formats pdf, svg, png, got 'gif'"):
        paper.figure_bytes.__wrapped__(chart, "gif")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="polar panel, got a field"):
        draw(Chart(panels=(Panel(layers=(picture(),), kind="polar"),), name="x"))
