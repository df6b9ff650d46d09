"""The chart of a model's steepness at clean images, at adversarial points and at noise of equal length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.figures.charts.names import check_model_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, Chart, Layer, LegendEntry, LinesLayer, Panel, PointsLayer
from core.figures.drawing.curves import log_limits

if TYPE_CHECKING:
    from core.geometry.local.adversarial_comparison import AdversarialComparison

KindsNumber = Literal["point", "pairs", "ball", "margin"]

_KINDS = ("clean", "adversarial", "noise")
_INKS = tuple(style.class_colour(k) for k in (0, 5, 7))
_DASHES = ("solid", "dashed", "dotted")
_BINS = 14
_FIELDS = {
    "point": "lipschitz_point",
    "pairs": "lipschitz_pairs",
    "ball": "lipschitz_ball",
    "margin": "lipschitz_margin",
}
_MEANING = {
    "point": "the largest singular value of the Jacobian at the point itself",
    "pairs": "the largest ratio over pairs of sampled points: far below the constant in many dimensions",
    "ball": "the largest singular value met in the ball: below the constant",
    "margin": "the steepest margin of two logits met in the ball: an estimate, no certificate",
}


def kinds_chart(
    results: Sequence[AdversarialComparison],
    *,
    names: Sequence[str],
    number: KindsNumber = "point",
    shared_scale: Sequence[AdversarialComparison] = (),
) -> Chart:
    """Histograms of a Lipschitz number at three kinds of points, and the paired differences.

    Args:
        results: one per model.
        names: of the models.
        number: the Lipschitz number: at the point, over pairs of points, in the ball, or of margins there.
        shared_scale: all results that share axes; by default those shown.

    Returns:
        A row of two panels for each model.

    Raises:
        ValueError: if names are missing.
    """
    check_model_names(names, results)
    low, high = log_limits(*(_values(one, number) for one in shared_scale or results), room=1.0, otherwise=(0.5, 2.0))
    edges = np.geomspace(min(low, 0.9) / 1.05, max(high, 1.1) * 1.05, _BINS + 1)
    panels: list[Panel] = []
    for one, name in zip(results, names, strict=True):
        before = f"{name}: " if len(results) > 1 else ""
        panels += [_histogram(one, number, edges, before), _differences(one, number, before)]
    first = results[0]
    numbers = "; ".join(f"{name}: {_counts(one, number)}" for one, name in zip(results, names, strict=True))
    return Chart(
        panels=tuple(panels),
        name="adversarial_comparison",
        columns=2,
        caption=(
            f"Left: {_MEANING[number]}, in {_unit(first)} over pixels in [0, 1]; 1 in this unit is 1/255 for pixels in"
            f" [0, 255]. Right: the same image's difference from its own clean value. Attack: projected gradient"
            f" descent within {first.strength:.3g} ℓ2; noise is as long. {numbers}."
        ),
        legend=tuple(
            LegendEntry(colour=ink, label=label)
            for ink, label in zip(_INKS, ("clean", "adversarial (dashed)", "noise (dotted)"), strict=True)
        ),
        alt="Histograms of a Lipschitz number at clean, adversarial and noise points, and paired differences."
        f" {numbers}.",
    )


def _values(one: AdversarialComparison, number: KindsNumber) -> np.ndarray:
    values: np.ndarray = getattr(one, _FIELDS[number])
    return values


def _unit(one: AdversarialComparison) -> str:
    return f"{'logits' if one.representation == 'logits' else 'probability'} per ℓ2"


def _counts(one: AdversarialComparison, number: KindsNumber) -> str:
    values, found = _values(one, number), int(one.found.sum())
    words = [f"class changed for {found} of {len(one.found)} images"]
    for place, kind in enumerate(_KINDS):
        known = values[np.isfinite(values[:, place]), place]
        if len(known):
            words.append(f"{kind} median {np.median(known):.3g}, {np.mean(known < 1):.0%} below 1")
    difference = one.difference(_FIELDS[number], 1)
    if len(difference):
        words.append(f"adversarial above clean in {np.mean(difference > 0):.0%} of pairs")
    return ", ".join(words)


def _histogram(one: AdversarialComparison, number: KindsNumber, edges: np.ndarray, before: str) -> Panel:
    layers: list[Layer] = []
    top = 0.0
    for place, values in enumerate(_values(one, number).T):
        known = values[np.isfinite(values)]
        if not len(known):
            continue
        shares = np.histogram(known, edges)[0] / len(known)
        top = max(top, float(shares.max()))
        outline = np.stack([edges.repeat(2), np.concatenate([[0.0], shares.repeat(2), [0.0]])], 1)
        layers.append(LinesLayer(paths=(outline,), colour=_INKS[place], dash=_DASHES[place]))  # type: ignore[arg-type]
    top = 1.1 * top or 1.0
    layers.append(LinesLayer(paths=(np.array([[1.0, 0.0], [1.0, top]]),), role="reference"))
    return Panel(
        layers=tuple(layers),
        title=f"{before}steepness",
        x=Axis(
            label="Lipschitz number",
            unit=_unit(one),
            scale="log",
            limits=(edges[0], edges[-1]),
            ticks=style.log_ticks(edges[0], edges[-1], most=8),
        ),
        y=Axis(label="share of points", limits=(0.0, top)),
    )


def _differences(one: AdversarialComparison, number: KindsNumber, before: str) -> Panel:
    layers: list[Layer] = [LinesLayer(paths=(np.array([[0.0, 0.0], [1.0, 0.0]]),), role="reference")]
    for place in range(1, len(_KINDS)):
        difference = np.sort(one.difference(_FIELDS[number], place))
        share = (np.arange(len(difference)) + 0.5) / max(1, len(difference))
        if len(difference):
            path = np.stack([share, difference], 1)
            layers.append(LinesLayer(paths=(path,), colour=_INKS[place], dash=_DASHES[place]))  # type: ignore[arg-type]
            layers.append(PointsLayer(positions=path, colours=(_INKS[place],), size=3.0))
    return Panel(
        layers=tuple(layers),
        title=f"{before}difference, image by image",
        x=Axis(label="share of images", limits=(0.0, 1.0)),
        y=Axis(label="minus clean", unit=_unit(one)),
    )
