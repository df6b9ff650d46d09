"""Charts of formats so small that all images are listed: a painted class on its board, a classifier on all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.limits.bounds import CAPTION
from core.figures.charts.names import check_class_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, Chart, FieldLayer, Layer, LegendEntry, LinesLayer, Panel, PointsLayer

if TYPE_CHECKING:
    from core.geometry.limits.enumeration import EveryImage
    from core.geometry.limits.painting import PaintedClass

PaintingShow = Literal["both", "board", "curve"]
PAINTING_SHOWS: tuple[PaintingShow, ...] = get_args(PaintingShow)

_INSIDE, _OUTSIDE = style.class_colour(0), style.PRINT.line
_PALE = style.hex_colour(style.faded(style.faded(style.rgb(_INSIDE))))
_LINES = (
    LegendEntry(colour=_INSIDE, label="marks: this class"),
    LegendEntry(colour="", label="line: limit H2"),
    LegendEntry(colour="", label="dashed: the most that a class of this size can keep"),
)
_EXACT = "Every image is counted: these numbers are exact."


def painting_chart(
    found: PaintedClass,
    *,
    radius: int = 1,
    show: PaintingShow = "both",
    title: str = "",
) -> Chart:
    """A painted class on the board of all images, and the number of its survivors.

    Args:
        found: the class.
        radius: pixels that may change; images that leave the class within as many changes are drawn pale.
        show: the board, the curve of survivors, or both.
        title: of the first panel.

    Returns:
        A chart of one panel or two.
    """
    members, total = int(found.inside.sum()), len(found.inside)
    left = int(found.survivors[min(radius, len(found.survivors) - 1)])
    panels = [] if show == "curve" else [_board(found, radius, title)]
    if show != "board":
        panels.append(_survivors(found, radius, "" if panels else title))
    words = (
        f"{members} of {total} images in the class; {left} keep it against every change of {radius}"
        f" pixel{'s' if radius != 1 else ''}."
    )
    limit = (
        " It holds more than half of all images: it is exempt, and no limit applies."
        if found.exempt
        else ""
        if np.isnan(found.limit[0])
        else f" No class of that size keeps more than {int(found.best[min(radius, len(found.best) - 1)])}."
    )
    return Chart(
        panels=tuple(panels),
        name="painting",
        caption=(
            f"All black-and-white images of {found.side} x {found.side} pixels. Images that differ in one pixel stand"
            f" in one row or column: columns change the first half of the pixels, rows the others."
            f" {words}{limit} {_EXACT} {CAPTION}"
        ),
        alt=f"A board of {total} small images, those of a class coloured. {words}{limit}",
        legend=_LINES
        if show == "curve"
        else (
            LegendEntry(colour=_INSIDE, label="survives", share=left / total),
            LegendEntry(colour=_PALE, label="in the class, peeled off", share=(members - left) / total),
            LegendEntry(colour=_OUTSIDE, label="outside", share=1 - members / total),
        ),
    )


def _board(found: PaintedClass, radius: int, title: str) -> Panel:
    """Every image in a frame of the colour of its state, one unit wide; the board is square."""
    rows, columns = found.board.shape
    side, scale = found.side, 2
    inner, cell = side * scale, side * scale + 5  # a frame of two, and a gap of one
    high = cell * columns // rows
    below = (high - 1 - inner) // 2
    far = np.where(found.distance < 0, len(found.inside), found.distance)
    state = np.where(found.inside & (far > radius), 0, np.where(found.inside, 1, 2))
    frames = np.stack([style.rgb(colour) for colour in (_INSIDE, _PALE, _OUTSIDE)]).astype(np.uint8)
    picture = np.full((rows * high, columns * cell, 3), 255, np.uint8)
    index = np.full(picture.shape[:2], -1)
    for (row, column), number in np.ndenumerate(found.board):
        bottom, start = row * high, column * cell
        block = np.broadcast_to(frames[state[number]], (high - 1, cell - 1, 3)).copy()
        white = ((number >> np.arange(side**2)) & 1).reshape(side, side)[::-1]  # the first pixel at the top left
        tiny = np.where(white.repeat(scale, 0).repeat(scale, 1)[..., None], 255, 35)
        block[below : below + inner, 2 : 2 + inner] = tiny
        picture[bottom : bottom + high - 1, start : start + cell - 1] = block
        index[bottom : bottom + high - 1, start : start + cell - 1] = number
    hover = tuple(_state_words(found, number, far) for number in range(len(found.inside)))
    half = 0.5 / cell
    return Panel(
        layers=(
            FieldLayer(
                x=np.arange(columns * cell) / cell + half,
                y=np.arange(rows * high) / cell + half,
                colours=picture,
                hover=hover,
                hover_index=index,
                name="images",
            ),
        ),
        title=title,
        x=Axis(label="column", limits=(0.0, float(columns)), ticks=_places(columns, 1.0)),
        y=Axis(label="row", limits=(0.0, float(columns)), ticks=_places(rows, columns / rows)),
        isometric=True,
    )


def on_dark(panel: Panel) -> Panel:
    """The board with the background of a dark page between its images."""
    (field,) = (layer for layer in panel.layers if isinstance(layer, FieldLayer))
    between = np.asarray(field.hover_index)[..., None] < 0
    colours = np.where(between, style.rgb(style.LIGHT.ink).astype(np.uint8), field.colours)
    return replace(panel, layers=(replace(field, colours=colours),))


def _places(count: int, step: float) -> tuple[tuple[float, str], ...]:
    """Ticks at about eight of the columns or rows, counted from 1."""
    return tuple(((k + 0.5) * step, str(k + 1)) for k in range(0, count, max(1, count // 8)))


def _state_words(found: PaintedClass, number: int, far: np.ndarray) -> str:
    if not found.inside[number]:
        return f"image {number}: outside"
    away = int(far[number])
    return f"image {number}: in the class, " + (
        "no change leaves it" if away > found.side**2 else f"left after {away} changed pixel{'s' if away > 1 else ''}"
    )


def _survivors(found: PaintedClass, radius: int, title: str) -> Panel:
    steps = np.arange(len(found.survivors), dtype=np.float64)
    layers: list[Layer] = [LinesLayer(paths=(np.stack([steps, found.best], 1),), role="reference")]
    known = np.isfinite(found.limit)
    if known.any():
        layers.append(LinesLayer(paths=(np.stack([steps, found.limit], 1)[known],), role="curve"))
    layers.append(
        PointsLayer(positions=np.stack([steps, found.survivors], 1).astype(np.float64), colours=(_INSIDE,), size=6.0)
    )
    at = min(radius, len(steps) - 1)
    layers.append(PointsLayer(positions=np.array([[float(at), float(found.survivors[at])]]), marker="ring", size=10.0))
    top = max(1.0, float(found.inside.sum()))
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(
            label="pixels changed",
            limits=(-0.3, float(steps[-1]) + 0.3),
            ticks=tuple((float(k), str(int(k))) for k in steps),
        ),
        y=Axis(label="images that survive", limits=(-0.04 * top, 1.08 * top)),
    )


def enumeration_chart(
    found: EveryImage,
    *,
    limits: Mapping[int, np.ndarray],
    class_names: Sequence[str],
    palette: str = "muted",
    title: str = "",
) -> Chart:
    """The share of each class that survives, over all images of a small format.

    Args:
        found: labels and exact distances.
        limits: (N + 1,) the share that no class of that size exceeds, for each class with at most half of all images.
        class_names: one name per class.
        palette: class palette of `style.PALETTES`.
        title: of the panel.

    Returns:
        A chart of one panel: exact shares as marks, the limits of classes of the same size as lines.

    Raises:
        ValueError: if names of classes are missing.
    """
    check_class_names(found.num_classes, class_names)
    counts, total = found.counts, len(found.label)
    layers: list[Layer] = []
    legend, sentences = [], []
    steps = np.arange(found.values + 1, dtype=np.float64)
    for k in np.flatnonzero(counts)[np.argsort(-counts[counts > 0], kind="stable")].tolist():
        colour = style.class_colour(k, palette)
        kept = found.survivors(k) / counts[k]
        exempt = ", exempt"
        if k in limits:
            exempt = ""
            layers.append(LinesLayer(paths=(np.stack([steps, limits[k]], 1)[limits[k] > 0],), colour=colour))
        marks = np.stack([steps, kept], 1)
        marker: Literal["square", "circle"] = "square" if exempt else "circle"
        layers.append(PointsLayer(positions=marks, colours=(colour,), marker=marker, size=5.0))
        legend.append(LegendEntry(colour=colour, label=f"{class_names[k]}{exempt}", share=counts[k] / total))
        sentences.append(f"{class_names[k]}{exempt}: {counts[k]:,} images, {kept[1]:.1%} survive one changed pixel")
    panel = Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="pixels changed", limits=(-0.3, min(float(found.values), 8.3))),
        y=Axis(label="share of the class that survives", limits=(-0.03, 1.05)),
    )
    broken = found.violations
    verdict = "No class exceeds its limit." if not broken else f"{broken} limits are exceeded: this must not be."
    return Chart(
        panels=(panel,),
        name="enumeration",
        caption=(
            f"All {total:,} black-and-white images of {found.side} x {found.side} pixels, enlarged to those of the"
            " classifier. Marks: the share of a class that keeps its label against every change of so many pixels;"
            f" lines: the most that any class of that size can keep. {_EXACT} {verdict} {CAPTION}"
        ),
        alt=f"Survival of classes against changed pixels. {'. '.join(sentences)}. {verdict}",
        legend=tuple(legend),
    )
