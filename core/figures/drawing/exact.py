"""Exact answers over computed ones, for classifiers with a closed form: dashed, in a colour of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from core.figures.drawing import style
from core.figures.drawing.chart import Chart, Layer, LegendEntry, LinesLayer, Panel
from core.figures.drawing.symlog import Symlog


def with_exact_boundary(chart: Chart, lines: Sequence[np.ndarray]) -> Chart:
    """The chart of a slice with the exact boundary over the computed one.

    Args:
        chart: of one panel.
        lines: polylines (points, 2) in plane coordinates; none if the boundary does not cross the picture.

    Returns:
        The chart with the lines, and with their meaning in caption, legend and description.
    """
    panel = chart.panels[0]
    words = "Dashed, in red: the exact boundary, known on paper." if lines else "The exact boundary is not in here."
    layers = list(panel.layers)
    if lines:
        under = [place for place, one in enumerate(layers) if isinstance(one, LinesLayer) and one.role == "boundary"]
        layers.insert(under[0] + 1 if under else len(layers), _line(tuple(lines)))
    return _explained(chart, layers, words, "exact boundary" if lines else "")


def with_exact_curvature(chart: Chart, values: Mapping[str, float], unit: str) -> Chart:
    """The chart of curvatures with the exact ones of some models as lines.

    Args:
        chart: of one panel: curvature against rank, or density against curvature.
        values: by the model's name, the value of all its principal curvatures, as the chart shows them.
        unit: of the values; "" for none.

    Returns:
        The chart with the lines, and with the values in caption, legend and description.
    """
    if not values:
        return chart
    panel = chart.panels[0]
    lines = tuple(_across(panel, value) for value in values.values())
    listed = "; ".join(f"{model} {value:.4g} {unit}".rstrip() for model, value in values.items())
    words = f"Dashed, in red: the exact value of all curvatures, known on paper: {listed}."
    return _explained(chart, (*panel.layers, _line(lines)), words, "exact curvature")


def _across(panel: Panel, value: float) -> np.ndarray:
    """A line at a curvature: horizontal if the y axis shows curvatures, which makes it a symlog axis, else vertical."""
    (x_low, x_high), (y_low, y_high) = panel.x.limits or (0.0, 1.0), panel.y.limits or (0.0, 1.0)
    if panel.y.symlog:
        place = Symlog(panel.y.symlog).place(value)
        return np.array([[x_low, place], [x_high, place]])
    return np.array([[value, y_low], [value, y_high]])


def _line(paths: tuple[np.ndarray, ...]) -> LinesLayer:
    return LinesLayer(paths=paths, role="exact", colour=style.EXACT)


def _explained(chart: Chart, layers: Sequence[Layer], words: str, entry: str) -> Chart:
    return replace(
        chart,
        panels=(replace(chart.panels[0], layers=tuple(layers)),),
        caption=f"{chart.caption} {words}".strip(),
        alt=f"{chart.alt} {words}".strip(),
        legend=(*chart.legend, LegendEntry(colour=style.EXACT, label=entry)) if entry else chart.legend,
    )
