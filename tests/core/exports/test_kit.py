"""The paper kit: every word of it is read off the result, every table line parses, and the kit opens as an export."""

from __future__ import annotations

import copy
import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pypdf
import pytest
from scipy.stats import binomtest

from core.analyses.table import TABLE
from core.cli import main
from core.exports.kit import _bootstrap, _cells, methods, numbers
from core.exports.references import references
from core.figures.drawing.glyphs import readable
from core.figures.drawing.paper import read_recipe
from core.recipes.gallery import exhibit
from core.recipes.recipe import Recipe
from core.recipes.run import RecipeRun, run_recipe
from core.result import Number
from core.wording import latex, names


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RecipeRun:
    recipe = Recipe.make(
        "slice",
        models=["demo:photos/standard", "untrained:demo:photos/vit"],
        images="demo:photos",
        rows=[3, 17, 42],
        settings={"resolution": 32},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOUNDARY_ATLAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return run_recipe(recipe, device="cpu")


@pytest.fixture(scope="module")
def kit(made: RecipeRun) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(made.file(".zip"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_kit_holds_everything_and_is_the_same_each_time(made: RecipeRun, kit: dict[str, bytes]) -> None:
    assert list(kit) == ["figure.pdf", "caption.txt", "methods.tex", "numbers.tex", "references.bib", "recipe.json"]
    assert kit["figure.pdf"] == made.file(".pdf")
    assert kit["caption.txt"].decode().strip() == made.chart.caption
    assert made.file(".zip") == made.file(".zip")
    assert read_recipe(made.file(".zip")) == made.recipe.mapping()


def test_the_paragraph_says_what_was_done_and_cites_what_is_there(made: RecipeRun, kit: dict[str, bytes]) -> None:
    said = kit["methods.tex"].decode()
    assert said.startswith(f"% {made.recipe.definition.question}\n")
    assert "plane images; extent -" in said  # where the default came to lie, and no directions, which it does not have
    assert all(one.name.replace("_", r"\_") in said and one.fingerprint[:12] in said for one in made.classifiers)
    assert "resolution 32 (points per side)" in said
    forwards = sum(result.forwards for result in made.results)
    assert f"It took {forwards} forwards and 0 gradients" in said
    cited = {key for group in re.findall(r"\\cite\{([^}]*)\}", said) for key in group.split(",")}
    there = set(re.findall(r"^@\w+\{([^,]+),", kit["references.bib"].decode(), re.MULTILINE))
    assert cited <= there
    assert "wightman2019timm" in there  # the transformer is built by it
    assert "version = {0.1.0}" in kit["references.bib"].decode()


def test_every_line_of_the_table_has_its_columns(made: RecipeRun, kit: dict[str, bytes]) -> None:
    table = kit["numbers.tex"].decode()
    assert table.startswith("% Boundary Atlas; Boundary Atlas 0.1.0, Python 3.")
    assert "torch 2." in table
    lines = [line for line in table.splitlines() if line.endswith(r"\\")]
    columns = {len(re.findall(r"(?<!\\)&", line)) for line in lines}
    assert columns == {6}
    for one, cut in zip(made.classifiers, made.results, strict=True):  # its classes, side, step and angle
        assert sum(line.startswith(f"{one.name} &") for line in lines) == len(np.unique(cut.label)) + 3
    assert table.count("{") == table.count("}")


def test_numbers_and_intervals_are_those_of_closed_forms() -> None:
    values = np.arange(400) / 399
    name, unit, n, mean, interval, median = _cells(Number(name="d", value=np.append(values, np.nan), unit="ℓ2 pixel"))
    assert (name, unit, n, mean, median) == ("d", "ℓ2 pixel", "400", "0.5", "0.5")
    low, high = (float(end) for end in interval.strip("[]").split(", "))
    half = 1.96 * values.std() / 20  # of the mean of 400 samples
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.1 * half)
    wilson = binomtest(300, 401).proportion_ci(method="wilson")
    between = f"[{wilson.low:.4g}, {wilson.high:.4g}]"
    share = Number(name="found", value=np.arange(401) < 300)
    assert _cells(share) == ("found (share)", "", "401", f"{300 / 401:.4g}", between, "")
    assert _cells(Number(name="a", value=0.25, interval=(0.1, 0.5))) == ("a", "", "", "0.25", "[0.1, 0.5]", "")
    assert _cells(Number(name="one", value=np.array([7.0]))) == ("one", "", "", "7", "", "")


def test_a_slice_is_given_by_the_shares_of_its_classes(made: RecipeRun, kit: dict[str, bytes]) -> None:
    cut, one = made.results[0], made.classifiers[0]
    table = kit["numbers.tex"].decode()
    for k in np.unique(cut.label):
        share = f"{(cut.label == k).mean():.4g}"
        assert f"photos/standard & share of {one.class_names[k]} &  &  & {share} &  &" in table
    assert not re.search(r"& (x|y|u|v|origin|logits) &", table)


def test_limits_name_no_classifier_and_the_format_that_they_hold_for() -> None:
    followed = run_recipe(exhibit("limits").recipe, device="cpu")
    said, table = methods(followed), numbers(followed)
    assert "No classifier was asked" in said
    assert "Classifiers:" not in said
    assert r"side 32 (pixels); channels 3 (values per pixel); bits 8 (bits per value); norm $\ell$0;" in said
    assert "keeps more than 0.01 of a class & values changed &  & 122 &" in table


def test_one_sample_has_no_interval() -> None:
    assert _bootstrap(np.array([2.0, np.nan])) == (2.0, "")


def test_all_words_of_the_table_of_analyses_can_be_set() -> None:
    for analysis in TABLE.values():
        words = [analysis.question, *(entry.unit for entry in analysis.parameters)]
        for word in words:
            strange = [sign for sign in word if not sign.isascii() and not latex(sign)]
            assert not strange, (analysis.name, strange)
    assert latex("a_b & 3 % of ℓ2") == r"a\_b \& 3 \% of $\ell$2"


def test_libraries_are_cited_where_models_come_from_them() -> None:
    recipe = exhibit("limits").recipe
    asked = Recipe.make(
        recipe.analysis,
        models=["upload:ab?arch=timm:resnet18", "untrained:torchvision:resnet18:untrained"],
        images="demo:photos",
        rows=[1],
    )
    assert {"wightman2019timm", "torchvision"} <= set(references(asked))
    assert not {"wightman2019timm", "torchvision"} & set(references(recipe))


def test_the_command_line_writes_a_kit_and_makes_the_figure_again(tmp_path: Path) -> None:
    assert main(["run", "limits", "--out", str(tmp_path / "kit.zip")]) == 0
    assert main(["run", str(tmp_path / "kit.zip"), "--out", str(tmp_path / "again.pdf")]) == 0
    with zipfile.ZipFile(tmp_path / "kit.zip") as archive:
        assert archive.read("figure.pdf") == (tmp_path / "again.pdf").read_bytes()


def test_joint_results_stand_in_one_table(made: RecipeRun) -> None:
    alone = RecipeRun(
        recipe=made.recipe, results=made.results[:1], classifiers=made.classifiers[:1], images=made.images
    )
    lines = [line for line in numbers(alone).splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {5}


def test_classes_of_any_letters_are_told_apart_in_every_file_of_the_kit(made: RecipeRun) -> None:
    one = copy.copy(made.classifiers[0])
    traps = ("猫", "犬", "ñandú", "🙂", "\uff3cinput{x}", "=1+1", "[x]", "*", "a & b")
    one.class_names = names(traps, "class")
    recipe = replace(made.recipe, models=made.recipe.models[:1])
    named = RecipeRun(recipe=recipe, results=made.results[:1], classifiers=[one], images=made.images)
    seen = [one.class_names[k] for k in np.unique(made.results[0].label)]
    with zipfile.ZipFile(io.BytesIO(named.file(".zip"))) as archive:
        kit = {name: archive.read(name) for name in archive.namelist()}
    table = kit["numbers.tex"].decode("ascii")
    shares = re.findall(r"^share of (.*?) &", table, re.MULTILINE)
    assert sorted(shares) == sorted(map(latex, seen))
    assert len(set(shares)) == len(seen) > 2
    figure = pypdf.PdfReader(io.BytesIO(kit["figure.pdf"])).pages[0].extract_text()
    assert all(readable(word) in figure for word in seen)
    caption = kit["caption.txt"].decode()
    assert all(f"{word} as {readable(word)}" in caption for word in seen if word in ("猫", "犬", "🙂"))


def test_no_line_of_a_table_begins_with_an_option_of_the_line_break(made: RecipeRun) -> None:
    both = [copy.copy(one) for one in made.classifiers]
    both[0].name, both[1].name = "[2cm]", "*"
    named = RecipeRun(recipe=made.recipe, results=made.results, classifiers=both, images=made.images)
    lines = numbers(named).splitlines()
    assert not any(line.startswith(("[", "*")) for line in lines)
    assert sum(line.startswith(("{}[2cm] &", "{}* &")) for line in lines) > 6
