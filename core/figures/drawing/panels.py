"""One panel drawn with matplotlib: axes, layers, scale bar, labels. Used by `page` alone."""

from __future__ import annotations

import math
import textwrap
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib import font_manager, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import Normal, Stroke
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

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
from core.figures.drawing.glyphs import readable

_INK, _QUIET = style.PRINT.ink, style.PRINT.quiet
_DASHES: dict[str, Any] = {"solid": "-", "dashed": (0, (4.0, 2.5)), "dotted": (0, (1.0, 1.5))}
_MARKERS = {"circle": "o", "ring": "o", "cross": "x", "square": "s", "diamond": "D", "none": ""}


def draw_panel(figure: Figure, panel: Panel, small: float, thumbnail: float = 1.0) -> Axes:
    """Draw a panel anywhere on a figure; the page moves it to its place.

    Args:
        figure: the figure to draw on.
        panel: the panel to draw.
        small: font size of labels in the picture, in points.
        thumbnail: factor on the size of thumbnails, less than 1 in a small panel.

    Returns:
        The panel's axes.

    Raises:
        ValueError: if a polar panel holds a field or thumbnails, which cannot be drawn there.
    """
    polar = panel.kind == "polar"
    if polar and any(isinstance(layer, FieldLayer | ImagesLayer) for layer in panel.layers):
        raise ValueError("expected lines, points, bands or bars in a polar panel, got a field or thumbnails")
    axes: Axes = figure.add_axes((0.2, 0.2, 0.6, 0.6), projection="polar" if polar else None)
    axes.set_title(readable(panel.title))
    if isinstance(axes, PolarAxes):
        _polar_axes(axes, panel)
    elif panel.kind == "image":
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    else:
        _plain_axes(axes, panel)
    # thumbnails last: their labels stay inside the limits, which the other layers may set
    for number, layer in sorted(enumerate(panel.layers), key=lambda item: isinstance(item[1], ImagesLayer)):
        if isinstance(layer, ImagesLayer):
            layer = replace(layer, size=thumbnail * layer.size)
        _draw_layer(axes, layer, small, zorder=1 + number / 100)
        _set_limits(axes, panel)
    if panel.scale_bar:
        _scale_bar(axes, panel, small)
    for side, axis in ((axes.xaxis, panel.x), (axes.yaxis, panel.y)):
        if axis.scale == "log":
            if axis.ticks is None:  # plain numbers, with 2 and 5 between the powers of ten where these are few
                low, high = side.get_view_interval()
                side.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 150 * low else (1.0,)))
                side.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
            side.set_minor_formatter(NullFormatter())  # no labels at minor ticks
    return axes


def colour_bar(figure: Figure, scale: Scale) -> Axes:
    """Draw a colour bar anywhere on a figure; the page moves it to its place.

    Args:
        figure: the figure to draw on.
        scale: the scale that the bar shows.

    Returns:
        The bar's axes.
    """
    low, high = scale.limits
    axes: Axes = figure.add_axes((0.85, 0.2, 0.02, 0.6))
    ramp = style.scale_colours(np.linspace(low, high, 256)[:, None], scale.palette, scale.limits)
    axes.imshow(ramp, extent=(0, 1, low, high), aspect="auto", origin="lower", interpolation="bilinear")
    axes.set_zorder(-1)  # below the labels and thumbnails of the panel to its left
    axes.set(xticks=[], ylim=(low, high), ylabel=readable(scale.title))
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    if scale.ticks:
        axes.set_yticks(*zip(*scale.ticks, strict=True))
    return axes


def line_styles(layer: LinesLayer) -> list[dict[str, Any]]:
    """Matplotlib's styles of a layer's lines, lowest first: the halo where the role has one, then the line."""
    stroke = style.STROKES[layer.role]
    dash = layer.dash if layer.dash != "solid" else stroke.dash
    colour = layer.colour or style.stroke_colour(layer.role, style.PRINT)
    lines: list[dict[str, Any]] = [{"color": style.HALO, "linewidth": stroke.halo}] if stroke.halo else []
    return [*lines, {"color": colour, "linewidth": stroke.width, "linestyle": _DASHES[dash]}]


