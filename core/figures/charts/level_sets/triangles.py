"""Charts of a source and the ends of two walks: their triangle, the share of it that keeps the level, their plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.names import model_legend
from core.figures.charts.planes.slices import path_words, round_up, walk_ends
from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    BarsLayer,
    Chart,
    FieldLayer,
    ImagesLayer,
    Layer,
    LinesLayer,
    Panel,
    PointsLayer,
    Scale,
)
from core.figures.drawing.curves import known_runs, largest
from core.figures.drawing.pictures import photograph

if TYPE_CHECKING:
    from core.geometry.level_sets.at_image import LevelTriangle
    from core.geometry.planes.slices import Slice

TriangleShow = Literal["card", "triangle", "shares"]
TRIANGLE_SHOWS: tuple[TriangleShow, ...] = get_args(TriangleShow)

PUBLISHED = (0.0, 0.1, 0.2, 0.3)  # the published losses of confidence
_MOST = 0.5  # the largest loss on the curve of shares
_DELTAS = 51  # points of that curve
_SCALE = Scale(palette="cividis", limits=(0.0, 1.0), label="confidence in the source's class")
_LEAST = 0.01  # the least change of the confidence with the last colour: smaller ones stay pale
_OUTSIDE = 238  # of 255, in every channel
_ROOM = 0.12  # around a triangle, in shares of its longer side
_CORNER = 20.0  # points: a thumbnail


def level_triangle_chart(
    triangles: Sequence[LevelTriangle],
    *,
    models: Sequence[str],
    target_words: Sequence[str],
    show: TriangleShow = "card",
    shared_scale: Sequence[LevelTriangle] = (),
) -> Chart:
    """The triangles of one source and the ends of two walks.

    Args:
        triangles: one per model, each with ends of its own.
        models: their names.
        target_words: names of the two targets.
        show: "triangle" for the confidence on the triangles, "shares" for the curves, "card" for both.
        shared_scale: all triangles shown together, which share axes and colours.

    Returns:
        A chart: triangles in their true shape side by side, coloured by the change of confidence from the source; then
        the share that stays against the permitted loss of confidence, and the rest of the way to each target.

    Raises:
        ValueError: if names of models or targets are missing, or there is no triangle.
    """
    if not triangles or len(models) != len(triangles) or len(target_words) != 2:
        came = f"{len(models)} and {len(target_words)}"
        raise ValueError(f"expected a name for each of {len(triangles)} triangles and two targets, got {came}")
    legend = model_legend(models) if len(models) > 1 else []
    colours = [entry.colour for entry in legend] or [style.class_colour(0)]
    several = len(models) > 1
    seen = [*triangles, *shared_scale]
    scale, room = _changes(seen), _room(seen)
    heat = [
        _triangle(one, target_words, name if several else "", scale, room)
        for one, name in zip(triangles, models, strict=True)
    ]
    curves = [_shares(triangles, colours), _reached(triangles, colours, target_words, models)]
    meanings = {
        "triangle": "Colour: how the confidence in the source's class changes on all mixes of the source and the ends"
        " of two walks, blue where it falls below the source's; sides and angles as they are, linear between lattice"
        f" points. {_confidences(triangles, models)}",
        "shares": "Share of the triangle whose confidence is at most so much below the source's: lines by area, rings"
        " the published count of lattice points. Bars: how much of the way to each target is left, by length; the mark"
        " is what the schedule alone would leave. A walk that stays put wins the share: compare shares of walks that"
        " came equally far.",
    }
    alt = (
        f"{name}: {100 * one.shares(np.array([0.2]))[0]:.0f} % of the triangle within 0.2 of the source's confidence,"
        f" {', '.join(f'{100 * left:.0f} %' for left in one.ratio)} of the way left."
        for one, name in zip(triangles, models, strict=True)
    )
    parts = [part for part in ("triangle", "shares") if show in ("card", part)]
    panels = [*(heat if "triangle" in parts else []), *(curves if "shares" in parts else [])]
    below = " Below a delta of the walks' own a share says nothing." if triangles[0].mode == "superlevel" else ""
    return Chart(
        panels=tuple(panels),
        name="level_triangle",
        columns=len(heat) if "triangle" in parts else 2,
        caption=" ".join(meanings[part] for part in parts) + below,
        alt=" ".join(alt),
        legend=tuple(legend) if "shares" in parts else (),
    )


def _confidences(triangles: Sequence[LevelTriangle], models: Sequence[str]) -> str:
    """The confidence at the source and its range on each triangle."""
    words = []
    for one, name in zip(triangles, models, strict=True):
        known = one.confidence[0][np.isfinite(one.confidence[0])]
        span = f", from {known.min():.4f} to {known.max():.4f} on the triangle" if len(known) else ""
        whose = f"{name}: confidence" if len(models) > 1 else "Confidence"
        words.append(f"{whose} {one.source_confidence[0]:.4f} at the source{span}.")
    return " ".join(words)


def _changes(seen: Sequence[LevelTriangle]) -> Scale:
    """The scale of changes on triangles shown together: symmetric about 0, with round ends."""
    most = round_up(max(_LEAST, largest(*(np.abs(one.confidence - one.source_confidence[:, None]) for one in seen))))
    return Scale(palette="vik", limits=(-most, most), label="change of the confidence in the source's class")


def _room(seen: Sequence[LevelTriangle]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The limits of x and y for all triangles shown together."""
    corners = np.concatenate([one.corners[0] for one in seen]).astype(np.float64)
    low, high = corners.min(0), corners.max(0)
    spare = _ROOM * (float((high - low).max()) or 1.0)
    (left, below), (right, above) = (low - spare).tolist(), (high + spare).tolist()
    return (left, right), (below - spare / 2, above)  # labels hang below the lower corners


