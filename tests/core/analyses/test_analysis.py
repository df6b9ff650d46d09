"""The table of analyses: every entry is complete, can be run as a recipe, and its result is drawn and exported."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.analyses.analysis import thumbnails
from core.analyses.table import TABLE
from core.exports.kit import key_numbers
from core.exports.settings import used_settings
from core.exports.tables import data_bytes
from core.figures.drawing.paper import figure_bytes
from core.figures.drawing.screen import page_bytes
from core.images.load import load_images
from core.result import Result
from core.runtime.progress import silent
from tests import golden


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
    recipe, classifier, images = golden.question(name)
    result = recipe.run([classifier], images, silent)
    assert golden.differences(name, golden.kept(name), golden.kept_of(result)) == {}
    assert result.recipe == recipe.mapping()
    chart = recipe.chart([result], [classifier], images)
    assert chart.alt
    assert figure_bytes(chart, "svg", **recipe.paper()).startswith(b"<?xml")
    assert page_bytes(chart) == page_bytes(chart)
    assert type(Result.from_bytes(data_bytes(result, ".npz"))) is type(result)
    assert data_bytes(result, ".csv")
    if name != "direction_overlap":  # says nothing of one model
        said = key_numbers(recipe, result, classifier.class_names)
        assert len({each.name for each in said}) == len(said) > 0
    assert "default" not in " ".join(used_settings(recipe, [result]))


def test_thumbnails_of_grey_images_have_three_channels() -> None:
    shown = thumbnails(load_images("demo:digits")[[0, 1]])
    assert shown.shape[3] == 3
    assert shown.dtype == "uint8"
