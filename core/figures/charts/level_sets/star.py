"""The chart of a star: a source in the middle, the ends of its walks as limbs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.figures.charts.names import check_class_names, check_model_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, Chart, Layer, LegendEntry, LinesLayer, Panel, PointsLayer

if TYPE_CHECKING:
    from core.geometry.level_sets.star import LevelStar

_ROOM = 1.05  # radius of the picture over the distance of the farthest target
_ARC = 9  # points of the line across a limb's end
_SPREAD = 0.42  # of the angle between limbs: the largest half width of such a line


def level_star_chart(
    stars: Sequence[LevelStar],
    *,
    models: Sequence[str],
    class_names: Sequence[str],
    palette: str = "muted",
) -> Chart:
    """Stars of blind spots around a source.

    Args:
        stars: one per model.
        models: their names.
        class_names: one name per class.
        palette: class palette of `style.PALETTES`.

    Returns:
        A chart of polar panels of equal radius: limbs as long as their walks reached, coloured by the target's class.

    Raises:
        ValueError: if names of models or classes are missing, or there is no star.
    """
    check_model_names(models, stars, "star")
    check_class_names(stars[0].num_classes, class_names)
    top = _ROOM * max(float(star.target_length.max()) for star in stars)
    classes = dict.fromkeys(int(k) for star in stars for k in star.target_class)
    first = stars[0]
    panels = [
        _star(star, palette, top, name if len(stars) > 1 else "") for star, name in zip(stars, models, strict=True)
    ]
    return Chart(
        panels=tuple(panels),
        name="level_star",
        columns=len(panels),
        caption=(
            "Limbs: straight ways from the source, in the middle, to the ends of walks, in the colour of the target's"
            f" class; solid as far as the confidence stays within {first.delta:g}, dotted from there on. Disc: seen"
            " from the source; ring: not. Diamond: the target. Line across an end: how far 95 % of the directions along"
            " the level set stay within, cut where the next limb begins. Angles are for reading only: the limbs lie in"
            " thousands of dimensions. Distances are ℓ2 over pixels in [0, 1]."
        ),
        alt=" ".join(_sentence(star, name) for star, name in zip(stars, models, strict=True)),
        legend=tuple(
            LegendEntry(colour=style.class_colour(k, palette), label=class_names[k] if k >= 0 else "undefined")
            for k in classes
        ),
    )


def _sentence(star: LevelStar, model: str) -> str:
    gap = f", convexity gap {star.gap[0]:.2f}" if math.isfinite(star.gap[0]) else ""
    return (
        f"{model}: {100 * star.share[0]:.0f} % of {len(star.spoke_reach)} blind spots are seen from the source, in"
        f" {star.limbs[0]} limbs{gap}; walks left {100 * float(np.median(star.ratio)):.0f} % of their way."
    )


def _star(star: LevelStar, palette: str, top: float, title: str) -> Panel:
    count = len(star.spoke_reach)
    widths = star.width.astype(np.float64)
    angles = 2 * math.pi * np.arange(count) / count
    spread = _SPREAD * 2 * math.pi / count
    layers: list[Layer] = []
    for k in dict.fromkeys(star.target_class.tolist()):
        own = np.flatnonzero(star.target_class == k)
        colour = style.class_colour(int(k), palette)
        inside = star.spoke_reach[own] * star.length[own]
        rays = list(zip(angles[own], inside, star.length[own], strict=True))
        solid = tuple(np.array([[angle, 0.0], [angle, near]]) for angle, near, _ in rays)
        layers.append(LinesLayer(paths=solid, colour=colour))
        dotted = tuple(np.array([[angle, near], [angle, far]]) for angle, near, far in rays if near < far)
        if dotted:
            layers.append(LinesLayer(paths=dotted, colour=colour, dash="dotted"))
        arcs = tuple(
            _across(angle, far, width, spread)
            for angle, far, width in zip(angles[own], star.length[own], widths[own], strict=True)
            if math.isfinite(width) and far > 0
        )
        if arcs:
            layers.append(LinesLayer(paths=arcs, colour=colour))
        for seen, marker in ((True, "circle"), (False, "ring")):
            some = own[(star.spoke_reach[own] == 1) == seen]
            if len(some):
                places = np.stack([angles[some], star.length[some]], 1)
                layers.append(PointsLayer(positions=places, colours=(colour,), marker=marker, size=5.0))  # type: ignore[arg-type]
        aims = np.stack([angles[own], star.target_length[own]], 1)
        layers.append(PointsLayer(positions=aims, colours=(colour,), marker="diamond", size=3.5))
    ticks = tuple((float(angle), str(row)) for angle, row in zip(angles, star.target_row.tolist(), strict=True))
    return Panel(
        layers=tuple(layers),
        kind="polar",
        title=title,
        x=Axis(label="target, by its row in the set", ticks=ticks),
        y=Axis(label="distance from the source", unit="ℓ2", limits=(0.0, top)),
    )


def _across(angle: float, radius: float, width: float, spread: float) -> np.ndarray:
    """A line across a limb's end, as wide as the level set there, cut at half width `spread`."""
    half = min(math.atan(width / radius), spread)
    turned = np.linspace(-half, half, _ARC)
    return np.stack([angle + turned, np.full(_ARC, radius)], 1)
