"""Charts of curvatures: what they show, in which order and unit, with which words; and the gallery of directions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.figures.charts.curvature.gallery import gallery_chart, number_at, on_plane, shown_numbers
from core.figures.charts.curvature.profile import curvature_chart, route_words
from core.figures.drawing.chart import BandLayer, Chart, FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.figures.drawing.symlog import Symlog
from core.geometry.curvature.at_image import CurvatureAtImage

DESCENDING = np.array([2.0, 0.5, 0.02, 0.01, 0.0, -0.01, -0.3, -1.0])


def result(curvatures: Any = DESCENDING, dimension: int = 8, channels: int = 3, **changed: Any) -> CurvatureAtImage:
    """Curvatures of images 0.5 from their boundary; four directions of 4 x 4 pixels."""
    values = np.atleast_2d(np.array(curvatures, np.float64))
    n = len(values)
    known: dict[str, Any] = {
        "curvatures": values,
        "distance": np.full(n, 0.5),
        "nodes": np.empty((n, 0)),
        "weights": np.empty((n, 0)),
        "dimension": dimension,
        "directions": np.random.default_rng(0).normal(size=(n, 4, channels, 4, 4)).astype(np.float32),
        "direction_curvatures": values[:, [0, 1, -2, -1]],
        "residual": np.zeros((n, 4)),
        "converged": np.ones(n, bool),
        "points": np.zeros((n, channels, 4, 4)),
        "normals": np.zeros((n, channels, 4, 4)),
        **{name: np.full(n, 0.25) for name in ("asymmetry_ratio", "steepness", "offset", "angle", "focal")},
        "moved": np.zeros(n, int),
        "source_class": np.zeros(n, int),
        "target_class": np.ones(n, int),
        "status": np.array(["nearest"] * n),
        "method": "exact",
        "scale": np.nan,
        "sharpness": np.nan,
        "agreement": 1.0,
        "kinks": (),
        "backend": "double backward",
        "products": 9,
        "num_classes": 2,
        "image": np.zeros((1, channels, 4, 4)),
        "row": np.arange(n),
        "words": "cat",
        "forwards": 0,
        "gradients": 0,
        "seconds": 0.0,
    }
    return CurvatureAtImage(**(known | changed))


def lines(chart: Chart, role: str = "curve") -> list[LinesLayer]:
    return [one for one in chart.panels[0].layers if isinstance(one, LinesLayer) and one.role == role]


def test_a_profile_shows_every_curvature_at_its_rank() -> None:
    chart = curvature_chart([result()], models=["a"])
    (panel,) = chart.panels
    (curve,) = lines(chart)
    axis = Symlog.of(DESCENDING)
    (path,) = curve.paths
    np.testing.assert_array_equal(path[:, 0], np.arange(1, 9))
    np.testing.assert_allclose(path[:, 1], axis.at(DESCENDING))
    assert curve.hover[0] == "1 of 8: 2 1/ℓ2"
    assert curve.hover_text == curve.hover
    assert panel.y.title == "principal curvature (1/ℓ2)"
    assert panel.x.title == "rank"
    assert panel.y.limits is not None
    assert panel.y.limits[0] < path[:, 1].min() < path[:, 1].max() < panel.y.limits[1]
    flat = lines(chart, "reference")
    np.testing.assert_allclose([line.paths[0][0, 1] for line in flat], axis.at(np.array([-0.2, 0.2])))  # 0.1 / 0.5
    assert "the other class is convex" in chart.caption
    assert "from 2 down to -1 1/ℓ2, 50.0% of them flat" in chart.alt
    assert not chart.legend


def test_values_may_be_turned_and_multiplied_by_the_distance() -> None:
    chart = curvature_chart([result()], models=["a"], values="times distance", positive="towards the image's class")
    (panel,), (curve,) = chart.panels, lines(chart)
    axis = Symlog.of(0.5 * DESCENDING)
    np.testing.assert_allclose(curve.paths[0][:, 1], axis.at(-0.5 * DESCENDING[::-1]))
    assert panel.y.title == "curvature × distance"
    np.testing.assert_allclose(
        [line.paths[0][0, 1] for line in lines(chart, "reference")], axis.at(np.array([-0.1, 0.1]))
    )
    assert "the image's class is convex" in chart.caption


def test_ends_alone_leave_a_gap_and_ranks_may_be_counted_from_them() -> None:
    ends = result([3.0, 2.0, 1.0, -1.0, -2.0], dimension=1000, complete=False)
    assert curvature_chart([ends], models=["a"]).panels[0].x.label == "rank, counted from either end"
    (curve,) = lines(curvature_chart([ends], models=["a"], ranks="even"))
    np.testing.assert_array_equal(curve.paths[0][:, 0], [1, 2, 3])
    np.testing.assert_array_equal(curve.paths[1][:, 0], [999, 1000])
    assert curve.hover_text == (*curve.hover[:3], "", *curve.hover[3:])
    turned = curvature_chart([ends], models=["a"], positive="towards the image's class", ranks="ends")
    (curve,), (panel,) = lines(turned), turned.panels
    np.testing.assert_allclose(curve.paths[0][:, 0], np.log10([1, 2]))
    end = 2 * np.log10(1001 / 2)
    np.testing.assert_allclose(curve.paths[1][:, 0], end - np.log10([3, 2, 1]))
    assert curve.hover[0] == "1 of 1000: 2 1/ℓ2"
    assert panel.x.ticks is not None
    assert [words for _, words in panel.x.ticks] == ["1", "10", "100", "100", "10", "1"]
    assert "so far" in turned.caption


def test_several_images_have_a_band_and_several_models_colours() -> None:
    many = result(np.stack([DESCENDING, 2 * DESCENDING, np.full(8, np.nan)]))
    chart = curvature_chart([many, result()], models=["a", "b"])
    bands = [one for one in chart.panels[0].layers if isinstance(one, BandLayer)]
    axis = Symlog.of(2 * DESCENDING)
    assert len(bands) == 1
    expected = np.percentile(np.stack([DESCENDING, 2 * DESCENDING]), (10, 90), 0)
    np.testing.assert_allclose([bands[0].low, bands[0].high], axis.at(expected))
    mean, first, second = lines(chart)
    np.testing.assert_allclose(mean.paths[0][:, 1], axis.at(1.5 * DESCENDING))
    assert first.colour == mean.colour != second.colour
    assert [entry.label for entry in chart.legend][:2] == ["a", "b"]
    assert not lines(chart, "reference")  # the distances differ


def test_a_density_has_a_share_of_1() -> None:
    chart = curvature_chart([result()], models=["a"], show="density")
    (panel,), (curve,) = chart.panels, lines(chart)
    assert panel.y.title == "density (ℓ2)"
    assert panel.y.scale == "log"
    assert chart.name == "curvature_density"
    points = np.concatenate(curve.paths)
    step = np.diff(points[:, 0]).min()
    assert points[:, 1].sum() * step == pytest.approx(1, abs=0.01)
    unit_free = curvature_chart([result()], models=["a"], show="density", values="times distance")
    points = np.concatenate(lines(unit_free)[0].paths)
    assert points[:, 1].sum() * np.diff(points[:, 0]).min() == pytest.approx(1, abs=0.01)
    assert unit_free.panels[0].y.title == "density"


def test_the_scale_of_kinks_is_said() -> None:
    apart = result(method="differences", scale=0.217, kinks=("relu",))
    assert route_words(apart, "m") == "m: differences of the gradient over h = 0.217 ℓ2, asymmetry 0.25."
    rounded = result(method="softplus", sharpness=10.0, agreement=0.995)
    assert "sharpness 10" in route_words(rounded, "m")
    assert route_words(result(), "m") == ""
    assert "h = 0.217 ℓ2" in curvature_chart([result(), apart], models=["a", "b"]).caption


def test_an_image_without_a_boundary_is_said() -> None:
    nothing = result(np.full(8, np.nan), distance=np.array([np.nan]), status=np.array(["not reached"]))
    chart = curvature_chart([nothing], models=["a"])
    assert not lines(chart)
    assert "no curvatures, not reached" in chart.alt
    assert shown_numbers(nothing) == []
    with pytest.raises(ValueError, match="got none"):
        gallery_chart(nothing)
    with pytest.raises(ValueError, match="a name for each"):
        curvature_chart([], models=[])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gallery_shows_directions_where_they_are_clicked(channels: int) -> None:
    found = result(channels=channels)
    assert shown_numbers(found) == [1, 2, -1, -2]
    chart = gallery_chart(found, marked=-2)
    fields = [layer for layer in chart.panels[0].layers if isinstance(layer, FieldLayer)]
    assert len(fields) == 4
    first = found.directions[0, 0]
    if channels == 3:
        expected = np.rint(255 * (0.5 + 0.5 * first / np.abs(first).max())).transpose(1, 2, 0)
        np.testing.assert_allclose(fields[0].colours[::-1], expected, atol=1)
    for number, field in zip([1, 2, -1, -2], fields, strict=True):
        assert number_at(found, float(field.x.mean()), float(field.y.mean())) == number
    assert number_at(found, -50.0, 0.0) == 0
    (outline,) = [layer for layer in chart.panels[0].layers if isinstance(layer, LinesLayer)]
    assert outline.paths[0][:, 0].min() == fields[3].edges[0]
    assert "1: 2, 2: 0.5, -1: -1, -2: -0.3" in chart.alt
    (panel,) = on_plane(chart).panels
    assert panel.isometric
    assert panel.kind == "cartesian"
    assert panel.x.ticks is not None
    assert panel.y.ticks is not None
    assert [at for at, _ in panel.x.ticks] == pytest.approx([field.x.mean() for field in fields])
    assert [at for at, _ in panel.y.ticks] == pytest.approx([fields[0].y.mean()])
    (words,) = [layer for layer in panel.layers if isinstance(layer, PointsLayer)]
    np.testing.assert_allclose(words.positions[:, 0], [field.x.mean() for field in fields])


def test_both_renderers_draw_the_charts(tmp_path: Path) -> None:
    many = result(np.stack([DESCENDING, 2 * DESCENDING]))
    for show in ("profile", "density", "gallery"):
        chart = curvature_chart([many], models=["a"], show=show)  # type: ignore[arg-type]
        figure = draw(chart)
        assert figure.data
        write_figure(chart, tmp_path / f"{show}.svg")
        assert (tmp_path / f"{show}.svg").stat().st_size > 1000
    hovers = [trace.text for trace in draw(curvature_chart([many], models=["a"])).data if trace.text is not None]
    assert [words[0] for words in hovers] == ["1 of 8: 2 1/ℓ2"]
    assert replace(many, words="dog").words == "dog"
