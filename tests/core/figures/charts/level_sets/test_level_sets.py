"""Film strips, curves and ends of walks: what is drawn of known walks, and in which words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.figures.charts.level_sets.level_sets import level_set_chart
from core.figures.drawing.chart import FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.level_sets.at_image import LevelSetAtImage

NAMES = ("cat", "dog")
STEPS = 20


def some(**changed: Any) -> LevelSetAtImage:
    """Two walks over 1 x 4 x 4 pixels, the distance halved every five steps; the second ends after ten."""
    step = np.arange(STEPS + 1)
    distance = 0.8 * 0.5 ** (np.stack([step, step]) / 5)
    confidence = np.stack([0.9 - 0.001 * step, 0.8 + 0.001 * step])
    taken = np.array([STEPS, 10], np.int32)
    over = step > taken[:, None]
    frames = np.array([0, 10, STEPS], np.int32)
    snapshots = np.stack([np.full((3, 1, 4, 4), 0.2), np.full((3, 1, 4, 4), 0.4)])
    snapshots[1, 2] = np.nan
    known: dict[str, Any] = {
        "endpoints": np.stack([np.full((1, 4, 4), 0.5), np.full((1, 4, 4), 0.6)]),
        "confidence": np.where(over, np.nan, confidence),
        "log_odds": np.where(over, np.nan, np.log(confidence / (1 - confidence))),
        "target_confidence": np.where(over, np.nan, 0.05),
        "distance": np.where(over, np.nan, distance),
        "cosine": np.where(over, np.nan, 0.1),
        "moved": np.where(over, np.nan, 0.01),
        "status": np.array(["budget", "blocked"]),
        "taken": taken,
        "snapshots": snapshots,
        "frames": frames,
        "source_row": np.zeros(2, np.int32),
        "target_row": np.array([1, 2], np.int32),
        "source_class": np.zeros(2, np.int32),
        "target_class": np.ones(2, np.int32),
        "end_class": np.zeros(2, np.int32),
        "survives_rounding": np.ones(2, bool),
        "delta": np.full(2, 0.1),
        "eta": 1 - 0.02 ** (1 / STEPS),
        "mode": "equality",
        "num_classes": 2,
        "largest": np.array([0.5, 0.4]),
        "ssim": np.full(2, np.nan),
        "start_largest": np.array([0.9, 0.9]),
        "start_ssim": np.full(2, np.nan),
        "straight": np.array([0.88, 0.7]),
        "forwards": 50,
        "gradients": 40,
        "seconds": 0.1,
    }
    return LevelSetAtImage(**{**known, **changed})


def chart(results: list[LevelSetAtImage], **settings: Any) -> Any:
    return level_set_chart(
        results,
        models=[f"model {place}" for place in range(len(results))],
        class_names=NAMES,
        targets=np.full((2, 1, 4, 4), 0.9),
        target_words=("a dog", "another dog"),
        **settings,
    )


def test_a_film_has_frames_with_steps_and_confidences_and_the_target_last() -> None:
    made = chart([some()])
    strip, confidence, distance = made.panels
    frames = [layer for layer in strip.layers if isinstance(layer, FieldLayer)]
    assert [frame.name for frame in frames] == ["step 0", "step 10", "step 20", "target"]
    above, below = (layer.labels for layer in strip.layers if isinstance(layer, PointsLayer))
    assert above == ("step 0", "step 10", "step 20", "target")
    assert below == ("0.900", "0.890", "0.880", "a dog")
    assert frames[2].colours[0, 0].tolist() == [128, 128, 128]  # the end itself
    assert frames[3].colours[0, 0].tolist() == [230, 230, 230]
    solid, dotted = (layer for layer in confidence.layers if isinstance(layer, LinesLayer))
    np.testing.assert_allclose(solid.paths[0][:, 1], some().confidence[0])
    assert dotted.dash == "dotted"
    floor, curve = (layer for layer in distance.layers if isinstance(layer, LinesLayer))
    np.testing.assert_allclose(curve.paths[0][:, 1], some().distance[0] / 4)  # root mean square of 16 pixels
    np.testing.assert_allclose(floor.paths[0][-1, 1], 0.02 * 0.2)
    assert distance.y.unit == "rms pixel"
    assert distance.y.scale == "log"
    assert "in 20 steps (budget), confidence 0.900 to 0.880" in made.alt
    assert "allowed to lose 0.1" in made.caption


def test_a_walk_that_ended_early_ends_its_film_and_its_curves_there() -> None:
    made = chart([some()], shown=2, step=5)
    strip, confidence, _ = made.panels
    names = [layer.name for layer in strip.layers if isinstance(layer, FieldLayer)]
    assert names == ["step 0", "step 10", "target"]
    marked, solid, _ = (layer for layer in confidence.layers if isinstance(layer, LinesLayer))
    assert marked.paths[0][:, 0].tolist() == [5, 5]
    assert solid.paths[0][-1, 0] == 10
    assert chart([some()], shown=9).alt == made.alt  # the last one where there are fewer


def test_walks_under_way_and_walks_that_never_began_are_said() -> None:
    walking = some(status=np.array(["walking", "walking"]))
    assert "Not finished." in chart([walking]).caption
    nothing = {name: np.full_like(getattr(some(), name), np.nan) for name in ("endpoints", "confidence", "distance")}
    never = some(status=np.array(["no level"] * 2), taken=np.zeros(2, np.int32), **nothing)
    for show in ("film", "ends"):
        assert "no level" in chart([never], show=show).alt
    words = [layer.labels for layer in chart([never]).panels[0].layers if isinstance(layer, PointsLayer)]
    assert ("no level",) in words


def test_models_stand_side_by_side_in_their_colours() -> None:
    made = chart([some(), some(mode="equality")])
    assert [entry.label for entry in made.legend] == ["model 0", "model 1"]
    assert [panel.title for panel in made.panels[:2]] == ["model 0", "model 1"]
    solid = [layer for layer in made.panels[2].layers if isinstance(layer, LinesLayer) and layer.dash == "solid"]
    assert [layer.colour for layer in solid] == [entry.colour for entry in made.legend]
    ends = chart([some(), some()], show="ends")
    assert ends.columns == len(ends.panels) == 2
    assert ends.name == "level_set_ends"
    (labels,) = (layer.labels for layer in ends.panels[0].layers if isinstance(layer, PointsLayer))
    assert labels[:3] == ("a dog", "end, 0.880", "0 to 0.4")


@pytest.mark.parametrize("show", ["film", "ends"])
def test_both_are_drawn_on_paper_and_screen(show: str, tmp_path: Path) -> None:
    made = replace(chart([some()], show=show), recipe={"recipe": 1})
    write_figure(made, tmp_path / "film.pdf")
    assert draw(made, dark=True).data


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ValueError, match="at least one result"):
        chart([])
    with pytest.raises(ValueError, match="one name for each of 3 classes"):
        chart([some(num_classes=3)])
    with pytest.raises(ValueError, match="expected 2 targets with words, got 1"):
        level_set_chart([some()], models=["m"], class_names=NAMES, targets=np.zeros((1, 1, 4, 4)), target_words=("a",))
