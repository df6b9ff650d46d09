"""Charts of the detector: scores before and after a perturbation, how well they separate, and class recovery."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.drawing import style
from core.figures.drawing.chart import Axis, BandLayer, Chart, Layer, LegendEntry, LinesLayer, Panel, PointsLayer

if TYPE_CHECKING:
    from core.geometry.detector.evaluation import DetectionExhibit

DetectorShow = Literal["all", "scores", "roc", "auc", "recovery"]
DETECTOR_SHOWS: tuple[DetectorShow, ...] = get_args(DetectorShow)
Score = Literal["nearest", "all"]
SCORES: tuple[Score, ...] = get_args(Score)

_CLEAN, _PERTURBED = style.class_colour(7), style.class_colour(1)
_INKS = {"nearest": style.class_colour(0), "all": style.class_colour(5)}
_WORDS = {"nearest": "nearest boundary", "all": "all class boundaries"}
_SHORT = {"overshoot": "", "projected gradient": "PGD ", "shortest": "DDN", "pairs": "pairs"}
_BINS = 12
_CHANCE = 0.5  # area under the curve of a score that knows nothing


def detector_chart(
    results: Sequence[DetectionExhibit],
    *,
    class_counts: Sequence[int],
    names: Sequence[str],
    show: DetectorShow = "all",
    score: Score = "nearest",
    perturbation: int = 0,
    shared_scale: Sequence[DetectionExhibit] = (),
) -> Chart:
    """How well curvature distinguishes perturbed images from clean ones, for one model or several.

    Args:
        results: one per model.
        class_counts: the number of classes of each model: a random guess of the original class among K is right with
            probability 1 / (K - 1).
        names: of the models.
        show: the "scores" before and after one perturbation; its curve ("roc") of true against false positives; the
            area under it ("auc") or the share of "recovery" for every perturbation; or all of them.
        score: the score shown: of the "nearest" boundary, or the mean over "all".
        perturbation: the number of the one whose scores and curves are shown; the last one if there are fewer.
        shared_scale: all results that share axes; by default those shown.

    Returns:
        A chart with a column of panels for each model; for one model two columns.

    Raises:
        ValueError: if names or counts are missing, or there is no such perturbation.
    """
    if len(names) != len(results) or len(class_counts) != len(results):
        raise ValueError(
            f"expected a name and a number of classes for each of {len(results)} models, got fewer or more"
        )
    if perturbation < 0:
        raise ValueError(f"expected the number of a perturbation from 0, got {perturbation}")
    chosen = [min(perturbation, len(one.attack) - 1) for one in results]
    kinds: tuple[DetectorShow, ...] = ("scores", "roc", "auc", "recovery") if show == "all" else (show,)
    panels: list[Panel] = []
    for kind in kinds:
        for one, called, classes, place in zip(results, names, class_counts, chosen, strict=True):
            title = called if len(results) > 1 and kind == kinds[0] else ""
            match kind:
                case "scores":
                    panels.append(_scores(one, title, place, score, shared_scale or results))
                case "roc":
                    panels.append(_roc(one, title, place))
                case "recovery":
                    marks = _marks(np.arange(len(one.attack)), one.recovery, *one.recovery_interval, _INKS["nearest"])
                    chance = 1 / max(1, classes - 1)
                    panels.append(_by_perturbation(one, title, "class before recovered", chance, marks))
                case _:
                    panels.append(_by_perturbation(one, title, "AUC", _CHANCE, _areas(one)))
    return Chart(
        panels=tuple(panels),
        name="detector",
        columns=2 if len(results) == 1 and len(panels) > 1 else len(results),
        caption=_caption(results, names, kinds, chosen, score),
        alt=_alt(results, names, chosen),
        legend=_legend(kinds, results),
    )


def perturbation_words(one: DetectionExhibit, place: int) -> str:
    """The name of a perturbation, such as "PGD 1.5", or "1.1" for an overshoot."""
    attack, factor = str(one.attack[place]), float(one.overshoot[place])
    named = attack == "pairs" or not math.isfinite(factor)  # the length of pairs is a median of many
    return _SHORT[attack] if named else f"{_SHORT[attack]}{factor:.3g}"


def _pair(one: DetectionExhibit, place: int, score: Score) -> tuple[np.ndarray, np.ndarray]:
    """The known scores of clean and of perturbed images."""
    clean, after = (one.clean_nearest, one.score_nearest) if score == "nearest" else (one.clean_all, one.score_all)
    after = after[place]
    return clean[np.isfinite(clean)], after[np.isfinite(after)]


def _scores(one: DetectionExhibit, title: str, place: int, score: Score, together: Sequence[DetectionExhibit]) -> Panel:
    everything = np.concatenate(
        [part for each in together for part in _pair(each, min(place, len(each.attack) - 1), score)]
    )
    most = float(np.quantile(np.abs(everything), 0.98)) * 1.1 if len(everything) else 1.0
    edges = np.linspace(-(most or 1.0), most or 1.0, _BINS + 1)
    layers: list[Layer] = []
    tallest = 0.0
    for values, colour in zip(_pair(one, place, score), (_CLEAN, _PERTURBED), strict=True):
        heights = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(1, len(values))
        x, y = np.repeat(edges, 2)[1:-1], np.repeat(heights, 2)
        tallest = max(tallest, float(heights.max(initial=0.0)))
        layers += [
            BandLayer(x=x, low=np.zeros_like(y), high=y, colour=colour),
            LinesLayer(paths=(np.stack([x, y], 1),), colour=colour),
        ]
    top = 1.08 * tallest or 1.0
    layers.append(LinesLayer(paths=(np.array([[0.0, 0.0], [0.0, top]]),), role="reference", dash="dotted"))
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="mean curvature", unit="1/ℓ2", limits=(float(edges[0]), float(edges[-1]))),
        y=Axis(label="share of images", limits=(0.0, top)),
    )


def _roc(one: DetectionExhibit, title: str, place: int) -> Panel:
    layers: list[Layer] = [LinesLayer(paths=(np.array([[0.0, 0.0], [1.0, 1.0]]),), role="reference", dash="dotted")]
    x = one.false_positives
    for number, score in enumerate(SCORES):
        rates = one.true_positives[place, number]
        if not np.isfinite(rates).all():
            continue
        if number == 0:
            low, high = one.true_positives_low[place, number], one.true_positives_high[place, number]
            layers.append(BandLayer(x=x, low=low, high=high, colour=_INKS[score]))
        layers.append(LinesLayer(paths=(np.stack([x, rates], 1),), colour=_INKS[score]))
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="clean images called perturbed", limits=(0.0, 1.0)),
        y=Axis(label="perturbed images found", limits=(0.0, 1.0)),
    )


def _areas(one: DetectionExhibit) -> list[Layer]:
    """The area under the curve for every perturbation, with its interval."""
    layers: list[Layer] = []
    for number, score in enumerate(SCORES):
        at = np.arange(len(one.attack)) + (number - 0.5) * 0.24
        layers += _marks(at, one.auc[:, number], one.auc_low[:, number], one.auc_high[:, number], _INKS[score])
    return layers


def _by_perturbation(one: DetectionExhibit, title: str, label: str, chance: float, marks: Sequence[Layer]) -> Panel:
    """Marks by perturbation over the level of chance; the axis of overshoots alone shows numbers."""
    words = [perturbation_words(one, place).replace(" ", "\n") for place in range(len(one.attack))]
    end = len(words) - 0.4
    along = {
        frozenset({"overshoot"}): "length over distance to the boundary",
        frozenset({"pairs"}): "perturbation",
    }.get(frozenset(map(str, one.attack)), "perturbation, length over distance")
    level = LinesLayer(paths=(np.array([[-0.6, chance], [end, chance]]),), role="reference", dash="dotted")
    return Panel(
        layers=(level, *marks),
        title=title,
        x=Axis(label=along, limits=(-0.6, end), ticks=tuple((float(place), word) for place, word in enumerate(words))),
        y=Axis(label=label, limits=(0.0, 1.02)),
    )


def _marks(at: np.ndarray, values: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> list[Layer]:
    """Marks with vertical lines for their intervals; nothing where there is no value."""
    known = np.isfinite(values)
    if not known.any():
        return []
    ends = np.stack([np.stack([at, low], 1), np.stack([at, high], 1)], 1)[known]
    return [
        LinesLayer(paths=tuple(ends), colour=colour),
        PointsLayer(positions=np.stack([at, values], 1)[known], colours=(colour,), size=4.5),
    ]


def _legend(kinds: Sequence[str], results: Sequence[DetectionExhibit]) -> tuple[LegendEntry, ...]:
    entries = [(_CLEAN, "clean"), (_PERTURBED, "perturbed")] if "scores" in kinds else []
    if set(kinds) & {"roc", "auc", "recovery"}:
        entries += [
            (_INKS[score], _WORDS[score])
            for number, score in enumerate(SCORES)
            if any(np.isfinite(one.auc[:, number]).any() for one in results)
        ]
    return tuple(LegendEntry(colour=colour, label=label) for colour, label in entries)


def _caption(
    results: Sequence[DetectionExhibit],
    names: Sequence[str],
    kinds: Sequence[str],
    chosen: Sequence[int],
    score: Score,
) -> str:
    first = results[0]
    words = []
    if {"scores", "roc"} & set(kinds):
        perturbation = f"{perturbation_words(first, chosen[0])} times the distance to the boundary"
        if first.attack[chosen[0]] == "shortest":
            perturbation = "the shortest perturbation that DDN found"
        elif first.attack[chosen[0]] == "pairs":
            lengths = ", ".join(f"{one.overshoot[k]:.3g}" for one, k in zip(results, chosen, strict=True))
            perturbation = f"the adversarial image of each pair, {lengths} times as far as the boundary in the median"
        words.append(f"Scores and curve: {perturbation}.")
    if "scores" in kinds:
        words.append(f"Scores: mean curvature at the {_WORDS[score]}, above 0 where the image's class is not convex.")
    if {"roc", "auc"} & set(kinds):
        words.append(
            "AUC: how often a perturbed image scores higher than a clean one, by chance 0.5; bands:"
            f" {first.confidence:.0%} over resampled images."
        )
    if "recovery" in kinds:
        words.append(
            "Recovered: the class across the nearest boundary is the one before the perturbation; 95 % intervals"
            " (Wilson), dotted: a guess."
        )
    counts = (f"{name} {int(np.isfinite(one.clean_nearest).sum())}" for one, name in zip(results, names, strict=True))
    words.append(f"Images with a boundary point: {', '.join(counts)}.")
    if first.attack[chosen[0]] == "pairs":
        crossed = (
            f"{name} {one.changed[k].sum()} of {one.changed.shape[1]}"
            for one, name, k in zip(results, names, chosen, strict=True)
        )
        words.append(f"Pairs whose class differs, the others are left out: {', '.join(crossed)}.")
    return f"{' '.join(words)} {first.caveat}"


def _alt(results: Sequence[DetectionExhibit], names: Sequence[str], chosen: Sequence[int]) -> str:
    sentences = (
        f"{name}: AUC by the nearest boundary "
        + ", ".join(f"{perturbation_words(one, k)} {area:.2f}" for k, area in enumerate(one.auc[:, 0]))
        + f"; class recovered at {perturbation_words(one, place)} in {one.recovery[place]:.2f}"
        for one, name, place in zip(results, names, chosen, strict=True)
    )
    return f"Detection of perturbed images by curvature. {'; '.join(sentences)}.".replace("nan", "unknown")
