"""One panel drawn with Plotly: axes, layers, scale bar, colour bars, labels. Used by `screen` alone."""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    BandLayer,
    BarsLayer,
    FieldLayer,
    ImagesLayer,
    Layer,
    LinesLayer,
    Panel,
    PointsLayer,
    Scale,
)

_STROKE = 2.4  # pixels per point of a line: a picture of 75 mm on paper is about 600 pixels wide on screen
_MARK = 1.5  # pixels per point of a mark
_EDGED = 7.0  # pixels: smaller marks would be all edge
_PICTURE = 300.0  # points: a thumbnail of 18 points takes 18 / 300 of the width, since Plotly sizes images by axes
_HOVER_CELLS = 96  # per side: hover text is one string per cell, and 256^2 of them take megabytes
_OUTLINE = ", ".join(f"{x}px {y}px 0 {style.HALO}" for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y)
_SHADOW = f"{_OUTLINE}, 0 0 3px {style.HALO}"
_MARKERS = {
    "circle": "circle",
    "ring": "circle-open",
    "cross": "x-thin",
    "square": "square",
    "diamond": "diamond",
    "none": "circle",
}
_DASHES = {"solid": "solid", "dashed": "dash", "dotted": "dot"}


def escape_html(words: str) -> str:
    """Text that Plotly shows literally: no tags, no entities, no formulas between dollar signs."""
    return html.escape(words).replace("$", "&#36;").replace("\n", "<br>")


def line_style(layer: LinesLayer, theme: style.Theme) -> dict[str, Any]:
    """Plotly's style of a layer's lines, in the colour of a line on bare paper."""
    stroke = style.STROKES[layer.role]
    dash = layer.dash if layer.dash != "solid" else stroke.dash
    colour = style.lifted(layer.colour, theme) if layer.colour else getattr(theme, stroke.colour)
    return {"color": colour, "width": _STROKE * stroke.width, "dash": _DASHES[dash]}


def mark_style(layer: PointsLayer, colours: list[str]) -> dict[str, Any]:
    """Plotly's style of a layer's marks."""
    colour = colours if len(colours) > 1 else colours[0]
    outline: dict[str, Any] = {"width": int(_MARK * layer.size >= _EDGED), "color": style.HALO}
    if layer.marker in ("ring", "cross"):
        outline = {"width": 2, "color": colour}
    return {"symbol": _MARKERS[layer.marker], "size": _MARK * layer.size, "color": colour, "line": outline}


