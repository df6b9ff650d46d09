"""Frames share their axes, ticks and legend, and a GIF shows each of them for as long as is said."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.figures.drawing.chart import Axis, BarsLayer, Chart, FieldLayer, LegendEntry, LinesLayer, Panel, Scale
from core.figures.drawing.provenance import read_recipe
from core.figures.drawing.series import gif_bytes, on_one_scale, own_colours


def line(y: list[float], **axis: Any) -> Chart:
    path = np.stack([np.arange(len(y), dtype=float), np.array(y)], 1)
    return Chart(panels=(Panel(layers=(LinesLayer(paths=(path,)),), y=Axis(**axis)),), name="line")


def field(colour: int, high: float = 1.0) -> Chart:
    layer = FieldLayer(
        x=np.arange(4.0),
        y=np.arange(4.0),
        colours=np.full((4, 4, 3), colour, np.uint8),
        scale=Scale(palette="cividis", limits=(0.0, high), label="height"),
    )
    return Chart(panels=(Panel(layers=(layer,), isometric=True),), name="field")


def test_axes_reach_over_all_frames() -> None:
    small, large = on_one_scale([line([1, 2]), line([0, 5, 1])])
    assert small.panels[0].x == large.panels[0].x
    assert small.panels[0].y == large.panels[0].y
    assert large.panels[0].y.limits == pytest.approx((-0.25, 5.25))
    said = on_one_scale([line([1], limits=(0, 1), ticks=((0, "0"),)), line([1], limits=(-1, 1), ticks=((1, "1"),))])
    assert said[0].panels[0].y == Axis(limits=(-1, 1), ticks=((0, "0"), (1, "1")))
    bars = BarsLayer(x=np.arange(2.0), heights=np.array([2.0, 4.0]), high=np.array([3.0, 6.0]))
    low, high = on_one_scale([Chart(panels=(Panel(layers=(bars,)),), name="bars")])[0].panels[0].y.limits or (0, 0)
    assert (low, high) == pytest.approx((-0.3, 6.3))
    stretched = [line([1], symlog=0.1), line([2], symlog=1.0)]  # places of different axes are not compared
    assert [chart.panels[0].y.limits for chart in on_one_scale(stretched)] == [None, None]


def test_logarithmic_axes_keep_to_what_they_can_show() -> None:
    (chart,) = on_one_scale([line([0.0, 1.0, 100.0], scale="log")])
    low, high = chart.panels[0].y.limits or (0, 0)
    assert 0.5 < low < 1
    assert 100 < high < 200


def test_legends_hold_the_entries_of_all_frames() -> None:
    one = Chart(panels=(), name="a", legend=(LegendEntry(colour="#1", label="cat", share=1.0),))
    two = Chart(panels=(), name="a", legend=(LegendEntry(colour="#2", label="dog", share=0.4),))
    first, second = on_one_scale([one, two])
    assert [(entry.label, entry.share) for entry in first.legend] == [("cat", 1.0), ("dog", 0.0)]
    assert [(entry.label, entry.share) for entry in second.legend] == [("cat", 0.0), ("dog", 0.4)]


def test_colours_of_different_scales_are_told() -> None:
    assert not own_colours([field(10), field(200)])
    assert own_colours([field(10), field(200, high=2.0)])


def test_a_gif_is_no_wider_than_a_page_and_says_what_its_captions_say_first() -> None:
    charts = [replace(field(10), caption="14 of 1,024 pixels take a to b; ℓ2 4.85. More."), field(120)]
    plain = gif_bytes([replace(chart, caption="") for chart in charts], ["a", "b"], width_mm=183)
    data = gif_bytes(charts, ["a", "b"], width_mm=183)
    with Image.open(io.BytesIO(data)) as gif, Image.open(io.BytesIO(plain)) as untold:
        assert 850 <= gif.width <= 900
        assert gif.height > untold.height


def test_a_gif_shows_every_frame_with_its_recipe() -> None:
    charts, recipe = [field(10), field(120), field(250)], {"recipe": 1, "series": ["a", "b", "c"]}
    data = gif_bytes(charts, ["a", "b", "c"], milliseconds=120, recipe=recipe, width_mm=40, dpi=100)
    assert data == gif_bytes(charts, ["a", "b", "c"], milliseconds=120, recipe=recipe, width_mm=40, dpi=100)
    assert read_recipe(data) == recipe
    with Image.open(io.BytesIO(data)) as gif:
        assert gif.n_frames == 3
        assert gif.info["loop"] == 0
        middle, corner = (gif.width * 2 // 5, gif.height // 2), (0, gif.height - 1)
        for number, colour in enumerate((10, 120, 250)):
            gif.seek(number)
            assert gif.info["duration"] == 120
            shown = gif.convert("RGB")
            assert shown.getpixel(middle) == pytest.approx((colour,) * 3, abs=3)
            assert shown.getpixel(corner) == (255, 255, 255)


@pytest.mark.parametrize(
    ("labels", "milliseconds", "message"),
    [(["a"], 5, "expected 20 to 60000 milliseconds"), ([], 100, "expected a label for each of at least one frame")],
)
def test_what_cannot_be_a_gif_is_told(labels: list[str], milliseconds: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gif_bytes([field(1)], labels, milliseconds=milliseconds)
