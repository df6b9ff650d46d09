"""Charts of shared curved directions: pictures, transfer to other images and models, and the effect of noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.names import check_model_names, model_colour
from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    BandLayer,
    Chart,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
    PointsLayer,
    Scale,
)
from core.figures.drawing.curves import log_limits
from core.figures.drawing.matrices import matrix_panel
from core.figures.drawing.pictures import Picture, montage, photograph

if TYPE_CHECKING:
    from core.geometry.shared_directions.principal_angles import DirectionOverlap
    from core.geometry.shared_directions.sharing import DirectionNoise, DirectionSharing

SharingShow = Literal["both", "transfer", "pictures"]
SHARING_SHOWS: tuple[SharingShow, ...] = get_args(SharingShow)
OverlapShow = Literal["share", "angles"]
OVERLAP_SHOWS: tuple[OverlapShow, ...] = get_args(OverlapShow)

_SURE = 0.6  # share of reproduced signs: below it they are hardly better than chance
_KINDS: tuple[tuple[str, str, str], ...] = (  # field, words, colour
    ("seen", "images they come from", style.class_colour(7)),
    ("unseen", "other images", model_colour(0)),
    ("noise", "uniform noise", model_colour(1)),
    ("scrambled", "other images, scrambled directions", style.LIGHT.quiet),
)
_SPANS: Mapping[str, tuple[str, str]] = {  # words, colour
    "convex": ("most negative (convex)", model_colour(0)),
    "concave": ("most positive (concave)", model_colour(1)),
    "curved": ("largest magnitude", model_colour(2)),
    "scrambled": ("most negative, scrambled", style.class_colour(8)),
    "flat": ("outside of these", style.class_colour(2)),
    "random": ("random tangent directions", style.class_colour(7)),
    "all of space": ("all of space", style.LIGHT.quiet),
}
_MOST_PICTURES = 12


def sharing_chart(
    results: Sequence[DirectionSharing],
    *,
    names: Sequence[str],
    show: SharingShow = "both",
    shared_scale: Sequence[DirectionSharing] = (),
) -> Chart:
    """Shared curved directions of one model or several.

    Args:
        results: one per model.
        names: of the models.
        show: the curvature along them relative to chance ("transfer"), the directions as "pictures", or "both".
        shared_scale: all results that share axes; by default those shown.

    Returns:
        A chart with a column of panels for each model.

    Raises:
        ValueError: if names are missing.
    """
    check_model_names(names, results)
    titles = tuple(names) if len(results) > 1 else ("",)
    panels: list[Panel] = []
    if show != "pictures":
        panels += [_transfer(one, title, shared_scale or results) for one, title in zip(results, titles, strict=True)]
    if show != "transfer":
        above = titles if show == "pictures" else ("",) * len(results)
        panels += [_pictures(one, title) for one, title in zip(results, above, strict=True)]
    return Chart(
        panels=tuple(panels),
        name="shared_directions",
        columns=len(results),
        caption=_sharing_caption(results, names, show),
        alt=_sharing_alt(results, names, show),
        legend=tuple(LegendEntry(colour=colour, label=words) for _, words, colour in _KINDS)
        if show != "pictures"
        else (),
    )


def _middle(ratio: np.ndarray, share: float = 0.5) -> np.ndarray:
    """A quantile over points for each direction; NaN where no point is known."""
    known = ratio[np.isfinite(ratio).all(1)]
    return np.quantile(known, share, axis=0) if len(known) else np.full(ratio.shape[1], np.nan)


def _transfer(one: DirectionSharing, title: str, together: Sequence[DirectionSharing]) -> Panel:
    order = one.order()
    rank = np.arange(1.0, len(order) + 1)
    end = len(order) + 0.5
    layers: list[Layer] = [LinesLayer(paths=(np.array([[0.5, 1.0], [end, 1.0]]),), role="reference", dash="dotted")]
    for field, _, colour in _KINDS:
        ratio = getattr(one, field)[:, order]
        middle = _middle(ratio)
        if not np.isfinite(middle).any():
            continue
        if field == "unseen":
            ends = np.stack([_middle(ratio, 0.1), _middle(ratio, 0.9)])
            bars = tuple(np.stack([[at, at], ends[:, k]], 1) for k, at in enumerate(rank))
            layers.insert(1, LinesLayer(paths=bars, role="guide", colour=colour))  # below all dots
        marker: Literal["ring", "circle"] = "ring" if field == "scrambled" else "circle"
        layers.append(PointsLayer(positions=np.stack([rank, middle], 1), colours=(colour,), marker=marker, size=5.0))
    drawn = [_middle(getattr(each, field)) for each in together for field, _, _ in _KINDS]
    drawn += [_middle(each.unseen, share) for each in together for share in (0.1, 0.9)]
    low, high = log_limits(*drawn, room=1.2, otherwise=(0.5, 10.0))
    low, high = min(0.8, low), max(2.0, high)
    ticks = tuple((float(at), f"{at}") for at in range(1, len(order) + 1, max(1, len(order) // 6)))
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="shared direction, by magnitude of curvature", limits=(0.5, end), ticks=ticks),
        y=Axis(label="curvature over chance", scale="log", limits=(low, high), ticks=style.log_ticks(low, high)),
    )


def _pictures(one: DirectionSharing, title: str) -> Panel:
    pictures = []
    for place in one.order()[:_MOST_PICTURES]:
        values = one.directions[place]
        colours = photograph(0.5 + 0.5 * values / (float(np.abs(values).max()) or 1.0))
        label = f"{one.curvatures[place]:+.2g}".replace("-", "\N{MINUS SIGN}")
        pictures.append(Picture(colours=colours, label=label))
    return montage(pictures, min(4, len(pictures)), title)


def _sharing_caption(results: Sequence[DirectionSharing], names: Sequence[str], show: SharingShow) -> str:
    words = []
    if show != "pictures":
        words.append(
            "Curvature along the shared directions over that along random tangent directions, median over boundary"
            " points; bars: 10th to 90th percentile of the other images. 1, dotted: like any other direction. Rings:"
            " the directions after one random filter that keeps every frequency and loses all shapes."
        )
    if show != "transfer":
        words.append(
            "Pictures: the directions, grey is 0, each with the curvature of the mean shape operator along it, in 1/ℓ2;"
            " negative where the images' own classes are convex on average."
        )
        if any(one.complete and one.same_sign < _SURE for one in results):
            words.append("The signs below the pictures are not to be relied on: hardly more than chance return.")
    for one, name in zip(results, names, strict=True):
        used, others = (int(np.isfinite(part).all(1).sum()) for part in (one.seen, one.unseen))
        if one.complete:
            words.append(
                f"{name}: from {used} images, for {others} others; the sign of the mean returns in"
                f" {100 * one.same_sign:.0f} % (by chance 50 %).{_scale(one)}"
            )
        if not one.converged:
            words.append(f"{name}: the search for directions stopped before its tolerance.")
    return " ".join(words)


def _scale(one: DirectionSharing | DirectionNoise) -> str:
    """The scale at which the curvature of a network with kinks was measured; "" for a smooth one."""
    return f" Curvature is that at the scale of {one.scale:.3g} ℓ2, by differences." if math.isfinite(one.scale) else ""


def _sharing_alt(results: Sequence[DirectionSharing], names: Sequence[str], show: SharingShow) -> str:
    sentences = []
    for one, name in zip(results, names, strict=True):
        known = ((words, _middle(getattr(one, field))) for field, words, _ in _KINDS if one.complete)
        middles = [(words, float(np.nanmean(middle))) for words, middle in known if np.isfinite(middle).any()]
        sentences.append(f"{name}: {len(one.curvatures)} directions" + "".join(f", {w} {v:.3g}" for w, v in middles))
    what = "Pictures of shared curved directions." if show == "pictures" else "Curves of curvature over chance."
    return f"{what} {'; '.join(sentences)}."


# -- noise along them -------------------------------------------------------------------------------------------------


def noise_chart(
    results: Sequence[DirectionNoise],
    *,
    names: Sequence[str],
) -> Chart:
    """The share of noise that changes the class against the length of the noise, by subspace.

    Args:
        results: one per model.
        names: of the models.

    Returns:
        A chart with a panel for each model.

    Raises:
        ValueError: if names are missing.
    """
    check_model_names(names, results)
    panels = []
    for one, name in zip(results, names, strict=True):
        layers: list[Layer] = []
        for place, span in enumerate(one.spans):
            _, colour = _SPANS[span]
            rate, error = one.rate[place], 1.96 * one.error[place]
            if np.isfinite(error).all() and span in ("convex", "concave", "all of space"):
                low, high = np.clip([rate - error, rate + error], 0, 1)
                layers.append(BandLayer(x=one.length, low=low, high=high, colour=colour))
            path = np.stack([one.length, rate], 1)
            plain = span in ("flat", "random", "all of space", "scrambled")
            layers += [
                LinesLayer(paths=(path,), colour=colour, dash="dashed" if plain else "solid"),
                PointsLayer(positions=path, colours=(colour,), size=3.0),
            ]
        near = float(np.median(one.distance))
        layers.append(LinesLayer(paths=(np.array([[near, 0.0], [near, 1.0]]),), role="reference", dash="dotted"))
        ticks = tuple((float(at), style.number_words(float(at))) for at in one.length)
        ends = float(min(one.length.min(), near)) / 1.15, float(one.length.max()) * 1.15
        panels.append(
            Panel(
                layers=tuple(layers),
                title=name if len(results) > 1 else "",
                x=Axis(label="length of the noise", unit="ℓ2", scale="log", limits=ends, ticks=ticks),
                y=Axis(label="share that changes the class", limits=(0.0, 1.02)),
            )
        )
    spans = list(dict.fromkeys(span for one in results for span in one.spans))
    first = results[0]
    whose = (
        "directions shared by all images, found on others, the same noise on all"
        if first.whose == "shared"
        else "the principal directions at each image's own boundary point"
    )
    rates = " ".join(
        f"{name} at {one.length[len(one.length) // 2]:.3g} ℓ2: "
        + ", ".join(f"{span} {rate[len(rate) // 2]:.2f}" for span, rate in zip(one.spans, one.rate, strict=True))
        + "."
        for one, name in zip(results, names, strict=True)
    )
    counts = " ".join(
        f"{name}: {len(one.flipped)} images, median distance {np.median(one.distance):.3g} ℓ2 (dotted).{_scale(one)}"
        for one, name in zip(results, names, strict=True)
    )
    return Chart(
        panels=tuple(panels),
        name="direction_noise",
        columns=len(results),
        caption=(
            f"Share of {first.draws} draws of noise that change the class, in subspaces of {int(first.dimension[0])}"
            f" directions and in all of space: {whose}. Bands: 95 % intervals over images. In theory a boundary that"
            f" closes around the image's class (negative) is met soonest, one that bends away (positive) last. {counts}"
        ),
        alt=f"Rising curves of the share of noise that changes the class. {rates}",
        legend=tuple(LegendEntry(colour=_SPANS[span][1], label=_SPANS[span][0]) for span in spans),
    )


# -- between models ---------------------------------------------------------------------------------------------------


def overlap_chart(result: DirectionOverlap, *, show: OverlapShow = "share") -> Chart:
    """The overlap of the curved subspaces of models.

    Args:
        result: of all models.
        show: the "share" of one subspace in another as a matrix, or all principal "angles".

    Returns:
        A chart of one panel.
    """
    names = tuple(str(name) for name in result.models)
    short = tuple(name.replace("/", "/\n") for name in names)
    shares = ", ".join(
        f"{names[row]} in {names[column]} {value:.2f}" for (row, column), value in np.ndenumerate(result.share)
    )
    words = (
        f"Share of the row's {result.directions} shared directions in the span of the column's: mean squared cosine of"
        " the principal angles. On the diagonal the same model's directions from other images. Below: the same after"
        " one random filter that keeps every frequency and loses all shapes. Of random subspaces:"
        f" {result.chance:.2g}."
    )
    if show == "share":
        panel = matrix_panel(
            result.share,
            short,
            Scale(palette="cividis", limits=(0.0, 1.0), label="share in common"),
            notes=result.scrambled,
            note="scrambled",
            x_label="in the span of",
            y_label="directions of",
        )
        return Chart(panels=(panel,), name="direction_overlap", caption=words, alt=f"A matrix: {shares}.")
    layers: list[Layer] = []
    legend = []
    number = np.arange(1.0, result.directions + 1)
    pairs = [(row, column) for row, column in np.ndindex(result.share.shape) if row <= column]
    for place, (row, column) in enumerate(pairs):
        colour = model_colour(place)
        path = np.stack([number, result.angles[row, column]], 1)
        layers += [
            LinesLayer(paths=(path,), colour=colour, dash="dashed" if row == column else "solid"),
            PointsLayer(positions=path, colours=(colour,), size=3.5),
        ]
        other = "itself, other images" if row == column else names[column]
        legend.append(LegendEntry(colour=colour, label=f"{names[row]} and {other}"))
    panel = Panel(
        layers=tuple(layers),
        x=Axis(label="principal angle, by size", limits=(0.5, result.directions + 0.5)),
        y=Axis(label="angle", unit="°", limits=(0.0, 92.0)),
    )
    return Chart(
        panels=(panel,),
        name="direction_overlap",
        caption=(
            f"Principal angles between the spans of {result.directions} shared directions: 0° for a direction that both"
            " hold, 90° for one that is foreign to the other. Dashed: the same model from other images."
        ),
        alt=f"Rising curves of principal angles. Shares in common: {shares}.",
        legend=tuple(legend),
    )
