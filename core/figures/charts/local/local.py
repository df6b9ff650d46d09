"""Charts of local properties around one image: in a plane, over pairs of points, over directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    Chart,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
    PointsLayer,
    percent,
)
from core.figures.drawing.curves import known_runs, largest

if TYPE_CHECKING:
    from core.geometry.local.at_image import LocalAtImage

LocalShow = Literal["plane", "distances", "directions"]

_INKS = tuple(style.class_colour(k) for k in (5, 0, 7))  # measured, linearised, random
_RINGS = tuple(style.class_colour(k) for k in (0, 5, 7))  # the middle one is the radius
_ROOM = 1.06
_DISTRIBUTIONS = {
    "sphere": "uniform on the sphere",
    "subspace": "uniform in a random subspace",
    "pixels": "one value of one pixel each",
    "dct": "uniform in blocks of frequencies",
    "attack": "ends of attacks",
}


def local_chart(
    results: Sequence[LocalAtImage],
    *,
    names: Sequence[str],
    class_names: Sequence[str],
    show: LocalShow = "plane",
    shared_scale: Sequence[LocalAtImage] = (),
    palette: str = "muted",
) -> Chart:
    """Local properties of one image, some panels for each model.

    Args:
        results: one per model.
        names: of the models.
        class_names: one name per class.
        show: "plane": gains on rings and the boundary, in every direction of a plane; "distances": of outputs against
            those of points, as measured, linearised, and measured against linearised; "directions": gains and
            asymmetry.
        shared_scale: all results that share scales; by default those shown.
        palette: class palette of `style.PALETTES`.

    Returns:
        A chart of 2 or 3 panels for each model.

    Raises:
        ValueError: if names are missing.
    """
    if len(names) != len(results) or any(len(class_names) != one.num_classes for one in results):
        raise ValueError(f"expected a name for each of {len(results)} models and for each class, got fewer or more")
    together = tuple(shared_scale) or tuple(results)
    titled = [(one, f"{name}: " if len(results) > 1 else "") for one, name in zip(results, names, strict=True)]
    if show == "plane":  # a column for each model
        panels = [_gains(one, before, together) for one, before in titled]
        panels += [_boundary(one, before, together, palette) for one, before in titled]
    elif show == "distances":
        panels = [panel for one, before in titled for panel in _distances(one, before)]
    else:
        panels = [draw(one, before) for one, before in titled for draw in (_over_directions, _asymmetries)]
    alt, caption = _words(results, names, show)
    return Chart(
        panels=tuple(panels),
        name=f"local_{show}",
        columns=len(results) if show == "plane" else len(panels) // len(results),
        caption=caption,
        alt=alt,
        legend=_legend(results, class_names, show, palette),
    )


def _legend(
    results: Sequence[LocalAtImage], class_names: Sequence[str], show: LocalShow, palette: str
) -> tuple[LegendEntry, ...]:
    if show == "distances":
        return ()
    if show == "directions":
        words = ("measured", "linearised (dashed)", "random linear map (dotted)")
        return tuple(LegendEntry(colour=ink, label=label) for ink, label in zip(_INKS, words, strict=True))
    rings = [LegendEntry(colour=_RINGS[place], label=f"r = {far:.3g}") for place, far in enumerate(results[0].rings)]
    reached = sorted({int(k) for one in results for k in one.plane_class if k >= 0})
    return (
        *rings,
        LegendEntry(colour="", label="first other class:"),
        *(LegendEntry(colour=style.class_colour(k, palette), label=class_names[k]) for k in reached),
    )


def _unit(one: LocalAtImage, name: str) -> str:
    """The unit of a field, with the name of the model's output in it."""
    word = "logit" if one.representation == "logits" else "probability"
    return one.unit(name).replace("output", word).replace("ℓ2 pixel", "ℓ2")


# -- in a plane -------------------------------------------------------------------------------------------------------


def _closed(angle: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, ...]:
    """A closed curve, interrupted where it is unknown."""
    runs = known_runs(np.append(angle, angle[0] + 2 * math.pi), np.append(radius, radius[0]))
    return tuple(run for run in runs if len(run) > 1)


def _compass(one: LocalAtImage) -> Axis:
    towards = ((0.0, one.x_label), (math.pi / 2, one.y_label), (math.pi, ""), (3 * math.pi / 2, ""))
    return Axis(label="direction in the plane", ticks=towards if one.x_label or one.y_label else None)


