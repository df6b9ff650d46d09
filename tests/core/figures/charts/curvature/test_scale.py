"""Curvature against scale: both ends on logarithmic axes, the asymmetry below, and the slope in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.figures.charts.curvature.scale import curvature_scale_chart
from core.figures.drawing.chart import BandLayer, LinesLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.curvature.scale import CurvatureScale

H = np.array([0.1, 0.2, 0.4])


def curves(**changed: Any) -> CurvatureScale:
    """Curvatures 1 / h and -1 / 2h of one image."""
    known: dict[str, Any] = {
        "scale": H,
        "largest": 1 / H[None],
        "smallest": -0.5 / H[None],
        "distance": np.ones((1, 3)),
        "asymmetry_ratio": np.array([[0.3, 0.2, 0.1]]),
        "agreement": np.array([0.9, 0.95, 1.0]),
        "method": "differences",
        "products": 0,
        "forwards": 0,
        "gradients": 0,
        "seconds": 0.0,
    }
    return CurvatureScale(**(known | changed))


def test_both_ends_and_the_asymmetry_are_shown() -> None:
    chart = curvature_scale_chart([curves()], models=["a"])
    ends, below = chart.panels
    solid, dashed = [layer for layer in ends.layers if isinstance(layer, LinesLayer)]
    np.testing.assert_allclose(solid.paths[0], np.stack([H, 1 / H], 1))
    np.testing.assert_allclose(dashed.paths[0], np.stack([H, 0.5 / H], 1))
    assert (solid.dash, dashed.dash) == ("solid", "dashed")
    assert (ends.x.scale, ends.y.scale) == ("log", "log")
    assert ends.x.title == "step h of differences (ℓ2)"
    assert ends.y.title == "size of the curvature (1/ℓ2)"
    assert ends.y.ticks == ((1.0, "1"), (2.0, "2"), (5.0, "5"), (10.0, "10"))
    assert ends.x.ticks == ((0.1, "0.1"), (0.2, "0.2"))
    (line,) = below.layers
    assert isinstance(line, LinesLayer)
    np.testing.assert_allclose(line.paths[0][:, 1], [0.3, 0.2, 0.1])
    assert below.y.title == "asymmetry"
    assert "a: grows as scale to the power -1.00." in chart.caption
    assert "from 10 to 2.5" in chart.alt


def test_rounded_kinks_say_which_classes_are_kept_and_models_have_colours() -> None:
    some = curves(method="softplus", scale=np.array([2.0, 5.0, 10.0]))
    chart = curvature_scale_chart([some, some], models=["a", "b"])
    first, second = chart.panels[1].layers
    assert isinstance(first, LinesLayer)
    assert isinstance(second, LinesLayer)
    np.testing.assert_allclose(first.paths[0][:, 1], [0.9, 0.95, 1])
    assert first.colour != second.colour
    assert chart.panels[1].y.title == "share that keeps its class"
    assert chart.panels[0].x.title == "sharpness b of rounded kinks"
    assert [entry.label for entry in chart.legend][:2] == ["a", "b"]


def test_curves_on_their_way_and_images_beside() -> None:
    unknown = np.array([[10.0, 5.0, np.nan]])
    chart = curvature_scale_chart([curves(largest=unknown, smallest=-unknown)], models=["a"])
    solid = next(layer for layer in chart.panels[0].layers if isinstance(layer, LinesLayer))
    assert [len(path) for path in solid.paths] == [2]
    assert "power" not in chart.caption
    many = curves(
        largest=np.stack([1 / H, 2 / H]), smallest=np.stack([-1 / H, -2 / H]), asymmetry_ratio=np.ones((2, 3))
    )
    (band,) = [
        layer for layer in curvature_scale_chart([many], models=["a"]).panels[0].layers if isinstance(layer, BandLayer)
    ]
    np.testing.assert_allclose(band.high, 1.9 / H)
    nothing = curves(largest=np.full((1, 3), np.nan), smallest=np.full((1, 3), np.nan))
    assert "no curvature known" in curvature_scale_chart([nothing], models=["a"]).alt
    with pytest.raises(ValueError, match="a name for each"):
        curvature_scale_chart([], models=[])


def test_both_renderers_draw_it(tmp_path: Path) -> None:
    chart = curvature_scale_chart([curves()], models=["a"])
    assert draw(chart).data
    write_figure(chart, tmp_path / "scale.svg")
    assert (tmp_path / "scale.svg").stat().st_size > 1000
