"""Maps and curves of distances inside subspaces: what they show, on which scale, and in which words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.figures.charts.subspace_distances import map_limits, map_values, margin_curve_chart, margins_map_chart
from core.figures.drawing import style
from core.figures.drawing.chart import BandLayer, FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.subspaces.subspace_distances import SubspaceDistances

NAMES = ("cat", "dog", "owl")
BLOCKS = [(0, 2, 0, 2), (0, 2, 2, 4), (2, 4, 0, 2), (2, 4, 2, 4)]


def some(distance: Any, **changed: Any) -> SubspaceDistances:
    """Distances of images in four subspaces of 1 x 4 x 4; NaN is not reached."""
    far = np.array(distance, np.float64)
    found = np.isfinite(far)
    known: dict[str, Any] = {
        "distance": far,
        "isotropic": np.full_like(far, 2.0),
        "target_class": np.where(found, 1, -1),
        "outcome": np.where(found, 0, 3),
        "angle": np.zeros_like(far),
        "outside": np.zeros_like(far),
        "steps": np.ones(far.shape, int),
        "full_distance": np.ones(len(far)),
        "source_class": np.zeros(len(far), int),
        "label": np.zeros(len(far), int),
        "row": np.arange(len(far)),
        "perturbation": np.zeros((1, 4, 1, 4, 4)),
        "dimension": np.full(4, 4),
        "bounds": np.array(BLOCKS),
        "labels": ("one", "two", "three", "four"),
        "kind": "frequencies",
        "complete": True,
        "num_classes": 3,
        "forwards": 0,
        "gradients": 0,
        "seconds": 0.0,
    }
    return SubspaceDistances(**(known | changed))


THREE = some([[1, 10, 100, np.nan], [1, 10, 100, np.nan], [2, 20, 3, 5]])
ALL = np.ones(3, bool)


def test_a_map_shows_each_block_where_its_frequencies_are() -> None:
    (panel,) = margins_map_chart(THREE, used=ALL, marked=1).panels
    field, outline = panel.layers
    assert isinstance(field, FieldLayer)
    assert isinstance(outline, LinesLayer)
    assert field.hover_index is not None
    np.testing.assert_array_equal(field.hover_index[0], [0, 0, 1, 1])
    np.testing.assert_array_equal(field.hover_index[3], [2, 2, 3, 3])
    scale = field.scale
    assert scale is not None
    assert (scale.title, scale.limits) == ("median distance (ℓ2)", (0.0, 2.0))
    assert [words for _, words in scale.ticks] == ["1", "2", "5", "10", "20", "50", "100"]
    expected = style.scale_colours(np.array([0.0, 1, 2, np.nan]), "cividis", (0, 2))
    np.testing.assert_array_equal(field.colours[[0, 0, 3, 3], [0, 3, 0, 3]], expected)
    np.testing.assert_array_equal(outline.paths[0].min(0), [1.5, -0.5])
    np.testing.assert_array_equal(outline.paths[0].max(0), [3.5, 1.5])
    assert field.hover[3] == "four: median beyond reach, 90 % from 5 to beyond reach ℓ2"
    assert panel.isometric
    assert panel.x.title == "horizontal frequency (half waves)"


def test_a_map_of_patches_has_the_top_of_the_picture_at_its_top() -> None:
    chart = margins_map_chart(replace(THREE, kind="patches"), used=ALL, marked=0)
    field, outline = chart.panels[0].layers
    assert isinstance(field, FieldLayer)
    assert isinstance(outline, LinesLayer)
    assert field.hover_index is not None
    np.testing.assert_array_equal(field.hover_index[[3, 3, 0, 0], [0, 3, 0, 3]], [0, 1, 2, 3])
    np.testing.assert_array_equal(outline.paths[0].min(0), [-0.5, 1.5])
    assert chart.panels[0].y.ticks == ((3.0, "0"), (2.0, "1"), (1.0, "2"), (0.0, "3"))
    assert "patch" in chart.caption


def test_values_are_medians_shares_and_ratios() -> None:
    twice = some(2 * THREE.distance)
    np.testing.assert_allclose(map_values(THREE, ALL, "chance"), np.log2([0.5, 5, 50, np.nan]))
    np.testing.assert_allclose(map_values(twice, ALL, "ratio", THREE), [1, 1, 1, np.nan])
    shares = map_values(THREE, np.array([False, False, True]), "share")
    np.testing.assert_allclose(shares, np.array([1 / 4, 1 / 400, 1 / 9, 1 / 25]) / (1 / 4 + 1 / 400 + 1 / 9 + 1 / 25))
    assert map_limits([np.array([0.5, -0.72]), np.array([0.1, np.nan])], "ratio") == (-0.75, 0.75)
    assert map_limits([np.array([0.3, 0.1])], "share") == (0.0, 0.3)
    assert map_limits([np.array([0.31, 0.31])], "distance") == (0.3, 0.35)
    assert map_limits([np.array([np.nan])], "chance") == (-1.0, 1.0)


def test_maps_seen_together_share_their_scale_and_their_words() -> None:
    near = some([[0.1] * 4] * 3)
    charts = [margins_map_chart(one, used=ALL, shared_scale=(THREE, near)) for one in (THREE, near)]
    assert charts[0].panels[0].scales == charts[1].panels[0].scales
    assert charts[0].panels[0].scales[0].limits == (-1.0, 2.0)
    assert charts[0].caption == charts[1].caption
    assert "No boundary found in 8 % of searches" in charts[0].caption
    assert "are longer than its diagonal, 4" in charts[0].caption
    few = margins_map_chart(THREE, used=np.array([True, False, False]))
    assert "1 image. 2 more left out" in few.caption


@pytest.mark.parametrize(
    ("result", "options", "message"),
    [
        (THREE, {"colour": "ratio"}, "expected two models or more"),
        (THREE, {"used": np.zeros(3, bool)}, "at least one image"),
        (replace(THREE, kind="windows"), {}, "expected blocks of frequencies or patches"),
        (replace(THREE, complete=False), {"colour": "share"}, "make up image space"),
    ],
)
def test_maps_that_cannot_be_drawn_are_refused(
    result: SubspaceDistances, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        margins_map_chart(result, **({"used": ALL} | options))


def test_a_curve_lies_over_the_band_of_the_set_and_beside_the_isotropic_line() -> None:
    result = replace(THREE, kind="windows", target_class=np.array([[1, 1, 2, -1]] * 3), complete=False)
    chart = margin_curve_chart(result, used=ALL, image_name="image 7", class_names=NAMES)
    (panel,) = chart.panels
    band, median, expected, curve, marks = panel.layers
    assert isinstance(band, BandLayer)
    assert isinstance(median, LinesLayer)
    assert isinstance(expected, LinesLayer)
    assert isinstance(curve, LinesLayer)
    assert isinstance(marks, PointsLayer)
    assert panel.y.limits == (0.8, 125.0)
    assert panel.y.scale == "log"
    assert panel.y.ticks is not None
    assert [words for _, words in panel.y.ticks] == ["1", "2", "5", "10", "20", "50", "100"]
    np.testing.assert_array_equal(band.low, [1, 10, 3, 5])
    np.testing.assert_array_equal(band.high, [2, 20, 100, 125])  # beyond reach: to the frame
    np.testing.assert_array_equal(band.x, result.frequency[:, 1])
    np.testing.assert_array_equal(median.paths[0][:, 1], [1, 10, 100, 125])
    np.testing.assert_array_equal(expected.paths[0][:, 1], 2)
    assert expected.dash == "dashed"
    np.testing.assert_array_equal(curve.paths[0][:, 1], [1, 10, 100])
    assert marks.colours == (style.class_colour(1),) * 2 + (style.class_colour(2),)
    assert [entry.label for entry in chart.legend] == ["reaches dog", "reaches owl"]
    assert "four beyond reach" in chart.alt
    assert panel.x.title == "window of frequencies (half waves)"


def test_an_image_alone_has_no_band_and_a_gap_where_nothing_was_found() -> None:
    result = some([[1, np.nan, 3, 4]], kind="principal", labels=("1", "2", "3–4", "the rest"))
    (panel,) = margin_curve_chart(result, used=np.ones(1, bool), class_names=NAMES).panels
    assert not any(isinstance(layer, BandLayer) for layer in panel.layers)
    curve = next(layer for layer in panel.layers if isinstance(layer, LinesLayer) and layer.role == "curve")
    assert [len(path) for path in curve.paths] == [1, 2]
    assert panel.x.ticks == ((0.0, "1"), (1.0, "2"), (2.0, "4"), (3.0, "the rest"))
    with pytest.raises(ValueError, match="one name for each of 3 classes"):
        margin_curve_chart(result, used=np.ones(1, bool), class_names=("cat",))
    nothing = some([[np.nan] * 4], isotropic=np.full((1, 4), np.nan))
    assert margin_curve_chart(nothing, used=np.ones(1, bool), class_names=NAMES).panels[0].y.limits == (0.1, 10.0)


def test_both_renderers_draw_the_charts(tmp_path: Path) -> None:
    for chart in (
        margins_map_chart(THREE, used=ALL, marked=2, title="model"),
        margin_curve_chart(replace(THREE, kind="windows"), used=ALL, class_names=NAMES),
    ):
        assert draw(chart).data
        write_figure(chart, tmp_path / f"{chart.name}.svg")
        assert (tmp_path / f"{chart.name}.svg").stat().st_size > 1000
