"""The layout of a chart on a page with matplotlib: panels, colour bars, title, legend. Used by `paper` alone.

Lengths are in inches from the lower left corner. The panels are first drawn anywhere, then the room that ticks, titles
and colour bars take around them is measured; the panels get the remaining width, and the height follows.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from core.figures.drawing import style
from core.figures.drawing.chart import BandLayer, BarsLayer, Chart, LinesLayer, Panel, PointsLayer
from core.figures.drawing.glyphs import readable
from core.figures.drawing.panels import colour_bar, draw_panel, line_styles, mark_style
from core.wording import shortened

_POINT = 1 / 72  # inches
_EDGE = 0.02  # inches kept free around everything
_GAP = 0.12  # inches between panels
_SPACE = 0.06  # inches above the legend and below the title
_BAR = 0.07  # inches: the width of a colour bar, and its distance from the panel
_TALLEST = 8.8  # inches: a taller panel becomes narrower, so that it fits on a page
_THUMBNAIL = 180.0  # points: thumbnails shrink with a panel narrower than this
_FILLED = 0.8  # of a column: about the share that its panel takes
_SETTLED = 0.02  # of a panel's width: a smaller change moves no text off the page
_ASPECT = 0.68  # height / width of a panel of curves, where no other panel of its row sets the height


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One entry of the legend and the style of its sample."""

    label: str
    share: str = ""
    colour: str = ""  # of a swatch
    opacity: float = 1.0
    layer: LinesLayer | PointsLayer | None = None  # the source of a line or mark as sample
    x: float = 0.0  # inches: its left end
    width: float = 0.0  # inches: of the label

    @property
    def sample(self) -> float:
        """The width of the sample, in inches."""
        return 0.2 if isinstance(self.layer, LinesLayer) else 0.09 if self.layer or self.colour else 0.0

    @property
    def indent(self) -> float:
        """Inches from the left end to the label."""
        return self.sample + (0.04 if self.sample else 0)