def mark_style(layer: PointsLayer, colour: str) -> dict[str, Any]:
    """Matplotlib's style of a layer's marks."""
    hollow = layer.marker in ("ring", "cross")
    return {
        "linestyle": "none",
        "marker": _MARKERS[layer.marker],
        "markersize": layer.size,
        "markerfacecolor": "none" if hollow else colour,
        "markeredgecolor": colour if hollow else style.HALO,
        "markeredgewidth": style.MARKS if hollow else style.MARKS / 2,
    }


def _plain_axes(axes: Axes, panel: Panel) -> None:
    pictured = panel.isometric or any(isinstance(layer, FieldLayer) for layer in panel.layers)
    axes.set(xlabel=readable(panel.x.title), ylabel=readable(panel.y.title), xscale=panel.x.scale, yscale=panel.y.scale)
    if not pictured:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, axis="y")
        axes.set_axisbelow(True)
    for side, axis in ((axes.xaxis, panel.x), (axes.yaxis, panel.y)):
        if panel.isometric:  # the same steps along both axes
            side.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
        _set_ticks(side, axis)


def _polar_axes(axes: PolarAxes, panel: Panel) -> None:
    axes.set(xlabel=readable(panel.y.title), yscale=panel.y.scale)  # only the radius needs a title
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", labelcolor=_QUIET)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    _set_ticks(axes.xaxis, panel.x)
    _set_ticks(axes.yaxis, panel.y)
    if panel.x.ticks is not None:  # labels begin at the rim instead of lying across it
        axes.tick_params(axis="x", pad=0)
        for words, (angle, _) in zip(axes.get_xticklabels(), panel.x.ticks, strict=True):
            across = round(math.cos(angle), 6)
            end = "center" if across == 0 else "left" if across > 0 else "right"
            words.set(text=textwrap.fill(words.get_text(), 16), ha=end)


def _set_ticks(side: Any, axis: Axis) -> None:
    if axis.ticks is not None:
        side.set_ticks([place for place, _ in axis.ticks], labels=[readable(words) for _, words in axis.ticks])


def _set_limits(axes: Axes, panel: Panel) -> None:
    x_limits, y_limits = panel.limits
    if x_limits and panel.kind != "polar":
        axes.set_xlim(x_limits)
    if y_limits:
        axes.set_ylim(y_limits)


def _scale_bar(axes: Axes, panel: Panel, small: float) -> None:
    """A bar with its length on a white plate, so that no line runs through the text."""
    left, right = axes.get_xlim()
    length = style.round_length(right - left)
    across, up = panel.scale_bar_corner
    bar = AnchoredSizeBar(
        axes.transData,
        length,
        readable(f"{style.number_words(length)} {panel.scale_bar}"),
        loc=f"{('lower', 'upper')[up]} {('left', 'right')[across]}",
        pad=0.25,
        borderpad=0.4,
        sep=2.0,
        label_top=True,
        color=_INK,
        fontproperties=font_manager.FontProperties(family=rcParams["font.family"], size=small),
    )
    bar.size_bar.get_children()[0].set_linewidth(1.4)
    bar.patch.set(facecolor=style.HALO, edgecolor="none")
    bar.set_zorder(3)
    bar.set_in_layout(False)
    axes.add_artist(bar)


def _label(
    axes: Axes,
    words: str,
    position: tuple[float, float],
    small: float,
    *,
    offset: tuple[float, float],
    ha: str,
    va: str,
) -> None:
    """A label with a light halo, hidden when its position is outside the picture; the label itself stays text."""
    halo = Stroke(linewidth=1.8, foreground=style.HALO, joinstyle="round")
    for zorder, effects in ((3.1, [halo]), (3.2, [])):
        note = axes.annotate(
            readable(words),
            position,
            xytext=offset,
            textcoords="offset points",
            ha=ha,
            va=va,
            fontsize=small,
            linespacing=1.1,
            path_effects=effects,
            annotation_clip=True,
            zorder=zorder,
        )
        note.set_in_layout(False)


