"""Charts that compare methods and models: pixels changed against gradients spent, and transfer between models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.names import model_colour, model_legend
from core.figures.drawing.chart import Axis, BandLayer, Chart, Layer, LinesLayer, Panel, PointsLayer, Scale
from core.figures.drawing.curves import largest, stairs
from core.figures.drawing.matrices import matrix_panel

if TYPE_CHECKING:
    from core.geometry.sparse.benchmark import QueryBudgetCurve
    from core.geometry.sparse.transfer import Transfer

TransferShow = Literal["change", "support", "patch", "agreement"]
TRANSFER_SHOWS: tuple[TransferShow, ...] = get_args(TransferShow)

_ASKED: Mapping[TransferShow, tuple[str, str, str]] = {  # condition, its control, meaning
    "change": (
        "change",
        "change, shifted",
        "Share of the row's perturbations that, unchanged, take the column's model to another class; below it the share"
        " at the same colours and support moved cyclically by a random shift.",
    ),
    "support": (
        "support",
        "support, shifted",
        "Share of the row's supports on which colours were found that take the column's model to another class; below"
        " it the share at the same support moved cyclically by a random shift.",
    ),
    "patch": (
        "patch on another image",
        "patch on another image, shifted",
        "Share of the row's perturbations whose colours, painted on another image of the same class, take the column's"
        " model to another class; below it the share at the same patch moved cyclically by a random shift.",
    ),
}


def benchmark_chart(
    curve: QueryBudgetCurve,
    *,
    title: str = "",
) -> Chart:
    """The fewest pixels found against the gradients spent: the median with its quartiles.

    Args:
        curve: the benchmark.
        title: of the panel.

    Returns:
        A chart of one panel with logarithmic axes: one curve per method, with a band between its quartiles.
    """
    layers: list[Layer] = []
    sentences = []
    for place, name in enumerate(map(str, curve.methods)):
        colour = model_colour(place)
        quartiles = np.isfinite(curve.lower[place]) & np.isfinite(curve.upper[place])
        if quartiles.any():
            low, high = curve.lower[place][quartiles], curve.upper[place][quartiles]
            layers.append(BandLayer(x=curve.budget[quartiles], low=low, high=high, colour=colour))
        known = np.isfinite(curve.median[place])
        if known.any():
            points = np.stack([curve.budget[known], curve.median[place][known]], 1)
            layers += [
                LinesLayer(paths=(stairs(*points.T),), colour=colour),
                PointsLayer(positions=points[-1:], colours=(colour,), size=4.0),
            ]
            sentences.append(
                f"{name} {points[-1, 1]:g} pixels after {float(np.median(curve.spent[place])):.0f} gradients"
            )
        else:
            sentences.append(f"{name} flips fewer than half of the images")
    ends = [layer.high.max() for layer in layers if isinstance(layer, BandLayer)]
    panel = Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="gradients per image", scale="log", limits=(0.9, 1.1 * float(curve.budget.max(initial=1.0)))),
        y=Axis(label="pixels changed", scale="log", limits=(0.9, 1.2 * float(max(ends, default=10.0)))),
    )
    return Chart(
        panels=(panel,),
        name="benchmark",
        caption=(
            f"Median over {curve.pixels.shape[1]} images of the fewest pixels found for at most so many gradients;"
            " band: quartiles. An image not flipped by then counts as infinitely many. Forwards are not counted:"
            f" {', '.join(f'{float(np.median(asked)):.0f}' for asked in curve.asked)} per image in the order of the"
            " legend."
        ),
        alt=f"Falling curves of pixels changed against gradients spent. In the end: {'; '.join(sentences)}.",
        legend=tuple(model_legend(list(map(str, curve.methods)))),
    )


def transfer_chart(
    transfer: Transfer,
    *,
    show: TransferShow = "change",
    title: str = "",
) -> Chart:
    """A matrix over models: how often the perturbations of one change the class of another.

    Args:
        transfer: the measured transfer.
        show: the same "change", the best colours on the same "support", the same "patch" on other images, or the
            "agreement" of supports.
        title: of the panel.

    Returns:
        A chart of one isometric panel.
    """
    names = tuple(str(name) for name in transfer.models)
    if show == "agreement":
        values, notes, note = transfer.agreement, transfer.agreement_chance, "chance"
        label, words = "mean IoU", "Mean IoU of both models' supports of the same image; below it that of random ones."
    else:
        condition, control, words = _ASKED[show]
        names_of = [str(name) for name in transfer.conditions]
        place = names_of.index(condition)
        values, notes, note = transfer.flipped[place], transfer.flipped[names_of.index(control)], "control"
        widest = largest(transfer.flipped_high[place] - transfer.flipped_low[place])
        label = "share flipped"
        counts = ", ".join(f"{int(count)}" for count in transfer.count[place])
        words += f" Of {counts} perturbations, row by row; 95 % intervals (Wilson) at most ± {widest / 2:.2f}."
    panel = matrix_panel(
        values,
        names,
        Scale(palette="cividis", limits=(0.0, 1.0), label=label),
        notes=notes,
        note=note,
        title=title,
        x_label="asked",
        y_label="made for",
    )
    cells = (f"{names[row]} to {names[column]} {value:.2f}" for (row, column), value in np.ndenumerate(values))
    return Chart(panels=(panel,), name="transfer", caption=words, alt=f"A matrix: {label}. {', '.join(cells)}.")
