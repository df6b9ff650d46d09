"""The extreme curvatures of a boundary against the scale at which they are measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.figures.charts.names import check_model_names, model_legend
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, BandLayer, Chart, Layer, LegendEntry, LinesLayer, Panel, PointsLayer
from core.figures.drawing.curves import known_runs, log_limits

if TYPE_CHECKING:
    from core.geometry.curvature.scale import CurvatureScale


def curvature_scale_chart(results: Sequence[CurvatureScale], *, models: Sequence[str]) -> Chart:
    """The most positive and the most negative curvature at each scale, with the error that the scale brings.

    Args:
        results: one per model, by the same method.
        models: their names.

    Returns:
        A chart of two panels: curvatures; and the asymmetry of the measured matrices, or with rounded kinks the share
        of images that keep their class.

    Raises:
        ValueError: if a name of a model is missing, or there is no result.
    """
    check_model_names(models, results)
    legend = model_legend(models) if len(results) > 1 else []
    colours = [entry.colour for entry in legend] or [""]
    differences = results[0].method == "differences"
    what = "step h of differences" if differences else "sharpness b of rounded kinks"
    ends = log_limits(*(result.scale for result in results), room=1.15, otherwise=(0.1, 1.0))
    x = Axis(label=what, unit="ℓ2" if differences else "", scale="log", limits=ends, ticks=style.log_ticks(*ends))
    return Chart(
        panels=(_extremes(results, colours, x), _second(results, colours, x, differences)),
        name="curvature_scale",
        caption=_caption(results, models, differences),
        alt=" ".join(_alt(result, name, what) for result, name in zip(results, models, strict=True)),
        legend=(
            *legend,
            LegendEntry(colour="", label="solid: most positive"),
            LegendEntry(colour="", label="dashed: most negative, without its sign"),
        ),
    )


def _extremes(results: Sequence[CurvatureScale], colours: Sequence[str], x: Axis) -> Panel:
    layers: list[Layer] = []
    for result, colour in zip(results, colours, strict=False):
        for values, dash in ((result.largest, "solid"), (-result.smallest, "dashed")):
            shown = np.where(values > 0, values, np.nan)
            complete = shown[:, ~np.isnan(shown).all(0)]
            known = shown[~np.isnan(shown[:, : complete.shape[1]]).any(1)]
            if len(known) > 1 and dash == "solid":
                some = ~np.isnan(known).any(0)
                low, high = np.percentile(known[:, some], (10, 90), 0)
                layers.append(BandLayer(x=result.scale[some], low=low, high=high, colour=colour))
            layers.append(LinesLayer(paths=known_runs(result.scale, shown[0]), colour=colour, dash=dash))  # type: ignore[arg-type]
            places = np.stack([result.scale, shown[0]], 1)[np.isfinite(shown[0])]
            if len(places):
                layers.append(PointsLayer(positions=places, colours=(colour,) if colour else (), size=4.0))
    sizes = [np.abs([result.largest[0], result.smallest[0]]) for result in results]
    ends = log_limits(*sizes, room=1.3, otherwise=(0.1, 1.0))
    y = Axis(label="size of the curvature", unit="1/ℓ2", scale="log", limits=ends, ticks=style.log_ticks(*ends))
    return Panel(layers=tuple(layers), x=x, y=y)


def _second(results: Sequence[CurvatureScale], colours: Sequence[str], x: Axis, differences: bool) -> Panel:
    values = [result.asymmetry_ratio[0] if differences else result.agreement for result in results]
    lines = tuple(
        LinesLayer(paths=known_runs(result.scale, shown), colour=colour)
        for result, shown, colour in zip(results, values, colours, strict=False)
    )
    label = "asymmetry" if differences else "share that keeps its class"
    return Panel(layers=lines, x=x, y=Axis(label=label, limits=(0.0, 1.05)))


def _caption(results: Sequence[CurvatureScale], models: Sequence[str], differences: bool) -> str:
    words = [
        "Where a line is level the boundary has that curvature; where it is not, the curvature is a function of the"
        " scale, never one number."
    ]
    if any(len(result.largest) > 1 for result in results):
        words.append("Lines: the image; band: 10th to 90th percentile of the most positive one over the images.")
    if differences:
        words.append("Asymmetry: antisymmetric over symmetric part of the measured matrix, 0 for second derivatives.")
    else:
        words.append("Rounding moves the boundary: each point is about the boundary of its own rounded network.")
    for result, name in zip(results, models, strict=True):
        slope = float(result.exponent[0])
        if np.isfinite(slope):
            words.append(f"{name}: grows as scale to the power {slope:.2f}.")
    return " ".join(words)


def _alt(result: CurvatureScale, model: str, what: str) -> str:
    largest, smallest = result.largest[0], result.smallest[0]
    known = np.isfinite(largest)
    if not known.any():
        return f"{model}: no curvature known."
    first, last = np.flatnonzero(known)[[0, -1]]
    return (
        f"{model}: over the {what} from {result.scale[first]:.3g} to {result.scale[last]:.3g}, the most positive"
        f" curvature goes from {largest[first]:.3g} to {largest[last]:.3g}, the most negative one from"
        f" {smallest[first]:.3g} to {smallest[last]:.3g} 1/ℓ2."
    )
