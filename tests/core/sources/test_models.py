"""A source is one line that says all, and reads back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import CheckpointError
from core.recipes.recipe import Recipe
from core.sources.models import OPTIONS, Source

VALUES = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=20)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(OPTIONS), VALUES), st.sampled_from(["upload", "timm", "module"]))
def test_every_source_reads_back(options: dict[str, str], kind: str) -> None:
    source = Source(kind, "ab12/cd.pt", options)
    text = source.text()
    assert "," not in text
    assert Source.parse(text) == source


@pytest.mark.parametrize(
    ("text", "kind", "place", "options"),
    [
        ("demo:photos/standard", "demo", "photos/standard", {}),
        ("torchvision:resnet50:IMAGENET1K_V2", "torchvision", "resnet50:IMAGENET1K_V2", {}),
        ("hf-hub:timm/resnet18.a1_in1k@abc", "hf-hub", "timm/resnet18.a1_in1k@abc", {}),
        ("a folder/net.pt", "file", "a folder/net.pt", {}),
        ("C:\\net.pt?size=32", "file", "C:\\net.pt", {"size": "32"}),
        ("what?.pt?size=32", "file", "what?.pt", {"size": "32"}),
        ("module:net.py:build?size=1x28x28", "module", "net.py:build", {"size": "1x28x28"}),
    ],
)
def test_different_sources_stay_different(text: str, kind: str, place: str, options: dict[str, str]) -> None:
    assert Source.parse(text) == Source(kind, place, options)


def test_an_existing_file_wins_over_options(tmp_path: Path) -> None:
    path = tmp_path / "net?size=32"
    path.touch()
    assert Source.parse(str(path)) == Source("file", str(path), {})


@pytest.mark.parametrize("text", ["net.pt?classes=3", "net.pt?size=1&size=2", "net.pt?size=", "upload:ab?trust=1"])
def test_unknown_options_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match="expected options out of arch, weights, size"):
        Source.parse(text)


@pytest.mark.parametrize(
    ("said", "size"), [("224", (None, 224, 224)), ("32x48", (None, 32, 48)), ("1x28x28", (1, 28, 28))]
)
def test_sizes_are_read(said: str, size: tuple[int | None, int, int]) -> None:
    assert Source("file", "net.pt", {"size": said}).size == size


@pytest.mark.parametrize("said", ["", "0", "-1", "5000", "3x3x3x3", "big", "1e3"])
def test_invalid_sizes_are_refused(said: str) -> None:
    with pytest.raises(CheckpointError, match="expected a size such as 224 or 3x224x224 pixels, got"):
        _ = Source("file", "net.pt", {"size": said}).size


@pytest.mark.parametrize("said", ["a/b", "nan", "inf/1", "/", "1//2"])
def test_invalid_numbers_are_refused(said: str) -> None:
    with pytest.raises(CheckpointError, match="expected numbers of mean such as"):
        Source("file", "net.pt", {"mean": said}).numbers("mean")


def test_recipes_and_links_hold_a_source() -> None:
    source = Source(
        "upload", "0" * 32, {"arch": "torchvision:resnet18", "names": "cat, big/dog", "name": "mine"}
    ).text()
    made = Recipe.make("slice", models=[source], images="demo:photos@64", rows=[1, 2, 3])
    assert Recipe.from_query("slice", made.query()) == made
    assert Recipe.parse(made.json()) == made


def test_the_depth_of_nested_nulls_is_limited() -> None:
    deep = Source.parse("untrained:" * 8 + "demo:photos/vit")
    assert deep.trained.text() == "demo:photos/vit"
    for count in (9, 200, 20_000):
        for null in ("untrained:", "untrained:7:", "linearised:", "analytic:ball:"):
            with pytest.raises(CheckpointError, match=f"^expected at most 8 nulls around a model, got {count}; name"):
                Source.parse(null * count + "demo:photos/vit")
