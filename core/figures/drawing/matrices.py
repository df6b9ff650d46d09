"""Square matrices in one panel: how much each row has to do with each column, the number in its cell."""

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
    """A square matrix with the number, and a smaller one below it, in each cell.

    Args:
        values: (m, m), row 0 on top.
        names: of rows and columns.
        scale: of the values.
        notes: (m, m), written below; NaN for none.
        note: what they are.
        title: above it.
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
    positions, words = [], []
    for (row, column), value in np.ndenumerate(values):
        positions.append((float(column), float(size - 1 - row)))
        beside = float(notes[row, column])
        text = f"{value:.2f}" if math.isfinite(value) else "none"
        words.append(text + (f"\n{note} {beside:.2g}" if math.isfinite(beside) else ""))
    ticks = tuple((float(k), names[k].replace(", ", "\n")) for k in range(size))
    up = tuple((float(size - 1 - k), names[k].replace(", ", "\n")) for k in range(size))
    return Panel(
        layers=(field, PointsLayer(positions=np.array(positions), labels=tuple(words), marker="none")),
        isometric=True,
        title=title,
        x=Axis(label=x_label, ticks=ticks),
        y=Axis(label=y_label, ticks=up),
    )
