"""The detector as recipes: the nearest boundary first, then all; other attacks; lengths that cross nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.checkpoints import load_classifier
from core.geometry.detection import DetectionExhibit
from core.images import load_images
from core.recipe import Recipe, RecipeError

QUICK = {"count": 4, "probes": 4, "classes": 2, "overshoots": "1.1"}


def made(analysis: str, models: tuple[str, ...] = ("demo:digits/standard",), **settings: Any) -> Recipe:
    return Recipe.make(analysis, models=models, images="demo:digits", rows=[0], settings={**QUICK, **settings})


def test_the_nearest_boundary_comes_first_and_all_boundaries_follow() -> None:
    told: list[tuple[float, Any]] = []
    recipe = made("detector")
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    result: Any = recipe.run([classifier], images, lambda part, partial=None: told.append((part, partial)))
    fractions = [part for part, _ in told]
    assert fractions == sorted(fractions)
    (early,) = [partial for _, partial in told if partial is not None]
    assert isinstance(early, DetectionExhibit)
    assert np.isnan(early.auc[:, 1]).all()
    assert np.isfinite(result.auc).all()
    assert result.attack.tolist() == ["overshoot"]
    assert result.changed.shape == (1, 4)
    drawn = [recipe.chart([each], [classifier], images) for each in (early, result)]
    assert [len(chart.legend) for chart in drawn] == [3, 4]
    assert drawn[0].name == "detector"


def test_other_attacks_are_drawn_beside() -> None:
    recipe = made("detector_attacks", classes=0)
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    result: Any = recipe.run([classifier], images, lambda part, partial=None: None)
    assert result.attack.tolist() == ["projected gradient", "shortest"]
    chart = recipe.chart([result], [classifier], images)
    assert chart.name == "detector_attacks"
    assert chart.panels[2].x.ticks is not None
    assert [words for _, words in chart.panels[2].x.ticks] == ["PGD\n1.1", "DDN"]


@pytest.mark.parametrize("lengths", ["1,2", "0.5"])
def test_lengths_that_cross_nothing_are_refused(lengths: str) -> None:
    with pytest.raises(RecipeError, match="overshoots: expected"):
        made("detector", overshoots=lengths)
