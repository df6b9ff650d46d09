"""Draw a `Chart` on screen with Plotly: hover, zoom, light and dark. Pictures keep their colours in both themes."""

from __future__ import annotations

import re
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.figures.drawing import style
from core.figures.drawing.chart import (
    BandLayer,
    BarsLayer,
    Chart,
    LegendEntry,
    LinesLayer,
    NamedLayer,
    Panel,
    PointsLayer,
)
from core.figures.drawing.glyphs import with_known_letters
from core.figures.drawing.provenance import RECIPE_ID, recipe_text
from core.figures.drawing.traces import PanelTraces, escape_html, line_style, mark_style, transparent
from core.wording import markup

# pixels
_SIDE = 560  # of a single picture; of several in a row:
_SMALLER_SIDE = 420
_ROUND = 330  # of a polar panel
_CURVES = 340  # height of a panel of curves
_SMALL_CURVES, _LOW_CURVES = 170, 250  # in a grid, and in a column,
_SMALL_FROM = 3  # of at least this many panels
_PAGE = 720  # the approximate width of a page
_GAP = 84  # between panels: ticks and titles of an axis
_BARS = 84  # a colour bar with its labels
_LEFT, _RIGHT, _ABOVE, _BELOW = 60, 20, 34, 58  # around the plots; Plotly's buttons lie above
_BESIDE = 112  # around a polar panel: labels of directions
_LINE = 21  # of the legend
_TAG = re.compile("<[^>]*>|&[^;]*;")  # takes no room in a legend


def page_bytes(chart: Chart) -> bytes:
    """A chart as one interactive HTML page, with the recipe inside and no need for a network: the same bytes each time.

    Args:
        chart: what to draw.

    Returns:
        UTF-8 HTML with Plotly's script in it, about 5 MB.
    """
    chart = with_known_letters(chart)
    body = draw(chart).to_html(full_html=False, include_plotlyjs=True, div_id="chart", config={"displaylogo": False})
    recipe = recipe_text(chart.recipe or {}).replace("<", "\\u003c")
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{markup(f'Boundary Atlas: {chart.name}')}</title>"
        f'<script type="application/json" id="{RECIPE_ID}">{recipe}</script></head>'
        '<body style="margin:2rem auto;max-width:60rem;font-family:sans-serif">'
        f"{body}<p>{markup(chart.caption)}</p></body></html>\n"
    ).encode()


def draw(chart: Chart, *, dark: bool = False, legend: bool = True) -> go.Figure:
    """Draw a chart as a Plotly figure.

    Args:
        chart: what to draw.
        dark: draw for a dark page; pictures and the lines on them keep their colours.
        legend: draw the legend inside the figure; otherwise the page shows it.

    Returns:
        A figure as wide as the page, or of fixed width if all panels have a fixed shape; `layout.meta` holds `alt`,
        `caption` and `name`.

    Raises:
        ValueError: if a polar panel holds a field or thumbnails, which cannot be drawn there.
    """
    chart = with_known_letters(chart)
    theme = style.DARK if dark else style.LIGHT
    fixed = all(panel.isometric or panel.kind == "image" for panel in chart.panels)
    pictured = fixed or any(panel.isometric or panel.kind != "cartesian" for panel in chart.panels)
    polar = all(panel.kind == "polar" for panel in chart.panels)
    side = _ROUND if polar else (_SIDE if chart.columns == 1 else _SMALLER_SIDE) if pictured else _CURVES
    bars = _BARS if any(panel.scales for panel in chart.panels) else 0
    # only pictures have a fixed width; curves take the page's, which is guessed to place what lies around them
    gap, below = _gaps(chart)
    across = chart.columns * (side if fixed else 640 / chart.columns) + (chart.columns - 1) * (gap + bars)
    heights = [_height(chart, row, side) for row in range(chart.rows)]
    above = sum(heights) + (chart.rows - 1) * below
    figure = make_subplots(
        rows=chart.rows,
        cols=chart.columns,
        specs=_kinds(chart),
        row_heights=heights,
        horizontal_spacing=(gap + bars) / across if chart.columns > 1 else 0.0,
        vertical_spacing=below / above if chart.rows > 1 else 0.0,
    )
    for place, panel in enumerate(chart.panels):
        row, column = divmod(place, chart.columns)
        PanelTraces(figure, panel, theme, row + 1, column + 1, (across, above), chart.has_bars(place)).draw()
    samples = _samples(chart, theme) if legend else []
    for sample in samples:
        sample |= {"hoverinfo": "skip", "showlegend": True}
        if chart.panels[0].kind == "polar":
            figure.add_trace(go.Scatterpolar(theta=[None], r=[None], **sample), row=1, col=1)
        else:
            figure.add_trace(go.Scatter(x=[None], y=[None], **sample), row=1, col=1)
    longest = max((len(_TAG.sub("", sample["name"])) for sample in samples), default=0)
    lines = -(-len(samples) // max(1, int(across // (48 + 7 * longest)))) if samples else 0
    top = _ABOVE + 14 * bool(chart.title) + (22 + 16 * polar) * any(panel.title for panel in chart.panels)
    bottom = _BELOW + _LINE * lines + 8
    left = _BESIDE if polar else _RIGHT if all(panel.kind == "image" for panel in chart.panels) else _LEFT
    figure.update_layout(
        template=None,
        title={
            "text": escape_html(chart.title),
            "x": 0,
            "xref": "paper",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 10},
            "font": {"family": style.SCREEN_SERIF, "size": 17},
        },
        font={"family": style.SCREEN_FONT, "size": 13, "color": theme.ink},
        paper_bgcolor=theme.paper,
        plot_bgcolor=theme.paper,
        width=left + across + bars + _RIGHT if fixed else None,
        height=top + above + bottom,
        margin={
            "l": left,
            "r": _BESIDE if polar else bars + _RIGHT,
            "t": top,
            "b": bottom,
            "autoexpand": False,
        },
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -_BELOW / above,
            "yanchor": "top",
            "itemclick": False,
            "itemdoubleclick": False,
            "font": {"size": 13},
        },
        hoverlabel={"bgcolor": theme.paper, "bordercolor": theme.line, "font": {"color": theme.ink}},
        meta={"alt": chart.alt, "caption": chart.caption, "name": chart.name},
        barmode="overlay",
        showlegend=legend,
    )
    return figure


