"""The paper kit: every word of it is read off the result, every table line parses, and the kit opens as an export."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from core.analyses import TABLE
from core.cli import main
from core.figures.paper import read_recipe
from core.followed import Followed, follow
from core.gallery import exhibit
from core.kit import _bootstrap, _rows, latex, numbers
from core.recipe import Recipe
from core.references import METHODS, entries, references
from core.result import Result, quantity


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    recipe = Recipe.make(
        "slice",
        models=["demo:photos/standard", "untrained:demo:photos/vit"],
        images="demo:photos",
        rows=[3, 17, 42],
        settings={"resolution": 32},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOUNDARY_ATLAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return follow(recipe, device="cpu")


@pytest.fixture(scope="module")
def kit(made: Followed) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(made.file(".zip"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_kit_holds_everything_and_is_the_same_each_time(made: Followed, kit: dict[str, bytes]) -> None:
    assert list(kit) == ["figure.pdf", "caption.txt", "methods.tex", "numbers.tex", "references.bib", "recipe.json"]
    assert kit["figure.pdf"] == made.file(".pdf")
    assert kit["caption.txt"].decode().strip() == made.chart.caption
    assert made.file(".zip") == made.file(".zip")
    assert read_recipe(made.file(".zip")) == made.recipe.mapping()


def test_the_paragraph_says_what_was_done_and_cites_what_is_there(made: Followed, kit: dict[str, bytes]) -> None:
    said = kit["methods.tex"].decode()
    assert made.recipe.definition.question in said
    assert all(one.name.replace("_", r"\_") in said and one.fingerprint[:12] in said for one in made.classifiers)
    assert "resolution 32 (points per side)" in said
    forwards = sum(result.forwards for result in made.results)
    assert f"It took {forwards} forwards and 0 gradients" in said
    cited = {key for group in re.findall(r"\\cite\{([^}]*)\}", said) for key in group.split(",")}
    there = set(re.findall(r"^@\w+\{([^,]+),", kit["references.bib"].decode(), re.MULTILINE))
    assert cited <= there
    assert "wightman2019timm" in there  # the transformer is built by it
    assert "version = {0.1.0}" in kit["references.bib"].decode()


def test_every_line_of_the_table_has_its_columns(kit: dict[str, bytes]) -> None:
    table = kit["numbers.tex"].decode()
    assert table.startswith("% Boundary Atlas; Boundary Atlas 0.1.0, Python 3.")
    assert "torch 2." in table
    lines = [line for line in table.splitlines() if line.endswith(r"\\")]
    columns = {len(re.findall(r"(?<!\\)&", line)) for line in lines}
    assert columns == {6}
    assert sum("photos/vit, untrained" in line for line in lines) == sum("photos/standard &" in line for line in lines)
    assert table.count("{") == table.count("}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured(Result):
    """A result whose numbers are known."""

    distance: np.ndarray = quantity("ℓ2 pixel", "n")
    found: np.ndarray = quantity("", "n")
    label: np.ndarray = quantity("", "n")
    pixels: np.ndarray = quantity("pixels", "n")
    curve: np.ndarray = quantity("logit", "step")
    share: float = quantity("")


def test_numbers_and_intervals_are_those_of_closed_forms() -> None:
    values = np.arange(400) / 399
    rows = {
        name: cells
        for name, *cells in _rows(
            Measured(
                distance=np.append(values, np.nan),
                found=np.arange(401) < 300,
                label=np.zeros(401, int),
                pixels=np.full(401, 7),
                curve=np.array([1.0, 3.0]),
                share=0.25,
                forwards=10,
                gradients=0,
                seconds=1.0,
            )
        )
    }
    assert "label" not in rows
    assert "seconds" not in rows
    assert rows["distance"][:3] == ["ℓ2 pixel", "400", "0.5"]
    low, high = (float(end) for end in rows["distance"][3].strip("[]").split(", "))
    half = 1.96 * values.std() / 20  # of the mean of 400 samples
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.1 * half)
    wilson = binomtest(300, 401).proportion_ci(method="wilson")
    assert rows["share found"][2:4] == [f"{300 / 401:.4g}", f"[{wilson.low:.4g}, {wilson.high:.4g}]"]
    assert rows["pixels"] == ["pixels", "401", "7", "[7, 7]", "7"]
    assert rows["curve"] == ["logit", "2", "2", "", "2"]
    assert rows["share"] == ["", "", "0.25", "", ""]


def test_one_sample_has_no_interval() -> None:
    assert _bootstrap(np.array([2.0, np.nan])) == (2.0, "")


def test_all_words_of_the_table_of_analyses_can_be_set() -> None:
    for analysis in TABLE.values():
        words = [analysis.question, *(entry.unit for entry in analysis.parameters)]
        for word in words:
            strange = [sign for sign in word if not sign.isascii() and not latex(sign)]
            assert not strange, (analysis.name, strange)
    assert latex("a_b & 3 % of ℓ2") == r"a\_b \& 3 \% of $\ell$2"


def test_every_analysis_has_its_references_and_every_reference_is_used() -> None:
    assert set(METHODS) == set(TABLE)
    used = {key for keys in METHODS.values() for key in keys}
    always = {"boundaryatlas", "paszke2019pytorch", "torchvision", "wightman2019timm", "modas2022prime"}
    assert used | always == set(entries())
    for text in entries().values():
        assert text.isascii()
        assert text.count("{") == text.count("}")
        assert "title = {" in text


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


def test_joint_results_stand_in_one_table(made: Followed) -> None:
    alone = Followed(recipe=made.recipe, results=made.results[:1], classifiers=made.classifiers[:1], images=made.images)
    lines = [line for line in numbers(alone).splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {5}
