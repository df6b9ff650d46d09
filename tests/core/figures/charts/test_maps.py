"""Maps and paths as charts: colours, rings, letters, backgrounds that fade, words, both renderers."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.figures.charts.maps import map_chart, path_chart, path_words
from core.figures.drawing import style
from core.figures.drawing.chart import FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.maps.background import DecisionMap
from core.geometry.maps.curvature import CurvedMap
from core.geometry.maps.paths import MapPaths

NAMES = ("cat", "dog", "owl")


def some(**changed: Any) -> DecisionMap:
    """Five images in a row with a background of 2 x 2 places."""
    known: dict[str, Any] = {
        "positions": np.array([[0.0, 0], [1, 0], [2, 0], [3, 0], [4, 0]]),
        "predicted": np.array([0, 0, 1, 1, -1]),
        "confidence": np.array([0.5, 0.6, 0.7, 0.8, np.nan]),
        "margin": np.array([0.0, 1, 2, 4, np.nan]),
        "label": np.array([0, 1, 1, -1, 2]),
        "row": np.array([10, 11, 12, 13, 14]),
        "spread": np.full(5, np.nan),
        "vectors": np.zeros((5, 2)),
        "logits": np.zeros((5, 3)),
        "trustworthiness": 0.9,
        "continuity": 0.8,
        "neighbour_agreement": 0.7,
        "correlation": 0.5,
        "label_agreement": (0.9, 0.9, 0.5),
        "predicted_agreement": (0.9, 0.9, 0.5),
        "seed_agreement": 0.5,
        "typical": 1.0,
        "a": 1.5,
        "b": 0.9,
        "space": "features",
        "space_words": "features, input of 3",
        "neighbours": 4,
        "num_classes": 3,
        "x": np.array([0.0, 4.0]),
        "y": np.array([-2.0, 2.0]),
        "background": np.array([[0, 1], [0, -1]]),
        "background_confidence": np.ones((2, 2)),
        "round_trip": np.array([[0.0, 0.1], [1.0, 0.0]]),
        "gap": np.array([[0.0, 0.0], [0.0, 0.5]]),
        "background_agreement": 0.75,
        "background_chance": 0.4,
        "status": "measured",
        "forwards": 5,
        "gradients": 0,
        "seconds": 0.0,
    }
    return DecisionMap(**(known | changed))


def paths(**changed: Any) -> MapPaths:
    """One path of four steps, of which the third is a jump."""
    known: dict[str, Any] = {
        "positions": np.array([[[0.0, 0], [0.5, 0], [3, 0], [3.5, 0]]]),
        "ratio": np.array([[1.0, 2, 3, 4]]),
        "predicted": np.array([[0, 0, 1, 1]]),
        "jumps": np.array([[False, False, True, False]]),
        "names": ("contrast, image 10",),
        "kind": "corruption",
        "home": some().positions,
        "home_predicted": some().predicted,
        "home_row": some().row,
        "num_classes": 3,
        "forwards": 4,
        "gradients": 0,
        "seconds": 0.0,
    }
    return MapPaths(**(known | changed))


def layers(kind: type, chart: Any) -> list[Any]:
    return [layer for layer in chart.panels[0].layers if isinstance(layer, kind)]


def test_points_have_the_colours_of_their_true_class_and_rings_where_the_model_says_otherwise() -> None:
    chart = map_chart(some(), class_names=NAMES)
    points, rings = layers(PointsLayer, chart)
    assert points.colours == tuple(style.class_colour(k) for k in (0, 1, 1, -1, 2))
    assert rings.marker == "ring"
    np.testing.assert_array_equal(rings.positions[:, 0], [1, 4])  # where the label is not known, nothing is amiss
    assert [entry.label for entry in chart.legend] == ["cat", "dog", "owl", "no class"]
    said = map_chart(some(), class_names=NAMES, colour="prediction")
    assert layers(PointsLayer, said)[0].colours == tuple(style.class_colour(k) for k in (0, 0, 1, 1, -1))
    assert "80%" not in said.caption
    assert "70%" in said.caption
    assert "by chance 50%" in said.caption
    assert "distances between groups" in said.caption
    assert "cat 2, dog 2" in said.alt


@pytest.mark.parametrize(
    ("colour", "high", "title"), [("margin", 8.0, "margin (logit)"), ("confidence", 1.0, "confidence")]
)
def test_numbers_share_their_scale_with_maps_beside(colour: Any, high: float, title: str) -> None:
    other = some(margin=np.array([8.0, 0, 0, 0, 0]))
    chart = map_chart(some(), class_names=NAMES, colour=colour, shared_scale=(some(), other))
    [sheet] = layers(FieldLayer, chart)
    assert sheet.scale is not None
    assert sheet.scale.limits == (0.0, high)
    assert sheet.scale.title == title
    assert not chart.legend
    points = layers(PointsLayer, chart)[0]
    assert points.colours[4] == style.UNDEFINED[0]
    assert len(set(points.colours[:4])) == 4
    assert len(layers(PointsLayer, chart)) == 1


def test_curvatures_have_two_sides_and_what_was_not_measured_is_small_and_grey() -> None:
    plain = some()
    known = {entry.name: getattr(plain, entry.name) for entry in fields(DecisionMap)}
    found = CurvedMap(
        **known, curvature=np.array([-0.5, 0.5, np.nan, 1.0, np.nan]), drawn=4, scale_of_differences=np.nan
    )
    chart = map_chart(found, class_names=NAMES, colour="curvature")
    quiet, measured = layers(PointsLayer, chart)
    np.testing.assert_array_equal(quiet.positions[:, 0], [2, 4])
    np.testing.assert_array_equal(measured.positions[:, 0], [0, 1, 3])
    assert set(quiet.colours) == {style.UNDEFINED[0]}
    assert quiet.size < measured.size
    [sheet] = layers(FieldLayer, chart)
    assert sheet.scale is not None
    assert sheet.scale.limits == (pytest.approx(-0.9), pytest.approx(0.9))  # 90 % of 0.5, 0.5 and 1
    below, above, _ = measured.colours
    expected = style.scale_colours(np.array([-0.5, 0.5]), "vik", sheet.scale.limits)
    assert [below, above] == ["#{:02x}{:02x}{:02x}".format(*one) for one in expected.tolist()]
    assert [entry.label for entry in chart.legend] == ["not measured"]
    assert "Known for 3 of 4 images drawn, from -0.5 to 1; colours end at ±0.9." in chart.caption
    strong = replace(found, curvature=np.full(5, 30.0), scale_of_differences=0.1)
    drawn = map_chart(strong, class_names=NAMES, colour="curvature")
    assert layers(FieldLayer, drawn)[0].scale.limits == (-2.0, 2.0)
    assert not drawn.legend
    assert "by differences over 0.1 ℓ2" in drawn.caption
    nothing = map_chart(plain, class_names=NAMES, colour="curvature")
    assert "No curvature was measured." in nothing.caption
    assert len(layers(PointsLayer, nothing)[0].positions) == 5


def test_the_background_fades_where_it_is_not_believed() -> None:
    found = some()
    np.testing.assert_allclose(found.belief, [[1, 0.6], [0, 0]])
    [sheet] = layers(FieldLayer, map_chart(found, class_names=NAMES))
    strength = [255 - sheet.colours[0, 0].astype(float), 255 - sheet.colours[1, 0].astype(float)]
    np.testing.assert_allclose(strength[1], 0.12 * strength[0], atol=1)
    assert sheet.hover[sheet.hover_index[0, 0]] == "would be cat"
    assert sheet.hover[sheet.hover_index[1, 0]] == "would be cat, not to be believed here"
    assert sheet.hover_index[1, 1] == -1
    hidden = map_chart(found, class_names=NAMES, background="hidden")
    assert (layers(FieldLayer, hidden)[0].colours == 255).all()
    assert "Background" not in hidden.caption
    shown = map_chart(found, class_names=NAMES).caption
    assert "agrees with 75% of the images" in shown
    assert "alone: 40%" in shown
    assert "was not measured" in map_chart(some(status="not measured"), class_names=NAMES).caption
    none = some(status="no head", background=np.full((2, 2), -1))
    assert "Background" not in map_chart(none, class_names=NAMES).caption


def test_chosen_images_have_letters_and_further_ones_dots() -> None:
    chart = map_chart(some(), class_names=NAMES, marked=(12, 99, 10, 13, 14), colour="margin")
    dots, letters = layers(PointsLayer, chart)[1:]
    assert letters.labels == ("A", "C")  # row 99 is not on the map
    np.testing.assert_array_equal(letters.positions[:, 0], [2, 0])
    np.testing.assert_array_equal(dots.positions[:, 0], [3, 4])


def test_a_path_is_cut_at_its_jump_and_its_steps_have_their_classes() -> None:
    chart = path_chart(paths(), class_names=NAMES, marked=(10,))
    leap, line = layers(LinesLayer, chart)
    assert leap.dash == "dotted"
    assert [len(piece) for piece in line.paths] == [2, 2]
    squares = next(layer for layer in layers(PointsLayer, chart) if layer.marker == "square")
    assert squares.colours == tuple(style.class_colour(k) for k in (0, 0, 1, 1))
    end = next(layer for layer in layers(PointsLayer, chart) if layer.marker == "diamond")
    np.testing.assert_array_equal(end.positions, [[3.5, 0]])
    assert "1 of 3 steps are jumps, dotted" in chart.caption
    assert "2.5 times as far" in chart.caption
    drawn = map_chart(some(), class_names=NAMES, paths=paths())
    assert len(layers(LinesLayer, drawn)) == 2
    net = paths(kind="slice", positions=np.tile(paths().positions, (2, 1, 1)), jumps=np.tile(paths().jumps, (2, 1)))
    net = replace(net, ratio=np.tile(net.ratio, (2, 1)), predicted=np.tile(net.predicted, (2, 1)), names=("net",) * 2)
    [lines] = layers(LinesLayer, path_chart(net, class_names=NAMES))
    assert len(lines.paths) == 4
    assert "left open" in path_words(net)


def test_maps_with_names_missing_are_refused() -> None:
    with pytest.raises(ValueError, match="one name for each of 3 classes, got 2"):
        map_chart(some(), class_names=NAMES[:2])
    with pytest.raises(ValueError, match="one name for each of 3 classes, got 2"):
        path_chart(paths(), class_names=NAMES[:2])


def test_both_renderers_draw_the_charts(tmp_path: Path) -> None:
    for chart in (
        map_chart(some(), class_names=NAMES, marked=(10,), paths=paths(), title="model"),
        map_chart(some(), class_names=NAMES, colour="margin"),
        path_chart(paths(), class_names=NAMES),
    ):
        assert draw(chart, dark=True).data
        write_figure(chart, tmp_path / f"{chart.name}.svg")
        assert (tmp_path / f"{chart.name}.svg").stat().st_size > 1000
