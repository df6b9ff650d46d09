"""Charts of shared directions: ratios against chance, pictures, what noise flips, and matrices between models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.figures.charts.curvature.directions import (
    OVERLAP_SHOWS,
    SHARING_SHOWS,
    OverlapShow,
    SharingShow,
    noise_chart,
    overlap_chart,
    sharing_chart,
)
from core.figures.drawing.chart import BandLayer, FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.shared_directions.principal_angles import DirectionOverlap
from core.geometry.shared_directions.sharing import DirectionNoise, DirectionSharing


def a_sharing(complete: bool = True, scale: float = np.nan) -> DirectionSharing:
    """Three directions on 4 images, 5 others and 2 of noise: twice, four and ten times as curved as random ones."""
    curvatures = np.array([0.2, 0.1, -0.5])
    directions = np.zeros((3, 1, 4, 4))
    for place in range(3):
        directions[place, 0, place, place] = 1.0
    ratio = np.array([4.0, 2.0, 10.0])
    unseen = ratio * np.array([0.5, 1.0, 1.0, 1.0, 2.0])[:, None]
    unknown = np.full_like(unseen, np.nan)
    return DirectionSharing(
        directions=directions,
        curvatures=curvatures,
        seen=np.tile(ratio, (4, 1)),
        unseen=unseen if complete else unknown,
        noise=np.ones((2, 3)),
        scrambled=np.full((5, 3), 1.5) if complete else unknown,
        along=np.tile(curvatures, (5, 1)) * np.array([1, 1, 1, -1, 1])[:, None],
        typical=np.ones(5),
        complete=complete,
        converged=True,
        asymmetry_ratio=0.0,
        scale=scale,
        products=10,
        forwards=1,
        gradients=1,
        seconds=0.0,
    )


def noise_along() -> DirectionNoise:
    spans = ("convex", "concave", "curved", "scrambled", "flat", "all of space")
    rates = np.linspace(1, 0, len(spans))[:, None] * np.array([0.0, 0.5, 1.0])
    flipped = np.stack([rates, rates, 0.5 * rates])
    return DirectionNoise(
        flipped=flipped,
        length=np.array([0.5, 1.0, 4.0]),
        spans=spans,
        dimension=np.array([2] * 5 + [16]),
        draws=8,
        distance=np.array([0.4, 0.8, 1.2]),
        whose="shared",
        scale=np.nan,
        products=4,
        forwards=1,
        gradients=1,
        seconds=0.0,
    )


def an_overlap(models: int) -> DirectionOverlap:
    share = np.full((models, models), 0.25)
    np.fill_diagonal(share, 0.75)
    return DirectionOverlap(
        share=share,
        scrambled=share / 5,
        angles=np.tile(np.array([10.0, 50.0, 85.0]), (models, models, 1)),
        chance=3 / 16,
        models=np.array([f"photos/m-{k}" for k in range(models)]),
        directions=3,
        products=4,
        forwards=1,
        gradients=1,
        seconds=0.0,
    )


@pytest.mark.parametrize("show", SHARING_SHOWS)
@pytest.mark.parametrize("complete", [True, False])
def test_every_picture_of_sharing_is_drawn_for_one_model_and_for_two(
    show: SharingShow, complete: bool, tmp_path: Path
) -> None:
    for count in (1, 2):
        chart = sharing_chart([a_sharing(complete)] * count, names=["net a", "net b"][:count], show=show)
        assert len(chart.panels) == count * (2 if show == "both" else 1)
        assert chart.columns == count
        assert [panel.title for panel in chart.panels[:2]] == (["net a", "net b"] if count == 2 else [""] * 2)[
            : len(chart.panels)
        ]
        assert "nan" not in chart.alt + chart.caption
        assert draw(chart).data
    if complete:
        write_figure(chart, tmp_path / "directions.svg")
        assert (tmp_path / "directions.svg").stat().st_size > 1000


def test_ratios_are_ordered_by_magnitude_and_stand_beside_chance() -> None:
    chart = sharing_chart([a_sharing()], names=["net"], show="transfer")
    (panel,) = chart.panels
    curves = [layer.paths[0] for layer in panel.layers if isinstance(layer, LinesLayer)]
    np.testing.assert_array_equal(curves[0][:, 1], 1)  # random directions
    dots = [layer.positions for layer in panel.layers if isinstance(layer, PointsLayer)]  # ranks are joined by no line
    np.testing.assert_array_equal(dots[0], [[1, 10], [2, 4], [3, 2]])  # -0.5, 0.2, 0.1
    np.testing.assert_array_equal(dots[2][:, 1], 1)  # noise
    np.testing.assert_array_equal(dots[3][:, 1], 1.5)  # scrambled
    (bars,) = [layer for layer in panel.layers if isinstance(layer, LinesLayer) and layer.role != "reference"]
    assert all(bar[0, 1] < at < bar[1, 1] for bar, at in zip(bars.paths, dots[1][:, 1], strict=True))
    assert panel.y.scale == "log"
    assert panel.y.ticks is not None
    assert "in 80 % (by chance 50 %)" in chart.caption
    assert "2, dotted" not in chart.caption
    assert [entry.label for entry in chart.legend][2] == "uniform noise"
    assert "scale" not in chart.caption
    assert "at the scale of 0.217 ℓ2" in sharing_chart([a_sharing(scale=0.217)], names=["net"]).caption


def test_models_share_the_axis_of_ratios() -> None:
    first = a_sharing()
    second = replace(first, unseen=10 * first.unseen)
    both = sharing_chart([first, second], names=["a", "b"], show="transfer")
    assert both.panels[0].y.limits == both.panels[1].y.limits
    alone = sharing_chart([first], names=["a"], show="transfer", shared_scale=[first, second])
    assert alone.panels[0].y.limits == both.panels[0].y.limits


def test_pictures_are_grey_where_a_direction_is_zero_and_say_their_curvature() -> None:
    chart = sharing_chart([a_sharing()], names=["net"], show="pictures")
    (panel,) = chart.panels
    fields = [layer for layer in panel.layers if isinstance(layer, FieldLayer)]
    assert len(fields) == 3
    largest = fields[0].colours[::-1]  # rows from the top
    assert largest[2, 2].tolist() == [255] * 3
    assert largest[0, 0].tolist() == [128] * 3
    (words,) = [layer for layer in panel.layers if isinstance(layer, PointsLayer)]
    assert words.labels == ("\N{MINUS SIGN}0.5", "+0.2", "+0.1")


def test_noise_curves_have_a_band_units_and_the_distance() -> None:
    chart = noise_chart([noise_along(), noise_along()], names=["a", "b"])
    first = chart.panels[0]
    assert (first.x.title, first.x.scale) == ("length of the noise (ℓ2)", "log")
    curves = [layer for layer in first.layers if isinstance(layer, LinesLayer)]
    np.testing.assert_allclose(curves[0].paths[0][:, 1], np.array([0, 0.5, 1]) * 2.5 / 3)
    np.testing.assert_array_equal(curves[-1].paths[0], [[0.8, 0], [0.8, 1]])
    assert sum(isinstance(layer, BandLayer) for layer in first.layers) == 3
    assert "8 draws" in chart.caption
    assert "the same noise on all" in chart.caption
    assert len(chart.legend) == 6
    own = noise_chart([replace(noise_along(), whose="own")], names=["a"])
    assert "each image's own boundary point" in own.caption
    assert draw(chart).data


@pytest.mark.parametrize("show", OVERLAP_SHOWS)
@pytest.mark.parametrize("models", [1, 2])
def test_overlap_is_drawn(show: OverlapShow, models: int, tmp_path: Path) -> None:
    chart = overlap_chart(an_overlap(models), show=show)
    (panel,) = chart.panels
    assert "photos/m-0 in photos/m-0 0.75" in chart.alt
    if show == "share":
        (words,) = [layer for layer in panel.layers if isinstance(layer, PointsLayer)]
        assert words.labels[0] == "0.75\nscrambled 0.15"
    else:
        assert panel.y.title == "angle (°)"
        assert len(chart.legend) == models * (models + 1) // 2
    assert draw(chart).data
    if models == 2:
        write_figure(chart, tmp_path / "overlap.svg")
        assert (tmp_path / "overlap.svg").stat().st_size > 1000


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a name for each of at least one result"):
        sharing_chart([a_sharing()], names=[])
    with pytest.raises(ValueError, match="expected a name for each of at least one result"):
        noise_chart([noise_along()], names=[])
