"""Every analysis says what to cite, and every key has its entry."""

from __future__ import annotations

import pytest

from core.analyses.table import TABLE
from core.exports.references import entries, references
from core.recipes.recipe import Recipe


def test_every_paper_has_its_entry_and_every_entry_is_used() -> None:
    cited = {key for analysis in TABLE.values() for key in analysis.papers}
    assert cited <= entries().keys()
    always = {"boundaryatlas", "paszke2019pytorch", "torchvision", "wightman2019timm"}
    assert entries().keys() - cited == always & entries().keys()
    assert always <= entries().keys()


@pytest.mark.parametrize("key", sorted(entries()))
def test_an_entry_is_whole(key: str) -> None:
    text = entries()[key]
    assert text.count("{") == text.count("}")
    assert "title = {" in text
    assert "author = {" in text


def test_a_model_brings_its_library() -> None:
    def of(model: str) -> tuple[str, ...]:
        return references(Recipe.make("limits", models=[model], images="demo:photos", rows=[3]))

    assert of("demo:photos/standard") == ("boundaryatlas", "paszke2019pytorch", *TABLE["limits"].papers)
    assert "wightman2019timm" in of("demo:photos/vit")
    assert "torchvision" in of("torchvision:resnet18")
    assert "torchvision" in of("untrained:torchvision:resnet18")
