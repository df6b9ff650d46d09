"""Charts of limits: which curves, on which axes, and the sentence that stands under every one of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.figures.charts.limits.bounds import CAPTION, FOUND, limits_chart, size_axis, survival_chart
from core.figures.charts.limits.enumeration import enumeration_chart, painting_chart
from core.figures.charts.limits.overlay import overlay_chart
from core.figures.drawing.chart import BarsLayer, Chart, FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.limits.bounds import robustness_bound
from core.geometry.limits.enumeration import EveryImage, class_distance
from core.geometry.limits.overlay import Overlay, overlay
from core.geometry.limits.painting import painted_class
from core.geometry.limits.survival import Survival
from tests.truths import Affine, classifier

AT = np.arange(6.0)


def found(counts: tuple[int, ...] = (30, 70), images: int = 4, exempt: int = 1, **changed: Any) -> Survival:
    """A search of images with these labels."""
    known: dict[str, Any] = {
        "counts": np.array(counts),
        "share_low": np.array(counts) / 120,
        "share_high": np.array(counts) / 90,
        "exempt": exempt,
        "share": np.array([0.2, 0.4]),
        "source": np.zeros(images, int),
        "size": np.ones((3, images, 4)),
        "set_size": np.ones((3, 2, 4)),
        "exhibit_size": np.ones((3, 2, 4)),
        "start": np.zeros((1, 1, 2, 2)),
        "witness": np.ones((1, 1, 2, 2)),
        "reached": np.ones(1, int),
        "norms": (0.0, 1.0, 2.0, math.inf),
        "bits": 8,
        "partition": "labels",
        "num_classes": len(counts),
        "shape": (1, 2, 2),
        "forwards": 0,
        "gradients": 0,
        "seconds": 0.0,
    }
    return Survival(**(known | changed))


def drawn(result: Survival, norm: float = 0.0, **changed: Any) -> Chart:
    share = np.array([1.0, 0.5, 0.25, 0.25, 0.0, 0.0]) if len(result.source) else np.full(6, np.nan)
    options: dict[str, Any] = {
        "at": AT,
        "limit": np.array([1, 0.9, 0.5, 0.3, 0.1, 0.01]),
        "best": (share, share * 0.5, np.minimum(1, share + 0.2)),
        "walk": share,
        "of_set": np.ones(6),
        "exhibits": {"majority": np.array([1, 0.8, 0.4, 0.2, 0.1, 0.0])},
        "class_names": [f"class {k}" for k in range(result.num_classes)],
    }
    return survival_chart(result, norm=norm, **(options | changed))


def lines(chart: Chart, panel: int = 0) -> list[LinesLayer]:
    return [layer for layer in chart.panels[panel].layers if isinstance(layer, LinesLayer)]


def test_the_smallest_bound_is_the_limit_and_is_read_off() -> None:
    bound = robustness_bound(32, 3, 8, 0, 0.5)
    chart = limits_chart(bound, {"majority": bound.fraction / 2, "sum": np.full(len(bound.size), np.nan)})
    [panel] = chart.panels
    assert panel.y.scale == "log"
    assert panel.y.limits == (1e-6, 1.4)
    assert panel.x.title == "values changed"
    limit = next(line for line in lines(chart) if line.role == "curve" and line.dash == "solid")
    np.testing.assert_allclose(limit.paths[0][:10, 1], bound.fraction[:10])
    assert "122 of 3,072 changed values" in chart.caption
    assert CAPTION in chart.caption
    labels = [entry.label for entry in chart.legend]
    assert labels == [
        "solid: the limit, smallest of the bounds",
        "H1, bounded differences",
        "H2, bits",
        "kept by majority",
    ]
    mark = next(line for line in lines(chart) if line.role == "reference")
    assert mark.paths[0][0, 0] == 122


def test_norms_have_their_units_and_the_largest_its_warning() -> None:
    assert [size_axis(p, 1.0).unit for p in (1.0, math.inf)] == ["ℓ1, pixels in [0, 1]", "ℓ∞, pixels in [0, 1]"]
    chart = limits_chart(robustness_bound(32, 3, 8, math.inf, 0.5), {})
    assert "no effect of dimension" in chart.caption
    assert "Short of the whole range" in chart.caption
    few = limits_chart(robustness_bound(4, 1, 1, 0, 0.5, sizes=np.arange(3.0)), {})
    assert "does not fall to 1 %" in few.caption


def test_searches_stand_beside_the_limit_and_the_exempt_class_is_said() -> None:
    chart = drawn(found())
    assert [len(panel.layers) for panel in chart.panels] == [6, 2]
    assert CAPTION in chart.caption
    assert FOUND in chart.caption
    assert "class 1 has 70.0% and may hold more than half of all images: it is exempt" in chart.caption
    assert "All points lie below the limit" in chart.caption
    bars = chart.panels[1].layers[0]
    assert isinstance(bars, BarsLayer)
    np.testing.assert_allclose(bars.heights, [0.3, 0.7])
    grey = next(entry for entry in chart.legend if "another population" in entry.label)
    assert grey.colour == ""


def test_what_lies_above_the_limit_is_the_weakness_of_searches() -> None:
    chart = drawn(found(), limit=np.full(6, 0.01))
    assert "searches were too weak: no theorem is broken" in chart.caption


def test_without_another_class_nothing_is_searched() -> None:
    chart = drawn(found((0, 100, 0), images=0, exempt=1), limit=np.full(6, np.nan))
    assert "Class not sampled: class 0, class 2" in chart.caption
    assert "halve the noise" in chart.caption
    assert "All points" not in chart.caption
    none = drawn(found((50, 50), exempt=-1))
    assert "none is exempt" in none.caption
    with pytest.raises(ValueError, match="one name for each of 2"):
        drawn(found(), class_names=["one"])


@pytest.mark.parametrize(("side", "rows", "columns"), [(2, 4, 4), (3, 16, 32)])
def test_the_board_shows_every_image_once(side: int, rows: int, columns: int) -> None:
    result = painted_class(side, "ball")
    chart = painting_chart(result, radius=1, show="board")
    [panel] = chart.panels
    assert panel.isometric
    field = panel.layers[0]
    assert isinstance(field, FieldLayer)
    assert field.hover_index is not None
    assert set(np.unique(field.hover_index)) == set(range(-1, 2**side**2))
    x, y = panel.limits
    assert x == y == (0.0, float(columns))
    row, column = np.argwhere(result.board == 3)[0]
    at = int((column + 0.5) * len(field.x) / columns), int((row + 0.5) * len(field.y) / rows)
    assert field.hover_index[at[1], at[0]] == 3
    left = int(result.survivors[1])
    assert f"{left} keep it against every change of 1 pixel." in chart.caption
    assert CAPTION in chart.caption
    assert chart.legend[0].share == pytest.approx(left / 2**side**2)
    away = int(result.distance[1])
    assert field.hover[1].endswith(f"left after {away} changed pixel{'s' if away > 1 else ''}")


def test_an_exempt_class_and_a_full_one_are_said() -> None:
    chart = painting_chart(painted_class(2, "ffff"), radius=4)
    assert "it is exempt" in chart.caption
    assert "16 keep it" in chart.caption
    assert len(chart.panels) == 2
    assert len(painting_chart(painted_class(2, "ffff"), show="curve").panels) == 1
    marks = next(layer for layer in chart.panels[1].layers if isinstance(layer, PointsLayer))
    np.testing.assert_array_equal(marks.positions[:, 1], [16] * 5)


def every(label: np.ndarray) -> EveryImage:
    return EveryImage(
        label=label,
        distance=class_distance(label, 4),
        side=2,
        channels=1,
        bits=1,
        num_classes=2,
        forwards=16,
        gradients=0,
        seconds=0.0,
    )


def test_exact_shares_stand_beside_the_limits_of_their_size() -> None:
    result = every((np.arange(16) < 4).astype(int))
    chart = enumeration_chart(result, limits={1: result.limit(1)}, class_names=("big", "small"))
    assert [entry.label for entry in chart.legend] == ["big, exempt", "small"]
    assert "No class exceeds its limit." in chart.caption
    assert CAPTION in chart.caption
    assert "small: 4 images, 0.0% survive one changed pixel" in chart.alt
    with pytest.raises(ValueError, match="one name for each of 2"):
        enumeration_chart(result, limits={}, class_names=("one",))


def pair() -> Overlay:
    model = classifier(Affine(torch.stack([-torch.ones(16), torch.ones(16)]), torch.tensor([4.5, -4.5])), (1, 4, 4))
    return overlay(model, torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4), orders=2)


def test_an_overlay_shows_its_pixels_and_when_the_label_changes() -> None:
    chart = overlay_chart(pair(), class_names=("dark", "light"), times=1)
    pictures, answers = chart.panels
    words = next(layer for layer in pictures.layers if isinstance(layer, PointsLayer))
    assert words.labels == ("dark", "4 pixels", "dark", "light")
    assert "says light from 5 pixels on (random orders: 5 pixels)" in chart.caption
    assert CAPTION in chart.caption
    assert answers.x.limits == (0.0, 16.0)
    assert "light" in overlay_chart(pair(), class_names=("dark", "light"), times=2).alt
    with pytest.raises(ValueError, match="one name for each"):
        overlay_chart(pair(), class_names=("dark",))


def test_both_renderers_draw_the_charts(tmp_path: Path) -> None:
    small = every((np.arange(16) % 2).astype(int))
    for chart in (
        limits_chart(robustness_bound(8, 1, 2, 2, 0.5), {"one value": np.linspace(1, 0, 400)}),
        drawn(found(), norm=2.0),
        painting_chart(painted_class(2)),
        enumeration_chart(small, limits={}, class_names=("one", "two")),
        overlay_chart(pair(), class_names=("dark", "light")),
    ):
        assert draw(chart).data
        write_figure(chart, tmp_path / f"{chart.name}.svg")
        assert (tmp_path / f"{chart.name}.svg").stat().st_size > 1000
