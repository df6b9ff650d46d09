"""The command line writes figures, results and recipes, and makes each again out of any other, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.cli import main
from core.figures.paper import read_recipe
from core.geometry.slices import Slice
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
        (["slice", "--model", "net.safetensors", "--images", "1,2,3", "--out", "a.pdf"], "expected --image-set"),
        ([*SLICE, "--method", "clever", "--out", "a.pdf"], "expected one of adaptive, careful, full"),
        (["run", "no-such.pdf", "--out", "a.pdf"], "no-such.pdf"),
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


def test_an_unknown_ending_is_refused_before_anything_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*SLICE, "--out", "figure.docx"])
    assert "expected a file ending in .pdf, .svg, .png, .html, .npz, .csv, .json" in capsys.readouterr().err
