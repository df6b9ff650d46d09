"""The chart of one pixel: a curve per channel, where it is now, and the class that is entered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.figures.charts.sparse.pixel_profile import pixel_chart
from core.figures.drawing.chart import LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.sparse.pixel_profile import PixelProfile

NAMES = ("cat", "dog")


def a_profile(channels: int) -> PixelProfile:
    """The margin falls from 1 to -1 along the last line, and stays 1 along the others."""
    lines = [f"channel {k}" for k in range(channels)] + (["grey"] if channels > 1 else [])
    value = np.linspace(0, 1, 5)
    margin = np.ones((len(lines), 5))
    margin[-1] = 1 - 2.2 * value
    return PixelProfile(
        value=value,
        margin=margin,
        label=(margin < 0).astype(np.int32),
        lines=tuple(lines),
        pixel=np.full(channels, 0.25),
        row=3,
        column=4,
        source_class=0,
        num_classes=2,
        forwards=0,
        gradients=0,
        seconds=0.0,
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_every_channel_has_its_curve(channels: int, tmp_path: Path) -> None:
    chart = pixel_chart(a_profile(channels), class_names=NAMES)
    (panel,) = chart.panels
    curves = [layer for layer in panel.layers if isinstance(layer, LinesLayer) and layer.role == "curve"]
    assert len(curves) == len(chart.legend) == channels + (channels > 1)
    assert len({entry.colour for entry in chart.legend}) == len(chart.legend)
    assert chart.legend[0].label == ("channel 0" if channels > 1 else "the pixel's value")
    rings = [layer for layer in panel.layers if isinstance(layer, PointsLayer) and layer.marker == "ring"]
    assert len(rings) == channels
    (entered,) = [layer for layer in panel.layers if isinstance(layer, PointsLayer) and layer.labels]
    assert entered.labels == ("dog",)
    np.testing.assert_allclose(entered.positions, [[0.5, 0]])
    assert "row 3, column 4" in chart.caption
    assert "dog from 0.50 on" in chart.alt
    assert draw(chart).data
    write_figure(chart, tmp_path / "pixel.svg")
    assert (tmp_path / "pixel.svg").stat().st_size > 1000


def test_names_must_be_those_of_the_classes() -> None:
    with pytest.raises(ValueError, match="expected one name for each of 2 classes, got 1 names"):
        pixel_chart(a_profile(1), class_names=NAMES[:1])
