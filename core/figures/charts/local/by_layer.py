"""Charts of local properties along the layers of a model, and along the radius."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.figures.charts.names import check_model_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, BandLayer, Chart, Layer, LegendEntry, LinesLayer, Panel, PointsLayer
from core.figures.drawing.curves import known_pieces, log_limits

if TYPE_CHECKING:
    from core.geometry.local.by_layer import LayerGeometry
    from core.geometry.local.by_radius import RadiusSweep

_INKS = tuple(style.class_colour(k) for k in (5, 0, 7, 1))
_DASHES: tuple[style.Dash, ...] = ("solid", "dashed", "dotted", "solid")
_SWEPT = ("asymmetry", "residual of the linearisation (dashed)", "units on another side (dotted)", "other class")
_LOWEST = 1e-7  # of logarithmic axes: smaller values are rounding
_LONGEST = 12  # characters of a layer's path on an axis


def layers_chart(results: Sequence[LayerGeometry], *, names: Sequence[str]) -> Chart:
    """Mantel scores, norms, isotropy and linearity by layer, with bands over images.

    Args:
        results: one per model.
        names: of the models.

    Returns:
        A chart of four panels; for several models a column of four each.

    Raises:
        ValueError: if names are missing.
    """
    check_model_names(names, results)
    titles = [f"{name}: " if len(results) > 1 else "" for name in names]
    rows = zip(*(_panels(one, before) for one, before in zip(results, titles, strict=True)), strict=True)
    panels = [panel for row in rows for panel in row]
    first = results[0]
    numbers = "; ".join(
        f"{name}: score at the last layer {_median(one.mantel_raw[:, -1])}, linearised"
        f" {_median(one.mantel_linear[:, -1])}, against the linearised {_median(one.mantel_jacobian[:, -1])}"
        for one, name in zip(results, names, strict=True)
    )
    images = len(first.mantel_raw)
    worst = max(float(np.nanmax(one.residual_of_norms)) for one in results)
    return Chart(
        panels=tuple(panels),
        name="local_layers",
        columns=2 if len(results) == 1 else len(results),
        caption=(
            f"Score: solid as it is, dashed linearised, dotted against the linearised distances. Norms: solid from the"
            " image to here, dashed of this block alone, dotted from here to the logits. Isotropy: solid the variation"
            " of the gain (0: isotropic), dashed linearised; dotted alignment. Linearity: solid asymmetry, dashed"
            " residual of the linearisation, dotted units of ReLU and max-pooling on another side."
            f" Lines: median over {images} image{'s' if images > 1 else ''}, bands: quartiles."
            f" {first.directions} pairs of directions"
            f" ({first.sampler}), radius {first.radius:.3g} ℓ2. Norms are largest singular values by power"
            f" iteration, from below (residual up to {worst:.1g}); alignment 1 would mean that the norms of the blocks"
            f" multiply. {numbers}."
        ),
        alt=f"Curves of Mantel scores, norms, isotropy and linearity over {len(first.layers)} layers. {numbers}.",
    )


def _median(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"{np.median(known):.2f}" if len(known) else "unknown"


def _quartiles(values: np.ndarray) -> np.ndarray:
    """Quartiles (3, columns) of each column over its known rows; NaN where none is known."""
    found = np.full((3, values.shape[1]), np.nan)
    known = np.isfinite(values)
    for column in np.flatnonzero(known.any(0)):
        found[:, column] = np.quantile(values[known[:, column], column], [0.25, 0.5, 0.75])
    return found


def _curve(x: np.ndarray, values: np.ndarray, name: str, place: int, least: float = -math.inf) -> list[Layer]:
    """The median over images with the band of quartiles, interrupted where nothing is known."""
    low, middle, high = np.maximum(_quartiles(values), least)
    colour, dash = _INKS[place], _DASHES[place]
    layers: list[Layer] = []
    for piece in known_pieces(np.isfinite(middle)):
        if len(values) > 1:
            layers.append(BandLayer(x=x[piece], low=low[piece], high=high[piece], colour=colour))
        path = np.stack([x[piece], middle[piece]], 1)
        layers += [
            LinesLayer(paths=(path,), colour=colour, dash=dash, name=name),
            PointsLayer(positions=path, colours=(colour,), size=3.0),
        ]
    return layers


def _panel(
    one: LayerGeometry,
    title: str,
    label: str,
    curves: Sequence[tuple[np.ndarray, str]],
    *,
    log: bool = False,
    limits: tuple[float, float] | None = None,
) -> Panel:
    x = np.arange(len(one.layers), dtype=np.float64)
    layers: list[Layer] = []
    for place, (values, name) in enumerate(curves):
        layers += _curve(x, np.where(values > 0, values, np.nan) if log else values, name, place)
    y = Axis(label=label, limits=limits)
    if log:
        ends = log_limits(*(values for values, _ in curves), room=1.3, otherwise=(0.5, 2.0))
        y = Axis(label=label, scale="log", limits=ends, ticks=style.log_ticks(*ends, most=8))
    short = (path if len(path) <= _LONGEST else f"…{path[1 - _LONGEST :].lstrip('.')}" for path in one.layers)
    ticks = tuple((float(place), path) for place, path in enumerate(short))
    x_axis = Axis(label="layer", ticks=ticks, limits=(-0.3, len(x) - 0.7))
    return Panel(layers=tuple(layers), title=title, x=x_axis, y=y)


def _panels(one: LayerGeometry, before: str) -> tuple[Panel, ...]:
    """Mantel scores, norms, isotropy and linearity of one model."""
    scores = (
        (one.mantel_raw, "score as it is"),
        (one.mantel_linear, "score linearised"),
        (one.mantel_jacobian, "score against the linearised"),
    )
    norms = (
        (one.prefix, "norm from the image to here"),
        (one.block, "norm of this block alone"),
        (one.suffix, "norm from here to the logits"),
    )
    isotropy = (
        (one.variation, "variation of the gain"),
        (one.variation_linear, "variation linearised"),
        (one.alignment, "alignment"),
    )
    linearity = (
        (one.asymmetry, "asymmetry"),
        (one.residual, "residual of the linearisation"),
        (one.changed, "units on another side"),
    )
    return (
        _panel(one, f"{before}Mantel score", "correlation of distances", scores, limits=(-0.3, 1.05)),
        _panel(one, f"{before}norms of Jacobians", "largest singular value", norms, log=True),
        _panel(one, f"{before}isotropy and alignment", "std / mean of the gain; alignment", isotropy),
        _panel(one, f"{before}distance from linear", "share", linearity),
    )


# -- along the radius -------------------------------------------------------------------------------------------------


def sweep_chart(results: Sequence[RadiusSweep], *, names: Sequence[str]) -> Chart:
    """Asymmetry, residual and changed units against the radius, on logarithmic axes.

    Args:
        results: one per model.
        names: of the models.

    Returns:
        A chart of one panel per model, with a guide of slope 1.

    Raises:
        ValueError: if names are missing.
    """
    check_model_names(names, results)
    curves = ((one.asymmetry, one.residual, one.changed) for one in results)
    lowest = min(log_limits(*each, room=1.0, otherwise=(0.1, 1.0))[0] for each in curves)
    panels = [
        _sweep(one, name if len(results) > 1 else "", max(_LOWEST, lowest / 2))
        for one, name in zip(results, names, strict=True)
    ]
    first = results[0]
    numbers = "; ".join(f"{name}: {_kinks(one)}" for one, name in zip(results, names, strict=True))
    images = len(first.row)
    return Chart(
        panels=tuple(panels),
        name="local_sweep",
        columns=len(panels),
        caption=(
            f"Median over {images} image{'s' if images > 1 else ''} of means over {first.directions} pairs of"
            f" directions ({first.sampler}), bands: quartiles. A smooth model follows the dashed guide, of slope 1,"
            f" until it bends back; a linear one would stay at 0, below the frame. {numbers}."
        ),
        alt=(
            "Rising curves of asymmetry, residual and changed units against the radius. At the largest radius: "
            + "; ".join(
                f"{name} asymmetry {_median(one.asymmetry[:, -1])}, residual {_median(one.residual[:, -1])}"
                for one, name in zip(results, names, strict=True)
            )
            + "."
        ),
        legend=tuple(LegendEntry(colour=ink, label=label) for ink, label in zip(_INKS, _SWEPT, strict=True)),
    )


def _kinks(one: RadiusSweep) -> str:
    known = one.first_kink[np.isfinite(one.first_kink)]
    return f"the nearest kink on any ray is {np.median(known):.2g} ℓ2 away (median)" if len(known) else one.kinks


def _sweep(one: RadiusSweep, title: str, least: float) -> Panel:
    layers: list[Layer] = []
    for place, values in enumerate((one.asymmetry, one.residual, one.changed, one.flipped)):
        layers += _curve(one.radius, np.where(values > 0, values, np.nan), "", place, least)
    ends = one.radius[[0, -1]]
    middle = _quartiles(np.where(one.asymmetry > 0, one.asymmetry, np.nan))[1]
    if np.isfinite(middle[0]):
        guide = np.stack([ends, middle[0] * ends / ends[0]], 1)
        layers.insert(0, LinesLayer(paths=(guide,), role="reference"))
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="radius", unit="ℓ2", scale="log", ticks=style.log_ticks(*ends, most=8)),
        y=Axis(label="share", scale="log", limits=(least, 1.5), ticks=style.log_ticks(least, 1.5, most=8)),
    )
