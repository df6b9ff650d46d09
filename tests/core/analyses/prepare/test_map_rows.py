"""Rows of images for maps: lines, nets of slices, corruptions, attacks and walks."""

from __future__ import annotations

import pytest
import torch

from core.analyses.prepare.map_rows import MapRows, PathKind, map_rows
from core.analyses.prepare.plane import resolve_plane
from core.geometry.corruptions.corruptions import corrupt
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.runtime.cost import Cost

ROWS = (3, 17, 42)


def made(kind: PathKind, rows: tuple[int, ...] = ROWS, **options: object) -> MapRows:
    classifier = load_classifier("demo:digits/standard", "cpu")
    return map_rows(classifier, classifier, load_images("demo:digits"), rows, kind, **options)  # type: ignore[arg-type]


def test_a_line_is_straight_and_a_corruption_grows() -> None:
    pixels = load_images("demo:digits").pixels
    [line] = made("line", steps=5).paths
    torch.testing.assert_close(line[2], (pixels[3] + pixels[17]) / 2)
    assert line[0].equal(pixels[3])
    torch.testing.assert_close(line[4], pixels[17])
    found = made("corruption", steps=3, corruption="contrast")
    assert found.names == ("contrast, severity 0 to 5, image 3",)
    assert found.paths[0][0].equal(pixels[3])
    torch.testing.assert_close(found.paths[0][1], corrupt(pixels[3:4], "contrast", 2.5)[0])


def test_a_net_has_the_lines_of_the_slice_in_both_directions(cost: Cost) -> None:
    found = made("slice", steps=4)
    assert len(found.paths) == 8
    images, classifier = load_images("demo:digits"), load_classifier("demo:digits/standard", "cpu")
    cut = resolve_plane(classifier, images, ROWS, plane="images", u="gradient", v="random:0")
    row, column = found.paths[1], found.paths[4 + 2]
    torch.testing.assert_close(row[2], column[1])
    places = cut.plane.to_plane(row)
    x_min, x_max, y_min, y_max = cut.home
    assert places[:, 0].tolist() == pytest.approx(torch.linspace(x_min, x_max, 4).tolist(), abs=1e-3)
    assert places[:, 1].tolist() == pytest.approx([y_min + (y_max - y_min) / 3] * 4, abs=1e-3)
    part = made("slice", steps=2, extent=(0.0, 1.0, -0.5, 0.5)).paths[0]
    torch.testing.assert_close(
        cut.plane.to_plane(part), torch.tensor([[0.0, -0.5], [1.0, -0.5]]).double(), atol=1e-3, rtol=0
    )
    assert cost.gradients == 0
    made("slice", (3,), steps=3, plane="directions", u="gradient", v="random:1")
    assert cost.gradients > 0


def test_an_attack_lowers_the_margin_in_steps_of_one_length(cost: Cost) -> None:
    found = made("attack", steps=6, length=2.0)
    [path] = found.paths
    steps = path.diff(dim=0).flatten(1).norm(dim=1)
    torch.testing.assert_close(steps, torch.full((5,), 0.4), atol=1e-4, rtol=0)
    logits = load_classifier("demo:digits/standard", "cpu")(path)
    source = logits[0].argmax()
    others = logits.clone()
    others[:, source] = -torch.inf
    margin = logits[:, source] - others.amax(1)
    assert (margin.diff() < 0).all()
    assert cost.gradients == 5


def test_a_walk_starts_at_its_source_and_keeps_its_class() -> None:
    [path] = made("walk").paths
    torch.testing.assert_close(path[0], load_images("demo:digits").pixels[3])
    assert torch.isfinite(path).all()
    said = load_classifier("demo:digits/standard", "cpu").predict(path).label
    assert len(path) > 2
    assert set(said.tolist()) == {said[0]}
    [short] = made("walk", walk=("equality", 0.05, 3)).paths
    assert 0 < (short[-1] - path[0]).norm() < (path[-1] - path[0]).norm()


@pytest.mark.parametrize(("rows", "settings", "words"), [
    ([3], {"kind": "walk"}, "expected 2 images for map_path, got 1"),
    ([3, 17], {"kind": "line", "steps": 1}, "expected a number from 2 to 100"),
])  # fmt: skip
def test_what_has_too_few_images_or_steps_is_refused(rows: list[int], settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Recipe.make("map_path", models=["demo:digits/standard"], images="demo:digits", rows=rows, settings=settings)
