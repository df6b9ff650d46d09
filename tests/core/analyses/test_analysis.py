"""The table of analyses: every entry is complete, can be run as a recipe, and its result is drawn and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.analyses import TABLE, thumbnails
from core.checkpoints import load_classifier
from core.compute import silent
from core.figures.paper import figure_bytes
from core.figures.screen import page_bytes
from core.headlines import headlines
from core.images import load_images
from core.recipe import Recipe
from core.result import Result
from core.settings import used_settings
from core.tables import data_bytes

QUICK: dict[str, dict[str, Any]] = {
    "curvature": {"spectrum": "ends", "keep": 4, "count": 1},
    "curvature_section": {"resolution": 16},
    "curvature_walk": {"steps": 9},
    "curvature_scale": {},
    "slice": {"resolution": 32},
    "profile": {"rays": 16},
    "fragmentation": {"planes": 3, "resolution": 8},
    "margins": {"block": 16, "count": 2, "slides": 1},
    "margin_curve": {"stride": 12, "count": 2, "slides": 1},
    "level_set": {"steps": 6},
    "level_triangle": {"steps": 6, "resolution": 4},
    "level_star": {"steps": 6, "count": 3, "directions": 4},
    "sparse": {},
    "pixel": {"row": 5, "column": 7, "resolution": 8},
    "supports": {"count": 3, "seeds": 1, "draws": 20},
    "race": {"count": 2},
    "transfer": {"count": 2, "steps": 2},
    "severity": {"steps": 3},
    "corruption": {"corruptions": "contrast,jpeg", "count": 3},
    "noise": {"count": 2, "draws": 2},
    "augmentation": {"draws": 1},
    "path": {},
    "region_graph": {"count": 4},
    "local": {"count": 8, "permutations": 9},
    "local_layers": {"others": 1, "directions": 4},
    "local_sweep": {"others": 1, "directions": 4, "radii": (0.1, 0.5)},
    "local_kinds": {"others": 3},
    "shared_directions": {"count": 2, "directions": 2, "noise": 1},
    "direction_sensitivity": {"count": 2, "directions": 2, "draws": 2},
    "direction_overlap": {"count": 2, "directions": 2},
    "detector": {"count": 3, "overshoots": [1.1], "classes": 0, "probes": 2},
    "detector_attacks": {"count": 3, "overshoots": [1.1], "classes": 1, "probes": 2},
    "limits": {},
    "survival": {"count": 5, "draws": 100, "walks": 1},
    "painting": {},
    "enumeration": {"pixels": 2},
    "overlay": {"orders": 1},
    "map": {"count": 30, "resolution": 6, "seeds": 1, "curved": 2},
    "map_path": {"count": 30, "steps": 3},
}


@pytest.mark.parametrize("name", TABLE)
def test_every_setting_is_explained_and_every_view_is_there(name: str, checkout: Path) -> None:
    analysis = TABLE[name]
    settings = (*analysis.parameters, *analysis.figure_settings)
    assert len({entry.name for entry in settings}) == len(settings)
    assert all(entry.help.endswith(".") for entry in settings)
    assert analysis.question.endswith("?")
    assert (checkout / "dashboard" / "views" / f"{analysis.view}.py").is_file()


@pytest.mark.parametrize("name", TABLE)
def test_every_analysis_runs_and_is_drawn_and_exported(name: str) -> None:
    settings = {**{entry.name: entry.default for entry in TABLE[name].parameters}, **QUICK[name]}
    rows = [3, 17, 42, 60][: max(1, TABLE[name].images(settings)[0])]
    recipe = Recipe.make(name, models=["demo:photos/standard"], images="demo:photos", rows=rows, settings=QUICK[name])
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    result = recipe.run([classifier], images, silent)
    assert result.recipe == recipe.mapping()
    chart = recipe.chart([result], [classifier], images)
    assert chart.alt
    assert figure_bytes(chart, "svg", **recipe.paper()).startswith(b"<?xml")
    assert page_bytes(chart) == page_bytes(chart)
    assert type(Result.from_bytes(data_bytes(result, ".npz"))) is type(result)
    assert data_bytes(result, ".csv")
    if name != "direction_overlap":  # says nothing of one model
        said = headlines(recipe, result, [classifier])
        assert len({each.name for each in said}) == len(said) > 0
    assert "default" not in " ".join(used_settings(recipe, [result]))


def test_thumbnails_of_grey_images_have_three_channels() -> None:
    shown = thumbnails(load_images("demo:digits")[[0, 1]])
    assert shown.shape[3] == 3
    assert shown.dtype == "uint8"
