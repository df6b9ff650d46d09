"""What the plane viewer is told, and what it may say."""

import base64
import io
import itertools
import json
import math
import re
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    BandLayer,
    Chart,
    FieldLayer,
    ImagesLayer,
    Layer,
    LinesLayer,
    Panel,
    PointsLayer,
)
from dashboard.viewer.gestures import received
from dashboard.viewer.viewer import REACH, UNITS, panel_data, parse_pick, parse_zoom

X = np.linspace(-1.0, 3.0, 5)
Y = np.linspace(0.0, 4.0, 9)
COLOURS = np.arange(9 * 5 * 3, dtype=np.uint8).reshape(9, 5, 3)


def chart(*layers: Layer, **words: Any) -> Chart:
    limits = Axis(label="towards b", unit="ℓ2", limits=(-1.0, 3.0)), Axis(limits=(0.0, 4.0))
    return Chart(
        panels=(Panel(layers=layers, isometric=True, x=limits[0], y=limits[1], **words),), name="plane", alt="so"
    )


def field(**options: Any) -> FieldLayer:
    return FieldLayer(**{"x": X, "y": Y, "colours": COLOURS} | options)


def pixels(source: str) -> np.ndarray:
    kind, encoded = source.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def vertices(path: str, extent: tuple[float, float, float, float] = (-1.0, 3.0, 0.0, 4.0)) -> list[np.ndarray]:
    """The pieces of an SVG path as the browser reads them, in plane coordinates."""
    pieces = []
    for start, steps in re.findall(r"M([-\d ]+)l([-\d ]+)", path):
        numbers = np.array([*start.split(), *steps.split()], np.int64).reshape(-1, 2)
        pieces.append(np.cumsum(numbers, 0) / UNITS * (extent[1] - extent[0]) + (extent[0], extent[2]))
    return pieces


def lines(*paths: Any, **options: Any) -> dict[str, Any]:
    [drawn] = panel_data(chart(field(), LinesLayer(paths=tuple(np.array(p, float) for p in paths), **options)))["lines"]
    return drawn


def test_data_is_plain() -> None:
    data = panel_data(
        chart(
            field(hover=("cat", "dog"), hover_index=np.zeros((9, 5), np.int64)),
            LinesLayer(paths=(np.zeros((0, 2)), np.ones((1, 2)), np.array([[0.0, 1.0], [1.0, 2.0]]))),
            PointsLayer(positions=np.array([[1.0, 2.0]]), labels=("here",)),
            ImagesLayer(positions=np.array([[0.0, 1.0]]), images=np.zeros((1, 4, 4, 3), np.uint8), residuals=(0.5,)),
            title="standard",
            scale_bar="ℓ2",
        )
    )
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["frame"] == [-1.0, 3.0, 0.0, 4.0]
    assert data["axes"] == {"x": "towards b (ℓ2)", "y": "", "unit": "ℓ2"}
    assert (data["title"], data["scale_bar"], data["alt"]) == ("standard", "ℓ2", "so")


def test_the_first_row_is_at_the_bottom() -> None:
    [drawn] = panel_data(chart(field()))["fields"]
    np.testing.assert_array_equal(pixels(drawn["source"]), COLOURS[::-1])


def test_the_picture_reaches_half_a_step_beyond_the_centres() -> None:
    [drawn] = panel_data(chart(field()))["fields"]
    assert drawn["box"] == [-1.5, 3.5, -0.25, 4.25]


@pytest.mark.parametrize("words", [2, 300])
def test_hover_comes_back_from_its_codes(words: int) -> None:
    index = np.random.default_rng(0).integers(-1, words, (9, 5))
    index[0, 0] = -1
    hover = tuple(f"class {k}" for k in range(words))
    [drawn] = panel_data(chart(field(hover=hover, hover_index=index)))["fields"]
    codes = np.frombuffer(zlib.decompress(base64.b64decode(drawn["words"]["codes"])), "<u2").reshape(9, 5)
    said = [drawn["words"]["said"][code] for code in codes.ravel()]
    assert said == [hover[k] if k >= 0 else "" for k in index.ravel()]
    assert len(drawn["words"]["said"]) == 1 + len(np.unique(index[index >= 0]))


def test_hover_may_say_nothing_anywhere() -> None:
    [drawn] = panel_data(chart(field(hover=("cat",), hover_index=np.full((9, 5), -1))))["fields"]
    assert drawn["words"]["said"] == [""]


