"""The plane viewer: draws one isometric panel in the browser and reports the extent or point that its user chose.

`panel_data` turns a `Chart` into the message that `drawing.js` draws. Fields travel as PNG, points as world coordinates
in float64, lines as integer millionths of the frame: relative to the visible part, so a view 1e-4 wide is drawn as
sharply as one 10 wide.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np
import streamlit as st
from PIL import Image

from core.figures.drawing import style
from core.figures.drawing.chart import Chart, FieldLayer, ImagesLayer, LinesLayer, Panel, PointsLayer
from dashboard.viewer.asset import asset
from dashboard.viewer.gestures import Extent as Extent
from dashboard.viewer.gestures import Point, pass_on, received, square
from dashboard.viewer.gestures import parse_pick as parse_pick
from dashboard.viewer.gestures import parse_zoom as parse_zoom

UNITS = 1_000_000  # of a line's coordinates per side of the frame; `UNITS` in drawing.js
REACH = 4.0  # frames beyond each edge to which lines are clipped: 9 sides of 1e6 are still exact integers in float32


class Busy(TypedDict):
    """Work in progress, shown beneath the picture: a text and the fraction done, None if unknown."""

    text: str
    fraction: float | None


_mount = st.components.v2.component(
    "plane_viewer",
    html=asset("viewer.html"),
    css=asset("viewer.css"),
    js=asset("drawing.js") + asset("viewer.js"),
)


def plane_view(
    chart: Chart,
    *,
    key: str,
    view: Extent | None = None,
    home: Extent | None = None,
    pick: Point | None = None,
    busy: Busy | None = None,
    on_zoom: Callable[[Extent | None], None] | None = None,
    on_pick: Callable[[Point], None] | None = None,
    linked: str = "",
    height: int | None = None,
) -> None:
    """Show a chart's plane and tell the page where its user zooms and picks.

    The callbacks run before the next rerun, as those of every widget, with checked values; values that no viewer sends
    are dropped. The viewer shows `view` at once with its current picture, and the new picture when it arrives: a caller
    stores the view in `on_zoom`, passes it back, and may draw a coarse or older chart in the meantime.

    Args:
        chart: a chart of one cartesian, isometric panel.
        key: identifies the viewer; its state survives reruns under this key.
        view: the extent to show; None for the extent of the chart's first field.
        home: the extent after a reset; None if only the caller knows it.
        pick: the picked point, drawn as a ring.
        busy: the work in progress.
        on_zoom: called with the chosen extent, or None for a reset. Without it the viewer zooms into its picture.
        on_pick: called with the picked point. Without it nothing can be picked.
        linked: viewers of the same name move together, even before the page has answered.
        height: the longest side of the picture, in CSS pixels; None for 720.

    Raises:
        ValueError: if the chart is not one cartesian, isometric panel of fields, lines, points and images.
    """
    answered = f"{key}:answered"  # number of the newest gesture that reached Python, to compare with the browser's own

    def receive(event: str) -> Any:
        value = received(key, event)
        serial = value.get("serial") if isinstance(value, Mapping) else None
        if isinstance(serial, int):
            st.session_state[answered] = max(serial, st.session_state.get(answered, 0))
        return value

    data = panel_data(chart)
    _mount(
        key=key,
        data=data
        | {
            "view": list(square(view)) if view is not None else data["frame"],
            "home": list(square(home)) if home is not None else None,
            "pick": list(pick) if pick is not None else None,
            "busy": busy,
            "zooms": on_zoom is not None,
            "picks": on_pick is not None,
            "answered": st.session_state.get(answered, 0),
            "linked": linked,
            "side": height,
        },
        on_zoom_change=lambda: pass_on(receive("zoom"), parse_zoom, on_zoom),
        on_pick_change=lambda: pass_on(receive("pick"), parse_pick, on_pick),
    )


def panel_data(chart: Chart) -> dict[str, Any]:
    """Describe a chart's panel for the browser.

    Args:
        chart: a chart of one cartesian, isometric panel.

    Returns:
        Plain values that JSON can hold. `frame` is the extent whose millionths are the coordinates of lines.

    Raises:
        ValueError: if the chart is not one cartesian, isometric panel of fields, lines, points and images.
    """
    if len(chart.panels) != 1 or chart.panels[0].kind != "cartesian" or not chart.panels[0].isometric:
        raise ValueError(
            "expected a chart of one cartesian, isometric panel; draw others with core.figures.drawing.screen"
        )
    [panel] = chart.panels
    frame = _frame(panel)
    data: dict[str, Any] = {"fields": [], "lines": [], "points": [], "images": []}
    for layer in panel.layers:
        match layer:
            case FieldLayer():
                data["fields"].append(_field(layer))
            case LinesLayer():
                data["lines"].append(_lines(layer, frame))
            case PointsLayer():
                data["points"] += _points(layer)
            case ImagesLayer():
                data["images"] += _images(layer)
            case _:
                raise ValueError(f"expected fields, lines, points and images on a plane, got a {type(layer).__name__}")
    return data | {
        "frame": list(frame),
        "title": panel.title,
        "axes": {"x": panel.x.title, "y": panel.y.title, "unit": panel.x.unit},
        "ticks": {"x": panel.x.ticks, "y": panel.y.ticks},
        "scale_bar": panel.scale_bar,
        "alt": chart.alt,
    }


def _frame(panel: Panel) -> Extent:
    limits = None if panel.x.limits is None or panel.y.limits is None else square((*panel.x.limits, *panel.y.limits))
    if limits is not None and panel.x.ticks is not None:  # a matrix: its columns and rows are fully visible
        return limits
    for layer in panel.layers:
        if isinstance(layer, FieldLayer):
            return square((float(layer.x[0]), float(layer.x[-1]), float(layer.y[0]), float(layer.y[-1])))
    if limits is None:
        raise ValueError("expected a field or limits on both axes, got neither")
    return limits


def _field(layer: FieldLayer) -> dict[str, Any]:
    rows, columns = layer.colours.shape[:2]
    if min(rows, columns) < 2:
        raise ValueError(f"expected a field of at least 2 x 2 cells, got {rows} x {columns}")
    half_x = float(layer.x[-1] - layer.x[0]) / (columns - 1) / 2
    half_y = float(layer.y[-1] - layer.y[0]) / (rows - 1) / 2
    return {
        "source": _png(layer.colours[::-1]),
        "box": [
            float(layer.x[0]) - half_x,
            float(layer.x[-1]) + half_x,
            float(layer.y[0]) - half_y,
            float(layer.y[-1]) + half_y,
        ],
        "columns": columns,
        "rows": rows,
        "smooth": layer.smooth,
        "words": _words(layer) if layer.hover_index is not None else None,
    }


def _words(layer: FieldLayer) -> dict[str, Any]:
    """The hover text of cells: the texts that occur, and a code per cell, row 0 at the bottom; code 0 has no text.

    Codes travel as compressed bytes: browsers that distort a canvas against fingerprinting do not read them back from a
    picture exactly.
    """
    codes = np.maximum(np.asarray(layer.hover_index), -1) + 1
    used = np.flatnonzero(np.bincount(codes.ravel(), minlength=1)[1:])
    table = np.zeros(codes.max(initial=0) + 1, "<u2")
    table[used + 1] = np.arange(1, len(used) + 1)
    return {
        "said": ["", *(layer.hover[i] for i in used)],
        "codes": base64.b64encode(zlib.compress(table[codes].tobytes(), 1)).decode(),
    }


def _lines(layer: LinesLayer, frame: Extent) -> dict[str, Any]:
    corner = np.array([frame[0], frame[2]])
    side = frame[1] - frame[0]
    stroke = style.STROKES[layer.role]
    drawn, labels = [], []
    for index, path in enumerate(layer.paths):
        pieces = _clipped((np.asarray(path, np.float64) - corner) / side)
        drawn += [_path(piece) for piece in pieces]
        if index < len(layer.labels) and layer.labels[index]:
            place = _label_place(pieces)
            if place is not None:
                labels.append([*(corner + side * place).tolist(), layer.labels[index]])
    return {
        "path": "".join(drawn),
        "labels": labels,
        "role": layer.role,
        "colour": layer.colour or style.stroke_colour(layer.role, style.LIGHT),  # pictures stay light in a dark theme
        "width": stroke.width,
        "halo": stroke.halo,
        "dash": layer.dash if layer.dash != "solid" else stroke.dash,
    }


def _clipped(points: np.ndarray) -> list[np.ndarray]:
    """The pieces of a polyline within `REACH` of the frame, by Liang and Barsky, in frame coordinates 0..1.

    Far beyond it the browser, which draws in float32, would misplace the line.
    """
    low, high = -REACH, 1.0 + REACH
    if len(points) < 2:
        return []
    if np.all((points >= low) & (points <= high)):
        return [points]
    start, step = points[:-1], np.diff(points, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        at_low, at_high = (low - start) / step, (high - start) / step
    inside = (start >= low) & (start <= high)
    still = step == 0.0
    enters = np.where(still, np.where(inside, -np.inf, np.inf), np.minimum(at_low, at_high)).max(axis=1).clip(min=0.0)
    leaves = np.where(still, np.where(inside, np.inf, -np.inf), np.maximum(at_low, at_high)).min(axis=1).clip(max=1.0)
    seen = np.flatnonzero(enters < leaves)  # false for NaN: a gap in the line
    if not len(seen):
        return []
    whole = (np.diff(seen) == 1) & (leaves[seen[:-1]] == 1.0) & (enters[seen[1:]] == 0.0)
    heads = start[seen] + enters[seen, None] * step[seen]
    tails = start[seen] + leaves[seen, None] * step[seen]
    runs = np.split(np.arange(len(seen)), np.flatnonzero(~whole) + 1)
    return [np.concatenate([heads[run[:1]], tails[run]]) for run in runs]


def _path(points: np.ndarray) -> str:
    """One piece in millionths of the frame, as an SVG path of relative steps."""
    whole = np.rint(points * UNITS).astype(np.int64)
    steps = np.diff(whole, axis=0)
    steps = steps[steps.any(axis=1)]
    if not len(steps):
        return ""
    return f"M{whole[0, 0]} {whole[0, 1]}l{' '.join(map(str, steps.ravel().tolist()))}"


def _label_place(pieces: list[np.ndarray]) -> np.ndarray | None:
    """The position of a line's label: halfway along its longest stretch well inside the frame; None without one."""
    longest: np.ndarray | None = None
    for piece in pieces:
        inside = np.flatnonzero(np.all((piece > 0.06) & (piece < 0.94), axis=1))
        for run in np.split(inside, np.flatnonzero(np.diff(inside) != 1) + 1):
            if longest is None or len(run) > len(longest):
                longest = piece[run]
    if longest is None or np.ptp(longest, axis=0).max(initial=0.0) < 0.08:  # 0.08: about as long as the label
        return None
    middle: np.ndarray = longest[len(longest) // 2]
    return middle


def _points(layer: PointsLayer) -> list[dict[str, Any]]:
    colours = layer.colours if len(layer.colours) != 1 else layer.colours * len(layer.positions)
    return [
        {
            "at": position.tolist(),
            "label": _entry(layer.labels, index),
            "colour": _entry(colours, index),
            "marker": layer.marker,
            "size": layer.size,
        }
        for index, position in enumerate(np.asarray(layer.positions, np.float64))
        if np.isfinite(position).all()
    ]


def _images(layer: ImagesLayer) -> list[dict[str, Any]]:
    return [
        {
            "at": position.tolist(),
            "source": _png(layer.images[index]),
            "columns": layer.images.shape[2],
            "label": _entry(layer.labels, index),
            "colour": _entry(layer.colours, index),
            "residual": float(layer.residuals[index]) if index < len(layer.residuals) else 0.0,
            "size": layer.size,
        }
        for index, position in enumerate(np.asarray(layer.positions, np.float64))
        if np.isfinite(position).all()
    ]


def _entry(words: tuple[str, ...], index: int) -> str:
    return words[index] if index < len(words) else ""


def _png(colours: np.ndarray) -> str:
    """A picture as a data URL; row 0 on top."""
    stream = io.BytesIO()
    # 2: 512 x 512 in 4 ms (classes) to 12 ms (confidence); an exact palette would save 4 kB and cost 25 ms
    Image.fromarray(np.ascontiguousarray(colours, np.uint8)).save(stream, "PNG", compress_level=2)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
