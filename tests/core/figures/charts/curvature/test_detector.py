"""Charts of the detector: histograms, curves, areas and recovery, with their intervals and the caveat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.figures.charts.curvature.detector import DETECTOR_SHOWS, DetectorShow, detector_chart, perturbation_words
from core.figures.drawing.chart import BandLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.detector.evaluation import NO_DEFENCE, DetectionExhibit

ATTACKS = ("overshoot", "projected gradient", "shortest")


def an_exhibit(second: bool = True) -> DetectionExhibit:
    """Four clean images with curvature -1, which is 1 after an overshoot, and back at -1 after the rest."""
    clean = np.full(4, -1.0)
    after = np.stack([np.full(4, 1.0), clean, clean])
    area = np.stack([[1.0, 0.5, 0.5], np.full(3, 0.5 if second else np.nan)], 1)
    grid = np.linspace(0, 1, 5)
    rates = np.broadcast_to(grid, (3, 2, 5)).copy()
    rates[0, 0] = 1
    if not second:
        rates[:, 1] = np.nan
    return DetectionExhibit(
        attack=np.array(ATTACKS),
        overshoot=np.array([1.1, 1.5, np.nan]),
        clean_nearest=clean,
        clean_all=clean if second else np.full(4, np.nan),
        score_nearest=after,
        score_all=after if second else np.full((3, 4), np.nan),
        changed=np.array([[True] * 4, [True] * 4, [True, True, False, False]]),
        auc=area,
        auc_low=area - 0.1,
        auc_high=np.minimum(area + 0.1, 1),
        false_positives=grid,
        true_positives=rates,
        true_positives_low=rates,
        true_positives_high=rates,
        recovery=np.array([1.0, 0.5, 0.0]),
        confidence=0.9,
        products=3,
        forwards=1,
        gradients=1,
        seconds=0.0,
    )


@pytest.mark.parametrize("show", DETECTOR_SHOWS)
@pytest.mark.parametrize("second", [True, False])
def test_every_picture_is_drawn_for_one_model_and_for_two(show: DetectorShow, second: bool, tmp_path: Path) -> None:
    for count in (1, 2):
        names = ["net a", "net b"][:count]
        chart = detector_chart([an_exhibit(second)] * count, class_counts=[9] * count, names=names, show=show)
        assert len(chart.panels) == count * (4 if show == "all" else 1)
        assert chart.columns == (2 if count == 2 or show == "all" else 1)
        assert NO_DEFENCE in chart.caption
        assert "nan" not in chart.caption + chart.alt
        assert draw(chart).data
    if second and show == "all":
        write_figure(chart, tmp_path / "detector.svg")
        assert (tmp_path / "detector.svg").stat().st_size > 1000
    words = [entry.label for entry in chart.legend]
    assert ("all class boundaries" in words) == (second and show != "scores")


def test_histograms_are_shares_of_images_on_one_axis() -> None:
    (panel,) = detector_chart([an_exhibit()], class_counts=[9], names=["net"], show="scores").panels
    clean, perturbed = [layer for layer in panel.layers if isinstance(layer, BandLayer)]
    assert clean.high.max() == perturbed.high.max() == 1
    assert clean.x[clean.high.argmax()] < 0 < perturbed.x[perturbed.high.argmax()]
    assert panel.x.title == "mean curvature (1/ℓ2)"
    wide = replace(an_exhibit(), clean_nearest=np.full(4, -5.0))
    alone = detector_chart(
        [an_exhibit()], class_counts=[9], names=["net"], show="scores", shared_scale=[an_exhibit(), wide]
    )
    assert alone.panels[0].x.limits is not None
    assert alone.panels[0].x.limits[0] < -5


def test_the_chosen_perturbation_has_its_curve() -> None:
    for chosen, end in ((0, 1.0), (1, 0.25), (99, 0.25)):
        chart = detector_chart(
            [an_exhibit()], class_counts=[9], names=["net"], show="roc", score="all", perturbation=chosen
        )
        lines = [layer for layer in chart.panels[0].layers if isinstance(layer, LinesLayer)]
        assert lines[1].paths[0][1, 1] == end
    assert "the shortest perturbation that DDN found" in chart.caption
    assert [perturbation_words(an_exhibit(), place) for place in range(3)] == ["1.1", "PGD 1.5", "DDN"]


def test_areas_and_recovery_have_intervals_and_chance() -> None:
    chart = detector_chart([an_exhibit()], class_counts=[9], names=["net"], show="auc")
    marks = [layer for layer in chart.panels[0].layers if isinstance(layer, PointsLayer)]
    np.testing.assert_allclose(marks[0].positions[:, 1], [1, 0.5, 0.5])
    bars = [layer for layer in chart.panels[0].layers if isinstance(layer, LinesLayer)]
    np.testing.assert_array_equal(bars[0].paths[0][:, 1], 0.5)
    np.testing.assert_allclose(bars[1].paths[1][:, 1], [0.4, 0.6])
    assert chart.panels[0].x.ticks is not None
    assert [words for _, words in chart.panels[0].x.ticks] == ["1.1", "PGD\n1.5", "DDN"]
    (panel,) = detector_chart([an_exhibit()], class_counts=[9], names=["net"], show="recovery").panels
    guess, ends = [layer for layer in panel.layers if isinstance(layer, LinesLayer)]
    np.testing.assert_array_equal(guess.paths[0][:, 1], 1 / 8)
    np.testing.assert_allclose([path[0, 1] for path in ends.paths], an_exhibit().recovery_interval[0])
    assert ends.paths[2][1, 1] > ends.paths[0][1, 1] - ends.paths[0][0, 1]  # of two images: wide


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="a name and a number of classes"):
        detector_chart([an_exhibit()], class_counts=[], names=["net"])
    with pytest.raises(ValueError, match="number of a perturbation"):
        detector_chart([an_exhibit()], class_counts=[9], names=["net"], perturbation=-1)
