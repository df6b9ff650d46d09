"""The detector as recipes: the nearest boundary first, then all; other attacks; lengths that cross nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import RecipeError
from core.geometry.boundary.deepfool import boundary_points
from core.geometry.detector.evaluation import PAIRS, DetectionExhibit
from core.geometry.detector.scores import detect_perturbed
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe

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


def test_pairs_of_anyones_attack_are_a_test_set(tmp_path: Path) -> None:
    classifier, demo = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")[range(8)]
    near = boundary_points(classifier, demo.pixels)
    away = torch.as_tensor(near.points - demo.pixels.numpy())
    factor = torch.tensor([1.1] * 7 + [0.5]).view(-1, 1, 1, 1)
    files = {"clean": demo.pixels, "adversarial": (demo.pixels + factor * away).clip(0, 1), "labels": demo.labels}
    np.savez(tmp_path / "attack.npz", **{name: np.asarray(values) for name, values in files.items()})
    images = load_images(tmp_path / "attack.npz")
    recipe = made("detector", perturbed_by="pairs", classes=0, count=50)
    assert Recipe.from_query("detector", recipe.query()) == recipe
    result: Any = recipe.run([classifier], images, lambda part, partial=None: None)
    assert result.attack.tolist() == [PAIRS]
    assert result.changed.shape == (1, 8)  # each pair once, and no adversarial image as a clean one
    assert result.changed.sum() <= 7
    assert result.auc_low[0, 0] <= result.auc[0, 0] <= result.auc_high[0, 0]
    direct = detect_perturbed(classifier, images.pixels[8:], probes=4, classes=0)
    np.testing.assert_allclose(
        result.score_nearest[0][result.changed[0]], direct.score_nearest[result.changed[0]], rtol=1e-5
    )
    chart = recipe.chart([result], [classifier], images)
    assert f"digits/standard {result.changed.sum()} of 8" in chart.caption
    assert "the adversarial image of each pair" in chart.caption
    assert chart.panels[2].x.ticks == ((0.0, "pairs"),)
    steps: Any = made("detector", classes=0, count=50).run([classifier], images, lambda part, partial=None: None)
    np.testing.assert_array_equal(steps.clean_nearest, result.clean_nearest)


def test_a_set_without_pairs_is_told() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    with pytest.raises(ValueError, match="expected pairs of clean and adversarial images, demo:digits holds none"):
        made("detector", perturbed_by="pairs").run([classifier], images, lambda part, partial=None: None)


@pytest.mark.parametrize("lengths", ["1,2", "0.5"])
def test_lengths_that_cross_nothing_are_refused(lengths: str) -> None:
    with pytest.raises(RecipeError, match="overshoots: expected"):
        made("detector", overshoots=lengths)
