"""A walk along a principal direction: images, classes, margin, and the boundary's height over its tangent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.figures.charts.names import check_class_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, Chart, FieldLayer, Layer, LegendEntry, LinesLayer, Panel, PointsLayer
from core.figures.drawing.curves import known_runs, largest
from core.figures.drawing.pictures import frame_at

if TYPE_CHECKING:
    from core.geometry.curvature.walk import CurvatureWalk

WalkShow = Literal["margin", "logits"]

_PITCH = 1.06  # from one frame to the next, in sides
_STRIP = 0.16  # height of the strip of classes
_WORDS = 0.4  # room below it, for offsets


def curvature_walk_chart(
    walk: CurvatureWalk,
    *,
    class_names: Sequence[str],
    show: WalkShow = "margin",
    palette: str = "muted",
    title: str = "",
) -> Chart:
    """Images, classes and margins along a tangent direction, and how well the curvature predicts them.

    Args:
        walk: the walk.
        class_names: one name per class.
        show: the "margin" with its prediction from the curvature, or the "logits" of the classes met.
        palette: class palette of `style.PALETTES`.
        title: of the first panel.

    Returns:
        A chart of three panels in a column: images with their classes; margin or logits; height of the boundary.

    Raises:
        ValueError: if names of classes are missing.
    """
    check_class_names(walk.num_classes, class_names)
    seen = list(dict.fromkeys([walk.source_class, walk.target_class, *(int(k) for k in walk.label if k >= 0)]))
    second = _margin(walk) if show == "margin" else _logits(walk, seen, palette)
    return Chart(
        panels=(_strip(walk, palette, title), second, _height(walk)),
        name="curvature_walk",
        caption=_caption(walk, show),
        alt=_alt(walk, class_names),
        legend=tuple(LegendEntry(colour=style.class_colour(k, palette), label=class_names[k]) for k in seen),
    )


def _strip(walk: CurvatureWalk, palette: str, title: str) -> Panel:
    """Frames in a row, one unit wide; below them the class at every offset, and the offsets of the frames."""
    tall, count = walk.frames.shape[2] / walk.frames.shape[3], len(walk.frames)
    layers: list[Layer] = [frame_at(place * _PITCH, frame) for place, frame in enumerate(walk.frames)]
    first, last = walk.frame_offset[0], walk.frame_offset[-1]
    where = 0.5 + (walk.offset - first) / (last - first) * (count - 1) * _PITCH  # below the middles of the frames
    colours = style.class_colours(walk.label[None], palette=palette)
    strip = np.array([-0.06 - 0.75 * _STRIP, -0.06 - 0.25 * _STRIP])
    layers.append(FieldLayer(x=where, y=strip, colours=np.repeat(colours, 2, 0)))
    places = np.array([[place * _PITCH + 0.5, -0.06 - _STRIP - _WORDS / 2] for place in range(count)])
    words = tuple(f"{offset:.2g}" if offset else "0" for offset in walk.frame_offset)
    layers.append(PointsLayer(positions=places, labels=words, marker="none"))
    return Panel(
        layers=tuple(layers),
        kind="image",
        title=title,
        x=Axis(limits=(0.0, (count - 1) * _PITCH + 1)),
        y=Axis(limits=(-0.06 - _STRIP - _WORDS, tall)),
    )


def _along(walk: CurvatureWalk) -> Axis:
    name = "random tangent direction" if walk.number == 0 else f"principal direction {walk.number}"
    return Axis(label=f"along {name}", unit="ℓ2", limits=(float(walk.offset[0]), float(walk.offset[-1])))


def _zero(walk: CurvatureWalk) -> LinesLayer:
    return LinesLayer(paths=(np.array([[walk.offset[0], 0.0], [walk.offset[-1], 0.0]]),), role="guide")


def _margin(walk: CurvatureWalk) -> Panel:
    far = largest(np.abs(walk.margin)) or 1.0
    foretold = np.where(np.abs(walk.foretold_margin) <= 1.5 * far, walk.foretold_margin, np.nan)
    return Panel(
        layers=(
            _zero(walk),
            LinesLayer(paths=known_runs(walk.offset, foretold), role="reference", dash="dashed"),
            LinesLayer(paths=known_runs(walk.offset, walk.margin)),
        ),
        x=_along(walk),
        y=Axis(label="margin of the image's class", unit="logit"),
    )


def _logits(walk: CurvatureWalk, seen: Sequence[int], palette: str) -> Panel:
    lines = tuple(
        LinesLayer(paths=known_runs(walk.offset, walk.logits[:, k]), colour=style.class_colour(k, palette))
        for k in seen
    )
    return Panel(layers=lines, x=_along(walk), y=Axis(label="logit"))


def _height(walk: CurvatureWalk) -> Panel:
    """The boundary's height over its tangent: measured, and by the parabola and the circle."""
    known = np.concatenate([walk.height[np.isfinite(walk.height)], walk.parabola.clip(-walk.distance, walk.distance)])
    room = 0.1 * max(float(known.max() - known.min()), walk.distance)
    low, high = float(known.min()) - room, float(known.max()) + room
    parabola, circle = (np.where((low <= each) & (each <= high), each, np.nan) for each in (walk.parabola, walk.circle))
    layers: list[Layer] = [
        _zero(walk),
        LinesLayer(paths=known_runs(walk.offset, parabola), role="reference", dash="dashed"),
        LinesLayer(paths=known_runs(walk.offset, circle), role="reference", dash="dotted"),
        LinesLayer(paths=known_runs(walk.offset, walk.height)),
    ]
    if walk.distance <= high:
        layers.append(PointsLayer(positions=np.array([[0.0, walk.distance]]), labels=("image",), marker="ring"))
    return Panel(
        layers=tuple(layers),
        x=_along(walk),
        y=Axis(label="boundary over its tangent", unit="ℓ2", limits=(low, high)),
    )


def _caption(walk: CurvatureWalk, show: WalkShow) -> str:
    trusted = walk.trusted
    if not math.isfinite(trusted):
        until = "The parabola errs by more than a tenth of the distance at once."
    elif trusted >= walk.offset[-1]:
        until = "The parabola errs by less than a tenth of the distance all the way."
    else:
        until = f"The parabola errs by less than a tenth of the distance up to {trusted:.3g} ℓ2."
    words = [
        f"From the boundary point along its tangent; strip: the predicted class. Curvature {walk.normal_curvature:.3g}"
        " 1/ℓ2. Last panel: the boundary's height over the tangent, measured on normal rays (solid), by the parabola"
        " (dashed) and the circle (dotted); up is towards the image."
    ]
    if show == "margin":
        words.append("Margin: measured (solid), by the curvature (dashed).")
    if math.isfinite(walk.scale):
        words.append(f"Curvature by differences over h = {walk.scale:.3g} ℓ2.")
    return " ".join([*words, until])


def _alt(walk: CurvatureWalk, class_names: Sequence[str]) -> str:
    names = [class_names[k] for k in dict.fromkeys(int(k) for k in walk.label if k >= 0)]
    known = walk.height[np.isfinite(walk.height)]
    span = f" The boundary's height over it goes from {known.min():.3g} to {known.max():.3g} ℓ2." if len(known) else ""
    return (
        f"A walk of {walk.offset[-1]:.3g} ℓ2 each way along the tangent of the boundary meets {', '.join(names)}.{span}"
    )