def _png(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@dataclass
class PanelTraces:
    """Draws one panel of a figure."""

    figure: go.Figure
    panel: Panel
    theme: style.Theme
    row: int
    column: int
    size: tuple[float, float]  # approximate pixels of all plots of the figure, to place the colour bars
    bars: bool = True  # draw the colour bars, unless the panel to the right has the same

    @property
    def _polar(self) -> bool:
        return self.panel.kind == "polar"

    def draw(self) -> None:
        """Add the panel to the figure."""
        if self._polar:
            self._polar_axes()
        else:
            self._plain_axes()
        if self._polar and any(isinstance(layer, FieldLayer | ImagesLayer) for layer in self.panel.layers):
            raise ValueError("expected lines, points, bands or bars in a polar panel, got a field or thumbnails")
        draw: dict[type[Layer], Callable[[Any], None]] = {
            FieldLayer: self._field,
            LinesLayer: self._lines,
            PointsLayer: self._points,
            ImagesLayer: self._images,
            BandLayer: self._band,
            BarsLayer: self._bars,
        }
        for layer in self.panel.layers:
            draw[type(layer)](layer)
        if self.panel.scale_bar and not self._polar:
            self._scale_bar()
        self._title()
        for number, scale in enumerate(self.panel.scales if self.bars else ()):
            self._colour_bar(scale, number)

    @property
    def _domain(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the panel, as shares of the plots' width and height."""
        subplot = self.figure.get_subplot(self.row, self.column)
        x, y = (subplot.domain.x, subplot.domain.y) if self._polar else (subplot.xaxis.domain, subplot.yaxis.domain)
        return x[0], x[1], y[0], y[1]

    def _title(self) -> None:
        left, right, bottom, top = self._domain
        beside = {"xref": "paper", "yref": "paper", "showarrow": False, "borderpad": 0}
        if self.panel.title:
            above = {"xanchor": "left", "yanchor": "bottom", "yshift": 34 if self._polar else 6, "font": {"size": 14}}
            self.figure.add_annotation(x=left, y=top, text=escape_html(self.panel.title), **beside, **above)
        if self._polar and self.panel.y.title:
            beside |= {"xanchor": "center", "yanchor": "top", "yshift": -24}
            self.figure.add_annotation(x=(left + right) / 2, y=bottom, text=escape_html(self.panel.y.title), **beside)

    # -- axes --

    def _axis(self, axis: Axis) -> dict[str, Any]:
        places, words = zip(*axis.ticks, strict=True) if axis.ticks else ((), ())
        ticks = {} if axis.ticks is None else {"tickvals": places, "ticktext": [escape_html(word) for word in words]}
        return {
            "type": axis.scale,
            "ticks": "outside",
            "ticklen": 4,
            "tickcolor": self.theme.quiet,
            "tickfont": {"size": 11, "color": self.theme.quiet},
            "gridcolor": self.theme.line,
            "linecolor": self.theme.quiet,
            "zeroline": False,
            **ticks,
        }

    def _plain_axes(self) -> None:
        panel = self.panel
        pictured = panel.isometric or any(isinstance(layer, FieldLayer) for layer in panel.layers)
        x_limits, y_limits = panel.limits
        own = {"showline": True, "mirror": pictured, "visible": panel.kind != "image"}
        titles = {"standoff": 8, "font": {"size": 13}}
        x, y = (
            self._axis(axis)
            | own
            | {"title": {"text": escape_html(axis.title), **titles}, "showgrid": grid, "range": _range(axis, limits)}
            for axis, limits, grid in ((panel.x, x_limits, False), (panel.y, y_limits, not pictured))
        )
        if panel.isometric or panel.kind == "image":
            y |= {"scaleanchor": self.figure.get_subplot(self.row, self.column).yaxis.anchor, "scaleratio": 1}
            x["constrain"] = y["constrain"] = "domain"
        self.figure.update_xaxes(x, row=self.row, col=self.column)
        self.figure.update_yaxes(y, row=self.row, col=self.column)

    def _polar_axes(self) -> None:
        angular = {**self._axis(self.panel.x), "direction": "counterclockwise", "rotation": 0, "type": "linear"}
        radial = {**self._axis(self.panel.y), "angle": 22.5, "tickangle": 0, "showline": False, "ticks": ""}
        for axis in (angular, radial):
            axis.pop("zeroline")
        if self.panel.x.ticks is not None:  # Plotly's angles are degrees
            angular["tickvals"] = [float(np.degrees(place)) for place, _ in self.panel.x.ticks]
            angular["ticktext"] = ["<br>".join(map(escape_html, textwrap.wrap(w, 16))) for _, w in self.panel.x.ticks]
        radial["range"] = _range(self.panel.y, self.panel.y.limits)
        radial["nticks"] = 5
        polar = {"angularaxis": angular, "radialaxis": radial, "bgcolor": self.theme.paper}
        self.figure.update_polars(polar, row=self.row, col=self.column)

    def _add(self, trace: Any) -> None:
        self.figure.add_trace(trace, row=self.row, col=self.column)

    def _curve(self, x: Any, y: Any, **options: Any) -> None:
        """A trace of lines or marks in the panel's own coordinates."""
        if self._polar:
            self._add(go.Scatterpolar(theta=np.degrees(np.asarray(x, np.float64)), r=y, **options))
        else:
            self._add(go.Scatter(x=x, y=y, **options))

    # -- layers --

    def _field(self, layer: FieldLayer) -> None:
        x_min, x_max, y_min, y_max = layer.edges
        rows, columns = layer.colours.shape[:2]
        self._add(
            go.Image(
                source=_png(layer.colours),
                x0=layer.x[0],
                dx=(x_max - x_min) / columns,
                y0=layer.y[0],
                dy=(y_max - y_min) / rows,
                zsmooth="fast" if layer.smooth else False,
                hoverinfo="skip",
            )
        )
        if layer.hover_index is not None and layer.hover:
            step = -(-max(rows, columns) // _HOVER_CELLS)
            chosen = (slice(step // 2, None, step),) * 2
            index = layer.hover_index[chosen]
            words = np.array([*map(escape_html, layer.hover), ""])  # -1 is the last
            self._add(
                go.Heatmap(
                    x=layer.x[chosen[1]],
                    y=layer.y[chosen[0]],
                    z=np.zeros(index.shape, np.int8),
                    text=words[index],
                    hovertemplate="%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
                    opacity=0,
                    showscale=False,
                    showlegend=False,
                )
            )

    def _lines(self, layer: LinesLayer) -> None:
        stroke, (x, y) = style.STROKES[layer.role], layer.joined.T
        common = {"mode": "lines", "connectgaps": False, "showlegend": False}
        line = line_style(layer, style.LIGHT if stroke.halo else self.theme)  # a picture stays light in a dark theme
        if stroke.halo:  # all halos first, so that none covers a line
            self._curve(x, y, line={"color": style.HALO, "width": _STROKE * stroke.halo}, hoverinfo="skip", **common)
            self._curve(x, y, line=line, hoverinfo="skip", **common)
        else:
            hover_text = {"text": [*map(escape_html, layer.hover_text)], "hoverinfo": "text"} if layer.hover else {}
            self._curve(x, y, line=line, name=escape_html(layer.name), **common, **hover_text)
        for path, words in zip(layer.paths, layer.labels, strict=False):
            if words and len(path):
                self._label(words, path[len(path) // 2], yanchor="middle")

    def _points(self, layer: PointsLayer) -> None:
        pictured = any(isinstance(each, FieldLayer) for each in self.panel.layers)
        paper = style.LIGHT if pictured else self.theme  # a picture stays light in a dark theme
        colours = [style.lifted(colour, paper) for colour in layer.colours] or [self.theme.ink]
        labels = [escape_html(words) for words in layer.labels] or None
        if layer.marker == "none":
            left, right = self._span(layer.positions)[0]
            for position, words in zip(layer.positions, layer.labels, strict=False):
                anchor = style.inwards((position[0] - left) / ((right - left) or 1.0))
                self._label(words, position, xanchor=anchor, yanchor="middle")
            return
        self._curve(
            *layer.positions.T,
            mode="markers+text" if labels else "markers",
            text=labels,
            textposition="middle right",
            textfont=self._font(*layer.positions[0]) if labels else None,
            marker=mark_style(layer, colours),
            name=escape_html(layer.name),
            showlegend=False,
        )

    def _images(self, layer: ImagesLayer) -> None:
        (left, right), (low, high) = self._span(layer.positions)
        across = layer.size / _PICTURE * (right - left)
        up = across if self.panel.isometric else layer.size / _PICTURE * (high - low)
        for index, (picture, (x, y)) in enumerate(zip(layer.images, layer.positions, strict=True)):
            box = {"x0": x - across / 2, "x1": x + across / 2, "y0": y - up / 2, "y1": y + up / 2}
            place = {"row": self.row, "col": self.column}
            self.figure.add_layout_image(
                source=_png(style.faded(picture) if layer.off_plane(index) else picture),
                x=box["x0"],
                y=box["y1"],
                sizex=across,
                sizey=up,
                sizing="stretch",
                layer="above",
                **place,
            )
            frame = layer.colours[index] if layer.colours else style.HALO
            for colour, width in ((style.LIGHT.ink, 4), (frame, 2)):
                self.figure.add_shape(type="rect", line={"color": colour, "width": width}, **box, **place)
            if words := layer.words(index):
                anchor = style.inwards((x - left) / (right - left))
                aside = {"left": box["x0"], "right": box["x1"], "center": x}[anchor]
                above = (y - low) / (high - low) < 0.15
                at = {"yanchor": "bottom", "yshift": 3} if above else {"yanchor": "top", "yshift": -3}
                self._label(words, (aside, box["y1" if above else "y0"]), xanchor=anchor, **at)

    def _band(self, layer: BandLayer) -> None:
        colour = layer.colour or self.theme.quiet
        x = np.concatenate([layer.x, layer.x[::-1]])
        y = np.concatenate([layer.high, layer.low[::-1]])
        fill = {"fill": "toself", "fillcolor": transparent(colour, style.BAND), "line": {"width": 0}, "mode": "lines"}
        self._curve(x, y, hoverinfo="skip", name=escape_html(layer.name), showlegend=False, **fill)

    def _bars(self, layer: BarsLayer) -> None:
        colours = list(layer.colours) or [self.theme.quiet]
        shown: dict[str, Any] = {
            "marker": {"color": colours if len(colours) > 1 else colours[0], "line": {"width": 0}},
            "name": escape_html(layer.name),
            "showlegend": False,
        }
        if self._polar:
            width = float(np.degrees(layer.width))
            self._add(go.Barpolar(theta=np.degrees(layer.x), r=layer.heights, width=width, **shown))
            return
        if layer.low is not None and layer.high is not None:
            shown["error_y"] = {
                "array": layer.high - layer.heights,
                "arrayminus": layer.heights - layer.low,
                "color": self.theme.ink,
                "thickness": 1.2,
                "width": 0,
            }
        self._add(go.Bar(x=layer.x, y=layer.heights, width=layer.width, **shown))

    # -- labels, scale bar and colour bars --

    def _font(self, x: float, y: float) -> dict[str, Any]:
        fields = (layer.edges for layer in self.panel.layers if isinstance(layer, FieldLayer))
        pictured = any(left <= x <= right and low <= y <= high for left, right, low, high in fields)
        return {"shadow": _SHADOW, "color": style.LIGHT.ink} if pictured else {"color": self.theme.ink}

    def _span(self, positions: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
        """The panel's limits, or the range of these positions."""
        x, y = self.panel.limits
        low, high = (positions.min(0), positions.max(0)) if len(positions) else (np.zeros(2), np.ones(2))
        return x or (float(low[0]), float(high[0])), y or (float(low[1]), float(high[1]))

    def _label(self, words: str, position: Any, **options: Any) -> None:
        self.figure.add_annotation(
            x=float(position[0]),
            y=float(position[1]),
            text=escape_html(words),
            showarrow=False,
            font={"size": 12, **self._font(*map(float, position))},
            borderpad=0,
            row=self.row,
            col=self.column,
            **options,
        )

    def _scale_bar(self) -> None:
        (left, right), (low, high) = self._span(np.empty((0, 2)))
        length = style.round_length(right - left)
        across, up = self.panel.scale_bar_corner
        margin, room = 0.03 * (right - left), 0.03 * (high - low)
        x = right - margin - length if across else left + margin
        y = high - 3 * room if up else low + room
        plate = {"type": "rect", "fillcolor": style.HALO, "line": {"width": 0}}
        box = {"x0": x - margin / 2, "x1": x + length + margin / 2, "y0": y - room / 2, "y1": y + 2 * room}
        line = {"color": style.LIGHT.ink, "width": 3}
        for shape in (plate | box, {"type": "line", "line": line, "x0": x, "x1": x + length, "y0": y, "y1": y}):
            self.figure.add_shape(**shape, row=self.row, col=self.column)
        words = f"{style.number_words(length)} {self.panel.scale_bar}"
        self._label(words, (x + length / 2, y), xanchor="center", yanchor="bottom", yshift=3, bgcolor=style.HALO)

    def _colour_bar(self, scale: Scale, number: int) -> None:
        """A bar to the right of the panel, on a trace that draws nothing else."""
        stops = style.scale_colours(np.linspace(*scale.limits, 33), scale.palette, scale.limits)
        colours = [[place / 32, "rgb({},{},{})".format(*stop)] for place, stop in enumerate(stops.tolist())]
        _, right, bottom, top = self._domain
        low, high = scale.limits
        bar = {
            "title": {"text": escape_html(scale.title), "side": "right", "font": {"size": 12}},
            "thickness": 9,
            "outlinewidth": 0,
            "ticks": "outside",
            "ticklen": 3,
            "tickfont": {"size": 11, "color": self.theme.quiet},
            "x": right + (10 + 70 * number) / self.size[0],
            "xpad": 0,
            "y": (bottom + top) / 2,
            "len": top - bottom,
            "ypad": 0,
            "nticks": 6,
        } | (dict(zip(("tickvals", "ticktext"), zip(*scale.ticks, strict=True), strict=True)) if scale.ticks else {})
        marker = {"color": [low], "cmin": low, "cmax": high, "colorscale": colours, "showscale": True, "colorbar": bar}
        self._add(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, showlegend=False, hoverinfo="skip"))


def _range(axis: Axis, limits: tuple[float, float] | None) -> list[float] | None:
    """Limits as Plotly expects them: decimal exponents on a logarithmic axis."""
    return limits and [float(np.log10(end) if axis.scale == "log" else end) for end in limits]


def transparent(colour: str, opacity: float) -> str:
    """A colour "#rrggbb" in Plotly's notation, with an opacity."""
    red, green, blue = style.rgb(colour).astype(int)
    return f"rgba({red},{green},{blue},{opacity})"
