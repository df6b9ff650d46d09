"""Charts of principal curvatures: by rank with a band over images, and their density."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from core.figures.charts.curvature.gallery import gallery_chart
from core.figures.charts.names import check_model_names, model_legend
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, BandLayer, Chart, Layer, LegendEntry, LinesLayer, Panel
from core.figures.drawing.curves import known_runs, largest
from core.figures.drawing.symlog import Symlog

if TYPE_CHECKING:
    from core.geometry.curvature.at_image import CurvatureAtImage

CurvatureShow = Literal["profile", "density", "gallery"]
CURVATURE_SHOWS: tuple[CurvatureShow, ...] = get_args(CurvatureShow)
Ranks = Literal["auto", "even", "ends"]
Values = Literal["curvature", "times distance"]
Positive = Literal["towards the other class", "towards the image's class"]

_FLAT = 0.1  # |k| D, below which the boundary is flat at the scale of the distance
_ROOM = 1.3  # factor beyond the largest value
_POINTS = 801  # of a density
_WIDTH = 0.01  # of the largest |k|: the width of the Gaussian that smooths a density
_FLOOR = 1e-6  # of the largest density: smaller ones are not drawn


def curvature_chart(
    results: Sequence[CurvatureAtImage],
    *,
    models: Sequence[str],
    show: CurvatureShow = "profile",
    ranks: Ranks = "auto",
    values: Values = "curvature",
    positive: Positive = "towards the other class",
    marked: int = 0,
    shared_scale: Sequence[CurvatureAtImage] = (),
) -> Chart:
    """The principal curvatures of the boundary near an image, of one model or several.

    Args:
        results: one per model, of the same image.
        models: their names.
        show: "profile": curvature against rank, with mean and band if other images of the set were measured; "density"
            of all curvatures; "gallery" of the directions, of the first model.
        ranks: "even", or from both "ends" on logarithmic axes; "auto": even if all curvatures are known.
        values: the curvature, or the curvature times the distance, which has no unit.
        positive: the class that is convex where a value is positive.
        marked: the number of the direction to outline in a gallery, 0 for none.
        shared_scale: all results shown together, which share their scales.

    Returns:
        A chart of one panel.

    Raises:
        ValueError: if a name of a model is missing, or there is no result.
    """
    check_model_names(models, results)
    if show == "gallery":
        return gallery_chart(results[0], marked=marked)
    turn = -1 if positive == "towards the image's class" else 1
    legend = model_legend(models) if len(results) > 1 else []
    colours = [entry.colour for entry in legend] or [""]
    several = any(len(result.curvatures) > 1 for result in results)
    seen = shared_scale or results
    if show == "profile":
        whole = any(result.whole for result in results)  # both ends alone are too narrow for even ranks
        ranks = ranks if ranks != "auto" else "even" if whole else "ends"
        panel = _profile(results, seen, colours, ranks, values, turn)
        meaning = _profile_words(results, values, several)
    else:
        panel = _density(results, seen, colours, values, turn, several)
        meaning = "Share of all curvatures per unit, smoothed by a Gaussian of 1 % of the largest; logarithmic." + (
            " Mean over the images." if several else ""
        )
    if several and show == "profile":
        legend += [LegendEntry(colour=style.PRINT.quiet, label="mean, 10th to 90th percentile")]
    convex = "the image's class" if turn < 0 else "the other class"
    return Chart(
        panels=(panel,),
        name="curvature" if show == "profile" else "curvature_density",
        caption=" ".join(
            [
                f"Boundary nearest to {results[0].words}. {meaning} Positive: {convex} is convex there.",
                *(route_words(result, name) for result, name in zip(results, models, strict=True)),
            ]
        ),
        alt=" ".join(_alt(result, name) for result, name in zip(results, models, strict=True)),
        legend=tuple(legend),
    )


def route_words(result: CurvatureAtImage, model: str) -> str:
    """How the curvatures of a model were measured, in one sentence; "" if they are exact and complete."""
    words = []
    if result.method == "differences":
        asymmetry = float(result.asymmetry_ratio[0])
        off = f", asymmetry {asymmetry:.2f}" if math.isfinite(asymmetry) else ""
        words.append(f"differences of the gradient over h = {result.scale:.3g} ℓ2{off}")
    elif result.method == "softplus":
        words.append(
            f"kinks rounded with sharpness {result.sharpness:g}, which keeps the class of {result.agreement:.0%} of the"
            " images"
        )
    if not result.complete:
        words.append("so far")
    elif not result.whole:
        words.append(f"{result.curvatures.shape[1]} of {result.dimension}")
    return f"{model}: {'; '.join(words)}." if words else ""


def _curves(result: CurvatureAtImage, values: Values, turn: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks (k,), and values (n, k) in descending order."""
    count, dimension = result.curvatures.shape[1], result.dimension
    upper = -(-count // 2)
    rank = np.arange(1, count + 1)
    if not result.whole:
        rank = np.concatenate([rank[:upper], dimension - count + rank[upper:]])
    shown = result.unit_free if values == "times distance" else result.curvatures
    if turn < 0:
        return dimension + 1 - rank[::-1], -shown[:, ::-1]
    return rank, shown


def _profile(
    results: Sequence[CurvatureAtImage],
    seen: Sequence[CurvatureAtImage],
    colours: Sequence[str],
    ranks: Ranks,
    values: Values,
    turn: int,
) -> Panel:
    curves = [_curves(result, values, turn) for result in results]
    every = [_curves(result, values, turn)[1] for result in seen]
    axis = Symlog.of(*every)
    dimension = max(result.dimension for result in results)
    low = min(-axis.linear, -largest(*(-shown for shown in every))) * _ROOM
    high = max(axis.linear, largest(*every)) * _ROOM
    layers: list[Layer] = [_level(axis, 0.0, dimension, ranks, "guide")]
    flat = _FLAT if values == "times distance" else _FLAT / float(results[0].distance[0])
    if (len(results) == 1 or values == "times distance") and math.isfinite(flat):
        layers += [_level(axis, side * flat, dimension, ranks, "reference") for side in (-1, 1)]
    unit = "" if values == "times distance" else "1/ℓ2"
    for (rank, shown), result, colour in zip(curves, results, colours, strict=False):
        place = _places(rank, result.dimension, ranks)
        pieces = np.split(np.arange(len(rank)), np.flatnonzero(np.diff(rank) > 1) + 1)
        known = shown[~np.isnan(shown).any(1)]
        if len(known) > 1:
            for piece in pieces:
                bottom, top = np.percentile(known[:, piece], (10, 90), 0)
                layers.append(BandLayer(x=place[piece], low=axis.at(bottom), high=axis.at(top), colour=colour))
            mean = tuple(np.stack([place[piece], axis.at(known[:, piece].mean(0))], 1) for piece in pieces)
            layers.append(LinesLayer(paths=mean, colour=colour or style.PRINT.quiet, dash="dotted"))
        if np.isfinite(shown[0]).all():
            paths = tuple(np.stack([place[piece], axis.at(shown[0, piece])], 1) for piece in pieces)
            hover_text = tuple(
                f"{number} of {result.dimension}: {value:.3g} {unit}".rstrip()
                for number, value in zip(rank, shown[0], strict=True)
            )
            layers.append(LinesLayer(paths=paths, colour=colour, hover=hover_text))
    what = "curvature × distance" if values == "times distance" else "principal curvature"
    return Panel(
        layers=tuple(layers),
        x=Axis(
            label="rank" if ranks == "even" else "rank, counted from either end",
            limits=(0.0, dimension + 1.0)
            if ranks == "even"
            else (0.0, _places(np.array([dimension]), dimension, ranks)[0]),
            ticks=None if ranks == "even" else _rank_ticks(dimension),
        ),
        y=Axis(
            label=what,
            unit=unit,
            limits=(axis.place(low), axis.place(high)),
            ticks=axis.ticks(low, high),
            symlog=axis.linear,
        ),
    )


def _level(axis: Symlog, value: float, dimension: int, ranks: Ranks, role: Any) -> LinesLayer:
    ends = _places(np.array([1, dimension]), dimension, ranks)
    place = axis.place(value)
    return LinesLayer(paths=(np.array([[ends[0], place], [ends[1], place]]),), role=role, dash="dashed")


def _places(rank: np.ndarray, dimension: int, ranks: Ranks) -> np.ndarray:
    """The positions of ranks: the ranks themselves, or on two logarithmic axes that meet in the middle."""
    if ranks == "even":
        return rank.astype(np.float64)
    middle = (dimension + 1) / 2
    left = np.log10(np.minimum(rank, middle))
    right = 2 * math.log10(middle) - np.log10(np.minimum(dimension + 1 - rank, middle))
    places: np.ndarray = np.where(rank <= middle, left, right)
    return places


def _rank_ticks(dimension: int) -> tuple[tuple[float, str], ...]:
    """Powers of ten from both ends, without those near the middle."""
    powers = [10**power for power in range(math.ceil(math.log10(dimension + 1))) if 10**power < (dimension + 1) / 6]
    left = [(math.log10(power), str(power)) for power in powers]
    end = 2 * math.log10((dimension + 1) / 2)
    return (*left, *((end - place, words) for place, words in left[::-1]))


def _profile_words(results: Sequence[CurvatureAtImage], values: Values, several: bool) -> str:
    words = ["Principal curvatures in order, on an axis that is linear around 0 and logarithmic beyond."]
    if values == "times distance" or len(results) == 1:
        words.append(
            "Dashed: |curvature| × distance = 0.1; between them the boundary is flat at the scale of the distance."
        )
    if not any(result.whole for result in results):
        words.append("Both ends alone: the many between them were not measured one by one.")
    if several:
        counts = [int((~np.isnan(result.curvatures).any(1)).sum()) for result in results]
        words.append(f"Dotted and band: mean and 10th to 90th percentile, rank by rank, over {min(counts)} images.")
    return " ".join(words)


def _density(
    results: Sequence[CurvatureAtImage],
    seen: Sequence[CurvatureAtImage],
    colours: Sequence[str],
    values: Values,
    turn: int,
    several: bool,
) -> Panel:
    most = largest(*(np.abs(_curves(result, values, turn)[1]) for result in seen)) or 1.0
    at = np.linspace(-_ROOM * most, _ROOM * most, _POINTS)

    def curve(result: CurvatureAtImage) -> np.ndarray:
        lengths = result.distance[:, None] if values == "times distance" else np.ones((len(result.distance), 1))
        rows = np.stack(
            [
                result.density(turn * at / length, _WIDTH * most / length)[row] / length
                for row, length in enumerate(lengths[:, 0] if several else lengths[:1, 0])
            ]
        )
        known = rows[~np.isnan(rows).any(1)]
        return known.mean(0) if len(known) else np.full(len(at), np.nan)

    known = {id(result): curve(result) for result in (*results, *seen)}
    top = largest(*known.values()) or 1.0
    layers = tuple(
        LinesLayer(paths=known_runs(at, np.where(each > _FLOOR * top, each, np.nan)), colour=colour)
        for each, colour in zip((known[id(result)] for result in results), colours, strict=False)
    )
    unit = "" if values == "times distance" else "1/ℓ2"
    exponents = range(math.floor(math.log10(_FLOOR * top)), math.ceil(math.log10(top)) + 1)
    powers = [float(f"1e{exponent}") for exponent in exponents]
    return Panel(
        layers=layers,
        x=Axis(
            label="curvature × distance" if values == "times distance" else "principal curvature",
            unit=unit,
            limits=(float(at[0]), float(at[-1])),
        ),
        y=Axis(
            label="density",
            unit="" if values == "times distance" else "ℓ2",
            scale="log",
            limits=(_FLOOR * top, 2 * top),
            ticks=tuple((power, style.number_words(power)) for power in powers if _FLOOR * top < power < 2 * top),
        ),
    )


def _alt(result: CurvatureAtImage, model: str) -> str:
    """The range of the curvatures, in words."""
    shown = result.curvatures[0]
    if np.isnan(shown).any():
        return f"{model}: no curvatures, {result.status[0]}."
    words = f"{model}: principal curvatures from {shown[0]:.3g} down to {shown[-1]:.3g} 1/ℓ2"
    flat = float(result.flat_fraction[0])
    return f"{words}, {flat:.1%} of them flat." if math.isfinite(flat) else f"{words}."