class Page:
    """A chart on a page of a given width; `figure` is finished when the constructor returns."""

    def __init__(self, chart: Chart, width: float, font_size: float, dpi: int) -> None:
        """Lay out and draw the chart with matplotlib's current settings.

        Args:
            chart: what to draw.
            width: of the page, in inches.
            font_size: of axis titles, in points.
            dpi: resolution of the picture, or of fields inside vector files.
        """
        self.chart, self.font_size, self.small = chart, font_size, style.SMALL * font_size
        self.figure = Figure(figsize=(width, width), dpi=dpi)
        self._canvas: Any = FigureCanvasAgg(self.figure)  # not typed
        self._groups = [self._draw(place, panel) for place, panel in enumerate(chart.panels)]
        self._taken = np.zeros((len(chart.panels), 4))  # inches around each panel
        entries = self._entries()
        title = self._measure(chart.title, 1.15 * font_size)[1] + _SPACE if chart.title else 0.0
        left, lines = self._arrange(width, title, entries)
        for _ in range(3):  # ticks follow the sizes, and the sizes follow the ticks: repeat until both settle
            before = self._groups[0][0].get_window_extent().width
            left, lines = self._arrange(width, title, entries)
            if abs(self._groups[0][0].get_window_extent().width / before - 1) < _SETTLED:
                break
        if chart.title:
            top = float(self.figure.get_size_inches()[1]) - _EDGE
            self._write(chart.title, left, top, size=1.15 * font_size, va="top")
        self._legend(lines)

    def _draw(self, place: int, panel: Panel) -> list[Axes]:
        """Draw a panel and its colour bars at about their final size; their axes."""
        width = _FILLED * float(self.figure.get_size_inches()[0]) / self.chart.columns
        axes = draw_panel(self.figure, panel, self.small, max(0.4, min(1.0, width / _POINT / _THUMBNAIL)))
        scales = panel.scales if self.chart.has_bars(place) else ()
        group = [axes, *(colour_bar(self.figure, scale) for scale in scales)]
        aspect = _aspect(panel, axes)
        self._put(group, 0.0, 0.0, width, width * (_ASPECT if math.isnan(aspect) else aspect))
        return group

    # -- layout --

    def _arrange(self, width: float, title: float, entries: list[_Entry]) -> tuple[float, list[list[_Entry]]]:
        """Place the panels and set the height of the page; return their left end and the legend's lines."""
        rows, columns = self.chart.rows, self.chart.columns
        around, aspects = np.zeros((rows, columns, 4)), np.full((rows, columns), np.nan)
        for place, (panel, group) in enumerate(zip(self.chart.panels, self._groups, strict=True)):
            self._fold(group)
            # ticks change with the size: leave room for those of all rounds
            self._taken[place] = np.maximum(self._taken[place], self._around(group))
            around[divmod(place, columns)] = self._taken[place]
            aspects[divmod(place, columns)] = _aspect(panel, group[0])
        # panels of curves fill the height of their row
        fixed = np.nan_to_num(aspects).max(1, keepdims=True)
        aspects = np.where(np.isnan(aspects), np.where(fixed > 0, fixed, _ASPECT), aspects)
        left, right = around[..., 0].max(0), around[..., 1].max(0)
        bottom, top = around[..., 2].max(1), around[..., 3].max(1)
        each = (width - 2 * _EDGE - left.sum() - right.sum() - _GAP * (columns - 1)) / columns
        heights = np.minimum(max(each, 0.2) * aspects, _TALLEST)
        lines = self._flow(entries, float(_EDGE + left[0]), width)
        legend = len(lines) * self._line + _SPACE if lines else 0.0
        height = 2 * _EDGE + title + legend + float((bottom + top + heights.max(1)).sum()) + _GAP * (rows - 1)
        self.figure.set_size_inches(width, height)
        for place, group in enumerate(self._groups):
            row, column = divmod(place, columns)
            x = _EDGE + left[: column + 1].sum() + right[:column].sum() + column * (each + _GAP)
            above = top[: row + 1].sum() + bottom[:row].sum() + heights[:row].max(1, initial=0).sum() + row * _GAP
            h = heights[row, column]
            self._put(group, x, height - _EDGE - title - above - h, h / aspects[row, column], h)
        return float(_EDGE + left[0]), lines

    def _fold(self, group: list[Axes]) -> None:
        """Wrap titles that are longer than their axis, so that they stay on the page."""
        renderer = self._canvas.get_renderer()
        for axes in group:
            room = axes.get_window_extent(renderer)
            for title, most in ((axes.xaxis.label, room.width), (axes.yaxis.label, room.height)):
                words = title.get_text().replace("\n", " ")
                title.set_text(words)
                box = title.get_window_extent(renderer)
                lines = math.ceil((box.width if title is axes.xaxis.label else box.height) / most)
                if lines > 1:
                    title.set_text(_folded(words, lines))

    def _around(self, group: list[Axes]) -> np.ndarray:
        """The room, in inches, that ticks, titles and colour bars take left, right, below and above a panel."""
        renderer = self._canvas.get_renderer()
        inner = group[0].get_window_extent(renderer)
        outer = Bbox.union([box for axes in group if (box := axes.get_tightbbox(renderer)) is not None])
        beyond = (inner.x0 - outer.x0, outer.x1 - inner.x1, inner.y0 - outer.y0, outer.y1 - inner.y1)
        return np.maximum(beyond, 0) / self.figure.dpi

    def _put(self, group: list[Axes], x: float, y: float, width: float, height: float) -> None:
        """Place a panel, and its colour bars to the right of it."""
        page_width, page_height = self.figure.get_size_inches()
        for number, axes in enumerate(group):
            left, across = (x, width) if number == 0 else (x + width + _BAR * (1 + 7 * (number - 1)), _BAR)
            axes.set_position((left / page_width, y / page_height, across / page_width, height / page_height))

    # -- words --

    def _write(
        self, words: str, x: float, y: float, *, size: float, colour: str = style.PRINT.ink, va: str = "baseline"
    ) -> Text:
        text = Text(x, y, readable(words), fontsize=size, color=colour, va=va, transform=self.figure.dpi_scale_trans)
        self.figure.add_artist(text)
        return text

    def _measure(self, words: str, size: float) -> tuple[float, float]:
        """Width and height of words, in inches."""
        text = self._write(words, 0, 0, size=size)
        box = text.get_window_extent(self._canvas.get_renderer())
        text.remove()
        return box.width / self.figure.dpi, box.height / self.figure.dpi

    def _shortened(self, words: str, room: float) -> str:
        """Text without its middle where it is wider than the room, in inches."""
        short, kept = words, len(words)
        while kept > 8 and self._measure(short, self.small)[0] > room:
            kept = max(8, kept - -(-kept // 16))
            short = shortened(words, kept)
        return short

    # -- legend --

    @property
    def _line(self) -> float:
        """Inches from one line of the legend to the next."""
        return 1.5 * self.small * _POINT

    def _entries(self) -> list[_Entry]:
        found = [_Entry(label=e.label, share=e.share_words, colour=e.colour) for e in self.chart.legend]
        for layer in self.chart.named_layers:
            match layer:
                case BandLayer():
                    colour = layer.colour or style.PRINT.quiet
                    found.append(_Entry(label=layer.name, colour=colour, opacity=style.BAND))
                case BarsLayer():
                    found.append(_Entry(label=layer.name, colour=(*layer.colours, style.PRINT.quiet)[0]))
                case _:
                    found.append(_Entry(label=layer.name, layer=layer))
        return found

    def _flow(self, entries: list[_Entry], left: float, width: float) -> list[list[_Entry]]:
        """Break the entries into lines that begin with the panels, or at the page's edge where that takes over two."""
        lines: list[list[_Entry]] = []
        for start in (left, _EDGE):
            lines, x = [], width
            for entry in entries:
                beside = entry.indent
                beside += 0.04 + self._measure(entry.share, self.small)[0] if entry.share else 0
                words = self._shortened(entry.label, width - 2 * _EDGE - beside)
                label = self._measure(words, self.small)[0]
                if not lines or x + (beside + label) > width - _EDGE:
                    lines.append([])
                    x = start
                lines[-1].append(replace(entry, label=words, x=x, width=label))
                x += beside + label + 0.11
            if len(lines) <= 2:
                break
        return lines

    def _legend(self, lines: list[list[_Entry]]) -> None:
        inches = self.figure.dpi_scale_trans
        for number, line in enumerate(lines):
            y = _EDGE + (len(lines) - 1 - number + 0.3) * self._line
            middle = y + 0.36 * self.small * _POINT  # of the small letters
            for entry in line:
                x, side = entry.x, entry.sample
                if isinstance(entry.layer, LinesLayer):
                    for stroke in line_styles(entry.layer):
                        self.figure.add_artist(Line2D([x, x + side], [middle, middle], transform=inches, **stroke))
                elif entry.layer:
                    mark = mark_style(entry.layer, (*entry.layer.colours, style.PRINT.ink)[0])
                    self.figure.add_artist(Line2D([x + side / 2], [middle], transform=inches, **mark))
                elif entry.colour:
                    look: dict[str, Any] = {"fc": entry.colour, "alpha": entry.opacity, "lw": 0}
                    self.figure.add_artist(Rectangle((x, middle - side / 2), side, side, transform=inches, **look))
                x += entry.indent
                self._write(entry.label, x, y, size=self.small)
                if entry.share:
                    self._write(entry.share, x + entry.width + 0.04, y, size=self.small, colour=style.PRINT.quiet)


def _folded(words: str, lines: int) -> str:
    """Text in at most this many lines of about the same length."""
    lengths = range(-(-len(words) // lines), len(words) + 1)
    folded = (textwrap.wrap(words, length, break_long_words=False) for length in lengths)
    return "\n".join(next(parts for parts in folded if len(parts) <= lines))


def _aspect(panel: Panel, axes: Axes) -> float:
    """Height / width of a panel; NaN where any will do."""
    if panel.kind == "polar":
        return 1.0
    if panel.kind == "image" or panel.isometric:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        return abs((high - low) / (right - left))
    return math.nan
