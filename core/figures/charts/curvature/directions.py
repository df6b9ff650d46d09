"""Charts of shared curved directions: what they look like, who shares them, what noise along them flips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

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
from core.figures.drawing.matrices import matrix_panel
from core.figures.drawing.pictures import Picture, montage, photograph

if TYPE_CHECKING:
    from core.geometry.shared_directions.principal_angles import DirectionOverlap
    from core.geometry.shared_directions.sharing import DirectionNoise, DirectionSharing

SharingShow = Literal["both", "transfer", "pictures"]
SHARING_SHOWS: tuple[SharingShow, ...] = get_args(SharingShow)
OverlapShow = Literal["share", "angles"]
OVERLAP_SHOWS: tuple[OverlapShow, ...] = get_args(OverlapShow)

_SURE = 0.6  # share of signs that return: below it they are hardly better than chance
_INKS = tuple(style.class_colour(k) for k in (0, 1, 5, 7, 3, 2))
_KINDS: tuple[tuple[str, str, str], ...] = (  # field, words, colour
    ("seen", "images they come from", style.class_colour(7)),
    ("unseen", "other images", _INKS[0]),
    ("noise", "uniform noise", _INKS[1]),
    ("scrambled", "other images, scrambled directions", style.LIGHT.quiet),
)
_SPANS: Mapping[str, tuple[str, str]] = {  # words, colour
    "convex": ("most negative (convex)", _INKS[0]),
    "concave": ("most positive (concave)", _INKS[1]),
    "curved": ("largest magnitude", _INKS[2]),
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
        show: how much more the boundary bends along them ("transfer"), the directions as "pictures", or "both".
        shared_scale: results whose axes are shared; those shown when empty.

    Returns:
        A chart with a column of panels for each model.

    Raises:
        ValueError: if names are missing.
    """
    _check(results, names)
    titles = tuple(names) if len(results) > 1 else ("",)
    together = tuple(shared_scale) or tuple(results)
    panels: list[Panel] = []
    if show != "pictures":
        panels += [_transfer(one, title, together) for one, title in zip(results, titles, strict=True)]
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


def _check(results: Sequence[Any], names: Sequence[str]) -> None:
    if len(names) != len(results):
        raise ValueError(f"expected a name for each of {len(results)} models, got {len(names)}")


def _middle(ratio: np.ndarray, share: float = 0.5) -> np.ndarray:
    """A quantile over points, direction by direction; NaN where no point is known."""
    known = ratio[np.isfinite(ratio).all(1)]
    return np.quantile(known, share, axis=0) if len(known) else np.full(ratio.shape[1], np.nan)


def _transfer(one: DirectionSharing, title: str, together: Sequence[DirectionSharing]) -> Panel:
    order = one.order()
    rank = np.arange(1.0, len(order) + 1)
    layers: list[Layer] = [
        LinesLayer(paths=(np.array([[0.5, 1.0], [len(order) + 0.5, 1.0]]),), role="reference", dash="dotted")
    ]
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
    low, high = _reach(together)
    step = max(1, len(order) // 6)
    ticks = tuple((float(at), f"{at}") for at in range(1, len(order) + 1, step))
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="shared direction, by magnitude of curvature", limits=(0.5, len(order) + 0.5), ticks=ticks),
        y=Axis(label="curvature over chance", scale="log", limits=(low, high), ticks=style.log_ticks(low, high)),
    )


def _reach(together: Sequence[DirectionSharing]) -> tuple[float, float]:
    """The ratios that pictures seen together reach over."""
    drawn = [_middle(getattr(one, field)) for one in together for field, _, _ in _KINDS]
    drawn += [_middle(one.unseen, share) for one in together for share in (0.1, 0.9)]
    finite = np.concatenate(drawn)
    finite = finite[np.isfinite(finite) & (finite > 0)]
    return (min(0.8, float(finite.min()) / 1.2), max(2.0, float(finite.max()) * 1.2)) if len(finite) else (0.5, 10.0)


