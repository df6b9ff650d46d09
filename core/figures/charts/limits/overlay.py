"""The chart of an overlay: two images, the few pixels that lead from one to the other, and the classifier's output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.figures.charts.limits.bounds import CAPTION
from core.figures.charts.names import check_class_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, BandLayer, Chart, Layer, LegendEntry, LinesLayer, Panel
from core.figures.drawing.pictures import Picture, montage, photograph

if TYPE_CHECKING:
    from core.geometry.limits.overlay import Overlay

_GREY = 0.55  # value of pixels that are not painted


def overlay_chart(
    found: Overlay,
    *,
    class_names: Sequence[str],
    times: float = 2.0,
    title: str = "",
) -> Chart:
    """Two images with the sparse overlay between them, and the classifier's probabilities as pixels are painted.

    Args:
        found: of one pair.
        class_names: one name per class.
        times: number of pixels of the overlay, as a multiple of the image's side.
        title: of the first panel.

    Returns:
        A chart of two panels: the pictures, and probabilities against the number of painted pixels.

    Raises:
        ValueError: if there is not exactly one pair, or names of classes are missing.
    """
    if len(found.first) != 1:
        raise ValueError(f"expected one pair of images, got {len(found.first)}")
    check_class_names(found.num_classes, class_names)
    total = found.rank[0, 0].size
    count = min(total, round(times * found.side))
    taken = found.rank[0, 0] < count
    step = min(int(np.searchsorted(found.pixels, count)), len(found.pixels) - 1)
    names = [class_names[k] if k >= 0 else "undefined" for k in found.label[0, 0, [0, step, -1]]]
    pictures = [
        Picture(colours=photograph(found.first[0]), label=names[0]),
        Picture(colours=photograph(np.where(taken, found.second[0], _GREY)), label=f"{count} pixels"),
        Picture(colours=photograph(found.painted(0, count)), label=names[1]),
        Picture(colours=photograph(found.second[0]), label=names[2]),
    ]
    reached, random = _pixels(found.needed()[0])
    words = (
        f"{count} of {total} pixels, {times:g} times the side of {found.side}, are painted, those first in which the"
        f" images differ most; the classifier then says {names[1]}. It says {names[2]} from {reached} on"
        f" (random orders: {random})."
    )
    return Chart(
        panels=(montage(pictures, 4, title), _answers(found, count)),
        name="overlay",
        caption=(
            f"Words above: what the classifier says. {words} Whether the third picture still means the first is yours"
            f" to judge: the limits never look inside the classifier, so they hold for people as well. {CAPTION}"
        ),
        alt=f"An image, a sparse overlay, the image under it, and the image the overlay was taken from. {words}",
        legend=(
            LegendEntry(colour=style.class_colour(0), label=f"probability of {names[0]}"),
            LegendEntry(colour=style.class_colour(1), label=f"probability of {names[2]}"),
        ),
    )


def _pixels(needed: np.ndarray) -> tuple[str, str]:
    """The pixels needed in the first order, and the median over random orders, in words."""
    median = float(np.median(needed[1:])) if len(needed) > 1 else math.nan
    one, many = ("none" if math.isnan(value) else f"{value:.0f} pixels" for value in (needed[0], median))
    return one, many


def _answers(found: Overlay, count: int) -> Panel:
    x = found.pixels.astype(np.float64)
    layers: list[Layer] = []
    for values, k in ((found.own[0], 0), (found.other[0], 1)):
        colour = style.class_colour(k)
        if len(values) > 1:
            layers.append(BandLayer(x=x, low=values[1:].min(0), high=values[1:].max(0), colour=colour))
        layers.append(LinesLayer(paths=(np.stack([x, values[0]], 1),), colour=colour))
    layers.append(LinesLayer(paths=(np.array([[float(count), 0.0], [float(count), 1.0]]),), role="reference"))
    return Panel(
        layers=tuple(layers),
        x=Axis(label="painted pixels; band: random orders", limits=(0.0, float(x[-1]))),
        y=Axis(label="probability", limits=(0.0, 1.0)),
    )
