"""What the map of images is told, and what it may say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from core.figures.drawing.chart import Axis, Chart, FieldLayer, LinesLayer, Panel, PointsLayer
from dashboard.viewer.scatter import apart, parse_rows, scatter_data

POSITIONS = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
ROWS = [5, 7, 900]


def chart() -> Chart:
    limits = Axis(limits=(-1.0, 5.0), ticks=())
    sheet = FieldLayer(x=np.array([-1.0, 5]), y=np.array([-1.0, 5]), colours=np.full((2, 2, 3), 255, np.uint8))
    line = LinesLayer(paths=(POSITIONS,), role="boundary")
    points = PointsLayer(positions=POSITIONS, colours=("#3b678e", "#cc8352", "#dcb55a"))
    panel = Panel(layers=(sheet, line, points), x=limits, y=limits, isometric=True)
    return Chart(panels=(panel,), name="map", alt="three images")


def test_the_browser_gets_points_lines_and_one_sheet_of_pictures() -> None:
    data = scatter_data(chart(), IMAGES, POSITIONS, ROWS, ["one", "two", "<b>three</b>"])
    assert json.loads(json.dumps(data)) == data
    assert (data["rows"], data["x"], data["y"]) == (ROWS, [0, 4, 0], [0, 0, 4])
    assert data["frame"] == [-1, 5, -1, 5]
    assert [point["colour"] for point in data["points"]] == ["#3b678e", "#cc8352", "#dcb55a"]
    assert len(data["lines"]) == len(data["fields"]) == 1
    assert data["sheet"]["sheet"].startswith("data:image/png;base64,")
    assert (data["sheet"]["across"], data["sheet"]["wide"], data["sheet"]["tall"]) == (2, 96, 96)
    assert data["words"][2] == "<b>three</b>"  # set as text in the browser


def test_what_is_not_one_per_image_is_refused() -> None:
    with pytest.raises(ValueError, match="a place and words for each of 3 images, got 2 words"):
        scatter_data(chart(), IMAGES, POSITIONS, ROWS, ["one", "two"])
    with pytest.raises(ValueError, match="a place and words"):
        scatter_data(chart(), IMAGES, POSITIONS[:2], ROWS, ["one"] * 3)
    flat = replace(chart().panels[0], isometric=False)
    with pytest.raises(ValueError, match="one cartesian, isometric panel"):
        scatter_data(replace(chart(), panels=(flat,)), IMAGES, POSITIONS, ROWS, ["one"] * 3)


@pytest.mark.parametrize(
    "value", [None, {}, {"rows": []}, {"rows": [6]}, {"rows": [5, "7"]}, {"rows": [True]}, {"rows": 5}, {"rows": [5.0]}]
)
def test_what_a_browser_could_not_mean_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected rows of the map"):
        parse_rows(value, [1, *ROWS])


def test_rows_come_once_and_in_the_order_of_the_map() -> None:
    assert parse_rows({"rows": [900, 5, 5]}, ROWS) == [5, 900]


def test_images_inside_a_line_come_with_three_that_lie_apart_first() -> None:
    places = np.array([[0.0, 0], [1, 0], [10, 0], [5, 0], [4, 0], [5, 3]])
    assert apart(places, 3) == [4, 2, 0, 1, 3, 5]
    assert apart(places[:2], 3) == [0, 1]
    assert apart(np.zeros((3, 2)), 3) == [0, 1, 2]