def _pictures(one: DirectionSharing, title: str) -> Panel:
    chosen = one.order()[:_MOST_PICTURES]
    pictures = []
    for place in chosen:
        values = one.directions[place]
        most = float(np.abs(values).max()) or 1.0
        pictures.append(
            Picture(colours=photograph(0.5 + 0.5 * values / most), label=f"{_signed(one.curvatures[place])}")
        )
    return montage(pictures, min(4, len(pictures)), title)


def _signed(value: float) -> str:
    return f"{value:+.2g}".replace("-", "\N{MINUS SIGN}")


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
    """How curvature of a network of kinks was measured; nothing to say of a smooth one."""
    return f" Curvature is that at the scale of {one.scale:.3g} ℓ2, by differences." if math.isfinite(one.scale) else ""


def _sharing_alt(results: Sequence[DirectionSharing], names: Sequence[str], show: SharingShow) -> str:
    sentences = []
    for one, name in zip(results, names, strict=True):
        known = ((words, _middle(getattr(one, field))) for field, words, _ in _KINDS if one.complete)
        middles = [(words, float(np.nanmean(middle))) for words, middle in known if np.isfinite(middle).any()]
        sentences.append(f"{name}: {len(one.curvatures)} directions" + "".join(f", {w} {v:.3g}" for w, v in middles))
    what = "Pictures of shared curved directions." if show == "pictures" else "Curves of curvature over chance."
    return f"{what} {'; '.join(sentences)}."


# -- what noise along them flips --------------------------------------------------------------------------------------


def noise_chart(
    results: Sequence[DirectionNoise],
    *,
    names: Sequence[str],
) -> Chart:
    """The share of noise that changes the class, against its length, by subspace.

    Args:
        results: one per model.
        names: of the models.

    Returns:
        A chart with a panel for each model.

    Raises:
        ValueError: if names are missing.
    """
    _check(results, names)
    panels = []
    for one, name in zip(results, names, strict=True):
        layers: list[Layer] = []
        for place, span in enumerate(one.spans):
            _, colour = _SPANS[span]
            rate, error = one.rate[place], 1.96 * one.error[place]
            if np.isfinite(error).all() and span in ("convex", "concave", "all of space"):
                band = BandLayer(
                    x=one.length, low=np.clip(rate - error, 0, 1), high=np.clip(rate + error, 0, 1), colour=colour
                )
                layers.append(band)
            path = np.stack([one.length, rate], 1)
            plain = span in ("flat", "random", "all of space", "scrambled")
            layers.append(LinesLayer(paths=(path,), colour=colour, dash="dashed" if plain else "solid"))
            layers.append(PointsLayer(positions=path, colours=(colour,), size=3.0))
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
        alt=f"Rising curves of the share of noise that changes the class. {_noise_words(results, names)}",
        legend=tuple(LegendEntry(colour=_SPANS[span][1], label=_SPANS[span][0]) for span in spans),
    )


def _noise_words(results: Sequence[DirectionNoise], names: Sequence[str]) -> str:
    sentences = []
    for one, name in zip(results, names, strict=True):
        middle = len(one.length) // 2
        rates = ", ".join(f"{span} {rate:.2f}" for span, rate in zip(one.spans, one.rate[:, middle], strict=True))
        sentences.append(f"{name} at {one.length[middle]:.3g} ℓ2: {rates}.")
    return " ".join(sentences)


# -- between models ---------------------------------------------------------------------------------------------------


def overlap_chart(result: DirectionOverlap, *, show: OverlapShow = "share") -> Chart:
    """How alike the curved subspaces of models are.

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
        colour = _INKS[place % len(_INKS)]
        path = np.stack([number, result.angles[row, column]], 1)
        layers.append(LinesLayer(paths=(path,), colour=colour, dash="dashed" if row == column else "solid"))
        layers.append(PointsLayer(positions=path, colours=(colour,), size=3.5))
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
