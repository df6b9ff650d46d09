"""Local properties as recipes: several models on one plane and one scale, other images of the set, picked points."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.analyses.analysis import ChartInputs
from core.analyses.table.local import LOCAL
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.runtime.progress import silent

MODELS = ["demo:digits/standard", "demo:digits/adversarial"]
QUICK: dict[str, dict[str, Any]] = {
    "local": {"count": 8, "permutations": 9},
    "local_layers": {"others": 1, "directions": 4},
    "local_sweep": {"others": 2, "directions": 4, "radii": (0.1, 0.5)},
    "adversarial_comparison": {"others": 3},
}


def made(analysis: str, models: list[str] = MODELS, rows: list[int] | None = None, **settings: Any) -> Recipe:
    chosen = {**QUICK[analysis], **settings}
    return Recipe.make(analysis, models=models, images="demo:digits", rows=rows or [5], settings=chosen)


def run(recipe: Recipe) -> tuple[list[Any], list[Any], Any]:
    images = load_images("demo:digits")
    classifiers = [load_classifier(source, "cpu") for source in recipe.models]
    results: list[Any] = [
        part.run([classifiers[recipe.models.index(source)] for source in part.models], images, silent)
        for part in recipe.parts()
    ]
    return results, classifiers, images


def test_models_share_the_plane_of_the_first_and_their_scales() -> None:
    recipe = made("local")
    results, classifiers, images = run(recipe)
    assert results[0].x_label == results[1].x_label
    assert results[0].lipschitz_point[0] > results[1].lipschitz_point[0]  # adversarial training flattens
    chart = recipe.chart(results, classifiers, images)
    assert [panel.y.limits for panel in chart.panels[:2]] == [chart.panels[0].y.limits] * 2
    alone = LOCAL.chart(
        ChartInputs(results=results[:1], classifiers=classifiers[:1], images=images, rows=(5,), shared_scale=results),
        show="plane",
        palette="muted",
    )
    assert alone.panels[0].y.limits == chart.panels[0].y.limits
    for show, panels in (("distances", 6), ("directions", 4)):
        assert len(recipe.with_settings(show=show).chart(results, classifiers, images).panels) == panels


def test_other_images_are_the_same_ones_for_every_model() -> None:
    for analysis, count in (("local_sweep", 3), ("adversarial_comparison", 4)):
        results, classifiers, images = run(made(analysis))
        np.testing.assert_array_equal(results[0].row, results[1].row)
        assert results[0].row[0] == 5
        assert len(set(results[0].row.tolist())) == count
        assert made(analysis).chart(results, classifiers, images).panels
    layers, classifiers, images = run(made("local_layers", layers="2, 10"))
    assert layers[0].layers == ("2", "10")
    assert layers[0].mantel_raw.shape == (2, 2)
    assert len(made("local_layers").chart(layers, classifiers, images).panels) == 8


def test_the_reference_enters_the_key_where_it_lays_the_plane() -> None:
    images = load_images("demo:digits")
    first, second = (load_classifier(source, "cpu") for source in MODELS)

    def key(reference: Any, rows: list[int], **settings: Any) -> str | None:
        recipe = made("local", rows=rows, **settings)
        return key_of(
            recipe.parts()[1], [reference, second] if len(recipe.parts()[1].models) == 2 else [second], images
        )

    assert key(first, [5]) != key(second, [5])
    at = {"plane": "images", "at": (0.1, 0.2)}
    three = [5, 9, 14]
    assert len(made("local", rows=three, **at).parts()[1].models) in (1, 2)
    assert key(first, three, **at) != key(first, three, plane="images", at=(0.1, 0.3))
