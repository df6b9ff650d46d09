"""The chart of a walk: frames, classes, margin and height, each where its offset is, and until where to trust it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.figures.charts.curvature.walk import curvature_walk_chart
from core.figures.drawing import style
from core.figures.drawing.chart import FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.curvature.walk import CurvatureWalk

NAMES = ("in", "out", "other")
T = np.linspace(-1, 1, 5)


def walk(**changed: Any) -> CurvatureWalk:
    """Five stops along a circle of radius 2, seen from 0.5; logits (0, t², 0.1)."""
    height = 2 - np.sqrt(4 - T**2)
    known: dict[str, Any] = {
        "offset": T,
        "logits": np.stack([np.zeros(5), T**2, np.full(5, -0.1)], 1),
        "label": np.array([1, 1, 0, 1, 1]),
        "margin": -(T**2),
        "foretold_margin": -1.1 * T**2,
        "height": height,
        "parabola": T**2 / 4,
        "circle": height,
        "frames": np.zeros((3, 1, 4, 4)),
        "frame_offset": T[::2],
        "number": -1,
        "curvature": -0.5,
        "normal_curvature": -0.5,
        "distance": 0.25,
        "source_class": 0,
        "target_class": 1,
        "status": "nearest",
        "route": "exact",
        "scale": np.nan,
        "products": 1,
        "num_classes": 3,
        "forwards": 0,
        "gradients": 0,
        "seconds": 0.0,
    }
    return CurvatureWalk(**(known | changed))


def test_frames_and_classes_stand_over_their_offsets() -> None:
    chart = curvature_walk_chart(walk(), class_names=NAMES)
    strip, margin, height = chart.panels
    fields = [layer for layer in strip.layers if isinstance(layer, FieldLayer)]
    assert len(fields) == 4
    classes = fields[-1]
    middles = [field.x.mean() for field in fields[:-1]]
    np.testing.assert_allclose(classes.x[[0, 2, 4]], middles)
    np.testing.assert_array_equal(classes.colours[0], style.class_colours(walk().label))
    (words,) = [layer for layer in strip.layers if isinstance(layer, PointsLayer)]
    assert words.labels == ("-1", "0", "1")
    assert [entry.label for entry in chart.legend] == ["in", "out"]
    _, foretold, measured = margin.layers
    assert isinstance(foretold, LinesLayer)
    assert isinstance(measured, LinesLayer)
    np.testing.assert_allclose(foretold.paths[0][:, 1], -1.1 * T**2)
    np.testing.assert_allclose(measured.paths[0], np.stack([T, -(T**2)], 1))
    assert (foretold.dash, margin.y.title) == ("dashed", "margin of the image's class (logit)")
    assert margin.x.title == height.x.title == "along principal direction -1 (ℓ2)"
    assert height.y.title == "boundary over its tangent (ℓ2)"
    solid = height.layers[3]
    assert isinstance(solid, LinesLayer)
    np.testing.assert_allclose(solid.paths[0][:, 1], walk().height)
    assert isinstance(height.layers[-1], PointsLayer)  # the image, 0.25 up


def test_logits_may_stand_in_the_place_of_the_margin() -> None:
    chart = curvature_walk_chart(walk(), class_names=NAMES, show="logits")
    lines = [layer for layer in chart.panels[1].layers if isinstance(layer, LinesLayer)]
    assert [line.colour for line in lines] == [style.class_colour(0), style.class_colour(1)]
    np.testing.assert_allclose(lines[1].paths[0][:, 1], T**2)
    assert chart.panels[1].y.title == "logit"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "all the way"),
        ({"parabola": np.array([1.0, T[1] ** 2 / 4, 0, T[3] ** 2 / 4, 1])}, "up to 0.5 ℓ2"),
        ({"parabola": np.full(5, 9.0)}, "at once"),
        ({"height": np.full(5, np.nan)}, "at once"),
        ({"scale": 0.2, "route": "differences"}, "differences over h = 0.2 ℓ2"),
    ],
)
def test_the_caption_says_until_where_the_parabola_holds(changed: dict[str, Any], words: str) -> None:
    assert words in curvature_walk_chart(walk(**changed), class_names=NAMES).caption


def test_both_renderers_draw_it(tmp_path: Path) -> None:
    lost = replace(walk(number=0), height=np.array([np.nan, 0.06, 0, 0.06, np.nan]))
    chart = curvature_walk_chart(lost, class_names=NAMES, title="model")
    assert chart.panels[1].x.label == "along random tangent direction"
    assert draw(chart).data
    write_figure(chart, tmp_path / "walk.svg")
    assert (tmp_path / "walk.svg").stat().st_size > 1000
    with pytest.raises(ValueError, match="one name for each of 3 classes"):
        curvature_walk_chart(lost, class_names=("in",))
