"""Square matrices in one panel: the relation of each row to each column, with the number in its cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from core.figures.drawing import style
from core.figures.drawing.chart import Axis, FieldLayer, Panel, PointsLayer, Scale


def matrix_panel(
    values: np.ndarray,
    names: Sequence[str],
    scale: Scale,
    *,
    notes: np.ndarray,
    note: str = "chance",
    title: str = "",
    x_label: str = "",
    y_label: str = "",
) -> Panel:
    """A square matrix with a number, and a second one below it, in each cell.

    Args:
        values: (m, m), row 0 on top.
        names: (m,) labels of rows and columns.
        scale: of the values.
        notes: (m, m), the second numbers; NaN for none.
        note: what they are, in a word.
        title: of the panel.
        x_label: of the columns.
        y_label: of the rows.

    Returns:
        An isometric panel.
    """
    size = len(names)
    field = FieldLayer(
        x=np.arange(size, dtype=np.float64),
        y=np.arange(size, dtype=np.float64),
        colours=style.scale_colours(values, scale.palette, scale.limits)[::-1],
        scale=scale,
    )
    positions = np.array([(float(column), float(size - 1 - row)) for row, column in np.ndindex(size, size)])
    labels = tuple(
        (f"{value:.2f}" if math.isfinite(value) else "none") + (f"\n{note} {below:.2g}" if math.isfinite(below) else "")
        for value, below in zip(values.ravel(), notes.ravel(), strict=True)
    )
    ticks = [(float(k), name.replace(", ", "\n")) for k, name in enumerate(names)]
    return Panel(
        layers=(field, PointsLayer(positions=positions, labels=labels, marker="none")),
        isometric=True,
        title=title,
        x=Axis(label=x_label, ticks=tuple(ticks)),
        y=Axis(label=y_label, ticks=tuple((size - 1 - place, name) for place, name in ticks)),
    )
