"""Charts of one image's sparse perturbation: what they show, in which order, and what they say of failures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.figures.charts.sparse.sparse import SPARSE_SHOWS, changed, on_plane, sparse_chart
from core.figures.drawing.chart import Chart, FieldLayer, LinesLayer, Panel, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import slice_plane
from tests import truths
from tests.perturbations import a_perturbation_at_image

NAMES = ("cat", "dog", "owl", "fox")


def a_support() -> np.ndarray:
    support = np.zeros((6, 6), bool)
    support[1, 2] = support[4, 0] = support[4, 5] = True
    return support


def test_the_overview_shows_nine_pictures_and_the_curve() -> None:
    chart = sparse_chart(a_perturbation_at_image(a_support(), 0, 2), class_names=NAMES, title="model")
    result, curve = chart.panels
    fields = [layer for layer in result.layers if isinstance(layer, FieldLayer)]
    (words,) = [layer for layer in result.layers if isinstance(layer, PointsLayer)]
    assert len(fields) == 9
    assert words.labels[:5] == ("cat", "owl", "mean change ± 1", "order 1 to 3", "reliance 0 to 3")
    assert result.title == "model"
    adversarial = fields[1].colours[::-1]
    np.testing.assert_array_equal(adversarial[..., 0] == 255, a_support())
    (line,) = [layer for layer in curve.layers if isinstance(layer, LinesLayer) and layer.role == "curve"]
    np.testing.assert_allclose(line.paths[0], [[0, 1], [1, 1 - 1.25 / 3], [2, 1 - 2.5 / 3], [3, -0.25]])
    assert curve.y.title == "margin of the source class (logit)"
    assert "3 of 36 pixels (3 values) take cat to owl" in chart.caption
    assert "cat to owl" in chart.alt


@pytest.mark.parametrize("used", [0, 1, 2, 3, 9, -1])
def test_pixels_are_changed_in_their_order(used: int) -> None:
    result = a_perturbation_at_image(a_support(), 0, 2)
    picture = changed(result, used)
    taken = (result.rank[0] >= 0) & (result.rank[0] < used) if used >= 0 else a_support()
    np.testing.assert_array_equal(picture[0], taken)
    chart = sparse_chart(result, class_names=NAMES, used=used)
    curve = chart.panels[1]
    (mark,) = [layer for layer in curve.layers if isinstance(layer, PointsLayer)]
    assert mark.positions[0, 0] == (3 if used < 0 else min(used, 3))
    (words,) = [layer for layer in chart.panels[0].layers if isinstance(layer, PointsLayer)]
    assert words.labels[1] == (f"after {used} pixels" if 0 <= used < 3 else "owl")


def test_a_slice_is_marked_with_both_points_and_the_plane_at_the_dense_one() -> None:
    result = a_perturbation_at_image(a_support(), 0, 2)
    plane = Plane.spanned(
        torch.zeros(1, 6, 6),
        torch.from_numpy(result.dense[0]),
        torch.from_numpy(a_support()[None].astype(np.float64)),
    )
    model = truths.classifier(truths.Affine(torch.eye(4, 36), torch.zeros(4)), (1, 6, 6))
    cut = slice_plane(model, plane, (-2.0, 2.0, -2.0, 2.0), 17, "full")
    bare = Chart(panels=(Panel(layers=()),), name="slice")
    (panel,) = on_plane(bare, cut, result).panels
    line, marks = panel.layers
    assert isinstance(line, LinesLayer)
    assert isinstance(marks, PointsLayer)
    assert marks.labels == ("dense", "sparse")
    np.testing.assert_allclose(marks.positions[0], [0.1 * 6, 0], atol=1e-6)  # along (1, ..., 1) / 6
    np.testing.assert_allclose(marks.positions[1] @ marks.positions[1], 3, rtol=1e-6)  # three pixels from 0 to 1
    np.testing.assert_allclose(line.paths[0][:, 0], 0.6, atol=1e-6)  # at right angles to the dense direction
    np.testing.assert_allclose(sorted(line.paths[0][:, 1]), [-2, 2])


@pytest.mark.parametrize("show", [show for show in SPARSE_SHOWS if show not in ("card", "curve", "adversarial")])
def test_a_single_map_has_its_scale_and_its_meaning(show: str) -> None:
    chart = sparse_chart(a_perturbation_at_image(a_support(), 0, 2), class_names=NAMES, show=show)  # type: ignore[arg-type]
    (panel,) = chart.panels
    assert panel.kind == "image"
    assert len(panel.scales) == 1
    assert "Colour: " in chart.caption


def test_both_capacities_share_their_scale() -> None:
    result = a_perturbation_at_image(a_support(), 0, 2)
    scales = [
        sparse_chart(result, class_names=NAMES, show=show).panels[0].scales[0]
        for show in ("capacity", "capacity at boundary")  # type: ignore[arg-type]
    ]
    assert scales[0].limits == scales[1].limits == (0.0, 2.0)


def test_a_failure_is_said_and_drawn_grey() -> None:
    nothing = a_perturbation_at_image(np.zeros((6, 6), bool), 1, 2, curve=np.array([[0.5]]))
    for show in SPARSE_SHOWS:
        chart = sparse_chart(nothing, class_names=NAMES, show=show)
        assert "No sparse perturbation of this image (dog) was found: stalled." in chart.caption
        assert draw(chart).data
    (words,) = [
        layer for layer in sparse_chart(nothing, class_names=NAMES).panels[0].layers if isinstance(layer, PointsLayer)
    ]
    assert words.labels[1] == "stalled"
    assert not any("nan" in label for label in words.labels)


def test_wrong_calls_are_refused() -> None:
    result = a_perturbation_at_image(a_support(), 0, 2)
    with pytest.raises(ValueError, match="expected one name for each of 4 classes, got 2 names"):
        sparse_chart(result, class_names=NAMES[:2])


def test_both_renderers_draw_them(tmp_path: Path) -> None:
    for show in SPARSE_SHOWS:
        chart = sparse_chart(a_perturbation_at_image(a_support(), 0, 2), class_names=NAMES, show=show)
        assert draw(chart).data
        write_figure(chart, tmp_path / "sparse.svg")
        assert (tmp_path / "sparse.svg").stat().st_size > 1000
