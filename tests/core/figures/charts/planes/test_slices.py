"""The chart of a slice: shading, boundaries, anchors, shares and words, on fields known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.figures.charts.planes.slices import SHADINGS, slice_chart
from core.figures.drawing import paper, screen, style
from core.figures.drawing.chart import Chart, FieldLayer, ImagesLayer, LinesLayer, PointsLayer
from core.geometry.planes.slices import Slice

NAMES = ("left$", "right_<b>", "disc & co", "never")
SIDE = 65
RADIUS = 2.0


def a_slice(**change: Any) -> Slice:
    """Two half-planes x < 0 and x > 0 and a disc of radius 2 around (3, 3) that belongs to a third class."""
    x = np.linspace(-6, 6, SIDE)
    X, Y = np.meshgrid(x, x)
    disc = np.where(np.hypot(X - 3, Y - 3) < 4, X + 3 * (RADIUS - np.hypot(X - 3, Y - 3)), -9.0)
    logits = np.stack([-X, X, disc, np.full_like(X, -20.0)], -1)
    label = logits.argmax(-1)
    ordered = np.sort(logits, -1)
    probability = np.exp(logits - logits.max(-1, keepdims=True))
    probability /= probability.sum(-1, keepdims=True)
    classes = np.unique(label)
    given: dict[str, Any] = {
        "x": x,
        "y": x,
        "label": label,
        "confidence": probability.max(-1),
        "entropy": -(probability * np.log(probability)).sum(-1),
        "margin": ordered[..., -1] - ordered[..., -2],
        "classes": classes,
        "logits": logits[..., classes],
        "evaluated": np.ones_like(label, bool),
        "outline": np.array([[-5.0, -5.0], [5.0, -5.0], [5.0, 5.0], [-5.0, 5.0]]),
        "origin": np.zeros((1, 2, 2)),
        "u": np.zeros((1, 2, 2)),
        "v": np.zeros((1, 2, 2)),
        "x_label": "towards right",
        "y_label": "towards disc",
        "num_classes": len(NAMES),
        "method": "full",
        "forwards": 1,
        "gradients": 0,
        "seconds": 0.0,
        **change,
    }
    return Slice(**given)


def layer(chart: Chart, kind: type, role: str = "") -> Any:
    found: list[Any] = [entry for entry in chart.panels[0].layers if isinstance(entry, kind)]
    return next((entry for entry in found if not role or entry.role == role), None)


def with_anchors(**change: Any) -> dict[str, Any]:
    return {
        "class_names": NAMES,
        "anchors": np.full((2, 4, 4, 3), 9, np.uint8),
        "anchor_positions": np.array([[0.0, 0.0], [3.0, 3.0]]),
        "anchor_labels": ("start", "end"),
        "anchor_residuals": (0.0, 1.25),
        **change,
    }


def test_axes_are_true_distances_with_units() -> None:
    panel = slice_chart(a_slice(), class_names=NAMES).panels[0]
    assert panel.isometric
    assert panel.kind == "cartesian"
    assert (panel.x.title, panel.y.title) == ("towards right (ℓ2)", "towards disc (ℓ2)")
    half = 6 / (SIDE - 1)
    assert panel.x.limits == pytest.approx((-6 - half, 6 + half))
    assert panel.scale_bar == "ℓ2"


def test_colours_follow_the_class_and_its_confidence() -> None:
    cut = a_slice()
    plain = layer(slice_chart(cut, class_names=NAMES, shading="class"), FieldLayer)
    np.testing.assert_array_equal(plain.colours, style.class_colours(cut.label))
    assert plain.scale is None
    assert not plain.smooth
    shaded = layer(slice_chart(cut, class_names=NAMES), FieldLayer)
    np.testing.assert_array_equal(shaded.colours, style.class_colours(cut.label, cut.confidence, chance=0.25))
    assert shaded.scale.limits == (0.25, 1.0)
    assert not shaded.smooth


def test_entropy_is_a_share_of_its_largest_value() -> None:
    field = layer(slice_chart(a_slice(), class_names=NAMES, shading="entropy"), FieldLayer)
    assert (field.scale.limits, field.scale.title) == ((0.0, 1.0), "entropy / log 4")
    middle = style.scale_colours(a_slice().entropy[:1, SIDE // 2] / math.log(4), "cividis", (0.0, 1.0))
    np.testing.assert_array_equal(field.colours[:1, SIDE // 2], middle)
    assert field.smooth


def test_the_margins_colours_end_at_a_stated_round_number() -> None:
    field = layer(slice_chart(a_slice(), class_names=NAMES, shading="margin"), FieldLayer)
    assert (field.scale.limits, field.scale.title) == ((0.0, 15.0), "margin (logit)")
    spiked = a_slice().margin.copy()
    spiked[3, 3] = 400.0
    field = layer(slice_chart(a_slice(margin=spiked), class_names=NAMES, shading="margin"), FieldLayer)
    assert field.scale.title == "margin, one colour from 15 on (logit)"
    nothing = a_slice(margin=np.zeros((SIDE, SIDE)))
    assert layer(slice_chart(nothing, class_names=NAMES, shading="margin"), FieldLayer).scale.limits == (0.0, 1.0)


def test_boundaries_are_those_of_the_slice() -> None:
    cut = a_slice()
    borders = layer(slice_chart(cut, class_names=NAMES), LinesLayer, "boundary")
    assert len(borders.paths) == sum(len(paths) for paths in cut.boundary_lines().values())
    disc = cut.boundary_lines()[2][0]
    assert any(path.shape == disc.shape and (path == disc).all() for path in borders.paths)


def test_levels_become_labelled_lines() -> None:
    chart = slice_chart(a_slice(), class_names=NAMES, levels=(0.9, 0.99))
    lines = layer(chart, LinesLayer, "contour")
    assert lines.name == "confidence 0.9, 0.99"
    assert sorted(word for word in lines.labels if word) == ["0.9", "0.99"]
    assert len(lines.labels) == len(lines.paths)
    assert layer(slice_chart(a_slice(), class_names=NAMES), LinesLayer, "contour") is None
    left = slice_chart(a_slice(), class_names=NAMES, shading="margin", levels=(4.0,))
    path = min(layer(left, LinesLayer, "contour").paths, key=lambda path: path[:, 0].mean())
    np.testing.assert_allclose(path[:, 0], -2.0, atol=1e-9)  # where x - (-x) = -4
    entropy = slice_chart(a_slice(), class_names=NAMES, shading="entropy", levels=(0.4,))
    assert layer(entropy, LinesLayer, "contour").paths
    assert layer(slice_chart(a_slice(), class_names=NAMES, shading="class", levels=(0.9,)), LinesLayer, "contour").paths


def test_the_edge_of_the_pixel_range_is_shown_where_it_is_seen() -> None:
    seen = layer(slice_chart(a_slice(), class_names=NAMES), LinesLayer, "outline")
    np.testing.assert_array_equal(seen.paths[0][0], seen.paths[0][-1])  # closed
    assert seen.name == "edge of the pixel range"
    for outline in (3 * a_slice().outline, 3 * a_slice().outline[::-1], np.empty((0, 2))):
        assert layer(slice_chart(a_slice(outline=outline), class_names=NAMES), LinesLayer, "outline") is None
    beside = slice_chart(a_slice(outline=a_slice().outline + np.array([11.0, 0.0])), class_names=NAMES)
    assert layer(beside, LinesLayer, "outline") is not None


def test_the_legend_is_sorted_by_share() -> None:
    legend = slice_chart(a_slice(), class_names=NAMES).legend
    assert [entry.label for entry in legend] == ["left$", "right_<b>", "disc & co"]
    assert sum(entry.share or 0 for entry in legend) == pytest.approx(1.0)
    assert legend[2].share == pytest.approx(math.pi * RADIUS**2 / 144, abs=0.01)
    assert [entry.colour for entry in legend] == [style.class_colour(k) for k in range(3)]


def test_many_classes_are_counted_together() -> None:
    label = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 20
    names = [f"class {k}" for k in range(30)]
    logits = np.eye(20)[label]
    cut = a_slice(label=label, classes=np.arange(20), logits=logits, num_classes=30)
    legend = slice_chart(cut, class_names=names).legend
    assert len(legend) == 13
    assert legend[-1].label == "8 more classes"
    assert legend[-1].colour == ""
    assert sum(entry.share or 0 for entry in legend) == pytest.approx(1.0)


def distance_for(shading: Any) -> np.ndarray | None:
    """Distances to x = 0, where that is what is shaded."""
    if shading != "distance":
        return None
    return np.abs(np.broadcast_to(np.linspace(-6, 6, SIDE), (SIDE, SIDE)))


def test_distances_are_shaded_to_half_the_picture_and_contoured() -> None:
    far = distance_for("distance")
    assert far is not None
    chart = slice_chart(a_slice(), class_names=NAMES, shading="distance", distance=10 * far, levels=(20.0,))
    (scale,) = chart.panels[0].scales
    assert scale.limits == (0.0, 7.0)  # a round number above half the picture's 12
    assert scale.title == "distance to first order, one colour from 7 on (ℓ2)"
    contours = next(part for part in chart.panels[0].layers if isinstance(part, LinesLayer) and part.role == "contour")
    assert {round(abs(float(x)), 6) for path in contours.paths for x in path[:, 0]} == {2.0}
    with pytest.raises(ValueError, match="expected the distances to shade by, got none"):
        slice_chart(a_slice(), class_names=NAMES, shading="distance")


def test_undefined_logits_are_said_and_drawn_grey() -> None:
    label = a_slice().label.copy()
    label[:5] = -1
    for shading in SHADINGS:
        chart = slice_chart(a_slice(label=label), class_names=NAMES, shading=shading, distance=distance_for(shading))
        field = layer(chart, FieldLayer)
        greys = {tuple(int(grey[place : place + 2], 16) for place in (1, 3, 5)) for grey in style.UNDEFINED}
        assert {tuple(colour) for colour in field.colours[:5].reshape(-1, 3).tolist()} <= greys
        assert (field.hover_index[:5] == -1).all()
        assert (field.hover_index[5:] >= 0).all()
        assert chart.legend[-1].label == "undefined"
        assert chart.legend[-1].share == pytest.approx(5 / SIDE)
        assert "not finite" in chart.caption


def test_hover_says_class_and_confidence() -> None:
    cut = a_slice()
    field = layer(slice_chart(cut, class_names=NAMES), FieldLayer)
    row, column = SIDE // 2, SIDE // 2 + 3
    said = field.hover[field.hover_index[row, column]]
    assert said == f"right_<b>, confidence {cut.confidence[row, column]:.2f}"


def test_anchors_lie_at_their_positions() -> None:
    thumbnails = layer(slice_chart(a_slice(), **with_anchors()), ImagesLayer)
    np.testing.assert_array_equal(thumbnails.positions, [[0, 0], [3, 3]])
    assert [thumbnails.words(place) for place in range(2)] == ["start", "end\n1.2 off the plane"]
    assert layer(slice_chart(a_slice(), class_names=NAMES), ImagesLayer) is None


def test_regions_are_named_in_place_where_colours_are_not_classes() -> None:
    cut = a_slice()
    chart = slice_chart(cut, **with_anchors(shading="margin"))
    names = layer(chart, PointsLayer)
    assert names.labels == ("left$", "right_<b>", "disc & co")
    assert names.marker == "none"
    for k, (x, y) in enumerate(names.positions):
        assert cut.label[np.abs(cut.y - y).argmin(), np.abs(cut.x - x).argmin()] == k
        assert min(math.dist((x, y), (0, 0)), math.dist((x, y), (3, 3))) > 1  # beside the thumbnails
    assert all(entry.colour == "" for entry in chart.legend)
    assert layer(slice_chart(cut, class_names=NAMES), PointsLayer) is None


def test_long_names_are_broken_in_the_picture() -> None:
    names = ("German short-haired pointer", "b", "c", "d")
    names_in_place = layer(slice_chart(a_slice(), class_names=names, shading="entropy"), PointsLayer)
    assert names_in_place.labels[0] == "German short-\nhaired pointer"


def test_the_words_for_those_who_cannot_see_it() -> None:
    chart = slice_chart(a_slice(), class_names=NAMES, title="a net")
    assert "left$ 51 %, right_<b> 41 %" in chart.alt
    assert "disc & co 8 %" in chart.alt
    assert "towards right from -6 to 6 ℓ2" in chart.alt
    assert "paleness" in chart.caption
    assert "Distances are ℓ2 over pixels in [0, 1]." in chart.caption
    assert (chart.name, chart.panels[0].title) == ("slice", "a net")


def test_a_wrong_call_says_what_was_expected() -> None:
    with pytest.raises(ValueError, match="shading out of confidence, class, margin, entropy, distance, got 'loss'"):
        slice_chart.__wrapped__(a_slice(), class_names=NAMES, shading="loss")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="each of 4 classes, got 2 names"):
        slice_chart(a_slice(), class_names=NAMES[:2])
    with pytest.raises(ValueError, match="each of 2 anchors, got 2 positions, 1 labels"):
        slice_chart(a_slice(), **with_anchors(anchor_labels=("start",)))
    with pytest.raises(ValueError, match="classes palettes"):
        slice_chart(a_slice(), class_names=NAMES, palette="vik")


@pytest.mark.parametrize("shading", SHADINGS)
def test_both_renderers_draw_it(shading: Any) -> None:
    recipe = {"recipe": 1, "analysis": "slices", "figure": {"shading": shading}}
    shaded = with_anchors(shading=shading, distance=distance_for(shading), levels=(0.9,))
    chart = replace(slice_chart(a_slice(), **shaded), recipe=recipe)
    assert paper.read_recipe(paper.figure_bytes(chart, "pdf", dpi=72)) == recipe
    figure = screen.draw(chart)
    assert figure.layout.meta["alt"] == chart.alt


def test_severity_paths_are_dotted_with_the_severities_that_are_apart() -> None:
    straight = np.stack([np.array([0, 1.0, 2, 2.1, 4, 5]), np.zeros(6), np.zeros(6)], 1)
    leaving = np.stack([np.zeros(6), np.linspace(0, 5, 6), np.linspace(0, 1.5, 6)], 1)
    chart = slice_chart(a_slice(paths=np.stack([straight, leaving]), path_names=("fog", "jpeg")), class_names=NAMES)
    dotted = [each for each in chart.panels[0].layers if isinstance(each, LinesLayer) and each.dash == "dotted"]
    np.testing.assert_array_equal(dotted[0].paths[0], straight[:, :2])
    marks = [each for each in chart.panels[0].layers if isinstance(each, PointsLayer)]
    assert [mark.labels for mark in marks] == [("5", "4", "3", "1"), ("5", "4", "3", "2", "1")]
    np.testing.assert_array_equal(marks[0].positions[2], straight[3, :2])
    assert "fog (severity 5: 0.00 ℓ2 off the plane; at most 0.00)" in chart.caption
    assert "jpeg (severity 5: 1.50 ℓ2 off the plane; at most 1.50)" in chart.caption
    assert paper.figure_bytes(chart, "svg").startswith(b"<?xml")
    assert "Dotted" not in slice_chart(a_slice(), class_names=NAMES).caption