def _gains(one: LocalAtImage, before: str, together: Sequence[LocalAtImage]) -> Panel:
    top = _ROOM * largest(*(gain for each in together for gain in (each.plane_gain, each.plane_linear))) or 1.0
    layers: list[Layer] = [LinesLayer(paths=_closed(one.angle, one.plane_linear), role="reference", dash="dotted")]
    for place, gain in enumerate(one.plane_gain):
        colour = _RINGS[place % len(_RINGS)]
        layers.append(LinesLayer(paths=_closed(one.angle, gain), colour=colour))
        if place == len(one.rings) // 2:
            opposite = np.roll(gain, len(one.angle) // 2)
            layers.append(LinesLayer(paths=_closed(one.angle, opposite), colour=colour, dash="dashed"))
    return Panel(
        layers=tuple(layers),
        kind="polar",
        title=f"{before}change of the outputs",
        x=_compass(one),
        y=Axis(label="gain", unit=_unit(one, "plane_gain"), limits=(0.0, top)),
    )


def _boundary(one: LocalAtImage, before: str, together: Sequence[LocalAtImage], palette: str) -> Panel:
    boundaries = [each.plane_boundary for each in together]
    censored = any(np.isnan(each).any() for each in boundaries)
    top = _ROOM * (one.reach if censored else largest(*boundaries)) or 1.0
    layers: list[Layer] = []
    unknown = np.isnan(one.plane_boundary)
    if unknown.any():
        place = np.stack([one.angle, np.full(len(one.angle), one.reach)], 1)[unknown]
        layers.append(PointsLayer(positions=place, marker="ring", size=3.0, colours=(style.LIGHT.quiet,)))
    layers.append(LinesLayer(paths=_closed(one.angle, one.plane_boundary), role="reference", dash="solid"))
    for k in sorted({int(k) for k in one.plane_class if k >= 0}):
        member = one.plane_class == k
        place = np.stack([one.angle, one.plane_boundary], 1)[member]
        layers.append(PointsLayer(positions=place, colours=(style.class_colour(k, palette),), size=4.0))
    return Panel(
        layers=tuple(layers),
        kind="polar",
        title=f"{before}first other class",
        x=_compass(one),
        y=Axis(label="distance to the boundary", unit="ℓ2", limits=(0.0, top)),
    )


# -- over pairs -------------------------------------------------------------------------------------------------------


def _distances(one: LocalAtImage, before: str) -> list[Panel]:
    pair_distance, answered, answered_linear = one.pair_distance[0], one.answered[0], one.answered_linear[0]
    unit = _unit(one, "answered")
    pixels = Axis(label="|z - w|", unit="ℓ2")
    shown = (
        (pair_distance, answered, f"as it is: r {_label(one.mantel_raw[0])}", pixels, "|F(z) - F(w)|"),
        (pair_distance, answered_linear, f"linearised: r {_label(one.mantel_linear[0])}", pixels, "|J (z - w)|"),
        (
            answered_linear,
            answered,
            f"against it: r {_label(one.mantel_jacobian[0])}",
            Axis(label="|J (z - w)|", unit=unit),
            "|F(z) - F(w)|",
        ),
    )
    return [
        _pairs(
            x,
            y,
            f"{before}{title}" if x is pair_distance and y is answered else title,
            axis,
            Axis(label=label, unit=unit),
        )
        for x, y, title, axis, label in shown
    ]


def _pairs(x: np.ndarray, y: np.ndarray, title: str, across: Axis, up: Axis) -> Panel:
    """Two distances of each pair."""
    known = np.isfinite(x) & np.isfinite(y)
    marks = PointsLayer(positions=np.stack([x, y], 1)[known], colours=(_INKS[1],), marker="ring", size=1.4)
    return Panel(layers=(marks,), title=title, x=across, y=up)


def _expected(one: LocalAtImage) -> str:
    """The score of a linear map with this spectrum, if known."""
    return f" ({_label(one.mantel_expected[0])} expected)" if np.isfinite(one.mantel_expected[0]) else ""


def _p(one: LocalAtImage, place: int) -> str:
    """The permutation p of a score: 0 measured, 1 linearised, 2 measured against linearised."""
    p = float(one.mantel_p[0, place])
    return f" (p {p:.2g})" if math.isfinite(p) else ""


def _label(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "unknown"


# -- over directions --------------------------------------------------------------------------------------------------


def _steps(values: np.ndarray) -> np.ndarray:
    """The empirical distribution function of values, as a path."""
    known = np.sort(values[np.isfinite(values)])
    return np.stack([known, (np.arange(len(known)) + 0.5) / max(1, len(known))], 1)


def _over_directions(one: LocalAtImage, before: str) -> Panel:
    layers: list[Layer] = []
    measured = np.concatenate([one.gain[0], one.gain_behind[0]])
    dashes: tuple[style.Dash, ...] = ("solid", "dashed", "dotted")
    for gain, colour, dash in zip((measured, one.gain_linear[0], one.gain_random[0]), _INKS, dashes, strict=True):
        mean = gain[np.isfinite(gain)].mean() if np.isfinite(gain).any() else 0.0
        if mean > 0:
            layers.append(LinesLayer(paths=(_steps(gain / mean),), colour=colour, dash=dash))
    layers.append(LinesLayer(paths=(np.array([[1.0, 0.0], [1.0, 1.0]]),), role="reference"))
    return Panel(
        layers=tuple(layers),
        title=f"{before}gain",
        x=Axis(label="gain over its mean"),
        y=Axis(label="share of directions", limits=(0.0, 1.0)),
    )


def _asymmetries(one: LocalAtImage, before: str) -> Panel:
    values = one.asymmetry[0]
    layers: list[Layer] = []
    if np.isfinite(values).any():
        layers.append(LinesLayer(paths=(_steps(values),), colour=_INKS[0]))
    layers.append(LinesLayer(paths=(np.array([[0.0, 0.0], [0.0, 1.0]]),), colour=_INKS[1], dash="dashed"))
    return Panel(
        layers=tuple(layers),
        title=f"{before}asymmetry",
        x=Axis(label="|d+ + d-| / (|d+| + |d-|)", limits=(-0.02, 1.0)),
        y=Axis(label="share of directions", limits=(0.0, 1.0)),
    )


# -- words ------------------------------------------------------------------------------------------------------------


def _words(results: Sequence[LocalAtImage], names: Sequence[str], show: LocalShow) -> tuple[str, str]:
    """The description of the picture, and its caption."""
    first = results[0]
    who = first.words
    drawn = f"{len(first.gain[0])} pairs of directions {_DISTRIBUTIONS[first.sampler]}, radius {first.radius:.3g} ℓ2"
    units = f"{first.representation} per ℓ2 over pixels in [0, 1]"
    if show == "plane":
        numbers = "; ".join(
            f"{name}: {percent(float(np.isnan(one.plane_boundary).mean()))} of rays meet no other class"
            for one, name in zip(results, names, strict=True)
        )
        alt = f"Polar curves around {who}: change of the outputs and distance of the boundary, by direction. {numbers}."
        caption = (
            f"Around {who}, in one plane. Above: gain, the change of the outputs over the length r of the step, in"
            f" {units}; dotted what the linearisation says, dashed the opposite step for r = {first.radius:.3g}: its"
            f" gap to the solid curve is the asymmetry. Below: distance of the first other class along a ray, as far as"
            f" 16 radii up to {first.reach:.3g} ℓ2 show; open rings: none met."
        )
    elif show == "distances":
        numbers = "; ".join(
            f"{name}: as it is {_label(one.mantel_raw[0])}{_p(one, 0)}, linearised {_label(one.mantel_linear[0])}"
            f"{_p(one, 1)}{_expected(one)}, random linear map {_label(one.mantel_random[0])}, against the linearised"
            f" {_label(one.mantel_jacobian[0])}{_p(one, 2)}"
            for one, name in zip(results, names, strict=True)
        )
        alt = f"Points, one for each pair of images near {who}: distances of outputs against distances. {numbers}."
        caption = (
            f"Pairs of the first 64 points x + r v around {who}, {drawn}. r: Mantel score of all of them."
            f" A linear map has a low one too: {numbers}. 1 minus the last gauges what bends; the first is mostly"
            f" anisotropy. p, by permutations: of any association, not of distances kept."
        )
    else:
        numbers = "; ".join(
            f"{name}: 5 % over 95 % quantile of the gains {_label(one.ratio[0, 0])}, linearised"
            f" {_label(one.ratio[0, 1])}, random linear map {_label(one.ratio[0, 2])}"
            for one, name in zip(results, names, strict=True)
        )
        alt = f"Rising curves over directions around {who}: gains and asymmetry. {numbers}."
        caption = (
            f"Shares of {drawn}, around {who}. Isotropic: the vertical line at 1. {numbers}. Asymmetry is 0 for an"
            " affine map and 1 for an even change."
        )
    return alt, caption
