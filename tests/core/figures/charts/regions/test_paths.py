"""Charts of one path: what they show and say, and what they do not claim where none was found."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.analyses.prepare.regions import FRAMES
from core.figures.charts.regions.paths import PATH_SHOWS, path_chart, path_meaning, path_words
from core.figures.drawing.chart import FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.regions.at_image import PathAtImage

NAMES = ("cat", "dog", "owl")


def a_result(**given: Any) -> PathAtImage:
    """A path over one corner: lengths 3 and 4 where the straight segment has 5."""
    start, end = np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), np.float32)
    corner = start.copy()
    corner[0, 0, 0], end[0, 0, 0], end[0, 0, 1] = 3, 3, 4
    known = {
        "verdict": np.array(["path found"]),
        "status": np.array(["bent"]),
        "anchors": np.stack([start, corner, end]),
        "owner": np.zeros(3, np.int32),
        "anchor_margin": np.array([2.0, 0.5, 1.0]),
        "distance": np.array([5.0]),
        "length": np.array([7.0]),
        "length_ratio": np.array([1.4]),
        "min_margin": np.array([0.25]),
        "resolution": np.array([0.078]),
        "headroom": np.array([1.5]),
        "segments": np.array([2], np.int32),
        "checked": np.array([3], np.int32),
        "samples": np.array([100], np.int32),
        "levels": np.array([2], np.int32),
        "source_class": np.array([1], np.int32),
        "end_class": np.array([1], np.int32),
        "frames": np.zeros((FRAMES, 1, 4, 4), np.float32),
        "frame_margin": np.linspace(2, 1, FRAMES),
        "straight_frames": np.ones((FRAMES, 1, 4, 4), np.float32),
        "straight_class": np.array([1, 1, 2, 2, 0, 1, 1], np.int32),
        "at": np.array([0.0, 3.0, 7.0]),
        "margin": np.array([2.0, 0.5, 1.0]),
        "straight_at": np.array([0.0, 2.5, 4.0, 5.0]),
        "straight_margin": np.array([2.0, -1.0, 0.5, 1.0]),
        "corner_at": np.array([0.0, 3.0, 7.0]),
        "projection": np.array([[0.0, 0.0], [1.8, 2.4], [5.0, 0.0]]),
        "projection_share": 1.0,
        "outside": 2.0,
        "moved": 0.0,
        "nearest_row": -1,
        "words": "dog, row 3",
        "end_words": "noise",
        "num_classes": 3,
        "seed": 0,
        "forwards": 100,
        "gradients": 5,
        "seconds": 0.1,
    }
    return PathAtImage(**{**known, **given})


def not_found(status: str, **given: Any) -> PathAtImage:
    nothing = np.array([np.nan])
    whole = a_result()
    empty = {name: getattr(whole, name)[:0] for name in ("frames", "frame_margin", "at", "margin", "corner_at")}
    return a_result(
        **{
            "verdict": np.array(["not found"]),
            "status": np.array([status]),
            "length": nothing,
            "length_ratio": nothing,
            "min_margin": nothing,
            "resolution": nothing,
            "headroom": nothing,
            "segments": np.array([0], np.int32),
            "anchors": whole.anchors[[0, 2]],
            "owner": np.zeros(2, np.int32),
            "anchor_margin": np.full(2, np.nan),
            "projection": whole.projection[[0, 2]],
            **empty,
            **given,
        }
    )


def test_the_overview_has_the_strip_the_margin_and_the_projection() -> None:
    chart = path_chart(a_result(), class_names=NAMES, title="model")
    strip, margin, projection = chart.panels
    assert strip.title == "model"
    pictures = [layer for layer in strip.layers if isinstance(layer, FieldLayer)]
    (words,) = [layer for layer in strip.layers if isinstance(layer, PointsLayer)]
    assert len(pictures) == 2 * FRAMES
    assert words.labels[:FRAMES] == ("2", "1.8", "1.7", "1.5", "1.3", "1.2", "1")
    assert words.labels[FRAMES:] == ("", "", "owl", "owl", "cat", "", "")  # where the straight segment leaves
    curves = {layer.name: layer for layer in margin.layers if isinstance(layer, LinesLayer)}
    np.testing.assert_array_equal(curves["path"].paths[0], [[0, 2], [3, 0.5], [7, 1]])
    np.testing.assert_array_equal(curves["straight segment"].paths[0][:, 1], [2, -1, 0.5, 1])
    assert curves["straight segment"].dash == "dashed"
    assert margin.x.title == "distance along the way (ℓ2 pixel)"
    assert margin.y.title == "margin of dog (logit)"
    (polyline,) = [layer for layer in projection.layers if isinstance(layer, LinesLayer) and layer.name == "path"]
    np.testing.assert_array_equal(polyline.paths[0], [[0, 0], [1.8, 2.4], [5, 0]])
    assert projection.isometric
    low, high = projection.y.limits
    assert low < 0 < 2.4 < high


def test_what_was_found_is_said_with_its_resolution() -> None:
    chart = path_chart(a_result(), class_names=NAMES)
    assert chart.caption.startswith(
        "A path over 1 corner between dog, row 3 and noise stays dog all the way, 1.400 times as long as the straight"
        " segment, of which 75% does."
    )
    assert "Sampled at most 0.078 ℓ2 apart, smallest margin 0.25 logits: evidence" in chart.caption
    assert "stays dog" in chart.alt
    straight = a_result(status=np.array(["straight"]), segments=np.array([1]), length_ratio=np.array([1.0]))
    assert path_words(straight, NAMES) == "The straight segment between dog, row 3 and noise stays dog all the way."
    drawn = [layer.name for panel in path_chart(straight, class_names=NAMES).panels for layer in panel.layers]
    assert "path" in drawn
    assert "straight segment" not in drawn  # they are one line


@pytest.mark.parametrize(
    ("status", "given", "words"),
    [
        ("stalled", {}, "No path as dog was found between dog, row 3 and noise (stalled); that is no proof"),
        ("budget", {}, "(budget); that is no proof that there is none"),
        ("other class", {"end_class": np.array([2])}, "The model says dog of dog, row 3 and owl of noise"),
        ("undefined", {"source_class": np.array([-1])}, "No path can be asked for"),
        ("on the boundary", {}, "No path can be asked for"),
    ],
)
def test_without_a_path_nothing_is_drawn_that_is_not_known(status: str, given: dict[str, Any], words: str) -> None:
    chart = path_chart(not_found(status, **given), class_names=NAMES)
    assert words in chart.caption
    assert "disconnected" not in chart.caption
    assert "Sampled at most" not in chart.caption
    assert not [layer for panel in chart.panels for layer in panel.layers if getattr(layer, "name", "") == "path"]


@pytest.mark.parametrize("show", PATH_SHOWS)
def test_every_show_is_drawn_on_screen_and_paper(show: Any, tmp_path: Path) -> None:
    chart = path_chart(not_found("stalled"), class_names=NAMES, show=show)
    assert draw(chart).layout.meta["alt"] == chart.alt
    write_figure(path_chart(a_result(), class_names=NAMES, show=show), tmp_path / "path.svg")


def test_the_projection_is_left_out_on_request_and_says_what_it_hides() -> None:
    assert len(path_chart(a_result(), class_names=NAMES, projected=False).panels) == 2
    assert "Projection" not in path_meaning("card", projected=False)
    (panel,) = path_chart(a_result(projection_share=0.5), class_names=NAMES, show="projection").panels
    assert panel.y.title == "across, 50% of it shown (ℓ2 pixel)"


def test_wrong_calls_are_explained() -> None:
    with pytest.raises(ValueError, match="expected one name for each of 3 classes"):
        path_chart(a_result(), class_names=NAMES[:2])
    two = {
        entry.name: np.repeat(getattr(a_result(), entry.name), 2)
        for entry in fields(PathAtImage)
        if PathAtImage.axes(entry.name) == ("n",)
    }
    with pytest.raises(ValueError, match="expected the path of one pair, got 2"):
        path_chart(replace(a_result(), **two), class_names=NAMES)
