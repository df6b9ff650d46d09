"""Charts of corruptions: one image under growing severity, whole sets under growing severity, and white noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.figures.charts.names import check_class_names, check_model_names, model_colour, model_legend
from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    BandLayer,
    Chart,
    FieldLayer,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
    PointsLayer,
)
from core.figures.drawing.curves import known_runs
from core.figures.drawing.pictures import frame_at

if TYPE_CHECKING:
    from core.geometry.corruptions.noise import NoiseForecast
    from core.geometry.corruptions.severity_path import SeverityPath
    from core.geometry.corruptions.severity_sweep import SeveritySweep

Shown = Literal["accuracy", "distance"]
Against = Literal["severity", "change"]

_FRAMES = 11  # of a film strip: every half severity
_PITCH = 1.06  # from one frame to the next, in sides
_BAR = 0.13  # height of the bar of one model below a frame, in sides
_WORDS = 0.45  # room for the labels below the bars, in sides
_LIKELY = 0.1  # a class has a curve if its probability reaches this somewhere
_ACROSS = 4  # small multiples in a row


def severity_path_chart(
    walks: Sequence[SeverityPath],
    *,
    models: Sequence[str],
    class_names: Sequence[str],
    marked: float = 0.0,
    palette: str = "muted",
    shared_scale: Sequence[SeverityPath] = (),
) -> Chart:
    """A corruption of one image: the film strip, the signed distance, the probabilities.

    Args:
        walks: of the same image through the same corruption, one per model.
        models: their names.
        class_names: one name per class.
        marked: a severity to mark by a line; 0 for none.
        palette: class palette of `style.PALETTES`.
        shared_scale: all walks shown together, which share their axes.

    Returns:
        A chart of one column: the strip, distances, and probabilities of all likely classes, or for several models of
        the class that distances are measured from.

    Raises:
        ValueError: if names of models or classes are missing, or there is no walk.
    """
    check_model_names(models, walks, "walk")
    check_class_names(walks[0].num_classes, class_names)
    first, several = walks[0], len(walks) > 1
    words = first.name.replace("_", " ")
    x = Axis(label=f"severity of {words}", limits=(0.0, float(first.severity[-1])))
    if several:
        seen = list(dict.fromkeys(int(k) for walk in walks for k in walk.predicted if k >= 0))
        what = "probability of the true class" if first.labelled else "probability of its class"
        lines = [(walk, walk.label, model_colour(place)) for place, walk in enumerate(walks)]
    else:
        seen, what = _likely(first), "probability"
        lines = [(first, k, style.class_colour(k, palette)) for k in seen]
    curves = (
        LinesLayer(paths=known_runs(walk.severity, walk.probabilities[:, k]), colour=colour)
        for walk, k, colour in lines
    )
    panels = [
        _film_strip(walks, palette),
        _walk_distances(walks, shared_scale or walks, x, marked),
        Panel(layers=(*_mark(marked, 0.0, 1.0), *curves), x=x, y=Axis(label=what, limits=(0.0, 1.0))),
    ]
    legend = [
        LegendEntry(colour=style.class_colour(k, palette), label=f"{'says ' * several}{class_names[k]}") for k in seen
    ]
    whose = "its true class" if first.labelled else "the class of the clean image"
    bars = "the class each model predicts, in the order of the legend" if several else "the predicted class"
    return Chart(
        panels=tuple(panels),
        name="severity",
        caption=(
            f"{words.capitalize()} from severity 0 to {first.severity[-1]:g}; bars below the frames: {bars}. Distance:"
            f" to the boundary of {whose}, {class_names[first.label]}, to first order; negative where another class"
            " wins. ℓ2 over pixels in [0, 1]."
        ),
        alt=" ".join(_walk_words(walk, name, class_names, words) for walk, name in zip(walks, models, strict=True)),
        legend=(*(model_legend(models) if several else ()), *legend),
    )


def _film_strip(walks: Sequence[SeverityPath], palette: str) -> Panel:
    """Frames in a row, one unit wide; below each a bar per model in the colour of the class, then the severity."""
    first = walks[0]
    chosen = np.unique(np.linspace(0, len(first.severity) - 1, min(_FRAMES, len(first.severity))).round().astype(int))
    layers: list[Layer] = []
    for place, at in enumerate(chosen):
        left = place * _PITCH
        layers.append(frame_at(left, first.images[at], f"severity {first.severity[at]:g}"))
        for row, walk in enumerate(walks):
            middle = -0.05 - (row + 0.5) * _BAR
            colour = np.array(style.class_colours(walk.predicted[at : at + 1, None], palette=palette))
            layers.append(
                FieldLayer(
                    x=np.array([left + 0.25, left + 0.75]),
                    y=np.array([middle - 0.2 * _BAR, middle + 0.2 * _BAR]),
                    colours=np.repeat(np.repeat(colour, 2, 0), 2, 1),
                )
            )
    bottom = -0.05 - len(walks) * _BAR
    places = np.array([[place * _PITCH + 0.5, bottom - _WORDS / 2] for place in range(len(chosen))])
    labels = tuple(f"{first.severity[at]:.3g}" for at in chosen)
    layers.append(PointsLayer(positions=places, labels=labels, marker="none"))
    return Panel(
        layers=tuple(layers),
        kind="image",
        x=Axis(limits=(0.0, (len(chosen) - 1) * _PITCH + 1)),
        y=Axis(limits=(bottom - _WORDS, first.images.shape[2] / first.images.shape[3])),
    )


def _mark(at: float, low: float, high: float) -> list[Layer]:
    return [LinesLayer(paths=(np.array([[at, low], [at, high]]),), role="guide")] if at > 0 else []


def _walk_distances(walks: Sequence[SeverityPath], seen: Sequence[SeverityPath], x: Axis, marked: float) -> Panel:
    low, high = _room([(walk.distance,) for walk in seen])
    layers: list[Layer] = [*_mark(marked, low, high), _zero(float(walks[0].severity[-1]))]
    for place, walk in enumerate(walks):
        colour = model_colour(place) if len(walks) > 1 else ""
        layers.append(LinesLayer(paths=known_runs(walk.severity, walk.distance), colour=colour))
    unit = walks[0].unit("distance").removesuffix(" pixel")
    return Panel(layers=tuple(layers), x=x, y=Axis(label="signed distance", unit=unit, limits=(low, high)))


def _zero(end: float) -> LinesLayer:
    return LinesLayer(paths=(np.array([[0.0, 0.0], [end, 0.0]]),), role="reference", dash="dashed")


def _likely(walk: SeverityPath) -> list[int]:
    """The classes that are likely somewhere, sorted by their probability at the clean image."""
    most = np.nan_to_num(walk.probabilities).max(0)
    order = np.argsort(-np.nan_to_num(walk.probabilities[0]), kind="stable")
    return [int(k) for k in order if most[k] >= _LIKELY or k == walk.label]


def _walk_words(walk: SeverityPath, model: str, class_names: Sequence[str], words: str) -> str:
    lost = f"loses it at severity {walk.lost_at:g}" if math.isfinite(walk.lost_at) else "keeps it throughout"
    far = walk.distance[np.isfinite(walk.distance)]
    span = f"; signed distance from {far[0]:.3g} to {far[-1]:.3g} ℓ2" if len(far) else ""
    return f"{model} on an image of {class_names[walk.label]} under {words}: {lost}{span}."


# -- sets -------------------------------------------------------------------------------------------------------------


def severity_sweep_chart(
    sweeps: Sequence[SeveritySweep],
    *,
    models: Sequence[str],
    shown: Shown = "accuracy",
    against: Against = "severity",
    shared_scale: Sequence[SeveritySweep] = (),
) -> Chart:
    """Accuracy, or signed distance, by severity: one panel for each corruption, one line for each model.

    Args:
        sweeps: of the same images through the same corruptions, one per model.
        models: their names.
        shown: "accuracy" with Wilson's 95 % band, or "distance": the median with the interquartile band.
        against: "severity", or "change": the mean ℓ2 length of the change, by which corruptions compare.
        shared_scale: all sweeps shown together, which share their axes.

    Returns:
        A chart of small multiples on common axes.

    Raises:
        ValueError: if names of models are missing or there is no sweep.
    """
    check_model_names(models, sweeps, "sweep")
    first = sweeps[0]
    names = [str(name) for name in first.names]
    curves = [_sweep_curves(sweep, shown) for sweep in sweeps]
    along = (
        first.displacement.mean(2) if against == "change" else np.broadcast_to(first.severities, first.accuracy.shape)
    )
    columns = min(_ACROSS, len(names))
    far = (0.0, float(along.max()) or 1.0)
    unit = first.unit("distance").removesuffix(" pixel")
    y_axis = (
        Axis(label="accuracy", limits=(0.0, 1.0))
        if shown == "accuracy"
        else Axis(
            label="signed distance",
            unit=unit,
            limits=_room([_sweep_curves(sweep, shown) for sweep in shared_scale or sweeps]),
        )
    )
    if against == "severity":
        ticks = tuple((float(at), str(at)) for at in range(math.floor(far[1]) + 1))
        x_axis = Axis(label="severity", limits=far, ticks=ticks)
    else:
        x_axis = Axis(label="mean change", unit=unit, limits=far)
    panels = []
    for place, name in enumerate(names):
        layers: list[Layer] = []
        bands: list[Layer] = [_zero(far[1])] if shown == "distance" else []  # below all lines
        for number, (low, middle, high) in enumerate(curves):
            colour = model_colour(number) if len(sweeps) > 1 else ""
            x = along[place]
            drawn = np.isfinite(low[place]) & np.isfinite(high[place])
            bands.append(BandLayer(x=x[drawn], low=low[place][drawn], high=high[place][drawn], colour=colour))
            layers.append(LinesLayer(paths=known_runs(x, middle[place]), colour=colour))
        x_shown = x_axis if place + columns >= len(names) else replace(x_axis, label="", unit="")
        y_shown = y_axis if place % columns == 0 else replace(y_axis, label="", unit="")
        panels.append(Panel(layers=(*bands, *layers), title=name.replace("_", " "), x=x_shown, y=y_shown))
    clean = ", ".join(f"{name} {sweep.accuracy[0, 0]:.0%}" for name, sweep in zip(models, sweeps, strict=True))
    meaning = (
        f"Accuracy on {len(first.labels)} images with Wilson's 95 % interval."
        if shown == "accuracy"
        else f"Median signed distance of {len(first.labels)} images to the boundary of their true class, to first"
        " order, with the band of the middle half; negative where another class wins."
    )
    measure = " Change: mean ℓ2 length over pixels in [0, 1]." if against == "change" else ""
    return Chart(
        panels=tuple(panels),
        columns=columns,
        name="corruption",
        caption=f"{meaning}{measure} Without corruption: {clean}. Corruptions of our own kinds, not ImageNet-C's.",
        alt=" ".join(_sweep_words(sweep, name) for sweep, name in zip(sweeps, models, strict=True)),
        legend=tuple(model_legend(models)) if len(sweeps) > 1 else (),
    )


def _sweep_curves(sweep: SeveritySweep, shown: Shown) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower end, middle and upper end of the band, each (corruptions, severities)."""
    if shown == "accuracy":
        return sweep.accuracy_low, sweep.accuracy, sweep.accuracy_high
    return sweep.quantile(0.25), sweep.median_distance, sweep.quantile(0.75)


