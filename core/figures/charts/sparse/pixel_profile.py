"""Charts of one pixel: what the model says while it takes other values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

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
    """The margin while one channel of a pixel goes from 0 to 1.

    Args:
        profile: what was computed.
        class_names: one name per class of the classifier.
        title: above the picture.

    Returns:
        A chart of one panel: a curve per channel, and one for all of them together; a ring where the pixel is now, and
        the class that is entered where a curve falls below 0.

    Raises:
        ValueError: if names of classes are missing.
    """
    if len(class_names) != profile.num_classes:
        raise ValueError(f"expected one name for each of {profile.num_classes} classes, got {len(class_names)} names")
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
        for place, k in _entries(profile.label[number], profile.source_class):
            position = np.array([[profile.value[place], 0.0]])
            layers.append(PointsLayer(positions=position, labels=(class_names[k],), colours=(colour,), size=4.0))
            entered.append(f"{class_names[k]} from {profile.value[place]:.2f} on along {line}")
    source = class_names[profile.source_class]
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
        legend=tuple(
            LegendEntry(colour=colour, label=words)
            for words, colour in zip(_words(profile.lines), colours, strict=True)
        ),
    )


def _words(lines: Sequence[str]) -> list[str]:
    """What each line is called; the only channel of an image has no number."""
    if len(lines) == 1:
        return ["the pixel's value"]
    return ["all channels alike" if line == "grey" else line for line in lines]


def _colours(profile: PixelProfile) -> tuple[str, ...]:
    """One colour per line: those of the channels themselves where there are three."""
    count = len(profile.pixel)
    if count == 3:
        return (_RED, _GREEN, _BLUE, _GREY)
    channels = tuple(_OTHERS[k % len(_OTHERS)] for k in range(count)) if count > 1 else (style.LIGHT.ink,)
    return (*channels, _GREY)[: len(profile.lines)]


def _entries(labels: np.ndarray, source: int) -> list[tuple[int, int]]:
    """Where a line enters another class, and which."""
    before = np.concatenate([[source], labels[:-1]])
    places = np.flatnonzero((labels != before) & (labels != source) & (labels >= 0))
    return [(int(place), int(labels[place])) for place in places]
