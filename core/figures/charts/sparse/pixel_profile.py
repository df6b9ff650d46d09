"""The chart of one pixel: the margin as the pixel takes other values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.figures.charts.names import check_class_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, Chart, Layer, LegendEntry, LinesLayer, Panel, PointsLayer

if TYPE_CHECKING:
    from core.geometry.sparse.pixel_profile import PixelProfile

_RED, _GREEN, _BLUE = (style.class_colour(k) for k in (5, 7, 0))  # the palette's red, green and blue
_GREY = style.LIGHT.quiet
_OTHERS = tuple(style.class_colour(k) for k in (1, 3, 4, 6, 8, 9))


def pixel_chart(
    profile: PixelProfile,
    *,
    class_names: Sequence[str],
    title: str = "",
) -> Chart:
    """The margin as one channel of a pixel goes from 0 to 1.

    Args:
        profile: the profile.
        class_names: one name per class of the classifier.
        title: of the panel.

    Returns:
        A chart of one panel: a curve per channel, and one for all together; a ring at the pixel's own value, and the
        class entered where a curve falls below 0.

    Raises:
        ValueError: if names of classes are missing.
    """
    check_class_names(profile.num_classes, class_names)
    colours = _colours(profile)
    layers: list[Layer] = [LinesLayer(paths=(np.array([[0.0, 0.0], [1.0, 0.0]]),), role="reference", dash="dashed")]
    entered: list[str] = []
    for number, (line, colour) in enumerate(zip(profile.lines, colours, strict=True)):
        points = np.stack([profile.value, profile.margin[number]], 1)
        layers.append(LinesLayer(paths=(points,), colour=colour, dash="dashed" if line == "grey" else "solid"))
        if line != "grey":
            now = float(profile.pixel[int(line.removeprefix("channel "))])
            at = np.array([[now, np.interp(now, profile.value, profile.margin[number])]])
            layers.append(PointsLayer(positions=at, colours=(colour,), marker="ring"))
        labels = profile.label[number]
        changed = labels != np.concatenate([[profile.source_class], labels[:-1]])
        for place in np.flatnonzero(changed & (labels != profile.source_class) & (labels >= 0)):
            name, position = class_names[labels[place]], np.array([[profile.value[place], 0.0]])
            layers.append(PointsLayer(positions=position, labels=(name,), colours=(colour,), size=4.0))
            entered.append(f"{name} from {profile.value[place]:.2f} on along {line}")
    source = class_names[profile.source_class]
    # the only channel of an image has no number
    lines = ["all channels alike" if line == "grey" else line for line in profile.lines]
    lines = lines if len(lines) > 1 else ["the pixel's value"]
    panel = Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="value", unit=profile.unit("value"), limits=(-0.02, 1.02)),
        y=Axis(label=f"margin of {source}", unit=profile.unit("margin")),
    )
    decides = "; ".join(entered) or f"{source} along every line"
    return Chart(
        panels=(panel,),
        name="pixel",
        caption=(
            f"Pixel in row {profile.row}, column {profile.column}: the margin while one of its channels takes another"
            " value, the others as they are. Rings: as it is. Below 0 another class wins."
        ),
        alt=f"Curves of the margin against the value of one pixel. The model says: {decides}.",
        legend=tuple(LegendEntry(colour=colour, label=words) for words, colour in zip(lines, colours, strict=True)),
    )


def _colours(profile: PixelProfile) -> tuple[str, ...]:
    """One colour per line: red, green and blue for three channels."""
    count = len(profile.pixel)
    if count == 3:
        return (_RED, _GREEN, _BLUE, _GREY)
    channels = tuple(_OTHERS[k % len(_OTHERS)] for k in range(count)) if count > 1 else (style.LIGHT.ink,)
    return (*channels, _GREY)[: len(profile.lines)]
