"""Charts of the supports of many images: their positions and sizes by class, what predicts them, their stability."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.names import model_colour, model_legend
from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    BandLayer,
    BarsLayer,
    Chart,
    FieldLayer,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
    PointsLayer,
    Scale,
)
from core.figures.drawing.curves import largest, stairs
from core.figures.drawing.matrices import matrix_panel
from core.figures.drawing.pictures import map_panel
from core.wording import shortened

if TYPE_CHECKING:
    from core.geometry.sparse.support_statistics import SupportStatistics

SupportsShow = Literal["maps", "frequency", "deviation", "pairs", "robustness", "classes", "predictors", "stability"]
SUPPORTS_SHOWS: tuple[SupportsShow, ...] = get_args(SupportsShow)

_FEW = 5  # images of a pair: with fewer, the map is hatched
_LISTED = 12  # classes in the grid of pairs, and in the legend
_ALIGNED = "Positions mean something only where the images are aligned, as digits are."


def supports_chart(
    results: Sequence[SupportStatistics],
    *,
    class_names: Sequence[str],
    names: Sequence[str],
    show: SupportsShow = "maps",
    shared_scale: Sequence[SupportStatistics] = (),
    palette: str = "muted",
) -> Chart:
    """Statistics of supports, of one model or several.

    Args:
        results: one per model.
        class_names: one name per class.
        names: of the models.
        show: "frequency" of each pixel in supports; its "deviation" from random supports of the same sizes; both
            "maps"; "pairs" of classes; "robustness", the share flipped against the number of pixels, or by "classes";
            "predictors" of the supports; "stability" between runs.
        shared_scale: all results that share scales; by default those shown.
        palette: class palette of `style.PALETTES`.

    Returns:
        A chart with a row of panels, one per model; a single panel for robustness.

    Raises:
        ValueError: if names are missing.
    """
    if len(names) != len(results) or any(len(class_names) != each.num_classes for each in results):
        raise ValueError(f"expected a name for each of {len(results)} models and for each class, got fewer or more")
    titles = tuple(names) if len(results) > 1 else ("",)
    pairs = list(zip(results, titles, strict=True))
    together = shared_scale or results
    legend: tuple[LegendEntry, ...] = ()
    match show:
        case "maps":
            panels = [_frequency(one, title, together) for one, title in pairs]
            panels += [_deviation(one, "", together) for one, _ in pairs]
        case "frequency":
            panels = [_frequency(one, title, together) for one, title in pairs]
        case "deviation":
            panels = [_deviation(one, title, together) for one, title in pairs]
        case "pairs":
            panels = [_pairs(one, title, class_names) for one, title in pairs]
        case "robustness":
            panels, legend = [_robustness(results)], tuple(model_legend(names))
        case "classes":
            panels = [_robustness_by_class(one, title, palette) for one, title in pairs]
            legend = _classes(results, class_names, palette)
        case "predictors":
            panels = [_predictors(one, title) for one, title in pairs]
            legend = (
                LegendEntry(colour=model_colour(0), label="among the largest scores"),
                LegendEntry(colour=style.LIGHT.quiet, label="by chance"),
            )
        case "stability":
            panels = [_stability(one, title) for one, title in pairs]
    across = 1 if show == "robustness" else 2 if show == "maps" and len(results) == 1 else len(results)
    return Chart(
        panels=tuple(panels),
        name="supports",
        columns=across,
        caption=f"{_counts(results, names)} {_meaning(show, results)}",
        alt=f"{_ALT[show]} {_counts(results, names)}",
        legend=legend,
    )


_ALT = {
    "maps": "Two maps over the pixels: the share of supports that hold each, and its deviation from chance.",
    "frequency": "A map over the pixels: the share of supports that hold each.",
    "deviation": "A map over the pixels: how far the share of supports that hold each deviates from chance.",
    "pairs": "A grid of maps, one for each ordered pair of classes.",
    "robustness": "Rising curves: the share of images that at most so many pixels flip.",
    "classes": "Rising curves, one per class: the share of images that at most so many pixels flip.",
    "predictors": "Bars: how much of a support lies among as many largest scores of each map, beside chance.",
    "stability": "A matrix: the overlap of supports found in different ways, with chance.",
}


def _counts(results: Sequence[SupportStatistics], names: Sequence[str]) -> str:
    """The numbers of images, and of pixels it took to flip them."""
    flipped = (
        f"{name}: {one.found.sum()} of {len(one.found)} images flipped"
        + (f", median {np.median(one.pixels[one.found]):.3g} pixels." if one.found.any() else ".")
        for one, name in zip(results, names, strict=True)
    )
    return " ".join(flipped)


def _label(value: float) -> str:
    """A number with two digits, or "unknown" if it could not be measured."""
    return f"{value:.2g}" if math.isfinite(value) else "unknown"


def _meaning(show: SupportsShow, results: Sequence[SupportStatistics]) -> str:
    first = results[0]
    match show:
        case "frequency":
            return f"Colour: share of the supports that hold the pixel. {_ALIGNED}"
        case "deviation" | "maps":
            limits = ", ".join(_label(one.z_limit) for one in results)
            start = "Share of the supports that hold the pixel, and " if show == "maps" else ""
            return (
                f"{start}{'its' if start else 'Its'} deviation from random supports of the same sizes, in standard"
                f" deviations; of a whole map of random supports the largest stays below {limits} in 95 % of"
                f" {first.draws} draws. {_ALIGNED}"
            )
        case "pairs":
            return (
                "Row: the class an image came from; column: the class it went to. The greyer a cell, the larger the"
                f" share of its row; the darker a pixel, the more of the cell's supports hold it. Hatched: below {_FEW}"
                f" images. {_ALIGNED}"
            )
        case "robustness" | "classes":
            return (
                "Share of all images, those without a perturbation included, that at most so many pixels flip"
                f"{'; band: 95 % interval (Wilson)' if show == 'robustness' else ''}."
            )
        case "predictors":
            return (
                "Precision: share of the support among as many largest scores; by chance it is the support's share of"
                " the image. Number: AUC, by chance 0.5."
            )
        case "stability":
            return (
                f"IoU of the supports that two runs found on the same image, by chance below it. Of different images"
                f" of one class {_label(first.same_class_iou)}, of two classes {_label(first.other_class_iou)}, by"
                f" chance {_label(first.image_chance_iou)}."
            )


def _frequency(one: SupportStatistics, title: str, together: Sequence[SupportStatistics]) -> Panel:
    most = largest(*(each.frequency for each in together)) or 1.0
    scale = Scale(palette="cividis", limits=(0.0, most), label="share of supports")
    return map_panel(one.frequency, scale, title)


def _deviation(one: SupportStatistics, title: str, together: Sequence[SupportStatistics]) -> Panel:
    most = largest(*(np.append(np.abs(each.z), each.z_limit) for each in together)) or 1.0
    scale = Scale(palette="vik", limits=(-most, most), label="z against random supports")
    return map_panel(one.z, scale, title)


# -- pairs of classes -------------------------------------------------------------------------------------------------


def _pairs(one: SupportStatistics, title: str, class_names: Sequence[str]) -> Panel:
    """A grid of maps: one row per original class of images, one column per new class."""
    involved = one.class_count + one.went.sum(0)
    chosen = np.sort(np.argsort(-involved, kind="stable")[:_LISTED])
    height, width = one.frequency.shape
    rows = []
    hover: list[str] = []
    for place in chosen:
        cells = []
        for other in chosen:
            count, total = int(one.went[place, other]), int(one.class_count[place])
            source, target = int(one.classes[place]), int(one.classes[other])
            share = count / total if total else 0.0
            cells.append(_cell(one.map_of(source, target)[0], share, 0 < count < _FEW))
            hover.append(f"{class_names[source]} to {class_names[target]}: {count} of {total}")
        rows.append(np.concatenate(cells, axis=1))
    picture = np.concatenate(rows) if rows else np.full((height, width, 3), 255, np.uint8)
    names = [class_names[int(one.classes[place])] for place in chosen]
    size = len(chosen) or 1
    middles = size * ((np.arange(len(chosen)) + 0.5) / size)
    index = np.arange(size * size).reshape(size, size).repeat(height, 0).repeat(width, 1)
    field = FieldLayer(
        x=(np.arange(picture.shape[1]) + 0.5) / picture.shape[1] * size,
        y=size * ((np.arange(picture.shape[0]) + 0.5) / picture.shape[0]),
        colours=picture[::-1],
        hover=tuple(hover),
        hover_index=index[::-1] if hover else None,
    )
    lines = [np.array([[k, 0.0], [k, size]]) for k in range(size + 1)]
    lines += [np.array([[0.0, k], [size, k]]) for k in range(size + 1)]
    long = max(map(len, names), default=0) > 3
    across = tuple(  # on two lines alternately, so that neighbours do not touch
        (at, f"{chr(10) * (long and k % 2)}{_short(name)}")
        for k, (at, name) in enumerate(zip(middles, names, strict=True))
    )
    up = tuple((size * (1 - at / size), _short(name)) for at, name in zip(middles, names, strict=True))
    return Panel(
        layers=(field, LinesLayer(paths=tuple(lines), role="guide")),
        isometric=height == width,
        title=title,
        x=Axis(label="went to", ticks=across, limits=(0.0, float(size))),
        y=Axis(label="came from", ticks=up, limits=(0.0, float(size))),
    )


def _cell(frequency: np.ndarray, share: float, few: bool) -> np.ndarray:
    """One map on a background that is greyer for a larger share, and hatched for few images."""
    ground = style.scale_colours(np.array(share), "paleness", (0.0, 1.0)).astype(np.float64)
    ground = np.where(share > 0, ground, 255.0)
    weight = np.nan_to_num(frequency / (largest(frequency) or 1.0))[..., None]
    if few:
        rows, columns = np.indices(frequency.shape)
        step = max(2, min(frequency.shape) // 8)
        ground = np.where(((rows + columns) % (2 * step) == 0)[..., None], 255.0, ground)
    return np.rint(ground + weight * (style.rgb(style.LIGHT.ink) - ground)).astype(np.uint8)


def _short(name: str) -> str:
    return shortened(name, 14)


# -- curves -----------------------------------------------------------------------------------------------------------


def _robustness(results: Sequence[SupportStatistics]) -> Panel:
    """The share flipped against the number of pixels, one curve with its band per model."""
    layers: list[Layer] = []
    for place, one in enumerate(results):
        colour = model_colour(place)
        (x, low), (_, high) = (stairs(one.limit, each).T for each in (one.flipped_low, one.flipped_high))
        layers += [
            BandLayer(x=x, low=low, high=high, colour=colour),
            LinesLayer(paths=(stairs(one.limit, one.flipped),), colour=colour),
        ]
    return _curves(layers, results, "")


def _robustness_by_class(one: SupportStatistics, title: str, palette: str) -> Panel:
    layers = [
        LinesLayer(
            paths=(stairs(one.limit, one.flipped_by_class[place]),),
            colour=style.class_colour(int(one.classes[place]), palette),
        )
        for place in _most_common(one)
    ]
    return _curves(layers, [one], title)


def _curves(layers: Sequence[Layer], results: Sequence[SupportStatistics], title: str) -> Panel:
    most = max(float(one.limit.max()) for one in results)
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="pixels changed at most", unit="", scale="log", limits=(0.95, max(2.0, 1.05 * most))),
        y=Axis(label="share of images flipped", limits=(0.0, 1.02)),
    )


def _most_common(one: SupportStatistics) -> list[int]:
    """The positions of the classes with most images."""
    order = np.argsort(-one.class_count, kind="stable")[:_LISTED]
    return [int(place) for place in np.sort(order) if one.class_count[place]]


def _classes(results: Sequence[SupportStatistics], class_names: Sequence[str], palette: str) -> tuple[LegendEntry, ...]:
    seen = sorted({int(one.classes[place]) for one in results for place in _most_common(one)})
    return tuple(LegendEntry(colour=style.class_colour(k, palette), label=class_names[k]) for k in seen)


# -- what predicts, and what agrees -----------------------------------------------------------------------------------


def _predictors(one: SupportStatistics, title: str) -> Panel:
    """The mean precision of each map with its 95 % interval over images, and chance."""
    names = [str(name) for name in one.predictors]
    places = np.arange(len(names), dtype=np.float64)
    known = ~np.isnan(one.precision_chance)
    layers: list[Layer] = []
    if known.any():
        precision = one.precision[:, known]
        error = 1.96 * precision.std(1) / math.sqrt(known.sum())
        height = precision.mean(1)
        low, high = height - error, height + error
        chance = np.full(len(names), float(one.precision_chance[known].mean()))
        areas = tuple(f"{value:.2f}" for value in np.nanmean(one.auc, 1))
        layers += [
            BarsLayer(x=places - 0.2, heights=height, low=low, high=high, width=0.36, colours=(model_colour(0),)),
            BarsLayer(x=places + 0.2, heights=chance, width=0.36, colours=(style.LIGHT.quiet,)),
            PointsLayer(positions=np.stack([places - 0.2, high + 0.03], 1), labels=areas, marker="none"),
        ]
    ticks = tuple((place, textwrap.fill(name, 12)) for place, name in zip(places.tolist(), names, strict=True))
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(ticks=ticks, limits=(-0.6, len(names) - 0.4)),
        y=Axis(label="precision", limits=(0.0, 1.0)),
    )


def _stability(one: SupportStatistics, title: str) -> Panel:
    return matrix_panel(
        one.agreement,
        tuple(str(name) for name in one.runs),
        Scale(palette="cividis", limits=(0.0, 1.0), label="mean IoU"),
        notes=np.where(np.eye(len(one.runs), dtype=bool), np.nan, one.agreement_chance),
        title=title,
    )