@pytest.mark.parametrize("centre", [0.0, 20.0])
@pytest.mark.parametrize("width", [30.0, 1e-4])
def test_lines_keep_a_thousandth_of_a_pixel_at_any_depth(width: float, centre: float) -> None:
    extent = (centre, centre + width, centre, centre + width)
    ends = np.linspace(centre, centre + width, 64)
    path = centre + width * np.random.default_rng(0).uniform(size=(50, 2))
    layers = field(x=ends, y=ends, colours=np.zeros((64, 64, 3), np.uint8)), LinesLayer(paths=(path,))
    [drawn] = panel_data(chart(*layers))["lines"]
    [piece] = vertices(drawn["path"], extent)
    assert np.abs(piece - path).max() < 1e-3 * width / 720


def test_a_line_far_out_is_clipped_where_float32_still_counts() -> None:
    [piece] = vertices(lines([(-1e7, 2.0), (1e7, 2.0)])["path"])
    np.testing.assert_allclose(piece, [(-1 - 4 * REACH, 2.0), (3 + 4 * REACH, 2.0)])


def test_a_line_that_leaves_and_returns_is_two_pieces() -> None:
    pieces = vertices(lines([(0.0, 1.0), (1e3, 1.0), (1e3, 3.0), (0.0, 3.0)])["path"])
    assert [len(piece) for piece in pieces] == [2, 2]
    np.testing.assert_allclose(pieces[1][-1], (0.0, 3.0))


def test_a_line_outside_is_not_drawn() -> None:
    assert lines([(1e3, 0.0), (1e3, 9.0)], [(500.0, 0.0), (0.0, 900.0)])["path"] == ""


def test_a_gap_parts_a_line() -> None:
    pieces = vertices(lines([(0.0, 1.0), (1.0, 1.0), (np.nan, np.nan), (2.0, 1.0), (3.0, 1.0)])["path"])
    np.testing.assert_allclose(pieces, [[(0.0, 1.0), (1.0, 1.0)], [(2.0, 1.0), (3.0, 1.0)]])


def test_a_piece_joins_where_only_one_vertex_touches_the_rim() -> None:
    far = -1 - 4 * REACH
    [piece] = vertices(lines([(far - 5, 1.0), (far, 1.0), (0.0, 1.0), (1.0, 2.0)])["path"])
    np.testing.assert_allclose(piece, [(far, 1.0), (0.0, 1.0), (1.0, 2.0)])


def test_strokes_are_those_of_the_style() -> None:
    drawn = lines([(0, 0), (1, 1)], role="outline")
    stroke = style.STROKES["outline"]
    assert (drawn["width"], drawn["halo"], drawn["dash"]) == (stroke.width, stroke.halo, stroke.dash)
    assert drawn["colour"] == style.stroke_colour("outline", style.LIGHT)
    assert (
        lines([(0, 0), (1, 1)], role="outline", dash="dotted", colour="#123456").items()
        >= {
            "dash": "dotted",
            "colour": "#123456",
        }.items()
    )


def test_a_label_stands_on_its_line_within_the_frame() -> None:
    path = np.stack([np.linspace(-9, 9, 181), np.full(181, 1.5)], 1)
    [[x, y, text]] = lines(path, path + np.array([0, 50]), labels=("0.5", "out of sight"))["labels"]
    assert (y, text) == (pytest.approx(1.5), "0.5")
    assert x == pytest.approx(1.0, abs=0.11)


def test_a_line_shorter_than_its_label_has_none() -> None:
    assert lines([(1.0, 1.0), (1.1, 1.1)], labels=("0.5",))["labels"] == []


def test_marks_stand_at_exact_coordinates() -> None:
    positions = np.array([[1 / 3, 1e-9], [np.nan, 0.0], [2.0, 1.0]])
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3), np.uint8)
    data = panel_data(
        chart(
            PointsLayer(positions=positions, colours=("#ff0000",), marker="ring"),
            ImagesLayer(positions=positions, images=images, labels=("a", "b", "c"), residuals=(0.0, 1.0, 2.5)),
        )
    )
    assert [point["at"] for point in data["points"]] == [[1 / 3, 1e-9], [2.0, 1.0]]
    assert {point["colour"] for point in data["points"]} == {"#ff0000"}
    assert [(image["label"], image["residual"]) for image in data["images"]] == [("a", 0.0), ("c", 2.5)]
    np.testing.assert_array_equal(pixels(data["images"][1]["source"]), images[2])


