"""The principal directions of a boundary as images, those of the most positive and the most negative curvatures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from core.figures.drawing import style
from core.figures.drawing.chart import Axis, Chart, FieldLayer, Layer, LinesLayer, PointsLayer
from core.figures.drawing.curves import rectangle
from core.figures.drawing.pictures import Picture, montage

if TYPE_CHECKING:
    from core.geometry.curvature.at_image import CurvatureAtImage

_ACROSS = 5  # pictures in a row


def gallery_chart(result: CurvatureAtImage, *, marked: int = 0, title: str = "") -> Chart:
    """The stored directions as images.

    Args:
        result: with directions from both ends of the spectrum.
        marked: the number of the direction to outline: 1, 2, ... from the most positive curvature, -1, -2, ... from the
            most negative one; 0 for none.
        title: of the panel.

    Returns:
        A chart of one panel: the positive end above the negative one.

    Raises:
        ValueError: if there is no direction.
    """
    numbers = shown_numbers(result)
    if not len(numbers):
        raise ValueError("expected directions to show, got none: the image has no regular boundary point, or not yet")
    pictures = [_picture(result, number) for number in numbers]
    panel = montage(pictures, _ACROSS, title)
    fields = [layer for layer in panel.layers if isinstance(layer, FieldLayer)]
    layers: list[Layer] = list(panel.layers)
    if marked in numbers:
        outline = rectangle(*fields[numbers.index(marked)].edges)
        layers.append(LinesLayer(paths=(outline,), role="boundary"))
    values = ", ".join(picture.label for picture in pictures)
    return Chart(
        panels=(replace(panel, layers=tuple(layers)),),
        name="curvature_gallery",
        caption=(
            "Principal directions of length 1 with their curvatures in 1/ℓ2: 1, 2, ... from the most positive one down,"
            " -1, -2, ... from the most negative one up. "
            + ("Grey is 0" if result.directions.shape[2] == 3 else "White is 0")
            + ", each picture has its own scale, and the sign of a direction means nothing."
        ),
        alt=f"{len(pictures)} principal directions as small pictures, number and curvature: {values}.",
    )


def on_plane(chart: Chart) -> Chart:
    """The gallery on axes, for the plane viewer, which reports clicks."""
    (panel,) = chart.panels
    (left, right), (low, high) = panel.x.limits or (0.0, 1.0), panel.y.limits or (0.0, 1.0)
    middle, half = (left + right) / 2, max(right - left, high - low) / 2
    fields = [layer for layer in panel.layers if isinstance(layer, FieldLayer)]
    middles = np.array([(field.edges[0] + field.edges[1]) / 2 for field in fields])  # the viewer centres labels there
    heights = sorted({float(field.y.mean()) for field in fields}, reverse=True)  # the first row on top
    layers = tuple(
        replace(layer, positions=np.stack([middles, layer.positions[:, 1]], 1))
        if isinstance(layer, PointsLayer)
        else layer
        for layer in panel.layers
    )
    plain = replace(
        panel,
        layers=layers,
        kind="cartesian",
        isometric=True,
        x=Axis(limits=(middle - half, middle + half), ticks=tuple((at, "") for at in sorted(set(middles.tolist())))),
        y=Axis(limits=(high - 2 * half, high), ticks=tuple((at, "") for at in heights)),  # the first row at the top
    )
    return replace(chart, panels=(plain,))


def number_at(result: CurvatureAtImage, x: float, y: float) -> int:
    """The number of the direction whose picture lies at a point of the gallery; 0 for a point outside all pictures."""
    fields = (layer for layer in gallery_chart(result).panels[0].layers if isinstance(layer, FieldLayer))
    for number, (left, right, bottom, top) in zip(shown_numbers(result), (f.edges for f in fields), strict=True):
        if left <= x <= right and bottom <= y <= top:
            return number
    return 0


def shown_numbers(result: CurvatureAtImage) -> list[int]:
    """The numbers of the directions in a gallery, in its order; none while they are unknown."""
    count = result.direction_curvatures.shape[1]
    if not count or np.isnan(result.direction_curvatures[0]).any():
        return []
    upper = -(-count // 2)
    return [*range(1, upper + 1), *range(-1, upper - count - 1, -1)]


def _picture(result: CurvatureAtImage, number: int) -> Picture:
    place = number - 1 if number > 0 else number
    direction = result.directions[0, place].astype(np.float64)
    most = float(np.abs(direction).max()) or 1.0
    if len(direction) == 3:
        colours = np.rint(255 * (0.5 + 0.5 * direction / most)).astype(np.uint8).transpose(1, 2, 0)
    else:
        colours = style.scale_colours(direction.mean(0), "vik", (-most, most))
    return Picture(colours=colours, label=f"{number}: {result.direction_curvatures[0, place]:.2g}")