def _draw_layer(axes: Axes, layer: Layer, small: float, *, zorder: float) -> None:
    match layer:
        case FieldLayer():
            axes.imshow(
                layer.colours,
                extent=layer.edges,
                origin="lower",
                aspect="auto",
                interpolation="bilinear" if layer.smooth else "nearest",
                zorder=zorder,
            )
        case LinesLayer():
            _draw_lines(axes, layer, small, zorder)
        case PointsLayer():
            _draw_points(axes, layer, small, zorder)
        case ImagesLayer():
            _draw_images(axes, layer, small)
        case BandLayer():
            colour = layer.colour or _QUIET
            axes.fill_between(layer.x, layer.low, layer.high, color=colour, alpha=style.BAND, lw=0, zorder=zorder)
        case BarsLayer():
            colours = list(layer.colours) or [_QUIET]
            axes.bar(layer.x, layer.heights, layer.width, color=colours, zorder=zorder)
            if layer.low is not None and layer.high is not None:
                axes.vlines(layer.x, layer.low, layer.high, color=_INK, lw=0.8, zorder=zorder + 0.001)


def _draw_lines(axes: Axes, layer: LinesLayer, small: float, zorder: float) -> None:
    for stroke in line_styles(layer):  # all halos first, so that none covers a line
        axes.plot(*layer.joined.T, zorder=zorder, **stroke)
    for path, words in zip(layer.paths, layer.labels, strict=False):
        if words and len(path):
            x, y = path[len(path) // 2]
            _label(axes, words, (float(x), float(y)), small, offset=(0, 0), ha="center", va="center")


def _draw_points(axes: Axes, layer: PointsLayer, small: float, zorder: float) -> None:
    colours = np.broadcast_to(np.array(layer.colours or (_INK,)), len(layer.positions))
    for colour in dict.fromkeys(colours.tolist()):  # one artist per colour, not per point
        chosen = layer.positions[colours == colour]
        if layer.marker in ("ring", "cross"):
            halo = mark_style(layer, style.HALO)
            axes.plot(*chosen.T, zorder=zorder, **{**halo, "markeredgewidth": halo["markeredgewidth"] + 1.2})
        axes.plot(*chosen.T, zorder=zorder, **mark_style(layer, colour))
    for (x, y), words in zip(layer.positions, layer.labels, strict=False):
        ha, aside = (_inwards(axes, x), 0.0) if layer.marker == "none" else ("left", layer.size / 2 + 2)
        _label(axes, words, (float(x), float(y)), small, offset=(aside, 0.0), ha=ha, va="center")


def _draw_images(axes: Axes, layer: ImagesLayer, small: float) -> None:
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for index, (image, (x, y)) in enumerate(zip(layer.images, layer.positions, strict=True)):
        shown = style.faded(image) if layer.off_plane(index) else image
        picture = OffsetImage(shown, zoom=layer.size / max(image.shape[:2]), interpolation="nearest")
        frame = layer.colours[index] if layer.colours else style.HALO
        outline = [Stroke(linewidth=2.2, foreground=_INK), Normal()]
        box = {"edgecolor": frame, "linewidth": 1.5, "path_effects": outline, "boxstyle": "square,pad=0"}
        thumbnail = AnnotationBbox(picture, (x, y), pad=0, bboxprops=box, annotation_clip=True, zorder=3)
        thumbnail.set_in_layout(False)
        axes.add_artist(thumbnail)
        # labels stay inside the picture: above a thumbnail at its lower edge, inwards from one at a side
        ha = _inwards(axes, x)
        aside = {"left": -layer.size / 2, "right": layer.size / 2, "center": 0.0}[ha]
        aside = 0.0 if min(x - left, right - x) < 0.05 * (right - left) else aside  # a thumbnail across the edge
        away, va = (1, "bottom") if (y - low) / (high - low) < 0.15 else (-1, "top")
        offset = (aside, away * (layer.size / 2 + 2.5))
        _label(axes, layer.words(index), (float(x), float(y)), small, offset=offset, ha=ha, va=va)


def _inwards(axes: Axes, x: float) -> str:
    """The end at which to anchor a label at x, so that it stays inside the picture."""
    left, right = axes.get_xlim()
    return style.inwards((x - left) / (right - left))
