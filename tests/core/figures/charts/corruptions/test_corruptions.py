"""Charts of corruptions: layers, units, words, and what is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.figures.charts.corruptions.corruptions import (
    known_runs,
    noise_forecast_chart,
    severity_path_chart,
    severity_sweep_chart,
)
from core.figures.drawing import style
from core.figures.drawing.chart import BandLayer, Chart, FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import figure_bytes
from core.figures.drawing.screen import draw
from core.geometry.corruptions.noise import NoiseForecast
from core.geometry.corruptions.severity_path import SeverityPath
from core.geometry.corruptions.severity_sweep import SeveritySweep

NAMES = ("cat", "dog", "owl")
COST = {"forwards": 0, "gradients": 0, "seconds": 0.0, "num_classes": 3}


def a_walk(**change: Any) -> SeverityPath:
    given: dict[str, Any] = {
        "severity": np.linspace(0, 5, 6),
        "strength": np.linspace(0, 0.9, 6),
        "images": np.linspace(0, 1, 6)[:, None, None, None] * np.ones((6, 1, 4, 4)),
        "probabilities": np.array(
            [[0.9, 0.1, 0], [0.8, 0.2, 0], [0.6, 0.4, 0], [0.4, 0.6, 0], [0.3, 0.7, 0], [0, 1, 0]]
        ),
        "predicted": np.array([0, 0, 0, 1, 1, 1]),
        "distance": np.array([2.0, 1.5, 1.0, -0.5, np.nan, -1.0]),
        "displacement": np.arange(6.0),
        "name": "gaussian_blur",
        "label": 0,
        "labelled": True,
        "seed": 0,
        **COST,
        **change,
    }
    return SeverityPath(**given)


def a_sweep(accuracy: float = 0.8, **change: Any) -> SeveritySweep:
    shape = (2, 3)
    distance = np.stack([np.full(shape, value) for value in (-1.0, 0.5, 1.0, 2.0)], 2)
    given: dict[str, Any] = {
        "names": np.array(["fog", "motion_blur"]),
        "severities": np.array([0.0, 2.0, 5.0]),
        "strength": np.zeros(shape),
        "accuracy": np.full(shape, accuracy),
        "accuracy_low": np.full(shape, accuracy - 0.1),
        "accuracy_high": np.full(shape, accuracy + 0.1),
        "distance": distance,
        "predicted": np.zeros((*shape, 4), np.int32),
        "displacement": np.broadcast_to(np.array([0.0, 3.0, 7.0])[:, None], (*shape, 4)),
        "labels": np.zeros(4, np.int32),
        "seed": 0,
        **COST,
        **change,
    }
    return SeveritySweep(**given)


def lines(chart: Chart, place: int) -> list[LinesLayer]:
    return [layer for layer in chart.panels[place].layers if isinstance(layer, LinesLayer)]


def drawn(chart: Chart) -> None:
    assert figure_bytes(chart, "svg").startswith(b"<?xml")
    assert draw(chart, dark=True).layout.meta["alt"] == chart.alt


def test_one_walk_shows_frames_distances_and_likely_classes() -> None:
    chart = severity_path_chart([a_walk()], models=["net"], class_names=NAMES, marked=2.0)
    strip, distances, probabilities = chart.panels
    frames = [layer for layer in strip.layers if isinstance(layer, FieldLayer) and layer.name]
    assert len(frames) == 6
    assert frames[0].colours.max() == 0
    assert frames[-1].colours.min() == 255
    (words,) = (layer for layer in strip.layers if isinstance(layer, PointsLayer))
    assert words.labels == ("0", "1", "2", "3", "4", "5")
    bars = [layer for layer in strip.layers if isinstance(layer, FieldLayer) and not layer.name]
    assert [tuple(bar.colours[0, 0]) for bar in (bars[0], bars[-1])] == [
        tuple(style.class_colours(np.array([k]))[0]) for k in (0, 1)
    ]
    curve = lines(chart, 1)[-1]
    assert [len(path) for path in curve.paths] == [4, 1]  # a gap where nothing is known
    assert {layer.role for layer in lines(chart, 1)} == {"guide", "reference", "curve"}
    assert distances.y.title == "signed distance (ℓ2)"
    assert distances.x.title == "severity of gaussian blur"
    assert [layer.colour for layer in lines(chart, 2)[1:]] == [style.class_colour(0), style.class_colour(1)]
    assert probabilities.y.limits == (0.0, 1.0)
    assert [entry.label for entry in chart.legend] == ["cat", "dog"]
    assert "loses it at severity 3" in chart.alt
    drawn(chart)


def test_several_walks_share_their_panels_and_say_what_each_predicts() -> None:
    other = a_walk(predicted=np.zeros(6, int), distance=np.full(6, 3.0), labelled=False)
    chart = severity_path_chart([a_walk(), other], models=["first", "second"], class_names=NAMES)
    assert len(chart.panels) == 3
    assert [entry.label for entry in chart.legend] == ["first", "second", "says cat", "says dog"]
    colours = [entry.colour for entry in chart.legend[:2]]
    assert [layer.colour for layer in lines(chart, 1)[1:]] == colours
    assert [layer.colour for layer in lines(chart, 2)] == colours
    assert chart.panels[2].y.label == "probability of the true class"
    assert "second on an image of cat under gaussian blur: keeps it throughout" in chart.alt
    drawn(chart)


def test_a_sweep_has_a_panel_for_each_corruption_and_a_line_for_each_model() -> None:
    chart = severity_sweep_chart([a_sweep(), a_sweep(0.5)], models=["first", "second"])
    assert [panel.title for panel in chart.panels] == ["fog", "motion blur"]
    assert chart.columns == 2
    bands = [layer for layer in chart.panels[1].layers if isinstance(layer, BandLayer)]
    np.testing.assert_allclose([band.low[0] for band in bands], [0.7, 0.4])
    np.testing.assert_allclose(lines(chart, 0)[0].paths[0], [[0, 0.8], [2, 0.8], [5, 0.8]])
    assert [panel.y.title for panel in chart.panels] == ["accuracy", ""]
    assert all(panel.x.title == "severity" for panel in chart.panels)
    assert "first 80%, second 50%" in chart.caption
    drawn(chart)


def test_a_sweep_of_distances_against_the_change() -> None:
    chart = severity_sweep_chart([a_sweep()], models=["net"], shown="distance", against="change")
    reference, curve = lines(chart, 0)
    assert reference.role == "reference"
    np.testing.assert_allclose(curve.paths[0], [[0, 0.75], [3, 0.75], [7, 0.75]])  # between 0.5 and 1
    (band,) = (layer for layer in chart.panels[0].layers if isinstance(layer, BandLayer))
    assert (band.low[0], band.high[0]) == (-1.0, 1.0)
    assert chart.panels[0].x.title == "mean change (ℓ2)"
    assert chart.legend == ()
    drawn(chart)


def test_where_nothing_is_known_nothing_is_drawn() -> None:
    unknown = a_sweep(distance=np.full((2, 3, 4), np.nan))
    chart = severity_sweep_chart([unknown], models=["net"], shown="distance")
    assert lines(chart, 0)[1].paths == ()
    drawn(chart)
    assert known_runs(np.arange(3.0), np.full(3, np.nan)) == ()


def test_noise_measured_is_solid_and_forecast_dashed() -> None:
    forecast = NoiseForecast(
        deviations=np.array([0.1, 0.2]),
        forecast=np.array([[1.0, 0.8], [0.6, np.nan]]),
        measured=np.array([[1.0, 0.4], [0.4, 0.2]]),
        disagreement=np.zeros((2, 2)),
        labels=np.zeros(2, np.int32),
        draws=10,
        seed=0,
        **COST,
    )
    chart = noise_forecast_chart([replace(forecast, forecast=np.array([[1.0, 0.8], [0.6, 0.6]]))], models=["net"])
    measured, expected = lines(chart, 0)
    assert (measured.dash, expected.dash) == ("solid", "dashed")
    np.testing.assert_allclose(measured.paths[0], [[0.1, 0.7], [0.2, 0.3]])
    np.testing.assert_allclose(expected.paths[0], [[0.1, 0.8], [0.2, 0.7]])
    assert "net 0.40" in chart.caption
    drawn(chart)


def test_wrong_calls_are_told() -> None:
    with pytest.raises(ValueError, match="expected a name for each of at least one walk"):
        severity_path_chart([a_walk()], models=[], class_names=NAMES)
    with pytest.raises(ValueError, match="expected one name for each of 3 classes"):
        severity_path_chart([a_walk()], models=["net"], class_names=NAMES[:2])
    with pytest.raises(ValueError, match="at least one sweep"):
        severity_sweep_chart([], models=[])
    with pytest.raises(ValueError, match="at least one forecast"):
        noise_forecast_chart([], models=[])