@pytest.mark.parametrize(
    "wrong",
    [
        Chart(panels=(), name="none"),
        Chart(panels=(Panel(layers=(field(),), isometric=True),) * 2, name="two"),
        Chart(panels=(Panel(layers=(field(),)),), name="stretched"),
        Chart(panels=(Panel(layers=(field(),), kind="polar", isometric=True),), name="polar"),
        Chart(panels=(Panel(layers=(), isometric=True),), name="nowhere"),
        chart(BandLayer(x=X, low=X, high=X)),
        chart(field(x=X[:1], colours=COLOURS[:, :1])),
    ],
    ids=lambda wrong: wrong.name,
)
def test_what_cannot_be_drawn_is_refused(wrong: Chart) -> None:
    with pytest.raises(ValueError, match="expected"):
        panel_data(wrong)


def test_a_zoom_is_an_extent() -> None:
    assert parse_zoom({"x": [1, 2.5], "y": [-0.5, 1], "serial": 3}) == (1.0, 2.5, -0.5, 1.0)


def test_a_reset_is_none() -> None:
    assert parse_zoom({"reset": True, "serial": 1}) is None


def test_a_zoom_is_square_enough_for_a_slice() -> None:
    x_min, x_max, y_min, y_max = parse_zoom({"x": [0, 1.004], "y": [5, 6]}) or (0.0, 0.0, 0.0, 0.0)
    assert x_max - x_min == pytest.approx(y_max - y_min, rel=1e-12)


WRONG = [math.nan, math.inf, -math.inf, 10**400, 1e10, "1", True, None, [1], {}]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("place", range(4))
def test_a_zoom_with_a_wrong_end_is_refused(wrong: object, place: int) -> None:
    ends: list[object] = [0.0, 1.0, 0.0, 1.0]
    ends[place] = wrong
    with pytest.raises(ValueError, match="expected"):
        parse_zoom({"x": ends[:2], "y": ends[2:]})


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "reset",
        {},
        {"reset": 1},
        {"x": [0, 1]},
        {"x": [0, 1], "y": [0, 1, 2]},
        {"x": "01", "y": "01"},
        {"x": [1, 0], "y": [1, 0]},
        {"x": [1, 0], "y": [0, 1]},
        {"x": [1, 1], "y": [2, 2]},
        {"x": [0, 1], "y": [0, 2]},
        {"x": [20, 20 + 1e-9], "y": [20, 20 + 1e-9]},
    ],
)
def test_a_zoom_to_nowhere_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_zoom(wrong)


def test_a_pick_is_a_point() -> None:
    assert parse_pick({"x": 1, "y": 1 / 3, "serial": 2}) == (1.0, 1 / 3)


@pytest.mark.parametrize(("wrong", "name"), [*itertools.product(WRONG, "xy")])
def test_a_pick_nowhere_is_refused(wrong: object, name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_pick({"x": 0.0, "y": 0.0, name: wrong})


def test_a_pick_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a point"):
        parse_pick([1.0, 2.0])


def page() -> None:
    import numpy as np

    from core.figures.drawing.chart import Chart, FieldLayer, Panel
    from dashboard.viewer.viewer import plane_view

    x = np.linspace(0.0, 4.0, 3)
    layer = FieldLayer(x=x, y=x, colours=np.zeros((3, 3, 3), np.uint8))
    chart = Chart(panels=(Panel(layers=(layer,), isometric=True),), name="plane")
    plane_view(chart, key="whole")
    plane_view(
        chart, key="part", view=(1.0, 2.0, 1.0, 3.0), pick=(1.5, 2.0), busy={"text": "a while", "fraction": None}
    )


def test_a_page_shows_the_view_it_was_given() -> None:
    app = AppTest.from_function(page).run()
    assert not app.exception
    whole, part = (json.loads(node.proto.json) for node in app.get("bidi_component"))
    assert (whole["view"], whole["home"], whole["pick"], whole["zooms"]) == ([0.0, 4.0, 0.0, 4.0], None, None, False)
    assert (part["view"], part["pick"]) == ([0.5, 2.5, 1.0, 3.0], [1.5, 2.0])
    assert part["busy"] == {"text": "a while", "fraction": None}


def test_a_gesture_that_comes_after_its_picture_has_left_is_none() -> None:
    assert received("a picture that is not on the page", "pick") is None
