"""Exact answers over computed ones, for classifiers known on paper: dashed, in a colour of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from core.figures.drawing import style
from core.figures.drawing.chart import Chart, Layer, LegendEntry, LinesLayer, Panel
from core.figures.drawing.symlog import Symlog


def with_exact_boundary(chart: Chart, lines: Sequence[np.ndarray]) -> Chart:
    """The chart of a slice with the exact boundary over the one that was found.

    Args:
        chart: of one panel.
        lines: polylines (points, 2) in plane coordinates; none where the boundary does not cross the picture.

    Returns:
        The chart; its caption, legend and description say what the line is.
    """
    panel = chart.panels[0]
    words = "Dashed, in red: the exact boundary, known on paper." if lines else "The exact boundary is not in here."
    layers = list(panel.layers)
    if lines:
        under = [place for place, one in enumerate(layers) if isinstance(one, LinesLayer) and one.role == "boundary"]
        layers.insert(under[0] + 1 if under else len(layers), _line(tuple(lines)))
    return _told(
        replace(chart, panels=(replace(panel, layers=tuple(layers)),)), words, "exact boundary" if lines else ""
    )


def with_exact_curvature(chart: Chart, values: Mapping[str, float], unit: str) -> Chart:
    """The chart of curvatures with the exact one of some models as a line.

    Args:
        chart: of one panel: rank across and curvature up, or curvature across and density up.
        values: the value that all principal curvatures have, by the model's name, as the chart gives them.
        unit: of the values; "" for none.

    Returns:
        The chart; its caption, legend and description give the values.
    """
    if not values:
        return chart
    panel = chart.panels[0]
    lines = tuple(_across(panel, value) for value in values.values())
    numbers = "; ".join(f"{model} {value:.4g} {unit}".rstrip() for model, value in values.items())
    layers: tuple[Layer, ...] = (*panel.layers, _line(lines))
    drawn = replace(chart, panels=(replace(panel, layers=layers),))
    return _told(
        drawn, f"Dashed, in red: the exact value of all curvatures, known on paper: {numbers}.", "exact curvature"
    )


def _across(panel: Panel, value: float) -> np.ndarray:
    """A line at a value: level where values stand on the axis that is linear around 0, else upright."""
    (x_low, x_high), (y_low, y_high) = panel.x.limits or (0.0, 1.0), panel.y.limits or (0.0, 1.0)
    if panel.y.symlog:
        place = Symlog(panel.y.symlog).place(value)
        return np.array([[x_low, place], [x_high, place]])
    return np.array([[value, y_low], [value, y_high]])


def _line(paths: tuple[np.ndarray, ...]) -> LinesLayer:
    return LinesLayer(paths=paths, role="exact", colour=style.EXACT)


def _told(chart: Chart, words: str, entry: str) -> Chart:
    return replace(
        chart,
        caption=f"{chart.caption} {words}".strip(),
        alt=f"{chart.alt} {words}".strip(),
        legend=(*chart.legend, LegendEntry(colour=style.EXACT, label=entry)) if entry else chart.legend,
    )
