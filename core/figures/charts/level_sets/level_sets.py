"""Charts of walks on level sets: the film strip with its curves, and the ends of walks with their targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.names import check_class_names, check_model_names, model_legend
from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    Chart,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
    PointsLayer,
    Scale,
)
from core.figures.drawing.curves import known_runs, largest, log_limits
from core.figures.drawing.pictures import Picture, frame_at, montage, photograph, scaled

if TYPE_CHECKING:
    from core.geometry.level_sets.at_image import LevelSetAtImage

LevelSetShow = Literal["film", "ends"]
LEVEL_SET_SHOWS: tuple[LevelSetShow, ...] = get_args(LevelSetShow)

_FRAMES = 7  # of a film strip, including the first and the last
_PITCH = 1.06  # from one frame to the next, in sides
_WORDS = 0.3  # room for the labels above and below a frame, in sides
_APART = 0.3  # relative room above and below curves on a logarithmic axis
_LEAST = 1e-4  # pixel: smaller distances are drawn at the lower edge


def level_set_chart(
    results: Sequence[LevelSetAtImage],
    *,
    models: Sequence[str],
    class_names: Sequence[str],
    targets: np.ndarray,
    target_words: Sequence[str],
    show: LevelSetShow = "film",
    shown: int = 1,
    step: int = 0,
) -> Chart:
    """Walks from one image to others.

    Args:
        results: of the same pairs, one per model.
        models: their names.
        class_names: one name per class.
        targets: images (n, c, h, w).
        target_words: their names.
        show: "film" for one walk, step by step; "ends" for the ends of all.
        shown: the number of the target whose walk is shown, from 1; the last one if there are fewer.
        step: the step to mark in the curves; 0 for none.

    Returns:
        A chart of one column: film strips, one per model, confidences and distances; or one montage of ends per model.

    Raises:
        ValueError: if names of models, classes or targets are missing, or there is no result.
    """
    check_model_names(models, results)
    check_class_names(results[0].num_classes, class_names)
    if not len(targets) == len(target_words) == len(results[0].status):
        raise ValueError(
            f"expected {len(results[0].status)} targets with words, got {len(targets)}, {len(target_words)}"
        )
    pair = min(shown, len(targets)) - 1
    legend: list[LegendEntry] = model_legend(models) if len(models) > 1 else []
    alt = [
        _sentence(result, place, name, class_names, target_words)
        for result, name in zip(results, models, strict=True)
        for place in ([pair] if show == "film" else range(len(targets)))
    ]
    if show == "ends":
        panels = _ends(results, models, targets, target_words)
        meaning = (
            f"Targets, where the walks from {_source(results[0], class_names)} ended, with the"
            " confidence in the source's class there, and how end and target differ: the most of all channels, in pixel"
            " values."
        )
        legend = []
    else:
        named = [name if len(models) > 1 else "" for name in models]
        strips = zip(results, named, strict=True)
        panels = [_strip(result, pair, targets[pair], target_words[pair], name) for result, name in strips]
        colours = [entry.colour for entry in legend] or [""]
        panels += [_confidences(results, pair, colours, step), _distances(results, pair, colours, step)]
        meaning = (
            f"A walk from {_source(results[0], class_names)} towards {target_words[pair]}; below"
            " each frame the confidence in the source's class. Confidence: solid in the source's class, dotted in the"
            " target's. Distance: root mean square over pixels in [0, 1]; dashed: what the schedule alone leaves of"
            " it, (1 − η)ᵏ after k steps, on a flat level set: at it, more steps would come nearer."
        )
    return Chart(
        panels=tuple(panels),
        name="level_set" if show == "film" else "level_set_ends",
        columns=len(panels) if show == "ends" else 1,
        caption=meaning + _walking(results),
        alt=" ".join(alt),
        legend=tuple(legend),
    )


def _source(result: LevelSetAtImage, class_names: Sequence[str]) -> str:
    """The name of the source of all walks: its class, after the point where it was picked."""
    k = int(result.source_class[0])
    name = class_names[k] if k >= 0 else "undefined"
    return f"{result.words} ({name})" if result.words else name


def _walking(results: Sequence[LevelSetAtImage]) -> str:
    """How the walks were made, and whether all have ended."""
    first = results[0]
    under_way = any((result.status == "walking").any() for result in results)
    mode = {
        "equality": "along the level of the source",
        "superlevel": f"down to {first.delta[0]:g} below the source's confidence, by design",
        "paper": "as published",
    }[first.mode]
    return f" Walks {mode}; allowed to lose {first.delta[0]:g}." + (" Not finished." if under_way else "")


def _sentence(
    result: LevelSetAtImage, pair: int, model: str, class_names: Sequence[str], target_words: Sequence[str]
) -> str:
    """One walk in words."""
    if not math.isfinite(result.end_distance[pair]):
        return f"{model}: no walk towards {target_words[pair]}, {result.status[pair]}."
    return (
        f"{model}: from {_source(result, class_names)} towards {target_words[pair]} in"
        f" {result.taken[pair]} steps ({result.status[pair]}), confidence {result.source_confidence[pair]:.3f} to"
        f" {result.end_confidence[pair]:.3f}, root mean square to the target {result.start_rmse[pair]:.3g} to"
        f" {result.rmse[pair]:.3g}."
    )


def _moments(result: LevelSetAtImage, pair: int) -> list[tuple[int, np.ndarray]]:
    """Steps with their images, evenly chosen from the stored ones, from the source to the end."""
    if not np.isfinite(result.endpoints[pair]).all():
        return []
    taken = int(result.taken[pair])
    kept = [
        (int(at), image)
        for at, image in zip(result.frames, result.snapshots[pair], strict=True)
        if at < taken and np.isfinite(image).all()
    ]
    moments = [*kept, (taken, result.endpoints[pair])]
    places = np.unique(np.linspace(0, len(moments) - 1, min(_FRAMES, len(moments))).round().astype(int))
    return [moments[place] for place in places]


def _strip(result: LevelSetAtImage, pair: int, target: np.ndarray, words: str, title: str) -> Panel:
    """Frames in a row, one unit wide, and the target at the end."""
    tall = target.shape[1] / target.shape[2]
    moments = _moments(result, pair)
    above = [*(f"step {at}" for at, _ in moments), "target"]
    below = [*(f"{result.confidence[pair, at]:.3f}" for at, _ in moments), words]
    layers: list[Layer] = [frame_at(place * _PITCH, image, f"step {at}") for place, (at, image) in enumerate(moments)]
    layers.append(frame_at(_FRAMES * _PITCH, target, "target"))
    # labels near the sides are anchored at their outer end
    across = [*(place * _PITCH + (0.5 if place else 0.0) for place in range(len(moments))), _FRAMES * _PITCH + 1]
    for level, labels in ((tall + _WORDS / 2, above), (-_WORDS / 2, below)):
        places = np.stack([across, np.full(len(across), level)], 1)
        layers.append(PointsLayer(positions=places, labels=tuple(labels), marker="none"))
    if not moments:
        spot = np.array([[_FRAMES * _PITCH / 2, tall / 2]])
        layers.append(PointsLayer(positions=spot, labels=(str(result.status[pair]),), marker="none"))
    return Panel(
        layers=tuple(layers),
        kind="image",
        title=title,
        x=Axis(limits=(0.0, _FRAMES * _PITCH + 1)),
        y=Axis(limits=(-_WORDS, tall + _WORDS)),
    )


def _steps(results: Sequence[LevelSetAtImage]) -> Axis:
    return Axis(label="step", limits=(0.0, float(results[0].confidence.shape[1] - 1)))


def _mark(step: int, low: float, high: float) -> list[Layer]:
    if step <= 0:
        return []
    return [LinesLayer(paths=(np.array([[step, low], [step, high]], np.float64),), role="reference", dash="solid")]


def _confidences(results: Sequence[LevelSetAtImage], pair: int, colours: Sequence[str], step: int) -> Panel:
    layers: list[Layer] = [*_mark(step, 0.0, 1.0)]
    for result, colour in zip(results, colours, strict=True):
        at = np.arange(result.confidence.shape[1], dtype=np.float64)
        layers += [
            LinesLayer(paths=known_runs(at, result.confidence[pair]), colour=colour),
            LinesLayer(paths=known_runs(at, result.target_confidence[pair]), colour=colour, dash="dotted"),
        ]
    return Panel(layers=tuple(layers), x=_steps(results), y=Axis(label="confidence", limits=(0.0, 1.02)))


def _distances(results: Sequence[LevelSetAtImage], pair: int, colours: Sequence[str], step: int) -> Panel:
    curves, floors = [], []
    for result in results:
        at = np.arange(result.distance.shape[1], dtype=np.float64)
        scale = math.sqrt(result.endpoints[pair].size)
        curve = result.distance[pair] / scale
        known = np.isfinite(curve)
        curves.append((at, np.where(known, np.maximum(curve, _LEAST), np.nan)))
        floors.append((at, np.where(known, np.maximum(curve[0] * (1 - result.eta) ** at, _LEAST), np.nan)))
    low, high = log_limits(*(values for _, values in (*curves, *floors)), room=1.0, otherwise=(0.01, 1.0))
    low, high = low * (1 - _APART), high * (1 + _APART)
    layers: list[Layer] = [*_mark(step, low, high)]
    for (at, values), (_, least), colour in zip(curves, floors, colours, strict=True):
        layers += [
            LinesLayer(paths=known_runs(at, least), role="reference", dash="dashed", colour=colour),
            LinesLayer(paths=known_runs(at, values), colour=colour),
        ]
    return Panel(
        layers=tuple(layers),
        x=_steps(results),
        y=Axis(
            label="to the target", unit="rms pixel", limits=(low, high), scale="log", ticks=style.log_ticks(low, high)
        ),
    )


def _ends(
    results: Sequence[LevelSetAtImage], models: Sequence[str], targets: np.ndarray, target_words: Sequence[str]
) -> list[Panel]:
    """A panel per model with a row of pictures per target: the target, the end, and their difference."""
    apart = [np.abs(result.endpoints - targets).max(1) for result in results]
    most = float(f"{largest(*apart):.1g}") or 1.0
    scale = Scale(palette="cividis", limits=(0.0, most), label="difference", unit="pixel")
    grey = style.scale_colours(np.full(targets.shape[2:], math.nan), "cividis", (0.0, 1.0))
    panels = []
    several = len(results) > 1
    for result, name, far in zip(results, models, apart, strict=True):
        pictures = []
        for place, word in enumerate(target_words):
            there = bool(np.isfinite(result.endpoints[place]).all())
            words = f"end, {result.end_confidence[place]:.3f}" if there else str(result.status[place])
            pictures += [
                Picture(colours=photograph(targets[place]), label=word),
                Picture(colours=photograph(result.endpoints[place]) if there else grey, label=words),
                Picture(colours=scaled(far[place], scale), label=f"0 to {most:g}"),
            ]
        panels.append(montage(pictures, 3 if several else 6, name if several else ""))
    return panels
