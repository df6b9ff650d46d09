"""The command line writes figures, results and recipes, and makes each again out of any other, byte for byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import main
from core.figures.paper import read_recipe
from core.gallery import exhibit, gallery
from core.geometry.slices import Slice
from core.recipe import Recipe
from core.result import Result

SLICE = ["slice", "--model", "demo:photos/standard", "--images", "3,17,42", "--resolution", "64"]


@pytest.fixture(scope="module")
def pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("figures") / "fig.pdf"
    assert main([*SLICE, "--out", str(path)]) == 0
    return path


@pytest.mark.parametrize("ending", ["pdf", "svg", "png", "html", "npz", "csv", "json"])
def test_every_file_makes_every_other_again(pdf: Path, ending: str, tmp_path: Path) -> None:
    first, second, back = (tmp_path / name for name in (f"a.{ending}", f"b.{ending}", "back.pdf"))
    assert main([*SLICE, "--out", str(first)]) == 0
    assert main(["run", str(pdf), "--out", str(second)]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert main(["run", str(first), "--out", str(back)]) == 0
    assert back.read_bytes() == pdf.read_bytes()
    assert read_recipe(first) == read_recipe(pdf)


def test_the_result_holds_numbers_and_their_recipe(tmp_path: Path) -> None:
    path = tmp_path / "slice.npz"
    assert main([*SLICE, "--out", str(path)]) == 0
    result = Result.load(path)
    assert isinstance(result, Slice)
    assert result.label.shape == (64, 64)
    assert result.recipe is not None
    assert result.recipe["images"] == {"source": "demo:photos", "rows": [3, 17, 42]}


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_the_numbers_of_two_models_share_a_file_that_makes_the_picture_again(ending: str, tmp_path: Path) -> None:
    numbers, figure = tmp_path / f"both.{ending}", tmp_path / "both.svg"
    arguments = [*SLICE, "--model", "demo:photos/standard-1", "--resolution", "16"]
    assert main([*arguments, "--out", str(numbers)]) == 0
    models = ["demo:photos/standard", "demo:photos/standard-1"]
    assert read_recipe(numbers)["models"] == models
    if ending == "csv":
        rows = numbers.read_text(encoding="utf-8").splitlines()[2:]
        assert [row.partition(",")[0] for row in rows] == [models[0]] * 256 + [models[1]] * 256
    assert main(["run", str(numbers), "--out", str(figure)]) == 0
    assert read_recipe(figure) == read_recipe(numbers)


def test_settings_of_the_figure_change_the_figure(pdf: Path, tmp_path: Path) -> None:
    other = tmp_path / "wide.pdf"
    assert main([*SLICE, "--width", "183", "--shading", "entropy", "--out", str(other)]) == 0
    assert other.read_bytes() != pdf.read_bytes()
    assert read_recipe(other)["figure"]["width"] == 183.0


def test_two_models_stand_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "both.svg"
    assert main([*SLICE, "--model", "demo:photos/standard-1", "--out", str(path)]) == 0
    text = path.read_text()
    assert "photos/standard-1" in text
    assert len(read_recipe(path)["models"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SLICE[:3], "--images", "3,17", "--out", "a.pdf"], "expected 3 images for slice, got 2"),
        ([*SLICE[:3], "--images", "3,17,9999", "--out", "a.pdf"], "expected rows below 540"),
        ([*SLICE[:3], "--images", "3,3,17", "--out", "a.pdf"], "two that are equal"),
        (
            ["slice", "--model", "demo:no", "--images", "1,2,3", "--out", "a.pdf"],
            "expected one of demo:photos/standard",
        ),
        (
            ["slice", "--model", "demo:photos/standrad", "--images", "1,2,3", "--out", "a.pdf"],
            "expected one of demo:photos/standard, demo:photos/standard-2, demo:photos/standard-1 or 21 others",
        ),
        (["slice", "--model", "net.safetensors", "--images", "1,2,3", "--out", "a.pdf"], "expected --image-set"),
        ([*SLICE, "--method", "clever", "--out", "a.pdf"], "expected one of adaptive, careful, full"),
        (["run", "no-such.pdf", "--out", "a.pdf"], "no-such.pdf"),
        (["run", "no-such", "--out", "a.pdf"], "expected a file or one of few_pixels, frequency"),
        (["run", "limts", "--out", "a.pdf"], "expected a file or one of limits or 13 others, got 'limts'"),
        (["run", "limits", "--out", "limits.docx"], "expected a file ending in .pdf"),
        (["run", "limits", "--set", "side", "--out", "a.pdf"], "expected --set NAME=VALUE, got 'side'"),
        (["run", "limits", "--set", "size=3", "--out", "a.pdf"], "expected settings of limits"),
        (["run", "limits", "--set", "bits=many", "--out", "a.pdf"], "bits: expected a number from"),
        (["show", "limits", "--set", "rows=-1"], "rows: expected a number"),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_every_recipe_that_comes_along_is_listed_under_its_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {each.name} " in said and each.line in said for each in gallery())
    assert [said.count(f"\n{paper} (") for paper in {each.paper for each in gallery()}] == [1] * 5
    assert said.count("VISAPP 2017") == 1
    asked = "main(['list']); main(['show', 'limits'])"
    light = f"import sys; from core.cli import main; {asked}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", light], check=True, capture_output=True)


def test_a_recipe_is_shown_with_other_values_and_read_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    changes = ["--set", "bits=2", "--set", "font-size=10", "--set", "models=demo:digits/standard,demo:digits/prime"]
    assert main(["show", "limits", *changes]) == 0
    printed = capsys.readouterr()
    assert "bits: 2 bits per value. Bit depth: every value" in printed.err
    shown = Recipe.parse(printed.out)
    assert shown.models == ("demo:digits/standard", "demo:digits/prime")
    assert (shown.parameters["bits"], shown.figure["font_size"]) == (2, 10.0)
    assert shown.rows == exhibit("limits").recipe.rows
    assert main(["run", "limits", *changes, "--out", str(tmp_path / "again.svg")]) == 0
    assert read_recipe(tmp_path / "again.svg") == shown.mapping()


def test_a_folder_of_recipes_makes_a_folder_of_figures_and_tells_which_cannot(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder, out = tmp_path / "recipes", tmp_path / "figures"
    folder.mkdir()
    mapping = exhibit("limits").recipe.mapping()
    for name, changed in {"a": {}, "b": {"recipe": 99}, "c": {"version": 99}, "d": {}}.items():
        (folder / f"{name}.json").write_text(json.dumps(mapping | changed))
    assert main(["run", str(folder), "--set", "bits=3", "--out", str(out), "--ending", ".svg"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line[: len("error: b.json: ")] for line in errors] == ["error: b.json: ", "error: c.json: "]
    assert "made by another version" in errors[0]
    assert "make the figure anew from its settings" in errors[1]
    assert sorted(path.name for path in out.iterdir()) == ["a.svg", "d.svg"]
    assert read_recipe(out / "d.svg")["parameters"]["bits"] == 3
    assert main(["run", str(folder), "--out", str(out / "one.pdf")]) == 1
    assert "expected --out FOLDER" in capsys.readouterr().err


def test_an_unknown_ending_is_refused_before_anything_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*SLICE, "--out", "figure.docx"])
    assert "expected a file ending in .pdf, .svg, .png, .html, .npz, .csv, .json" in capsys.readouterr().err


UNSTEADY = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, random):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4, track_running_stats=random)
        self.last, self.random = nn.Linear(3600, 10), random

    def forward(self, images):
        hidden = self.norm(self.first(images)).relu()
        hidden = nn.functional.dropout(hidden, 0.5, training=True) if self.random else hidden
        return self.last(hidden.flatten(1))


def drops():
    return Net(True)


def mixes():
    return Net(False)
"""


@pytest.mark.parametrize(
    ("factory", "said"), [("drops", "It draws at random or keeps a state"), ("mixes", "The batch changes the answer")]
)
def test_a_model_without_a_boundary_is_drawn_with_a_warning(
    factory: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(UNSTEADY)
    model = f"module:{tmp_path}/net.py:{factory}?size=3x32x32&preset=none&name=mine"
    arguments = ["slice", "--model", model, "--image-set", "demo:photos", "--images", "3,17,42", "--resolution", "16"]
    figure = tmp_path / "figure.html"
    assert main([*arguments, "--out", str(figure)]) == 0
    spoken = capsys.readouterr()
    (warning,) = spoken.err.splitlines()
    assert warning.startswith("warning: mine: ")
    assert f"{said}, so no boundary is defined." in warning
    assert spoken.out.count("so no boundary is defined.") == 1
    assert said in figure.read_text(encoding="utf-8")


def test_a_steady_model_has_no_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SLICE, "--resolution", "16", "--out", str(tmp_path / "figure.svg")]) == 0
    spoken = capsys.readouterr()
    assert spoken.err == ""
    assert "no boundary is defined" not in spoken.out
