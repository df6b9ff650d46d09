"""The command line writes figures, results and recipes, and makes each again out of any other, byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import main
from core.figures.drawing.paper import read_recipe
from core.geometry.planes.slices import Slice
from core.recipes.gallery import exhibit, gallery
from core.recipes.recipe import Recipe
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


RAISING = """
import torch
from torch import nn
{more}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3072, 3)
        self.calls = 0
    def forward(self, x):
        self.calls += 1
        if self.calls > 6:
            {what}
        return self.layer(x.flatten(1))
def net():
    return Net()
"""
REPORT = ["report", "--images", "demo:photos", "--rows", "3,17,42"]


def raising(folder: Path, what: str, more: str = "") -> str:
    """The source of a model whose own code does something after it was loaded."""
    path = folder / "raising.py"
    path.write_text(RAISING.format(what=what, more=more), encoding="utf-8")
    return f"module:{path}:net?size=3x32x32"


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("raise RuntimeError('mat1 and mat2\\n  do not fit')", "RuntimeError: mat1 and mat2 do not fit"),
        ("raise ValueError('too many values to unpack')", "ValueError: too many values to unpack"),
        ("raise KeyError", "KeyError"),
        ("assert False, 'x' * 9999", "AssertionError: xxx"),
        ("raise MemoryError", "MemoryError"),
        ("raise type('Odd', (BaseException,), {})('no')", "Odd: no"),
        ("raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})", "Mute"),
        ("raise RuntimeError('\\x1b[2J\\u202ehidden')", "RuntimeError: [2Jhidden"),
    ],
)
def test_a_model_that_raises_ends_in_one_sentence(
    what: str, told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "a.svg"
    out.write_bytes(b"older")
    arguments = [
        "slice",
        "--model",
        raising(tmp_path, what),
        "--image-set",
        "demo:photos",
        *SLICE[3:],
        "--out",
        str(out),
    ]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {told}")
    assert error.endswith("; add --debug for the traceback\n")
    assert error.count("\n") == 1
    assert len(error) < 400
    assert out.read_bytes() == b"older"
    for debugged in (["--debug", *arguments], [*arguments, "--debug"]):
        assert main(debugged) == 1
        error = capsys.readouterr().err
        assert "Traceback (most recent call last)" in error
        assert "raising.py" in error
        assert error.splitlines()[-1].startswith(f"error: {told}")
        assert "add --debug" not in error


def test_one_that_raises_stops_neither_a_folder_nor_a_report_nor_a_series(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder, out = tmp_path / "recipes", tmp_path / "figures"
    folder.mkdir()
    bad = raising(tmp_path, "raise RuntimeError('no')")
    cut = Recipe.make("slice", models=[bad], images="demo:photos", rows=[3, 17, 42], settings={"resolution": 16})
    (folder / "a.json").write_text(cut.json())
    (folder / "b.json").write_text(exhibit("limits").recipe.json())
    assert main(["run", str(folder), "--out", str(out), "--ending", ".svg", "--trust"]) == 1
    assert capsys.readouterr().err == "error: a.json: RuntimeError: no; add --debug for the traceback\n"
    assert [path.name for path in out.iterdir()] == ["b.svg"]
    page = tmp_path / "report.html"
    assert main([*REPORT, "--model", bad, "--only", "limits,slice", "--out", str(page)]) == 0
    assert "No picture: RuntimeError: no" in page.read_text()
    capsys.readouterr()
    models = f"{bad},demo:photos/standard"
    (folder / "c.json").write_text(cut.with_settings().json())
    assert main(["series", str(folder / "c.json"), "--models", models, "--out", str(tmp_path / "s")]) == 1
    assert "RuntimeError: no" in capsys.readouterr().err
    assert len(list((tmp_path / "s").iterdir())) == 1


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal, whoever started the tests
from core.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("debug", [False, True])
def test_an_interrupt_ends_in_one_sentence_and_leaves_the_older_file(debug: bool, tmp_path: Path) -> None:
    out = tmp_path / "a.svg"
    out.write_bytes(b"older")
    model = raising(tmp_path, "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", "import os, signal, time")
    arguments = ["slice", "--model", model, "--image-set", "demo:photos", *SLICE[3:], "--out", str(out)]
    command = [sys.executable, "-c", INTERRUPTED, *arguments, *(["--debug"] if debug else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 130
    *before, last = done.stderr.splitlines()
    assert last == "error: interrupted; what was not finished is not written"
    assert any("Traceback" in line for line in before) == debug
    assert debug or not before
    assert out.read_bytes() == b"older"
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"a.svg", "raising.py"}


INTERRUPTED_EARLY = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)

class Interrupts:
    def find_spec(name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts)
runpy.run_module("core.cli", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("module", ["argparse", "core.errors", "numpy", "core.reproduce"])
def test_an_interrupt_while_the_program_starts_ends_in_the_same_sentence(module: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED_EARLY, module, "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (130, "error: interrupted; what was not finished is not written\n")


def test_a_reader_that_has_gone_is_no_error() -> None:
    code = "import sys; from core.cli import main; sys.exit(main(['list']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


def test_words_that_a_terminal_lacks_are_no_error(tmp_path: Path) -> None:
    out = tmp_path / "猫.svg"
    code = "import sys; from core.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "limits", "--out", str(out)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u732b.svg: Limit" in done.stdout
    assert out.is_file()


@pytest.mark.parametrize("command", ["slice", "list", "show", "run", "series", "report", "reproduce"])
def test_every_command_has_debug(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert "--debug" in capsys.readouterr().out


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
