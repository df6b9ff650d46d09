"""The benchmark and the matrix of transfer: stairs, quartiles, controls, words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.figures.charts.sparse.benchmark import TRANSFER_SHOWS, benchmark_chart, transfer_chart
from core.figures.drawing.chart import BandLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.sparse.benchmark import QueryBudgetCurve
from core.geometry.sparse.transfer import CONDITIONS, Transfer

COST: dict[str, Any] = {"forwards": 0, "gradients": 0, "seconds": 0.0, "num_classes": 4, "bound": 1.0}


def a_curve() -> QueryBudgetCurve:
    nothing = np.nan
    return QueryBudgetCurve(
        methods=np.array(["quick", "never"]),
        budget=np.array([1.0, 2.0, 4.0, 8.0]),
        median=np.array([[nothing, 9.0, 4.0, 4.0], [nothing] * 4]),
        lower=np.array([[12.0, 6.0, 3.0, 3.0], [nothing, nothing, 7.0, 7.0]]),
        upper=np.array([[nothing, nothing, 8.0, 6.0], [nothing] * 4]),
        flipped=np.array([[0.3, 0.6, 0.9, 1.0], [0, 0, 0.3, 0.3]]),
        pixels=np.array([[3.0, 4.0, 6.0], [7.0, nothing, nothing]]),
        spent=np.array([[5, 6, 8], [8, 8, 8]]),
        asked=np.array([[20, 30, 40], [8, 8, 8]]),
        compare="methods",
        prune=True,
        **COST,
    )


def test_the_benchmark_is_drawn_as_stairs_from_where_half_are_flipped() -> None:
    chart = benchmark_chart(a_curve())
    (panel,) = chart.panels
    (line,) = [layer for layer in panel.layers if isinstance(layer, LinesLayer)]
    np.testing.assert_allclose(line.paths[0], [[2, 9], [4, 9], [4, 4], [8, 4], [8, 4]])
    (band,) = [layer for layer in panel.layers if isinstance(layer, BandLayer)]
    np.testing.assert_allclose(band.x, [4, 8])
    assert (panel.x.scale, panel.y.scale) == ("log", "log")
    assert [entry.label for entry in chart.legend] == ["quick", "never"]
    assert "quick 4 pixels after 6 gradients; never flips fewer than half" in chart.alt
    assert "30, 8 per image" in chart.caption


def a_transfer(models: int) -> Transfer:
    shape = (len(CONDITIONS), models, models)
    flipped = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    return Transfer(
        flipped=flipped,
        flipped_low=flipped - 0.1,
        flipped_high=flipped + 0.2,
        same_target=flipped,
        count=np.full(shape[:2], 12),
        agreement=np.eye(models),
        agreement_chance=np.full((models, models), 0.01),
        models=np.array([f"model {k}" for k in range(models)]),
        conditions=np.array(CONDITIONS),
        pixels=np.ones((models, 12)),
        method="sparsefool",
        order="pixel",
        steps=3,
        seed=0,
        **COST,
    )


@pytest.mark.parametrize("models", [1, 3])
@pytest.mark.parametrize("show", TRANSFER_SHOWS)
def test_every_cell_has_its_control(show: str, models: int, tmp_path: Path) -> None:
    found = a_transfer(models)
    chart = transfer_chart(found, show=show)  # type: ignore[arg-type]
    (panel,) = chart.panels
    (words,) = [layer for layer in panel.layers if isinstance(layer, PointsLayer)]
    assert len(words.labels) == models**2
    control = {"change": 1, "support": 4, "patch": 7}.get(show)
    beside = 0.01 if control is None else found.flipped[control, 0, 0]
    assert words.labels[0].endswith(f"{'chance' if control is None else 'control'} {beside:.2g}")
    assert panel.y.title == "made for"
    assert "model 0 to model 0" in chart.alt
    assert ("± 0.15" in chart.caption) == (show != "agreement")
    assert draw(chart).data
    write_figure(chart, tmp_path / "transfer.svg")
    assert (tmp_path / "transfer.svg").stat().st_size > 1000
