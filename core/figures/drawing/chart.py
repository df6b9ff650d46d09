"""The description of a figure: what to draw, with units, and nothing about how.

A `Chart` is a grid of panels; a panel is a coordinate system with layers, drawn in order. The plane viewer and Plotly
draw it on screen, matplotlib on paper: what is exported is what was seen. Layers hold finished values; drawing samples,
smooths and computes nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from core.figures.drawing.style import Dash, log_ticks


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis: its label, its unit and, where it matters, its limits."""

    label: str = ""
    unit: str = ""
    limits: tuple[float, float] | None = None
    scale: Literal["linear", "log"] = "linear"
    ticks: tuple[tuple[float, str], ...] | None = None  # None: the renderer's own
    symlog: float = 0.0  # c of `core.figures.drawing.symlog` where layers hold its positions; 0: they hold the values

    @property
    def title(self) -> str:
        """The label with the unit in brackets, as drawn along the axis."""
        return f"{self.label} ({self.unit})" if self.label and self.unit else self.label or self.unit


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How numbers become colours: what a colour bar shows."""

    palette: str  # a name of `style.PALETTES`
    limits: tuple[float, float]
    label: str
    unit: str = ""
    exponents: bool = False  # the colours stand for the decimal exponents of the quantity

    @property
    def title(self) -> str:
        """The label with the unit in brackets, as drawn along the colour bar."""
        return Axis(label=self.label, unit=self.unit).title

    @property
    def ends(self) -> tuple[float, float]:
        """The values of the first and the last colour."""
        low, high = self.limits
        return (10**low, 10**high) if self.exponents else (low, high)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Positions and labels along a bar of exponents: 1, 2 and 5 times powers of ten; none on other bars."""
        return tuple((math.log10(value), text) for value, text in log_ticks(*self.ends)) if self.exponents else ()


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldLayer:
    """A picture on a regular grid. The row index is y: row 0 is drawn at the bottom.

    `x` and `y` are evenly spaced cell centres; the picture extends half a step beyond them.
    """

    x: np.ndarray  # (columns,)
    y: np.ndarray  # (rows,)
    colours: np.ndarray  # (rows, columns, 3) uint8
    smooth: bool = False  # bilinear between cells for scalars; labels are never blended
    scale: Scale | None = None
    hover: tuple[str, ...] = ()  # the text of each index in `hover_index`
    hover_index: np.ndarray | None = None  # (rows, columns) int, -1 for no text
    name: str = ""

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """x_min, x_max, y_min, y_max of the picture: half a step beyond the outermost cell centres."""
        return *_outer_edges(self.x), *_outer_edges(self.y)


@dataclass(frozen=True, kw_only=True, eq=False)
class LinesLayer:
    """Polylines in one style; a halo keeps a dark line readable on every colour."""

    paths: tuple[np.ndarray, ...]  # each (points, 2)
    role: Literal["boundary", "contour", "outline", "curve", "reference", "guide", "exact"] = "curve"
    colour: str = ""  # "": the role's own
    dash: Dash = "solid"
    name: str = ""  # shown in the legend when not empty
    labels: tuple[str, ...] = ()  # one per path, e.g. the level of a contour
    hover: tuple[str, ...] = ()  # the text of each point of all paths, in place of its coordinates

    @property
    def hover_text(self) -> tuple[str, ...]:
        """The hover text of each row of `joined`."""
        texts = iter(self.hover)
        return tuple(text for path in self.paths for text in (*(next(texts) for _ in path), ""))[:-1]

    @property
    def joined(self) -> np.ndarray:
        """All paths in one array (points, 2), separated by rows of NaN."""
        gap = np.full((1, 2), np.nan)
        rows = [part for path in self.paths for part in (path, gap)][:-1]
        return np.concatenate(rows) if rows else np.empty((0, 2))


