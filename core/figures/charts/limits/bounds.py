"""Charts of limits on every classifier: the bounds, and the survival found for one classifier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.figures.charts.names import check_class_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, BandLayer, BarsLayer, Chart, Layer, LegendEntry, LinesLayer, Panel

if TYPE_CHECKING:
    from core.geometry.limits.bounds import RobustnessBound
    from core.geometry.limits.survival import Survival

CAPTION = (
    "Limit over every image that can be stored in this format, each counted once. Photographs are a vanishing part of"
    " that set; the limit is not a prediction for them."
)
FOUND = "Points show what our attack found."
BOUND_WORDS = ("H1, bounded differences", "H2, bits", "G, lengths")

_BOUNDS = tuple(style.class_colour(k) for k in (0, 1, 7))  # of H1, H2, G
_EXHIBITS = {name: style.class_colour(k) for name, k in (("majority", 4), ("sum", 9), ("one value", 6))}
_BEST, _WALK = style.class_colour(5), style.class_colour(8)
_NAMED = 4  # classes whose names fit below bars
_LEAST = 1e-6  # share of the class: the lower end of the axis of the bounds


def size_axis(norm: float, end: float) -> Axis:
    """The axis of the size of changes in a norm, from 0."""
    if norm == 0:
        return Axis(label="values changed", limits=(0.0, end))
    name = "∞" if norm == math.inf else f"{norm:g}"
    return Axis(label="size of the change", unit=f"ℓ{name}, pixels in [0, 1]", limits=(0.0, end))


def _shares(low: float, label: str) -> Axis:
    """A logarithmic axis of shares down to a power of ten."""
    bottom = math.ceil(math.log10(low) - 1e-9)
    step = max(1, -bottom // 6)
    ticks = tuple((10.0**k, style.number_words(10.0**k)) for k in range(0, bottom - 1, -step))
    return Axis(label=label, scale="log", limits=(low, 1.4), ticks=ticks)


def _curve(size: np.ndarray, share: np.ndarray, low: float) -> tuple[np.ndarray, ...]:
    """A curve where it is known, until it reaches the lower end of the axis."""
    known = np.isfinite(share)
    x, y = size[known], share[known]
    last = int(np.argmax(y < low)) if (y < low).any() else len(y) - 1
    return (np.stack([x, np.maximum(y, low)], 1)[: last + 1],) if len(x) else ()


def limits_chart(
    bound: RobustnessBound,
    extremal: Mapping[str, np.ndarray],
    *,
    marked: float = 0.01,
    title: str = "",
) -> Chart:
    """The largest share of a class that any classifier can keep, by the size of change.

    Args:
        bound: of one format and norm.
        extremal: shares kept by classifiers of two exact halves, by name, at the bound's sizes; NaN where unknown.
        marked: the share at which the size is read off.
        title: of the panel.

    Returns:
        A chart of one panel, the share on a logarithmic axis.
    """
    low, shares = _LEAST / 10, np.exp(bound.log_fraction)
    layers: list[Layer] = []
    legend = [LegendEntry(colour="", label="solid: the limit, smallest of the bounds")]
    for place, words in enumerate(BOUND_WORDS):
        if ((shares[place] > 0) & (shares[place] < 1)).any():
            layers.append(
                LinesLayer(paths=_curve(bound.size, shares[place], low), colour=_BOUNDS[place], dash="dashed")
            )
            legend.append(LegendEntry(colour=_BOUNDS[place], label=words))
    layers.append(LinesLayer(paths=_curve(bound.size, bound.fraction, low), role="curve"))
    for name, kept in extremal.items():
        if np.isfinite(kept[1:]).any():
            colour = _EXHIBITS[name]
            layers.append(LinesLayer(paths=_curve(bound.size, kept, low), colour=colour, dash="dotted"))
            legend.append(LegendEntry(colour=colour, label=f"kept by {name}"))
    reached = np.flatnonzero(bound.fraction <= marked)
    far = float(bound.size[reached[0]]) if len(reached) else math.inf
    if math.isfinite(far):
        layers.append(LinesLayer(paths=(np.array([[far, low], [far, marked]]),), role="reference"))
    panel = Panel(
        layers=tuple(layers),
        title=title,
        x=size_axis(bound.norm, float(bound.size[-1])),
        y=_shares(_LEAST, "share of a class that keeps its label"),
    )
    per = f"{bound.side} x {bound.side} pixels, {bound.channels} channel{'s' if bound.channels > 1 else ''}"
    ends = bound.share
    held = f"{ends[0]:.3g}" if ends[0] == ends[1] else f"{ends[0]:.3g} to {ends[1]:.3g}, the worst of them"
    where = _reading(bound.norm, far, bound.values, marked)
    effect = " In ℓ∞ there is no effect of dimension." if bound.norm == math.inf else ""
    overlay = " Dotted: classifiers of two exact halves, from closed forms." if extremal else ""
    return Chart(
        panels=(panel,),
        name="limits",
        caption=(
            f"{CAPTION} Lines are theorems about every classifier of images of {per}, {bound.bits} bits per value, and"
            f" a class that holds a share {held} of all images.{where}{overlay}{effect}"
        ),
        alt=f"Falling curves: the share of a class that can keep its label against the size of the change.{where}",
        legend=tuple(legend),
    )


def _reading(norm: float, far: float, values: int, marked: float) -> str:
    """The size at which the limit falls to the marked share, in a sentence."""
    if norm == math.inf and far >= 1:
        return f" Short of the whole range of a value, the limit does not fall to {100 * marked:g} %."
    if not math.isfinite(far):
        return f" The limit does not fall to {100 * marked:g} % in this picture."
    words = f"{far:.0f} of {values:,} changed values" if norm == 0 else f"a size of {far:.3g}"
    return f" No classifier keeps more than {100 * marked:g} % of it against {words}."


def survival_chart(
    found: Survival,
    *,
    norm: float,
    at: np.ndarray,
    limit: np.ndarray,
    best: tuple[np.ndarray, np.ndarray, np.ndarray],
    walk: np.ndarray,
    of_set: np.ndarray,
    exhibits: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    title: str = "",
) -> Chart:
    """The survival of uniformly drawn images with its limit, and the labels of all images drawn.

    Args:
        found: the searches.
        norm: of the sizes.
        at: (s,) sizes of change.
        limit: (s,) the smallest bound for the classes searched; NaN where none was drawn.
        best: (s,) shares of drawn images for which no search found a change, and both ends of their interval.
        walk: (s,) the same for the random walk alone.
        of_set: (s,) the same for the images of the set.
        exhibits: (s,) exact shares of drawn images kept by the extremal classifiers, by name.
        class_names: one name per class of the partition.
        title: of the panel.

    Returns:
        A chart of two panels: survival, and the histogram of labels; the caption names the exempt class.

    Raises:
        ValueError: if names of classes are missing.
    """
    check_class_names(found.num_classes, class_names)
    count = len(found.source)
    low = 0.5 / max(count, 10)
    layers: list[Layer] = []
    legend: list[LegendEntry] = []

    def add(share: np.ndarray, words: str, colour: str, dash: Any = "solid") -> None:
        if np.isfinite(share).any():
            layers.append(LinesLayer(paths=_curve(at, share, low), colour=colour, dash=dash))
            legend.append(LegendEntry(colour=colour, label=words))

    if count:
        layers.append(BandLayer(x=at, low=best[1].clip(low), high=best[2].clip(low), colour=_BEST))
    if np.isfinite(limit).any():  # ink and grey are the theme's own
        layers.append(LinesLayer(paths=_curve(at, limit, low), role="curve"))
        legend.append(LegendEntry(colour="", label="solid, without a colour: the limit, no classifier keeps more"))
    add(best[0], "drawn images, all searches", _BEST)
    add(walk, "drawn images, random walk alone", _WALK)
    for name, kept in exhibits.items():
        add(kept, f"{name}, exact", _EXHIBITS[name], "dotted")
    if np.isfinite(of_set).any():
        layers.append(LinesLayer(paths=_curve(at, of_set, low), role="reference", dash="dashed"))
        legend.append(
            LegendEntry(colour="", label="grey, dashed: images of the set, another population, no inequality")
        )
    curves = Panel(
        layers=tuple(layers),
        title=title,
        x=size_axis(norm, float(at[-1])),
        y=_shares(low, "share without a change found"),
    )
    seen = _histogram_words(found, class_names)
    above = bool(count) and bool((best[1] > limit * (1 + 1e-9)).any())
    verdict = (
        " Where points lie above the limit, the searches were too weak: no theorem is broken."
        if above
        else " All points lie below the limit, or within their interval of it."
        if count
        else ""
    )
    return Chart(
        panels=(curves, _histogram(found, class_names)),
        name="survival",
        caption=(
            f"{CAPTION} {FOUND} {count} images drawn uniformly, {found.bits} bits per value, and band: 95 % interval"
            f" (Clopper, Pearson); searches end in witnesses, so survival is an upper estimate.{verdict} {seen}"
        ),
        alt=f"Falling curves of survival against the size of the change, and bars of labels of noise. {seen}",
        legend=tuple(legend),
    )


def _histogram(found: Survival, class_names: Sequence[str]) -> Panel:
    share = found.counts / max(1, found.counts.sum())
    bars = BarsLayer(
        x=np.arange(found.num_classes, dtype=np.float64),
        heights=share,
        low=found.share_low,
        high=found.share_high,
        colours=tuple(style.class_colour(k) for k in range(found.num_classes)),
    )
    named = found.num_classes <= _NAMED
    ticks = tuple((float(k), words if named else str(k)) for k, words in enumerate(class_names))
    half = LinesLayer(paths=(np.array([[-0.6, 0.5], [found.num_classes - 0.4, 0.5]]),), role="reference")
    return Panel(
        layers=(bars, half),
        x=Axis(label="label of a drawn image", ticks=ticks),
        y=Axis(label="share of noise", limits=(0.0, 1.0)),
    )


def _histogram_words(found: Survival, class_names: Sequence[str]) -> str:
    """The exempt class, and the classes that were not drawn."""
    total = int(found.counts.sum())
    missing = [class_names[k] for k in np.flatnonzero(found.counts == 0).tolist()]
    words = f"Labels of {total:,} drawn images:"
    k = found.exempt
    if k >= 0:
        words += (
            f" {class_names[k]} has {found.counts[k] / max(1, total):.1%} and may hold more than half of all images: it"
            " is exempt."
        )
    else:
        words += " no class has more than half of them, so none is exempt."
    if missing:
        words += f" Class not sampled: {', '.join(missing)}."
    if not len(found.source):
        words += " No other class was sampled, so nothing could be searched: halve the noise at the median instead."
    return words
