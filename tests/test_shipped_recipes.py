"""The recipes in assets can be followed: each is complete, of this version, and drawn with fewer images.

Those at the papers' own scale name weights and data sets that are not here: each says in one sentence what it needs,
and is drawn where both are.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.figures.drawing.paper import figure_bytes, read_recipe
from core.images.load import load_images
from core.models.demo import demo_models
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.run import run_recipe
from core.runtime.progress import silent
from core.sources.images import ImageSource
from core.sources.models import Source

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "recipes"
QUICK: dict[str, dict[str, Any]] = {
    "frequency": {"count": 1, "stride": 12, "slides": 0},
    "severity": {"count": 2, "corruptions": "contrast,fog"},
    "curvature": {"count": 0, "spectrum": "ends", "keep": 4},
    "shared_directions": {"count": 2, "directions": 2, "noise": 1},
    "directions_noise": {"count": 2, "directions": 1, "draws": 2, "lengths": "1"},
    "few_pixels": {},
    "connecting_path": {},
    "blind_spot": {"steps": 6},
    "blind_spot_triangle": {"steps": 6, "resolution": 4},
    "local_directions": {"count": 8, "permutations": 9},
    "local_radius": {"others": 1, "directions": 4, "radii": "0.1,0.5"},
    "limits": {},
    "overlay": {"orders": 1},
    "detector": {"count": 3, "overshoots": "1.1", "probes": 2, "classes": 0},
}


def test_every_recipe_is_known_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(QUICK)


@pytest.mark.parametrize("name", QUICK)
def test_a_recipe_is_complete_and_can_be_followed(name: str) -> None:
    file = FOLDER / f"{name}.json"
    recipe = Recipe.parse(file.read_text(encoding="utf-8"))
    assert read_recipe(file) == recipe.mapping()
    assert set(recipe.models) <= set(demo_models())
    small = recipe.with_settings(**QUICK[name])
    classifiers, images = [load_classifier(source, "cpu") for source in small.models], load_images(small.images)
    loaded = dict(zip(small.models, classifiers, strict=True))
    results = [part.run([loaded[source] for source in part.models], images, silent) for part in small.parts()]
    chart = small.chart(results, classifiers, images)
    assert figure_bytes(chart, "pdf", **small.paper()).startswith(b"%PDF")
    assert read_recipe(figure_bytes(chart, "svg", **small.paper())) == small.mapping()


# -- at the papers' own scale -----------------------------------------------------------------------------------------

AT_SCALE = FOLDER / "at_scale"
FEW: dict[str, dict[str, Any]] = {
    "blind_spots_cifar10": {"steps": 3},
    "blind_spots_imagenet": {"steps": 3},
    "frequency_cifar10": {"count": 1, "stride": 12, "slides": 0},
    "severity_cifar10": {"count": 2, "corruptions": "contrast"},
}


@pytest.mark.parametrize("file", sorted(AT_SCALE.glob("*.json")), ids=lambda file: file.stem)
def test_a_recipe_at_scale_is_complete_and_says_what_it_needs(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torchvision.models import WeightsEnum

    def fetch(self: Any, **options: Any) -> Any:
        raise OSError("no network")

    recipe = Recipe.parse(file.read_text(encoding="utf-8"))
    assert read_recipe(file) == recipe.mapping()
    assert {Source.parse(source).kind for source in recipe.models} <= {"robustbench", "torchvision"}
    assert ImageSource.parse(recipe.images).kind == "torchvision"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(WeightsEnum, "get_state_dict", fetch)
    with pytest.raises(
        ValueError, match=r"^expected (the package robustbench to load|to fetch) .*; .*(\.git|name the file)$"
    ):
        run_recipe(recipe, device="cpu", trust=True)
    with pytest.raises(ValueError, match=r"^expected \w+ in 'data.*' as torchvision keeps it, it is not there"):
        load_images(recipe.images)


class Pictures:
    """A data set of torchvision, as it looks where it is on disk."""

    classes = tuple("abcdefghij")

    def __init__(self, root: str, **part: Any) -> None:
        self.targets = [row % 10 for row in range(60)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        levels = np.random.default_rng(row).integers(0, 256, (32, 40, 3), dtype=np.uint8)
        return Image.fromarray(levels), self.targets[row]


@pytest.mark.parametrize("name", FEW)
def test_a_recipe_at_scale_is_drawn_where_weights_and_images_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    package, inside = types.ModuleType("robustbench"), types.ModuleType("robustbench.utils")

    def load_model(model_name: str, dataset: str, threat_model: str) -> nn.Module:
        torch.manual_seed(len(model_name))
        return nn.Sequential(nn.AdaptiveAvgPool2d(16), nn.Flatten(), nn.Linear(3 * 16 * 16, 10), nn.Tanh())

    inside.load_model = load_model  # type: ignore[attr-defined]
    package.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "robustbench", package)
    monkeypatch.setitem(sys.modules, "robustbench.utils", inside)
    recipe = Recipe.parse((AT_SCALE / f"{name}.json").read_text(encoding="utf-8")).with_settings(**FEW[name])
    data = ImageSource.parse(recipe.images)
    monkeypatch.setattr(datasets, data.place, Pictures)
    if data.place == "CIFAR10":
        monkeypatch.setattr(Pictures, "__getitem__", lambda self, row: (_square(row), self.targets[row]))
    made = run_recipe(recipe, device="cpu", trust=True)
    assert made.images.pixels.shape[2:] == made.classifiers[0].input_shape[1:]
    assert [one.name for one in made.classifiers] == [source.rpartition("/")[2] for source in recipe.models]
    assert made.file(".svg").startswith(b"<?xml")


def _square(row: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(row).integers(0, 256, (32, 32, 3), dtype=np.uint8))