@dataclass(frozen=True, kw_only=True, eq=False)
class PointsLayer:
    """Marks with labels."""

    positions: np.ndarray  # (n, 2)
    labels: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()  # one per point, or one for all
    marker: Literal["circle", "ring", "cross", "square", "diamond", "none"] = "circle"  # "none": labels alone
    size: float = 6.0  # points (1/72 inch)
    name: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImagesLayer:
    """Thumbnails at positions of the panel; their size is fixed on the page, not in the plane."""

    positions: np.ndarray  # (n, 2)
    images: np.ndarray  # (n, height, width, 3) uint8
    labels: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()  # frames, one per image
    residuals: tuple[float, ...] = ()  # distances from the plane; those off it are drawn fainter, and labelled so
    size: float = 18.0  # points (1/72 inch)

    def off_plane(self, index: int) -> bool:
        """Whether an image lies visibly off the plane, so that its thumbnail only marks its projection."""
        return bool(self.residuals) and self.residuals[index] >= 0.005  # less is rounding, and would read 0.00

    def words(self, index: int) -> str:
        """The text under a thumbnail: its label and, on a second line, its distance from the plane."""
        lines = [self.labels[index]] if self.labels else []
        if self.off_plane(index):
            lines.append(f"{self.residuals[index]:.2g} off the plane")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, eq=False)