def _room(curves: Sequence[tuple[np.ndarray, ...]]) -> tuple[float, float]:
    values = np.concatenate([each.ravel() for curve in curves for each in curve])
    values = values[np.isfinite(values)]
    low, high = (min(float(values.min()), 0.0), float(values.max())) if len(values) else (0.0, 1.0)
    spare = 0.05 * ((high - low) or 1.0)
    return low - spare, high + spare


def _sweep_words(sweep: SeveritySweep, model: str) -> str:
    last = sweep.accuracy[:, -1]
    worst, best = int(last.argmin()), int(last.argmax())
    return (
        f"{model}: accuracy {sweep.accuracy[0, 0]:.2f} without corruption; at severity {sweep.severities[-1]:g} from"
        f" {last[worst]:.2f} ({str(sweep.names[worst]).replace('_', ' ')}) to {last[best]:.2f}"
        f" ({str(sweep.names[best]).replace('_', ' ')}), on average {last.mean():.2f}."
    )


# -- white noise ------------------------------------------------------------------------------------------------------


def noise_forecast_chart(forecasts: Sequence[NoiseForecast], *, models: Sequence[str]) -> Chart:
    """Accuracy under white noise, measured and forecast from the geometry at the clean image.

    Args:
        forecasts: of the same images, one per model.
        models: their names.

    Returns:
        A chart of one panel: measured accuracy solid, forecast dashed.

    Raises:
        ValueError: if names of models are missing or there is no forecast.
    """
    check_model_names(models, forecasts, "forecast")
    layers: list[Layer] = []
    for place, forecast in enumerate(forecasts):
        colour = model_colour(place) if len(forecasts) > 1 else ""
        for values, dash in ((forecast.measured_accuracy, "solid"), (forecast.forecast_accuracy, "dashed")):
            name = "" if place else "measured" if dash == "solid" else "forecast"
            paths = known_runs(forecast.deviations, values)
            layers.append(LinesLayer(paths=paths, colour=colour, dash=dash, name=name))  # type: ignore[arg-type]
    panel = Panel(
        layers=tuple(layers),
        x=Axis(label="standard deviation of the noise", unit="pixel"),
        y=Axis(label="accuracy", limits=(0.0, 1.0)),
    )
    gaps = ", ".join(f"{name} {np.abs(one.gap).max():.2f}" for name, one in zip(models, forecasts, strict=True))
    return Chart(
        panels=(panel,),
        name="noise",
        caption=(
            f"Share of {forecasts[0].draws} draws of white noise, unclipped, for each of {len(forecasts[0].labels)}"
            " images that leave the true class in front. Forecast: by the logits linearised at the clean image, all"
            f" classes together. What differs is curvature at the scale of the noise; the largest gap: {gaps}."
        ),
        alt=f"Accuracy under white noise, measured and forecast. Largest gap between them: {gaps}.",
        legend=tuple(model_legend(models)) if len(forecasts) > 1 else (),
    )