def _triangle(
    one: LevelTriangle,
    target_words: Sequence[str],
    title: str,
    scale: Scale,
    room: tuple[tuple[float, float], tuple[float, float]],
) -> Panel:
    corners = one.corners[0].astype(np.float64)
    x, y, confidence = _with_room(*one.raster(), room)
    colours = style.scale_colours(confidence - one.source_confidence[0], scale.palette, scale.limits)
    colours[np.isnan(confidence)] = _OUTSIDE
    thousandth = np.rint(1000 * np.nan_to_num(confidence)).astype(np.int64).clip(0, 1000)
    return Panel(
        layers=(
            FieldLayer(
                x=x,
                y=y,
                colours=colours,
                scale=scale,
                hover=tuple(f"confidence {part / 1000:.3f}" for part in range(1001)),
                hover_index=np.where(np.isnan(confidence), -1, thousandth),
                name="confidence",
            ),
            LinesLayer(paths=(corners[[0, 1, 2, 0]],), role="boundary"),
            ImagesLayer(
                positions=corners,
                images=np.stack([photograph(image) for image in one.images]),
                labels=("source", *(f"end, {words}" for words in target_words)),
                size=_CORNER,
            ),
        ),
        title=title,
        x=Axis(label="from the source", unit="ℓ2", limits=room[0]),
        y=Axis(unit="ℓ2", limits=room[1]),
        isometric=True,
    )


