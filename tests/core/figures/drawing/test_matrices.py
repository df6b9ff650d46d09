"""A matrix: row 0 on top, the number and its control in each cell."""

from __future__ import annotations

import numpy as np

from core.figures.drawing import style
from core.figures.drawing.chart import FieldLayer, PointsLayer, Scale
from core.figures.drawing.matrices import matrix_panel


def test_cells_hold_their_numbers_and_stand_in_order() -> None:
    scale = Scale(palette="cividis", limits=(0.0, 1.0), label="share")
    values = np.array([[1.0, 0.25], [np.nan, 0.5]])
    notes = np.array([[np.nan, 0.001], [0.1, 0.1]])
    panel = matrix_panel(values, ("a", "b, seed 1"), scale, notes=notes, note="control", x_label="asked")
    field, words = panel.layers
    assert isinstance(field, FieldLayer)
    assert isinstance(words, PointsLayer)
    assert words.labels == ("1.00", "0.25\ncontrol 0.001", "none\ncontrol 0.1", "0.50\ncontrol 0.1")
    np.testing.assert_array_equal(words.positions, [[0, 1], [1, 1], [0, 0], [1, 0]])
    np.testing.assert_array_equal(field.colours[-1], style.scale_colours(values[0], "cividis", (0.0, 1.0)))
    assert panel.isometric
    assert panel.x.ticks == ((0.0, "a"), (1.0, "b\nseed 1"))
    assert panel.y.ticks == ((1.0, "a"), (0.0, "b\nseed 1"))
    assert panel.x.title == "asked"
