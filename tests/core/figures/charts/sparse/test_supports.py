"""Charts of what supports have in common: panels per model, shared scales, stairs, hatched cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.figures.charts.sparse.supports import SUPPORTS_SHOWS, SupportsShow, supports_chart
from core.figures.drawing import style
from core.figures.drawing.chart import BandLayer, BarsLayer, FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.sparse.support_statistics import SupportStatistics, statistics
from tests.perturbations import a_perturbation

NAMES = ("cat", "dog", "owl", "fox")


def a_result(empty: bool = False) -> SupportStatistics:
    """Seven images of 6 x 6: six cats of which five became dogs and one an owl, and a dog that stayed one."""
    support = np.zeros((7, 6, 6), bool)
    if not empty:
        support[:6, 2, 3] = support[1:4, 4, 4] = True
    source, target = [0] * 6 + [1], [1] * 5 + [2, 2]
    runs = {name: a_perturbation(support, source, target) for name in ("SparseFool", "sigma-zero")}
    found = statistics(runs, np.zeros((7, 1, 6, 6)), support * 1.0, draws=50, seed=0)
    settings = {"method": "sparsefool", "order": "pixel", "bound": 1.0, "draws": 50, "seed": 0, "num_classes": 4}
    return SupportStatistics(**found, **settings, forwards=0, gradients=0, seconds=0.0)


@pytest.mark.parametrize("show", SUPPORTS_SHOWS)
@pytest.mark.parametrize("empty", [False, True])
def test_every_picture_is_drawn_for_one_model_and_for_two(show: SupportsShow, empty: bool, tmp_path: Path) -> None:
    for count in (1, 2):
        names = [f"model {k}" for k in range(count)]
        chart = supports_chart([a_result(empty)] * count, class_names=NAMES, names=names, show=show)
        per_model = {"maps": 2, "robustness": 1 / count}.get(show, 1)
        assert len(chart.panels) == per_model * count
        assert chart.alt
        assert "nan" not in chart.caption
        assert draw(chart).data
        if count == 1:
            write_figure(chart, tmp_path / "supports.svg")
            assert (tmp_path / "supports.svg").stat().st_size > 1000


def test_maps_of_two_models_share_their_scales() -> None:
    first = a_result()
    second = replace(first, frequency=first.frequency / 2)
    chart = supports_chart([first, second], class_names=NAMES, names=("a", "b"), show="frequency")
    assert [panel.scales[0].limits for panel in chart.panels] == [(0.0, 1.0)] * 2
    alone = supports_chart([second], class_names=NAMES, names=("b",), show="frequency", shared_scale=[first, second])
    assert alone.panels[0].scales[0].limits == (0.0, 1.0)


def test_the_robustness_curve_is_a_staircase_with_its_band() -> None:
    chart = supports_chart([a_result()], class_names=NAMES, names=("a",), show="robustness")
    (panel,) = chart.panels
    band, curve = panel.layers
    assert isinstance(band, BandLayer)
    assert isinstance(curve, LinesLayer)
    np.testing.assert_allclose(curve.paths[0], [[1, 3 / 7], [2, 3 / 7], [2, 6 / 7]])
    assert (band.low <= curve.paths[0][:, 1]).all()
    assert (band.high >= curve.paths[0][:, 1]).all()
    assert panel.x.scale == "log"
    assert "a: 6 of 7 images flipped" in chart.caption


def test_cells_of_pairs_are_shaded_by_share_and_hatched_when_few() -> None:
    chart = supports_chart([a_result()], class_names=NAMES, names=("a",), show="pairs")
    (panel,) = chart.panels
    field = panel.layers[0]
    assert isinstance(field, FieldLayer)
    assert field.hover[1:3] == ("cat to dog: 5 of 6", "cat to owl: 1 of 6")
    picture = field.colours[::-1]  # three classes, cells of 6 x 6
    dogs, owls, none = picture[:6, 6:12], picture[:6, 12:18], picture[6:12, :6]
    assert (none == 255).all()
    ink = [int(style.LIGHT.ink[place : place + 2], 16) for place in (1, 3, 5)]
    np.testing.assert_array_equal(dogs[2, 3], ink)  # in all supports
    assert len(np.unique(dogs[0], axis=0)) == 1  # five images: not hatched
    assert (owls == 255).all(2).any()  # one image: hatched
    assert int(dogs[0, 0].mean()) < int(owls[owls.mean(2) < 255].max())
    assert panel.x.ticks is not None
    assert [words for _, words in panel.x.ticks] == ["cat", "dog", "owl"]


def test_predictors_stand_beside_chance() -> None:
    chart = supports_chart([a_result()], class_names=NAMES, names=("a",), show="predictors")
    (panel,) = chart.panels
    bars = [layer for layer in panel.layers if isinstance(layer, BarsLayer)]
    assert bars[0].heights[0] == 1  # the gradient that was given is the support itself
    np.testing.assert_allclose(bars[1].heights, 1.5 / 36)
    (words,) = [layer for layer in panel.layers if isinstance(layer, PointsLayer)]
    assert words.labels[0] == "1.00"
    assert [entry.label for entry in chart.legend] == ["among the largest scores", "by chance"]


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a name for each of 1 models"):
        supports_chart([a_result()], class_names=NAMES, names=())