def _with_room(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, room: tuple[tuple[float, float], tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A raster extended to the room with NaN; its step is the same along both axes."""
    step = float(x[1] - x[0])
    ends = [
        (max(0, math.ceil((at[0] - low) / step)), max(0, math.ceil((high - at[-1]) / step)))
        for at, (low, high) in zip((x, y), room, strict=True)
    ]
    wide, tall = (np.arange(len(at) + sum(end)) - end[0] for at, end in zip((x, y), ends, strict=True))
    return x[0] + step * wide, y[0] + step * tall, np.pad(values, ends[::-1], constant_values=np.nan)


def _shares(triangles: Sequence[LevelTriangle], colours: Sequence[str]) -> Panel:
    deltas = np.linspace(0, _MOST, _DELTAS)
    layers: list[Layer] = []
    for one, colour in zip(triangles, colours, strict=True):
        layers.append(LinesLayer(paths=known_runs(deltas, one.shares(deltas)), colour=colour))
        counted = [delta for delta in PUBLISHED if delta >= one.delta or one.mode != "superlevel"]
        if counted:
            rings = np.array([[delta, one.fraction(delta)[0]] for delta in counted])
            layers.append(PointsLayer(positions=rings, colours=(colour,), marker="ring", size=5.0))
    return Panel(
        layers=tuple(layers),
        x=Axis(label="what the confidence may lose", limits=(-0.01, _MOST)),
        y=Axis(label="share of the triangle", limits=(0.0, 1.03)),
    )


def _reached(
    triangles: Sequence[LevelTriangle], colours: Sequence[str], target_words: Sequence[str], models: Sequence[str]
) -> Panel:
    """Bars by target, one per model."""
    count = len(triangles)
    width = 0.8 / count
    layers: list[Layer] = []
    for place, (one, colour) in enumerate(zip(triangles, colours, strict=True)):
        at = np.arange(2) + (place - (count - 1) / 2) * width
        layers.append(BarsLayer(x=at, heights=one.ratio.astype(np.float64), width=0.9 * width, colours=(colour,) * 2))
        floors = np.stack([at, one.floor], 1)
        layers.append(PointsLayer(positions=floors, colours=(style.LIGHT.quiet,), marker="diamond", size=4.0))
    most = max(0.1, float(np.nanmax([one.ratio for one in triangles], initial=0.0)) * 1.15)
    ticks = tuple((float(place), f"towards {words}") for place, words in enumerate(target_words))
    return Panel(
        layers=tuple(layers),
        x=Axis(limits=(-0.6, 1.6), ticks=ticks),
        y=Axis(label="left of the way", limits=(0.0, most)),
    )


def level_plane_chart(
    chart: Chart,
    cut: Slice,
    confidence: np.ndarray,
    start: float,
    *,
    losses: Sequence[float] = PUBLISHED[1:],
) -> Chart:
    """A slice through a source and ends of walks, shaded by the confidence in the source's class.

    Args:
        chart: of the slice, with the walks' paths in it.
        cut: the slice.
        confidence: (r, r) in the source's class, NaN where unknown.
        start: the confidence at the source.
        losses: lines are drawn where the confidence is this much below the source's.

    Returns:
        The chart with new colours, lines of equal confidence, and the triangle.
    """
    (panel,) = chart.panels
    field, *rest = panel.layers
    assert isinstance(field, FieldLayer)
    shaded = replace(
        field,
        colours=style.scale_colours(confidence, _SCALE.palette, _SCALE.limits),
        scale=_SCALE,
        smooth=True,
        name="confidence",
    )
    levels = [start - loss for loss in losses if start > loss]
    found = cut.contours(np.nan_to_num(confidence), levels) if np.isfinite(confidence).any() else {}
    lines = LinesLayer(paths=tuple(path for paths in found.values() for path in paths), role="contour")
    sides = np.stack([np.zeros(2), *walk_ends(cut).values(), np.zeros(2)])
    border = LinesLayer(paths=(sides,), role="boundary", dash="dashed")
    kept = [
        layer
        for layer in rest  # without names of regions and the edge of the pixel range
        if not (isinstance(layer, PointsLayer) and layer.marker == "none")
        and not (isinstance(layer, LinesLayer) and layer.role == "outline")
    ]
    return replace(
        chart,
        panels=(replace(panel, layers=(shaded, lines, border, *kept)),),
        name="level_plane",
        caption=(
            "Colour: confidence in the source's class. Thick lines: decision boundaries; thin ones: where the"
            f" confidence is {', '.join(f'{loss:g}' for loss in losses)} below the source's. Dashed: straight ways"
            f" between the source and the ends.{path_words(cut)} Distances are ℓ2 over pixels in [0, 1]."
        ),
    )
