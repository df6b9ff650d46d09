"""Stars: limbs as long as their walks, dotted where the confidence falls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.figures.charts.level_sets.star import level_star_chart
from core.figures.drawing import style
from core.figures.drawing.chart import LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.level_sets.star import LevelStar

NAMES = ("cat", "dog", "owl")


def some() -> LevelStar:
    """Four limbs of length 2; the third is seen half of the way only."""
    return LevelStar(
        share=np.array([0.75]),
        mean_reach=np.array([0.875]),
        limbs=np.array([2]),
        gap=np.array([0.25]),
        spoke_least=np.full(4, 0.8),
        spoke_reach=np.array([1, 1, 0.5, 1.0]),
        owner=np.zeros(4, np.int32),
        chord_least=np.full(6, 0.5),
        chord_reach=np.full(6, 0.4),
        chords=np.zeros((6, 2), np.int32),
        source_class=np.zeros(1, np.int32),
        delta=0.2,
        num_classes=3,
        length=np.full(4, 2.0),
        target_length=np.array([2.5, 2.5, 2.5, 4.0]),
        ratio=np.array([0.1, 0.2, 0.3, 0.4]),
        width=np.array([0.5, 9.0, np.nan, 0.5]),
        end_confidence=np.full(4, 0.9),
        target_class=np.array([1, 1, 2, 2], np.int32),
        target_row=np.array([4, 8, 15, 16], np.int32),
        skipped=0,
        mode="equality",
        forwards=0,
        gradients=0,
        seconds=0.0,
    )


def test_limbs_are_as_long_as_their_walks_and_dotted_where_the_confidence_falls(tmp_path: Path) -> None:
    made = level_star_chart([some()], models=["m"], class_names=NAMES)
    (panel,) = made.panels
    assert panel.kind == "polar"
    assert panel.y.limits == (0.0, pytest.approx(1.05 * 4.0))
    lines = [layer for layer in panel.layers if isinstance(layer, LinesLayer)]
    solid = [path for layer in lines if layer.dash == "solid" for path in layer.paths if len(path) == 2]
    assert [path[1, 1] for path in solid] == [2, 2, 1, 2]
    np.testing.assert_allclose([path[0, 0] for path in solid], np.arange(4) * np.pi / 2)
    (dotted,) = (layer for layer in lines if layer.dash == "dotted")
    assert dotted.paths[0][:, 1].tolist() == [1, 2]
    assert dotted.colour == style.class_colour(2)
    arcs = [path for layer in lines for path in layer.paths if len(path) > 2]
    assert len(arcs) == 3  # no width is known of the third
    np.testing.assert_allclose(np.ptp(arcs[0][:, 0]), 2 * np.arctan(0.25))
    assert np.ptp(arcs[1][:, 0]) < np.pi / 2  # cut where the next limb begins
    marks = [layer for layer in panel.layers if isinstance(layer, PointsLayer)]
    rings = [layer for layer in marks if layer.marker == "ring"]
    assert [len(layer.positions) for layer in rings] == [1]
    assert [entry.label for entry in made.legend] == ["dog", "owl"]
    assert "75 % of 4 blind spots are seen from the source, in 2 limbs, convexity gap 0.25" in made.alt
    assert "25 % of their way" in made.alt
    write_figure(replace(made, recipe={"recipe": 1}), tmp_path / "star.pdf")
    assert draw(made).data


def test_models_share_one_radius() -> None:
    far = replace(some(), target_length=np.full(4, 8.0))
    made = level_star_chart([some(), far], models=["a", "b"], class_names=NAMES)
    assert [panel.y.limits for panel in made.panels] == [(0.0, pytest.approx(8.4))] * 2
    assert [panel.title for panel in made.panels] == ["a", "b"]
    with pytest.raises(ValueError, match="one name for each of 3 classes"):
        level_star_chart([some()], models=["a"], class_names=("cat",))
    with pytest.raises(ValueError, match="a name for each"):
        level_star_chart([], models=[], class_names=NAMES)
