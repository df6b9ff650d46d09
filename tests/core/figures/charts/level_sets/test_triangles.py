"""Triangles of walks: the shares that are drawn are those of the result, and a slice through them is marked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.analyses.prepare.level_sets import confidence_on
from core.figures.charts.level_sets.triangles import level_plane_chart, level_triangle_chart
from core.figures.charts.planes.slices import slice_chart
from core.figures.drawing.chart import BarsLayer, FieldLayer, ImagesLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.level_sets.at_image import LevelTriangle
from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import Slice, slice_plane
from tests import truths
from tests.core.analyses.prepare.test_level_sets import made_triangle


def falling() -> LevelTriangle:
    """0.9 at the source, 0.4 at the first end, 0.9 at the second: linear in the confidence."""
    return made_triangle(lambda i, j: np.log((0.9 - 0.5 * i) / (0.1 + 0.5 * i)), 20)


WORDS = ("dog", "owl")


def test_the_result_holds_the_triangle_the_shares_and_how_far_the_walks_came() -> None:
    made = level_triangle_chart([falling()], models=["m"], target_words=WORDS)
    heat, shares, reached = made.panels
    assert heat.isometric
    (thumbnails,) = (layer for layer in heat.layers if isinstance(layer, ImagesLayer))
    assert thumbnails.labels == ("source", "end, dog", "end, owl")
    np.testing.assert_allclose(thumbnails.positions, [[0, 0], [4, 0], [1, 3]])
    field = heat.layers[0]
    assert isinstance(field, FieldLayer)
    assert field.scale is not None
    assert field.scale.limits == (-0.5, 0.5)  # what is lost at the first end
    row, inside = len(field.y) // 2, field.hover_index is not None and field.hover_index >= 0
    beyond = field.x > 4 - field.y[row] + 1e-6  # the side from (4, 0) to (1, 3)
    assert not inside[row][beyond].any()
    assert inside[row].any()
    assert "Confidence 0.9000 at the source, from 0.4000 to 0.9000" in made.caption
    (line,) = (layer for layer in shares.layers if isinstance(layer, LinesLayer))
    # within delta: i <= 2 delta, an area of 1 - (1 - 2 delta)^2
    at = line.paths[0]
    np.testing.assert_allclose(at[:, 1], 1 - (1 - 2 * at[:, 0]) ** 2, atol=0.11)
    assert np.interp(0.45, *at.T) == pytest.approx(0.99, abs=0.02)
    (rings,) = (layer for layer in shares.layers if isinstance(layer, PointsLayer))
    np.testing.assert_allclose(rings.positions[:, 1], [falling().fraction(delta)[0] for delta in (0, 0.1, 0.2, 0.3)])
    (bars,) = (layer for layer in reached.layers if isinstance(layer, BarsLayer))
    assert bars.heights.tolist() == [0.1, 0.2]
    assert "A walk that stays put wins the share" in made.caption
    assert "10 %, 20 % of the way left" in made.alt


@pytest.mark.parametrize(("show", "panels"), [("card", 4), ("triangle", 2), ("shares", 2)])
def test_parts_of_two_models(show: str, panels: int, tmp_path: Path) -> None:
    made = level_triangle_chart([falling(), falling()], models=["a", "b"], target_words=WORDS, show=show)  # type: ignore[arg-type]
    assert len(made.panels) == panels
    assert made.columns == 2
    assert made.panels[0].limits == made.panels[1].limits or show == "shares"
    write_figure(replace(made, recipe={"recipe": 1}), tmp_path / "triangle.svg")
    assert draw(made).data
    assert [entry.label for entry in made.legend] == ([] if show == "triangle" else ["a", "b"])


def test_below_its_delta_a_superlevel_walk_has_no_share() -> None:
    made = level_triangle_chart(
        [replace(falling(), mode="superlevel", delta=0.2)], models=["m"], target_words=WORDS, show="shares"
    )
    (line,) = (layer for layer in made.panels[0].layers if isinstance(layer, LinesLayer))
    assert line.paths[0][0, 0] == pytest.approx(0.2)
    (rings,) = (layer for layer in made.panels[0].layers if isinstance(layer, PointsLayer))
    assert rings.positions[:, 0].tolist() == [0.2, 0.3]
    assert "says nothing" in made.caption
    with pytest.raises(ValueError, match="two targets"):
        level_triangle_chart([falling()], models=["m"], target_words=("dog",))


def ball_slice() -> Slice:
    """A slice through the middle of a ball of radius 1, with two walks along the axes."""
    middle = truths.images(1, (1, 4, 4))[0]
    u, v = truths.unit((1, 4, 4), 1), truths.unit((1, 4, 4), 2)
    plane = Plane.spanned(middle, u, v, x_label="x", y_label="y")
    cut = slice_plane(truths.classifier(truths.Ball(middle, 1.0), (1, 4, 4)), plane, (-2, 2, -2, 2), 64, "full")
    walks = np.array([[[0, 0, 0], [0.4, 0.1, 0.2], [0.8, 0, 0]], [[0, 0, 0], [0.3, 0.6, 0], [np.nan] * 3]], float)
    return replace(cut, paths=walks, path_names=("walk:5", "walk:7,paper,20,9"))


def test_a_plane_is_shaded_by_the_source_s_class_with_lines_where_it_has_lost_so_much() -> None:
    cut = ball_slice()
    base = slice_chart(cut, class_names=("in", "out"), shading="entropy")
    confidence = confidence_on(cut, 0)
    start = float(1 / (1 + np.exp(-1.0)))
    made = level_plane_chart(base, cut, confidence, start)
    field, lines, border, *_ = made.panels[0].layers
    assert isinstance(field, FieldLayer)
    assert field.scale is not None
    assert field.scale.label == "confidence in the source's class"
    assert isinstance(lines, LinesLayer)
    radii = sorted(float(np.linalg.norm(path, axis=1).mean()) for path in lines.paths)
    levels = start - np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(radii, np.sqrt(1 - np.log(levels / (1 - levels))), atol=0.01)
    assert isinstance(border, LinesLayer)
    np.testing.assert_allclose(border.paths[0], [[0, 0], [0.8, 0], [0.3, 0.6], [0, 0]])
    dotted = [layer for layer in made.panels[0].layers if isinstance(layer, LinesLayer) and layer.dash == "dotted"]
    assert [len(layer.paths[0]) for layer in dotted] == [3, 2]
    assert "towards image 5 (at most 0.20 ℓ2 off the plane) and towards image 7" in made.caption
    unknown = level_plane_chart(base, cut, np.full_like(confidence, np.nan), start)
    empty = unknown.panels[0].layers[1]
    assert isinstance(empty, LinesLayer)
    assert empty.paths == ()