def _height(chart: Chart, row: int, side: float) -> float:
    """The height of a row of panels, at most `side`."""
    panels = chart.panels[row * chart.columns : (row + 1) * chart.columns]
    if all(map(_is_curves, panels)):
        small = chart.columns >= _SMALL_FROM and chart.rows > 1
        return min(side, _SMALL_CURVES if small else _LOW_CURVES if chart.rows >= _SMALL_FROM else _CURVES)
    images = all(panel.kind == "image" for panel in panels)
    if not images and not all(panel.isometric for panel in panels):
        return side
    # no higher than the shape of the pictures, on a page of usual width where other panels set the width
    spans = [(x, y) for x, y in (panel.limits for panel in panels) if x is not None and y is not None]
    shapes = [(y[1] - y[0]) / (x[1] - x[0]) for x, y in spans]
    alone = all(panel.kind == "image" for panel in chart.panels) if images else not any(map(_is_curves, chart.panels))
    return min(side, max(shapes, default=1.0) * (side if alone else _room(chart)))


def _is_curves(panel: Panel) -> bool:
    return panel.kind == "cartesian" and not panel.isometric


def _room(chart: Chart) -> float:
    """The width of one panel on a page of usual width, without ticks, titles and colour bars."""
    bars = _BARS if any(panel.scales for panel in chart.panels) else 0
    gaps = (chart.columns - 1) * (_gaps(chart)[0] + bars)
    return (_PAGE - _LEFT - _RIGHT - bars - gaps) / chart.columns


def _gaps(chart: Chart) -> tuple[float, float]:
    """The gaps between columns and between rows, smaller where only the outer panels of a grid have axis titles."""
    inner_y = any(panel.y.title for place, panel in enumerate(chart.panels) if place % chart.columns)
    inner_x = any(panel.x.title for panel in chart.panels[: -chart.columns])
    grid = chart.columns > 1 and chart.rows > 1
    side = _BESIDE if any(panel.kind == "polar" for panel in chart.panels) else _GAP
    return (side if inner_y or not grid else _GAP // 2), (_GAP + 20 if inner_x or not grid else _GAP - 24)


def _kinds(chart: Chart) -> list[list[dict[str, str] | None]]:
    """The `specs` of `make_subplots`: the type of each cell of the grid."""
    kinds: list[dict[str, str] | None] = [{"type": "polar" if p.kind == "polar" else "xy"} for p in chart.panels]
    kinds += [None] * (chart.rows * chart.columns - len(kinds))
    return [kinds[row * chart.columns : (row + 1) * chart.columns] for row in range(chart.rows)]


def _samples(chart: Chart, theme: style.Theme) -> list[dict[str, Any]]:
    """The legend: its own entries first, then the named layers."""
    layers = [{**_layer_sample(layer, theme), "name": escape_html(layer.name)} for layer in chart.named_layers]
    return [*(_class_sample(entry, theme) for entry in chart.legend), *layers]


def _class_sample(entry: LegendEntry, theme: style.Theme) -> dict[str, Any]:
    share = f' <span style="color:{theme.quiet}">{escape_html(entry.share_words)}</span>' if entry.share_words else ""
    return {**_swatch(entry.colour or "rgba(0,0,0,0)"), "name": escape_html(entry.label) + share}


def _layer_sample(layer: NamedLayer, theme: style.Theme) -> dict[str, Any]:
    match layer:
        case LinesLayer():
            return {"mode": "lines", "line": line_style(layer, theme)}
        case PointsLayer():
            return {"mode": "markers", "marker": mark_style(layer, list(layer.colours[:1]) or [theme.ink])}
        case BandLayer():
            return _swatch(transparent(layer.colour or theme.quiet, style.BAND))
        case BarsLayer():
            return _swatch((layer.colours or (theme.quiet,))[0])


def _swatch(colour: str) -> dict[str, Any]:
    return {"mode": "markers", "marker": {"symbol": "square", "size": 11, "color": colour}}
