"""Pictures in one panel: the right way up, in their places, with their words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.figures.drawing import style
from core.figures.drawing.chart import Chart, FieldLayer, PointsLayer, Scale
from core.figures.drawing.paper import write_figure
from core.figures.drawing.pictures import Picture, map_panel, montage, on_axes, photograph
from core.figures.drawing.screen import draw


def a_picture(value: int) -> np.ndarray:
    return np.full((4, 6, 3), value, np.uint8)


def test_a_photograph_has_three_channels_and_keeps_to_the_range() -> None:
    grey = photograph(np.array([[[0.0, 0.5], [1.0, 1.7]]]))
    np.testing.assert_array_equal(grey[..., 0], [[0, 128], [255, 255]])
    assert grey.shape == (2, 2, 3)
    assert photograph(np.zeros((3, 2, 5))).shape == (2, 5, 3)


def test_a_map_stands_upright_and_says_its_numbers() -> None:
    values = np.array([[1.0, 2.0, np.nan], [4.0, 5.0, 6.0]])
    scale = Scale(palette="cividis", limits=(0.0, 6.0), label="how much", unit="logit")
    panel = map_panel(values, scale, "title")
    (field,) = panel.layers
    assert isinstance(field, FieldLayer)
    assert panel.kind == "image"
    assert panel.scales == (scale,)
    np.testing.assert_array_equal(field.colours[-1, 0], style.scale_colours(np.array(1.0), "cividis", (0.0, 6.0)))
    np.testing.assert_array_equal(field.y, [-1, 0])  # row 0 on top
    assert field.hover_index is not None
    assert field.hover[field.hover_index[-1, 1]] == "row 0, column 1: 2"
    assert field.hover_index[-1, 2] == -1


def test_on_axes_a_map_counts_columns_and_rows_from_the_top() -> None:
    panel = on_axes(map_panel(np.arange(12.0).reshape(3, 4), Scale(palette="cividis", limits=(0, 11), label="x")))
    assert (panel.kind, panel.isometric) == ("cartesian", True)
    assert (panel.x.limits, panel.y.limits) == ((-0.5, 3.5), (-2.5, 0.5))
    assert panel.x.ticks == ((0.0, "0"), (1.0, "1"), (2.0, "2"), (3.0, "3"))
    assert panel.y.ticks == ((0.0, "0"), (-1.0, "1"), (-2.0, "2"))


def test_a_montage_goes_row_by_row_from_the_top_left() -> None:
    panel = montage([Picture(colours=a_picture(k), label=f"picture {k}") for k in range(5)], 3)
    fields = [layer for layer in panel.layers if isinstance(layer, FieldLayer)]
    (words,) = [layer for layer in panel.layers if isinstance(layer, PointsLayer)]
    assert [int(field.colours[0, 0, 0]) for field in fields] == [0, 1, 2, 3, 4]
    left = [field.edges[0] for field in fields]
    top = [field.edges[3] for field in fields]
    assert left[0] < left[1] < left[2]
    assert left[3] == left[0]
    assert top[0] == top[2] > top[3] == top[4]
    assert fields[0].edges[2] > words.positions[3, 1] > fields[3].edges[3]  # between the rows
    x, y = panel.limits
    assert x is not None
    assert y is not None
    assert x[1] >= max(field.edges[1] for field in fields)
    assert y[0] == pytest.approx(min(field.edges[2] for field in fields))
    assert y[1] > words.positions[0, 1] > fields[0].edges[3]


def test_both_renderers_draw_them(tmp_path: Path) -> None:
    scale = Scale(palette="vik", limits=(-1.0, 1.0), label="change")
    panels = montage([Picture(colours=a_picture(9), label="nine")] * 4, 2), map_panel(np.eye(4), scale)
    chart = Chart(panels=panels, name="pictures", columns=2)
    assert draw(chart).data
    write_figure(chart, tmp_path / "pictures.svg")
    assert (tmp_path / "pictures.svg").stat().st_size > 1000
