"""Charts of profiles and regions, and tables of two models compared: layers, units, words."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.figures.charts.planes.boundary_profile import boundary_profile_chart, fragmentation_chart
from core.figures.drawing import style
from core.figures.drawing.chart import BandLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.planes.boundary_profile import BoundaryProfile
from core.geometry.planes.fragmentation import Fragmentation

NAMES = ("cat", "dog", "owl")


def a_profile(distance: list[float], reached: list[int], limit: float = 2.0) -> BoundaryProfile:
    rays = len(distance)
    return BoundaryProfile(
        angle=np.arange(rays) * 2 * math.pi / rays,
        distance=np.array(distance),
        reached_class=np.array(reached),
        limit=np.full(rays, limit),
        reach=np.full(rays, limit),
        source_class=0,
        start=np.zeros(2),
        x_label="towards dog",
        y_label="towards owl",
        num_classes=3,
        forwards=0,
        gradients=0,
        seconds=0.0,
    )


def curves(profile: BoundaryProfile) -> dict[str, LinesLayer]:
    (panel,) = boundary_profile_chart(profile, class_names=NAMES).panels
    return {layer.colour or layer.role: layer for layer in panel.layers if isinstance(layer, LinesLayer)}


def test_a_profile_is_drawn_by_class_with_runs_across_the_end_of_the_turn() -> None:
    nothing = math.nan
    profile = a_profile([1.0, 1.1, 0.5, 0.6, nothing, nothing, 1.5, 1.2], [1, 1, 2, 2, -1, -1, 1, 1], 1.6)
    found = curves(profile)
    dog, owl = (found[style.class_colour(k)] for k in (1, 2))
    (path,) = dog.paths
    np.testing.assert_allclose(path[:, 1], [1.5, 1.2, 1.0, 1.1])
    np.testing.assert_allclose(path[:, 0], np.array([6, 7, 8, 9]) * math.pi / 4)
    np.testing.assert_allclose(owl.paths[0], [[math.pi / 2, 0.5], [3 * math.pi / 4, 0.6]])
    np.testing.assert_allclose(found["reference"].paths[0][:, 1], 1.6)
    assert len(found["reference"].paths[0]) == 9
    assert found["reference"].dash == "dashed"


def test_the_panel_is_polar_and_says_what_is_measured() -> None:
    chart = boundary_profile_chart(a_profile([1.0, 0.5, 0.8, 0.7], [1, 2, 1, 1]), class_names=NAMES, title="cat")
    (panel,) = chart.panels
    assert panel.kind == "polar"
    assert panel.y.title == "distance to the boundary (ℓ2)"
    assert panel.y.limits == (0.0, pytest.approx(1.08))
    assert panel.x.ticks == (
        (0.0, "towards dog"),
        (math.pi / 2, "towards owl"),
        (math.pi, ""),
        (3 * math.pi / 2, ""),
    )
    assert [(entry.label, entry.share) for entry in chart.legend] == [("dog", 0.75), ("owl", 0.25)]
    assert "Smallest 0.5, median 0.75, largest 1 (ℓ2); anisotropy, largest over smallest, 2." in chart.caption
    assert "dog in 75 % of directions, owl in 25 %" in chart.alt
    assert "nearest at 90 degrees" in chart.alt
    marks = {layer.name: layer for layer in panel.layers if isinstance(layer, PointsLayer)}
    np.testing.assert_allclose(marks["nearest boundary"].positions, [[math.pi / 2, 0.5]])
    assert marks["nearest boundary"].labels == ("0.5",)
    np.testing.assert_allclose(marks[""].positions, [[math.pi / 2, 0.5]])  # the lone ray that reaches the owl
    assert not any(isinstance(layer, LinesLayer) and layer.role == "reference" for layer in panel.layers)


def test_a_profile_without_a_boundary_says_so() -> None:
    chart = boundary_profile_chart(a_profile([math.nan] * 4, [-1] * 4), class_names=NAMES)
    assert [(entry.label, entry.share_words) for entry in chart.legend] == [("no boundary within reach", "100 %")]
    assert "no change of class within reach in any of 4 directions" in chart.alt
    assert "Smallest" not in chart.caption
    (panel,) = chart.panels
    assert panel.y.limits == (0.0, pytest.approx(2.16))


def test_a_ball_is_one_closed_curve_and_many_classes_share_an_entry() -> None:
    (path,) = curves(a_profile([1.0] * 6, [1] * 6))[style.class_colour(1)].paths
    np.testing.assert_allclose(path[[0, -1]], [[0, 1], [2 * math.pi, 1]])
    many = replace(a_profile([1.0] * 15, list(range(1, 16))), num_classes=16)
    legend = boundary_profile_chart(many, class_names=tuple(map(str, range(16)))).legend
    assert (len(legend), legend[-1].label) == (13, "3 more classes")


def test_names_must_be_those_of_the_classes() -> None:
    with pytest.raises(ValueError, match="one name for each of 3 classes, got 2"):
        boundary_profile_chart(a_profile([1.0], [1]), class_names=("cat", "dog"))


# -- regions ----------------------------------------------------------------------------------------------------------


def fragments(lasting: list[list[int]], finer: tuple[int, ...] = ()) -> Fragmentation:
    table = np.array(lasting, np.int64)
    return Fragmentation(
        regions=table[:, 0],
        rows=np.zeros((len(table), 3), np.int64),
        mean=float(table[:, 0].mean()),
        low=2.0,
        high=4.0,
        share=np.array([0.01, 0.1, 1.0]),
        lasting=table,
        finer=np.array(finer, np.int64),
        resolution=10,
        seed=0,
        forwards=0,
        gradients=0,
        seconds=0.0,
    )


def test_the_persistence_curve_falls_inside_its_interval() -> None:
    found = fragments([[4, 2, 0], [2, 2, 0]])
    chart = fragmentation_chart([found], names=("net",))
    (panel,) = chart.panels
    band, curve, resolved = panel.layers
    assert isinstance(band, BandLayer)
    assert isinstance(curve, LinesLayer)
    assert isinstance(resolved, LinesLayer)
    np.testing.assert_allclose(curve.paths[0], [[0.01, 3], [0.1, 2], [1, 0]])
    np.testing.assert_allclose(band.low, [2, 2, 0])
    np.testing.assert_allclose(band.high, [4, 2, 0])
    assert resolved.paths[0][0, 0] == 0.04
    assert panel.x.scale == "log"
    assert panel.x.limits == (0.01, 1.0)
    assert "2 planes through three random images, 10 x 10 grid points" in chart.caption
    assert "twice the resolution" not in chart.caption
    assert chart.legend[0].label == "net: 3.0 regions (2.0 to 4.0)"
    assert chart.legend[0].label in chart.alt


def test_models_have_a_curve_each_on_one_panel() -> None:
    chart = fragmentation_chart([fragments([[4, 2, 0]], (8,)), fragments([[6, 3, 1]], (6,))], names=("a", "b"))
    (panel,) = chart.panels
    colours = {layer.colour for layer in panel.layers if isinstance(layer, BandLayer)}
    assert len(colours) == 2
    assert {entry.colour for entry in chart.legend} == colours
    assert "the count is 2.00, 1.00 times as large" in chart.caption
    with pytest.raises(ValueError, match="a name for each of at least one result, got 2 for 1"):
        fragmentation_chart([fragments([[4, 2, 0]])], names=("a", "b"))


def test_both_renderers_draw_the_charts(tmp_path: Path) -> None:
    charts = [
        boundary_profile_chart(a_profile([1.0, 1.1, 0.5, math.nan], [1, 1, 2, -1]), class_names=NAMES),
        fragmentation_chart([fragments([[4, 2, 0], [2, 2, 0]])], names=("net",)),
    ]
    for chart in charts:
        assert draw(chart).data
        write_figure(chart, tmp_path / f"{chart.name}.svg")
        assert (tmp_path / f"{chart.name}.svg").stat().st_size > 1000
