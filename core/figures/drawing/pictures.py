"""Images, maps and supports as pictures: alone, or side by side in one panel with labels above.

A montage is one panel, not a grid of panels, so that its pictures keep their shape and stay close together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.figures.drawing import style
from core.figures.drawing.chart import Axis, FieldLayer, Layer, Panel, PointsLayer, Scale

_GAP = 0.06  # between pictures, in shares of their side
_WORDS = 0.2  # above each, for its label


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture with its label: uint8 (height, width, 3), row 0 on top."""

    colours: np.ndarray
    label: str = ""


def photograph(image: np.ndarray) -> np.ndarray:
    """An image (c, height, width) with values in [0, 1] as a picture; grey ones in all three channels."""
    picture = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def scaled(values: np.ndarray, scale: Scale) -> np.ndarray:
    """A map of numbers as a picture, NaN grey."""
    return style.scale_colours(values, scale.palette, scale.limits)


def picture_field(colours: np.ndarray, scale: Scale | None = None, hover: np.ndarray | None = None) -> FieldLayer:
    """A picture as a field whose x and y are the pixels' columns and rows, row 0 on top.

    Args:
        colours: uint8 (height, width, 3).
        scale: of a map of numbers.
        hover: (height, width), numbers to show under the pointer; NaN for none.

    Returns:
        A field; y is minus the row, so that up is up.
    """
    height, width = colours.shape[:2]
    field = FieldLayer(
        x=np.arange(width, dtype=np.float64),
        y=np.arange(1 - height, 1, dtype=np.float64),
        colours=colours[::-1],
        scale=scale,
    )
    if hover is None:
        return field
    texts = tuple(
        "" if np.isnan(value) else f"row {row}, column {column}: {value:.3g}"
        for (row, column), value in np.ndenumerate(hover)
    )
    index = np.where(np.isnan(hover), -1, np.arange(len(texts)).reshape(hover.shape))
    return replace(field, hover=texts, hover_index=index[::-1])


def frame_at(left: float, image: np.ndarray, name: str = "") -> FieldLayer:
    """A frame of a film strip: an image as a field one unit wide, on the line y = 0.

    Args:
        left: x of its left edge.
        image: (c, height, width) in [0, 1].
        name: of the layer.

    Returns:
        A field with square pixels.
    """
    height, width = image.shape[1:]
    x, y = ((np.arange(count) + 0.5) / width for count in (width, height))
    return FieldLayer(x=left + x, y=y, colours=photograph(image)[::-1], name=name)


def map_panel(values: np.ndarray, scale: Scale, title: str = "") -> Panel:
    """A map of numbers over the pixels of an image, with its colour bar.

    Args:
        values: (height, width), NaN grey.
        scale: what the colours mean.
        title: of the panel.

    Returns:
        A panel without axes; x is the column and y minus the row.
    """
    return Panel(layers=(picture_field(scaled(values, scale), scale, values),), kind="image", title=title)


def on_axes(panel: Panel) -> Panel:
    """A picture or map with axes that count its columns and rows, for the plane viewer, which reports clicks.

    Args:
        panel: a panel whose first layer is a field from `picture_field`.

    Returns:
        The same panel, isometric; row 0 is on top.
    """
    field = panel.layers[0]
    assert isinstance(field, FieldLayer)
    width, height = len(field.x), len(field.y)
    columns, rows = (np.unique(np.linspace(0, size - 1, min(size, 5)).round()) for size in (width, height))
    return replace(
        panel,
        kind="cartesian",
        isometric=True,
        x=Axis(label="column", limits=(-0.5, width - 0.5), ticks=tuple((float(at), f"{at:.0f}") for at in columns)),
        y=Axis(label="row", limits=(0.5 - height, 0.5), ticks=tuple((-float(at), f"{at:.0f}") for at in rows)),
    )


def montage(pictures: Sequence[Picture], columns: int, title: str = "") -> Panel:
    """Pictures in a grid, row by row from the top left.

    Args:
        pictures: at least one, all of one size.
        columns: of the grid.
        title: of the panel.

    Returns:
        A panel without axes, in units of a picture's pixels.
    """
    height, width = pictures[0].colours.shape[:2]
    across, down = width * (1 + _GAP), height * (1 + _WORDS)
    layers: list[Layer] = []
    places = []
    left_most, right_most = -0.5, columns * across - width * _GAP - 0.5
    aside = {"left": -width / 2, "center": 0.0, "right": width / 2}  # labels are anchored at their outer end
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        left, top = column * across, -row * down
        field = picture_field(picture.colours)
        layers.append(replace(field, x=field.x + left, y=field.y + top))
        middle = left + (width - 1) / 2
        held = style.inwards((middle - left_most) / (right_most - left_most)) if columns > 1 else "center"
        places.append((middle + aside[held], top + 0.5 + _WORDS * height / 2))
    words = tuple(picture.label for picture in pictures)
    if any(words):
        layers.append(PointsLayer(positions=np.array(places), labels=words, marker="none"))
    rows = -(-len(pictures) // columns)
    return Panel(
        layers=tuple(layers),
        kind="image",
        title=title,
        x=Axis(limits=(left_most, right_most)),
        y=Axis(limits=(0.5 - rows * down + height * _WORDS, 0.5 + _WORDS * height)),
    )
