"""A folder of checkpoints becomes a series: in order, on one scale, nothing computed twice, what is broken told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from core.cli import main
from core.errors import CheckpointError
from core.figures.drawing.provenance import read_recipe
from core.images.load import load_images
from core.models.checkpoints import write_checkpoint
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.run import read
from core.recipes.series import checkpoints, in_order, label_of, series
from core.recipes.store import Store

FACTS = {
    "architecture": "strided",
    "arguments": {"widths": [32, 64, 96, 96], "activation": "silu"},
    "accuracy": {"correct": 1, "images": 2, "source": "none"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints on the way from small weights to those of a demo model, and a broken one."""
    folder = tmp_path_factory.mktemp("training")
    for epoch, share in ((2, 0.5), (10, 0.9), (1, 0.3)):
        classifier = load_classifier("demo:photos/standard", "cpu")
        for weight in classifier.module.parameters():
            weight.data.mul_(share)
        write_checkpoint(folder / f"epoch-{epoch}.safetensors", classifier, FACTS)
    (folder / "epoch-3.safetensors").write_bytes(b"\x08broken")
    (folder / "log.txt").write_text("loss")
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "slice.json"
    settings = {"resolution": 32, "plane": "directions", "width": 60, "dpi": 60}
    made = Recipe.make("slice", models=["demo:photos/vit"], images="demo:photos", rows=[3], settings=settings)
    path.write_text(made.json())
    return path


def test_a_folder_is_read_in_the_order_of_its_numbers(folder: Path, tmp_path: Path) -> None:
    found = checkpoints(f"{folder}?arch=timm:resnet18&size=32")
    assert [label_of(each) for each in found] == [f"epoch-{k}.safetensors" for k in (1, 2, 3, 10)]
    assert all(each.endswith("?arch=timm:resnet18&size=32") for each in found)
    assert checkpoints("demo:photos/vit, demo:photos/relu") == ("demo:photos/vit", "demo:photos/relu")
    assert sorted(["b", "a10", "10", "a9"], key=in_order) == ["10", "a9", "a10", "b"]
    with pytest.raises(CheckpointError, match="expected checkpoints"):
        checkpoints(str(tmp_path))


def test_a_series_is_a_gif_of_what_can_be_used_and_makes_itself_again(
    folder: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gif, frames = tmp_path / "series.gif", tmp_path / "frames"
    models = ["--models", str(folder)]
    assert main(["series", str(recipe), *models, "--milliseconds", "200", "--out", str(gif)]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.err.startswith("error: epoch-3.safetensors: expected a safetensors file")
    assert "3 checkpoints from epoch-1.safetensors to epoch-10.safetensors, all on one scale." in said.out
    assert "Their plane follows epoch-10.safetensors. 200 ms per frame." in said.out
    with Image.open(gif) as opened:
        assert opened.n_frames == 3
        assert opened.info["duration"] == 200
    used = [str(folder / f"epoch-{k}.safetensors") for k in (1, 2, 10)]
    assert read_recipe(gif)["series"] == used
    assert read(gif).models == (used[-1],)

    def forbidden(*args: object) -> None:
        raise AssertionError("computed twice")

    monkeypatch.setattr(Recipe, "run", forbidden)
    again = tmp_path / "again.gif"
    assert main(["series", str(gif), "--milliseconds", "200", "--out", str(again)]) == 0
    assert again.read_bytes() == gif.read_bytes()
    assert main(["series", str(recipe), *models, "--ending", ".svg", "--out", str(frames)]) == 1
    assert [each.name for each in sorted(frames.iterdir())] == [
        f"00{place}-epoch-{k}.safetensors.svg" for place, k in ((1, 1), (2, 2), (3, 10))
    ]
    one = frames / "002-epoch-2.safetensors.svg"
    assert "epoch-2.safetensors" in one.read_text()
    assert read_recipe(one)["models"] == [used[1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "a.gif"], "expected --models FOLDER or SOURCE,SOURCE,..., got none"),
        (["--models", "demo:no", "--out", "a.gif"], "expected a checkpoint that can be asked, got none: no: "),
        (["--models", ",", "--out", "a.gif"], "expected 1 to 500 checkpoints, got 0"),
        (["--models", "demo:photos/vit", "--out", "a.pdf"], "expected --out FILE.gif, or a folder"),
        (["--models", "demo:photos/vit", "--out", "a.gif", "--set", "rows=999999"], "expected rows below"),
        (["--models", "demo:digits/standard", "--out", "a.gif"], "standard: expected images"),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    recipe: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["series", str(recipe), *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_names_python_is_asked_of_other_models_alone(recipe: Path, tmp_path: Path) -> None:
    """Of the recipe's own models none is loaded, so that nothing of theirs is run."""
    said = json.loads(recipe.read_text())
    evil = tmp_path / "net.py"
    evil.write_text("raise SystemExit('was run')")
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**said, "models": [f"module:{evil}:factory"]}))
    out = tmp_path / "a.gif"
    assert main(["series", str(path), "--models", "demo:photos/standard", "--out", str(out)]) == 0
    assert out.is_file()


class Drops(nn.Module):
    """Random each time it is asked."""

    def forward(self, images: Tensor) -> Tensor:
        kept = nn.functional.dropout(images, 0.5, training=True)
        return torch.stack([kept.sum((1, 2, 3)), kept.square().sum((1, 2, 3))], 1)


def test_who_names_models_trusts_no_images_of_the_recipe(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = json.loads(recipe.read_text())
    made["images"] = {"source": f"torchvision:CIFAR10?root={tmp_path}", "rows": made["images"]["rows"]}
    recipe.write_text(json.dumps(made))
    models = "demo:digits/standard,demo:digits/standard-1"
    assert main(["series", str(recipe), "--models", models, "--out", str(tmp_path / "s.gif")]) == 1
    assert "which torchvision reads itself, pickles among them" in capsys.readouterr().err


def test_checkpoints_without_a_boundary_are_drawn_and_doubted(recipe: Path, tmp_path: Path) -> None:
    def load(source: str) -> Classifier:
        return Classifier(Drops(), (3, 32, 32), name=source, device="cpu")

    asked = Recipe.parse(recipe.read_text()).with_settings(resolution=16)
    found = series(asked, ["a", "b", "c"], load, load_images("demo:photos"), Store(tmp_path))
    assert [sentence.partition(":")[0] for sentence in found.doubts] == ["a", "b", "c"]
    assert all("so no boundary is defined." in chart.caption for chart in found.charts)
    assert found.words.count("so no boundary is defined.") == 2
    assert found.words.endswith("And 1 more like it.")
