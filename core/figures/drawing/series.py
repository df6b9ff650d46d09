"""Charts of one question at several checkpoints: brought to a common scale, and joined to an animation.

Frames compare by eye only if nothing but the data moves: axes, ticks and the legend are those of all frames. Colours
are finished values; `own_colours` tells whether an analysis gives each frame a scale of its own.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from core.figures.drawing.chart import (
    Axis,
    BandLayer,
    BarsLayer,
    Chart,
    FieldLayer,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
)
from core.figures.drawing.paper import Font, figure_bytes
from core.figures.drawing.provenance import recipe_text

_ROOM = 0.05  # of an axis, beyond the data
_COLOURS = 256  # of a GIF
_WIDEST = 900  # pixels of a GIF: it is for slides and pages, and every frame is a whole picture
_SIGN = 0.58  # width of a letter of a title, relative to the font size: an upper estimate
_POINT = 25.4 / 72  # in mm
_SAID = 3  # lines of a caption above a frame
_SAMPLE = 4  # every fourth pixel of each frame, both ways, is used to choose the colours
SHORTEST, LONGEST = 20, 60_000  # milliseconds per frame; viewers slow down shorter ones


def on_one_scale(charts: Sequence[Chart]) -> tuple[Chart, ...]:
    """The charts with the axes and the legend of all of them.

    Args:
        charts: of one question, at least one.

    Returns:
        As many charts; one with another number of panels than the first keeps its axes.
    """
    alike = [chart.panels for chart in charts if len(chart.panels) == len(charts[0].panels)]
    axes = [_axes(panels) for panels in zip(*alike, strict=True)]
    entries = list(dict.fromkeys((one.colour, one.label) for chart in charts for one in chart.legend))
    found = []
    for chart in charts:
        panels = chart.panels
        if len(panels) == len(axes):
            panels = tuple(replace(panel, x=x, y=y) for panel, (x, y) in zip(panels, axes, strict=True))
        found.append(replace(chart, panels=panels, legend=_legend(chart, entries)))
    return tuple(found)


def own_colours(charts: Sequence[Chart]) -> bool:
    """Whether a colour stands for different values in different charts."""
    return len({tuple(panel.scales for panel in chart.panels) for chart in charts}) > 1


def gif_bytes(
    charts: Sequence[Chart],
    labels: Sequence[str],
    *,
    milliseconds: int = 500,
    recipe: Mapping[str, Any] | None = None,
    width_mm: float = 89.0,
    font_size: float = 8.0,
    font: Font = "sans",
    dpi: int = 300,
) -> bytes:
    """Charts as the frames of an endless GIF: the same bytes for the same charts.

    Args:
        charts: the frames.
        labels: the title of each; the first sentence of its caption follows below.
        milliseconds: duration of a frame, rounded to hundredths of a second.
        recipe: reproduces the animation; stored in the file.
        width_mm: as for `core.figures.drawing.paper.figure_bytes`, like the rest.
        font_size: in points.
        font: "sans" or "serif".
        dpi: resolution; lowered where the picture would be wider than 900 pixels.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: if there is no frame, a label is missing, or the duration of a frame is too short or too long.
    """
    from PIL import Image

    if not charts or len(charts) != len(labels):
        raise ValueError(f"expected a label for each of at least one frame, got {len(labels)} for {len(charts)}")
    if not SHORTEST <= milliseconds <= LONGEST:
        raise ValueError(f"expected {SHORTEST} to {LONGEST} milliseconds for each frame, got {milliseconds}")
    wide = max(20, int(width_mm / (_SIGN * font_size * _POINT)))
    dpi = min(dpi, int(_WIDEST * 25.4 / width_mm))
    pages = []
    for chart, title in zip(charts, _titles(labels, [chart.caption for chart in charts], wide), strict=True):
        framed = replace(chart, title=title, recipe=None)
        page = figure_bytes(framed, "png", width_mm=width_mm, font_size=font_size, font=font, dpi=dpi)
        pages.append(Image.open(io.BytesIO(page)))
    width, height = (max(side) for side in zip(*(page.size for page in pages), strict=True))

    def frame(page: Image.Image) -> Image.Image:
        sheet = Image.new("RGB", (width, height), "white")
        sheet.paste(page.convert("RGB"))
        return sheet

    samples = np.concatenate([np.asarray(frame(page))[::_SAMPLE, ::_SAMPLE].reshape(-1, 3) for page in pages])
    palette = Image.fromarray(samples[None]).quantize(_COLOURS - 2, dither=Image.Dither.NONE)
    found = (palette.getpalette() or [])[: 3 * (_COLOURS - 2)]
    palette.putpalette([*found, *[0] * (3 * (_COLOURS - 1) - len(found)), 255, 255, 255])  # paper stays white

    def indexed(page: Image.Image) -> Image.Image:
        sheet = frame(page)
        numbers = np.array(sheet.quantize(palette=palette, dither=Image.Dither.NONE))
        numbers[(np.asarray(sheet) == 255).all(2)] = _COLOURS - 1  # Pillow takes a similar colour
        found = Image.fromarray(numbers, "P")
        found.putpalette(palette.getpalette() or [])
        return found

    frames = [indexed(page) for page in pages]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=10 * round(milliseconds / 10),
        loop=0,
        optimize=False,
        comment=recipe_text(recipe).encode("ascii") if recipe is not None else b"",
    )
    return buffer.getvalue()


def _titles(labels: Sequence[str], captions: Sequence[str], wide: int) -> list[str]:
    """The title of each frame: its label and the first sentence of its caption, all with equally many lines."""
    firsts = [re.split(r"(?<=\.)\s", caption.strip(), maxsplit=1)[0] for caption in captions]
    lines = [[label[:wide], *textwrap.wrap(first, wide)[:_SAID]] for label, first in zip(labels, firsts, strict=True)]
    most = max(map(len, lines))
    return ["\n".join(each + [" "] * (most - len(each))) for each in lines]


def _legend(chart: Chart, entries: Sequence[tuple[str, str]]) -> tuple[LegendEntry, ...]:
    """The entries of all frames in one order; those that a chart lacks have no share of it."""
    own = {(one.colour, one.label): one for one in chart.legend}
    absent = 0.0 if any(one.share is not None for one in chart.legend) else None
    return tuple(own.get(key) or LegendEntry(colour=key[0], label=key[1], share=absent) for key in entries)


def _axes(panels: Sequence[Panel]) -> tuple[Axis, Axis]:
    """The common axes of the panels at one position of several charts."""
    first = panels[0]
    if any(panel.kind != first.kind for panel in panels) or first.kind == "image":
        return first.x, first.y
    return first.x if first.kind == "polar" else _axis(panels, 0), _axis(panels, 1)


def _axis(panels: Sequence[Panel], side: int) -> Axis:
    axes = [(panel.x, panel.y)[side] for panel in panels]
    first = axes[0]
    if len({axis.symlog for axis in axes}) > 1 or len({axis.scale for axis in axes}) > 1:
        return first
    known = [each for panel in panels if (each := panel.limits[side] or _reach(panel, side)) is not None]
    if not known:
        return first
    low, high = min(low for low, _ in known), max(high for _, high in known)
    if any(panel.limits[side] is None for panel in panels):
        low, high = _with_room(low, high, first.scale == "log")
    ticks = None
    if all(axis.ticks is not None for axis in axes):
        ticks = tuple(sorted({tick for axis in axes for tick in axis.ticks or ()}))
    return replace(first, limits=(low, high), ticks=ticks)


def _with_room(low: float, high: float, logarithmic: bool) -> tuple[float, float]:
    if logarithmic:
        factor = (high / low) ** _ROOM if high > low > 0 else 1.1
        return low / factor, high * factor
    spare = _ROOM * ((high - low) or 1.0)
    return low - spare, high + spare


def _reach(panel: Panel, side: int) -> tuple[float, float] | None:
    """The range of a panel's layers along an axis; None where nothing is known."""
    values = np.concatenate([np.empty(0), *(_along(layer, side) for layer in panel.layers)])
    axis = (panel.x, panel.y)[side]
    values = values[np.isfinite(values) & ((values > 0) | (axis.scale != "log"))]
    return (float(values.min()), float(values.max())) if len(values) else None


def _along(layer: Layer, side: int) -> np.ndarray:
    match layer:
        case FieldLayer():
            return np.array(layer.edges[2 * side : 2 * side + 2])
        case LinesLayer():
            return layer.joined[:, side]
        case BandLayer():
            return np.asarray(layer.x) if side == 0 else np.concatenate([layer.low, layer.high])
        case BarsLayer():
            half = layer.width / 2
            ends = [layer.x - half, layer.x + half] if side == 0 else [np.zeros(1), layer.heights]
            more = [each for each in (layer.low, layer.high) if side == 1 and each is not None]
            return np.concatenate([*ends, *more])
        case _:
            return layer.positions[:, side]