class BandLayer:
    """The area between two curves over the same x, e.g. a confidence interval."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    colour: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class BarsLayer:
    """Bars of given heights at given positions, with optional intervals."""

    x: np.ndarray
    heights: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    width: float = 0.8
    colours: tuple[str, ...] = ()
    name: str = ""


MORE = "more classes"  # ends the label of a legend entry that sums up several classes

NamedLayer = LinesLayer | PointsLayer | BandLayer | BarsLayer
Layer = FieldLayer | ImagesLayer | NamedLayer


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One coordinate system with its layers.

    In a polar panel x is the angle in radians, counter-clockwise from the right, and y the radius. An image panel has
    no axes. An isometric panel shows one step of x as long as one step of y and may carry a scale bar.
    """

    layers: tuple[Layer, ...]
    kind: Literal["cartesian", "polar", "image"] = "cartesian"
    title: str = ""
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)
    isometric: bool = False
    scale_bar: str = ""  # the unit written at the bar, e.g. "ℓ2"; "" for no bar

    @property
    def limits(self) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        """The ranges of x and y: the axes' limits, else the extent of the fields, else None for the renderer's own."""
        edges = [layer.edges for layer in self.layers if isinstance(layer, FieldLayer)]
        if not edges:
            return self.x.limits, self.y.limits
        x_low, x_high, y_low, y_high = zip(*edges, strict=True)
        return self.x.limits or (min(x_low), max(x_high)), self.y.limits or (min(y_low), max(y_high))

    @property
    def scale_bar_corner(self) -> tuple[int, int]:
        """The emptiest corner, for the scale bar: (0, 0) is the lower left, (1, 1) the upper right."""
        x, y = self.limits
        if x is None or y is None:
            return 0, 0
        named = (layer for layer in self.layers if isinstance(layer, ImagesLayer | PointsLayer))
        positions = [layer.positions for layer in named if isinstance(layer, ImagesLayer) or layer.labels]
        at = (np.concatenate([np.empty((0, 2)), *positions]) - [x[0], y[0]]) / [x[1] - x[0], y[1] - y[0]]
        at = at[((at >= 0) & (at <= 1)).all(1)]
        # shares of the panel that the bar and a thumbnail take; a thumbnail's label hangs below it
        reach = {corner: (0.45, 0.2 if corner[1] else 0.4) for corner in ((0, 0), (1, 0), (0, 1), (1, 1))}
        return min(reach, key=lambda corner: int((np.abs(at - corner) < reach[corner]).all(1).sum()))

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The scales of the fields: one colour bar each."""
        return tuple(layer.scale for layer in self.layers if isinstance(layer, FieldLayer) and layer.scale is not None)


@dataclass(frozen=True, kw_only=True)
class LegendEntry:
    """A colour with its meaning and, where known, its share of the picture."""

    colour: str  # "" for a label without a swatch
    label: str
    share: float | None = None  # 0..1
    shares: tuple[float, ...] = ()  # the share in each of several pictures, in their order; NaN where unknown

    @property
    def share_words(self) -> str:
        """The shares in percent, as `percent` writes them."""
        return " / ".join(map(percent, self.shares or (() if self.share is None else (self.share,))))


@dataclass(frozen=True, kw_only=True, eq=False)
class Chart:
    """A grid of panels with one legend and one caption.

    `alt` describes the figure for people who cannot see it. `recipe` is the mapping that reproduces the figure; it is
    stored in every exported file.
    """

    panels: tuple[Panel, ...]
    name: str  # file name without ending, e.g. "slice"
    columns: int = 1
    title: str = ""
    caption: str = ""
    alt: str = ""
    legend: tuple[LegendEntry, ...] = ()
    recipe: Mapping[str, Any] | None = None

    @property
    def rows(self) -> int:
        """Rows of the grid of panels."""
        return -(-len(self.panels) // self.columns)

    @property
    def named_layers(self) -> tuple[NamedLayer, ...]:
        """The layers that the legend lists, each name once."""
        named: dict[str, NamedLayer] = {}
        for layer in (layer for panel in self.panels for layer in panel.layers):
            if not isinstance(layer, FieldLayer | ImagesLayer) and layer.name:
                named.setdefault(layer.name, layer)
        return tuple(named.values())

    def has_bars(self, place: int) -> bool:
        """Whether a panel has colour bars of its own; equal ones in a row stand beside the last panel only."""
        last = (place + 1) % self.columns == 0 or place + 1 == len(self.panels)
        return last or self.panels[place + 1].scales != self.panels[place].scales


def percent(share: float) -> str:
    """A share in whole percent; a part of the whole never reads 0 % or 100 %, and NaN is a dash.

    >>> percent(0.25), percent(0.001), percent(0.999), percent(1.0)
    ('25 %', '<1 %', '>99 %', '100 %')
    """
    if math.isnan(share):
        return "\N{EN DASH}"
    if 0 < share <= 0.005:  # rounds to 0
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def _outer_edges(centres: np.ndarray) -> tuple[float, float]:
    """The ends of evenly spaced cells; a single cell is one step wide."""
    step = (centres[-1] - centres[0]) / (len(centres) - 1) if len(centres) > 1 else 1.0
    return float(centres[0] - step / 2), float(centres[-1] + step / 2)


def side_by_side(charts: Sequence[Chart]) -> Chart:
    """One chart with the panels of several in a row.

    Args:
        charts: at least one, of the same kind, so that name, caption and colours agree.

    Returns:
        A single chart unchanged; of several all panels, one legend with the shares in each, and a caption of the
        sentences they share followed by those of each chart alone.
    """
    first = charts[0]
    if len(charts) == 1:
        return first
    entries = {entry.label: entry for chart in charts for entry in chart.legend}
    sentences = [re.split(r"(?<=[.;]) (?=[A-Z])", chart.caption) for chart in charts]
    shared = [each for each in sentences[0] if all(each in other for other in sentences)]
    own = [" ".join(each for each in hover_text if each not in shared) for hover_text in sentences]
    captions = [f"{chart.panels[0].title}: {words}" for chart, words in zip(charts, own, strict=True) if words]
    return replace(
        first,
        panels=tuple(_same_radius([panel for chart in charts for panel in chart.panels])),
        columns=sum(chart.columns for chart in charts),
        legend=tuple(_in_each(entry, charts) for entry in entries.values()),
        caption=" ".join([*shared, *captions]),
        alt=" ".join(chart.alt for chart in charts),
    )


def _in_each(entry: LegendEntry, charts: Sequence[Chart]) -> LegendEntry:
    """An entry with its shares in all charts, or without any where some chart has none."""
    own = [{each.label: each.share for each in chart.legend if each.share is not None} for chart in charts]
    if entry.share is None or not all(own):
        return replace(entry, share=None)
    # a class that a chart does not list has no share of it, unless the chart sums up its small shares
    missing = (math.nan if any(label.endswith(MORE) for label in shares) else 0.0 for shares in own)
    shares = tuple(shares.get(entry.label, none) for shares, none in zip(own, missing, strict=True))
    return replace(entry, share=None, shares=shares)


def _same_radius(panels: list[Panel]) -> list[Panel]:
    """Polar panels with the largest of their radii, so that lengths compare by eye."""
    ends = [panel.y.limits for panel in panels if panel.kind == "polar" and panel.y.limits]
    if len(ends) != len(panels):
        return panels
    limits = (min(low for low, _ in ends), max(high for _, high in ends))
    return [replace(panel, y=replace(panel.y, limits=limits)) for panel in panels]
