"""Charts of a component graph: colours and crosses of pairs, lines of the graph, and words that claim no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.figures.charts.regions.region_graph import GRAPH_SHOWS, graph_words, on_plane, region_graph_chart
from core.figures.drawing.chart import FieldLayer, ImagesLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.regions.region_graph import OUTCOMES, RegionGraph
from dashboard.viewer.viewer import panel_data

NAMES = ("cat", "dog")
PICTURES = np.zeros((5, 4, 4, 3), np.uint8)


def a_graph(**given: Any) -> RegionGraph:
    """Three cats, two of which are joined, and two dogs that were not tried yet."""
    code = {word: k for k, word in enumerate(OUTCOMES)}
    outcome = np.full((5, 5), code["other class"], np.int8)
    np.fill_diagonal(outcome, 0)
    for i, j, word in ((0, 1, "bent"), (0, 2, "not found"), (1, 2, "not found"), (3, 4, "not tried")):
        outcome[i, j] = outcome[j, i] = code[word]
    ratio, margin = np.full((5, 5), np.nan), np.full((5, 5), np.nan)
    ratio[0, 1] = ratio[1, 0] = 1.25
    margin[0, 1] = margin[1, 0] = 0.5
    known = {
        "outcome": outcome,
        "length_ratio": ratio,
        "min_margin": margin,
        "component": np.array([0, 0, 1, 2, 3], np.int32),
        "source_class": np.array([0, 0, 0, 1, 1], np.int32),
        "confidence": np.full(5, 0.9),
        "row": np.array([7, 9, 12, 3, 4], np.int32),
        "resolution": 0.2,
        "pairs": 4,
        "tried": 3,
        "num_classes": 2,
        "seed": 0,
        "forwards": 10,
        "gradients": 0,
        "seconds": 0.1,
    }
    return RegionGraph(**{**known, **given})


def test_the_matrix_has_a_colour_for_each_outcome_and_a_cross_where_none_was_found() -> None:
    (panel,) = region_graph_chart(a_graph(), class_names=NAMES, pictures=PICTURES, show="matrix", title="m").panels
    field, lines, crosses = panel.layers
    assert isinstance(field, FieldLayer)
    assert isinstance(lines, LinesLayer)
    assert isinstance(crosses, PointsLayer)
    assert panel.title == "m"
    top = field.colours[::-1]
    assert len(np.unique(top.reshape(-1, 3), axis=0)) == 5  # of six outcomes, none was searched
    np.testing.assert_array_equal(top, top.transpose(1, 0, 2))
    assert {tuple(at) for at in crosses.positions.tolist()} == {(2, 4), (0, 2), (2, 3), (1, 2)}
    assert panel.y.ticks[0] == (4.0, "7")
    assert len(lines.paths) == 2  # between cats and dogs, across and down
    said = field.hover[1]
    assert said == "images 7 and 9: path over corners, 1.250 times as long as straight, smallest margin 0.5 logits"
    assert field.hover[2] == "images 7 and 12: not found"
    assert field.hover[0] == "image 7: cat"


def test_the_graph_joins_what_a_path_joins() -> None:
    (panel,) = region_graph_chart(a_graph(), class_names=NAMES, pictures=PICTURES, show="graph").panels
    (images,) = [layer for layer in panel.layers if isinstance(layer, ImagesLayer)]
    (edges,) = [layer for layer in panel.layers if isinstance(layer, LinesLayer)]
    (names,) = [layer for layer in panel.layers if isinstance(layer, PointsLayer)]
    assert images.labels == ("7", "9", "12", "3", "4")
    assert len(edges.paths) == 1
    np.testing.assert_array_equal(edges.paths[0], images.positions[:2])
    assert edges.dash == "dashed"
    assert names.labels == ("cat: 2", "dog: 2")


def test_the_words_count_and_name_what_is_missing_and_claim_no_more() -> None:
    chart = region_graph_chart(a_graph(), class_names=NAMES, pictures=PICTURES)
    assert "A path was found for 1 of 4 pairs of one class, of which 3 were tried so far." in chart.caption
    assert "No path was found between images 7 and 12, 9 and 12." in chart.caption
    assert "cat: 3 images in 2 components; dog: 2 images in 2 components." in chart.caption
    assert "never a proof of separate ones" in chart.caption
    assert "disconnected" not in f"{chart.caption} {chart.alt}"
    assert [entry.label for entry in chart.legend] == ["path over corners (1)", "not found (2)", "not tried yet (1)"]
    assert graph_words(a_graph(tried=4), NAMES).startswith("A path was found for 1 of 4 pairs of one class. No path")


def test_on_a_plane_the_graph_is_square_and_fits() -> None:
    chart = on_plane(region_graph_chart(a_graph(), class_names=NAMES, pictures=PICTURES, show="graph"))
    x, y = chart.panels[0].limits
    assert x[1] - x[0] == pytest.approx(y[1] - y[0])
    low_x, high_x, low_y, high_y = panel_data(chart)["frame"]
    (images,) = [layer for layer in chart.panels[0].layers if isinstance(layer, ImagesLayer)]
    assert (images.positions > [low_x, low_y]).all()
    assert (images.positions < [high_x, high_y]).all()
    assert chart.panels[0].layers[0].edges == pytest.approx((*x, *y))


@pytest.mark.parametrize("show", GRAPH_SHOWS)
def test_every_show_is_drawn_on_screen_and_paper(show: Any, tmp_path: Path) -> None:
    chart = region_graph_chart(a_graph(), class_names=NAMES, pictures=PICTURES, show=show)
    draw(chart, dark=True)
    one = a_graph(source_class=np.array([0, 0, 0, 1, -1]), component=np.array([0, 0, 1, 2, -1]))
    write_figure(region_graph_chart(one, class_names=NAMES, pictures=PICTURES, show=show), tmp_path / "one.svg")


def test_wrong_calls_are_explained() -> None:
    with pytest.raises(ValueError, match="expected one name for each of 2 classes"):
        region_graph_chart(a_graph(), class_names=NAMES[:1], pictures=PICTURES)
    with pytest.raises(ValueError, match="expected a picture for each of 5 images"):
        region_graph_chart(a_graph(), class_names=NAMES, pictures=PICTURES[:2])
