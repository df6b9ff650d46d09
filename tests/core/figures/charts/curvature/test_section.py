"""The chart of a section: tangent, parabola and circle lie where the numbers say, and the caption says them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.figures.charts.curvature.section import curvature_section_chart
from core.figures.drawing.chart import ImagesLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.curvature.principal_direction import principal_direction
from core.geometry.curvature.section import CurvatureSection, curvature_section
from tests import curved, truths

SHAPE = (1, 8, 8)
NAMES = ("in", "out")


def section(tilt: float = 0.0, radius: float = 2.0) -> CurvatureSection:
    surface = curved.Ball(None, curved.centre(SHAPE), radius)
    image = curved.centre(SHAPE) + 1.5 * truths.unit(SHAPE, 3)
    principal = principal_direction(curved.classifier(surface, SHAPE, torch.float64), image, -1)
    return curvature_section(principal, tilt=tilt, resolution=33, words="cat")


def named(chart_layers: tuple[object, ...], name: str) -> LinesLayer:
    (layer,) = [one for one in chart_layers if isinstance(one, LinesLayer) and one.name == name]
    return layer


@pytest.mark.parametrize("tilt", [0.0, 60.0])
def test_what_touches_the_boundary_is_drawn(tilt: float) -> None:
    cut = section(tilt)
    chart = curvature_section_chart(cut, class_names=NAMES)
    (panel,) = chart.panels
    circle = named(panel.layers, "osculating circle").paths[0]
    radius = 2 * np.cos(np.radians(tilt))
    np.testing.assert_allclose(np.linalg.norm(circle - [0, radius], axis=1), radius, rtol=1e-6)
    assert np.abs(circle).min(0).max() < 0.05  # it goes through the point
    parabola = named(panel.layers, "parabola").paths[0]
    np.testing.assert_allclose(parabola[:, 1], parabola[:, 0] ** 2 / (2 * radius), atol=1e-9)
    np.testing.assert_array_equal(named(panel.layers, "tangent").paths[0][:, 1], 0)
    (point,) = [one for one in panel.layers if isinstance(one, PointsLayer) and one.labels == ("boundary point",)]
    np.testing.assert_array_equal(point.positions, 0)
    thumbnail = panel.layers[-1]
    assert isinstance(thumbnail, ImagesLayer)
    np.testing.assert_allclose(thumbnail.positions, [[0, 0.5 * np.cos(np.radians(tilt))]], atol=1e-6)
    assert thumbnail.residuals[0] == pytest.approx(0.5 * np.sin(np.radians(tilt)), abs=1e-6)
    assert panel.y.title == "towards the image's class (ℓ2)"
    assert panel.x.title == "along principal direction -1 (ℓ2)"
    assert "curvature -0.5 1/ℓ2, convex: in" in chart.caption
    assert ("1 / cos 60° = 2 times as much, by -1 1/ℓ2 (Meusnier)" in chart.caption) == (tilt == 60)


def test_both_renderers_draw_it(tmp_path: Path) -> None:
    chart = curvature_section_chart(section(), class_names=NAMES, title="model", palette="okabe-ito")
    assert draw(chart).data
    write_figure(chart, tmp_path / "section.svg")
    assert (tmp_path / "section.svg").stat().st_size > 1000
    with pytest.raises(ValueError, match="one name for each of 2 classes"):
        curvature_section_chart(section(), class_names=("in",))
