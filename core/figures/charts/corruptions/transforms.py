"""A chart of PRIME's primitives: random draws of each, and their effect on one image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.figures.charts.names import check_class_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, Chart, FieldLayer, Layer, LinesLayer, Panel, PointsLayer, Scale
from core.figures.drawing.pictures import photograph, scaled

if TYPE_CHECKING:
    from core.geometry.corruptions.prime_draws import PrimeDraws

_NAMES = ("spectral", "spatial", "colour", "mixture")  # the rows, as `core.geometry.corruptions.prime_draws` has them
_PITCH = 1.08  # from one cell to the next, in sides
_BETWEEN = 0.24  # additional gap between draws
_WORDS = 0.56  # below each row, for its labels
_GRID = 8  # arrows per side of an image
_BARB = 0.35  # of an arrow's length
_SHORTEST = 0.004  # sides: a shorter arrow would be a dot and is left out
_CHANNELS = tuple(style.class_colour(k) for k in (5, 7, 0))  # red, green, blue
_GROUND = 247  # the light background of arrows and curves, in both themes


def augmentation_chart(
    draws: PrimeDraws,
    *,
    image: np.ndarray,
    class_names: Sequence[str],
    title: str = "",
) -> Chart:
    """Rows of primitives, columns of draws: each image with the drawn object to its right.

    Args:
        draws: the drawn primitives with their effect.
        image: the clean image, (c, h, w) in [0, 1].
        class_names: one name per class of the classifier.
        title: of the panel.

    Returns:
        A chart of one panel without axes, in units of an image's side.

    Raises:
        ValueError: if names of classes are missing.
    """
    check_class_names(draws.num_classes, class_names)
    layers: list[Layer] = []
    words: list[tuple[float, float, str]] = []
    rows, count = draws.images.shape[:2]
    down = 1 + _WORDS
    kernel_most = float(np.abs(draws.kernel).max())
    loudest = float(draws.response.max())
    changed = draws.images[3] - image
    most = float(np.abs(changed).max()) or 1.0
    longest = float(np.linalg.norm(draws.field, axis=1).max()) / draws.field.shape[3]
    # the longest arrow is about as long as a cell of their grid
    longer = max((factor for factor in (1, 2, 3, 5, 10) if factor * longest <= 1.6 / _GRID), default=1)
    for row in range(rows):
        bottom = -(row + 1) * down + _WORDS
        layers.append(_picture(photograph(image), 0.0, bottom))
        words.append((0.5, bottom, _NAMES[row]))
        for draw in range(count):
            left = _PITCH + _BETWEEN + draw * (2 * _PITCH + _BETWEEN)
            beside = left + _PITCH
            layers.append(_picture(photograph(draws.images[row, draw]), left, bottom))
            words.append((left + 0.5, bottom, _label(draws, row, draw, class_names)))
            match _NAMES[row]:
                case "spectral":
                    layers += _filter(draws.kernel[draw], draws.response[draw], beside, bottom, kernel_most, loudest)
                    note = f"s = {draws.spectral_strength[draw]:.2g}"
                case "spatial":
                    layers += _arrows(draws.field[draw], beside, bottom, longer)
                    most_moved = float(np.linalg.norm(draws.field[draw], axis=0).max())
                    note = f"≤ {most_moved:.1f} px\nq = {int(draws.spatial_cutoff[draw])}"
                case "colour":
                    layers += _curve(draws.level, draws.curve[draw], beside, bottom)
                    note = f"q = {int(draws.colour_cutoff[draw])}"
                case _:
                    change = scaled(changed[draw].mean(0), Scale(palette="vik", limits=(-most, most), label="change"))
                    layers.append(_picture(change, beside, bottom))
                    note = f"ℓ2 {draws.displacement[row, draw]:.2g}"
            words.append((beside + 0.5, bottom, note))
    across = _PITCH + _BETWEEN + count * (2 * _PITCH + _BETWEEN) - _BETWEEN - (_PITCH - 1)
    # labels near a side are anchored at their outer end, so that they stay inside
    aside = {"left": -0.5, "center": 0.0, "right": 0.5}
    places = np.array([[x + aside[style.inwards(x / across)], y - 0.5 * _WORDS] for x, y, _ in words])
    layers.append(PointsLayer(positions=places, labels=tuple(text for *_, text in words), marker="none"))
    panel = Panel(
        layers=tuple(layers),
        kind="image",
        title=title,
        x=Axis(limits=(0.0, across)),
        y=Axis(limits=(-rows * down, 0.0)),
    )
    scale = "arrows to scale" if longer == 1 else f"arrows {longer} times as long"
    return Chart(
        panels=(panel,),
        name="augmentation",
        caption=(
            "PRIME's primitives, drawn anew in each pair of columns, with the class and probability that the model"
            f" gives. Beside each: the kernel (up to ±{kernel_most:.2g}) with its frequency response (0 to"
            f" {loudest:.2g}, the constant in the middle); where content moves, {scale}; what becomes of"
            " each value, per channel, dashed where nothing changes; and, of the mixture, the mean change over channels"
            f" (up to ±{most:.2g}). The mixture takes {draws.mix:.0%} of three chains of primitives and the rest of the"
            " image itself."
        ),
        alt=_alt(draws, class_names),
    )


def _label(draws: PrimeDraws, row: int, draw: int, class_names: Sequence[str]) -> str:
    k = int(draws.predicted[row, draw])
    return f"{class_names[k]}\n{draws.confidence[row, draw]:.2f}" if k >= 0 else "not\nfinite"


def _picture(colours: np.ndarray, left: float, bottom: float, side: float = 1.0) -> FieldLayer:
    """A picture `side` wide with its lower left corner at a position."""
    height, width = colours.shape[:2]
    step = side / width
    return FieldLayer(
        x=left + step * (np.arange(width) + 0.5), y=bottom + step * (np.arange(height) + 0.5), colours=colours[::-1]
    )


def _ground(left: float, bottom: float) -> FieldLayer:
    return _picture(np.full((2, 2, 3), _GROUND, np.uint8), left, bottom)


def _filter(
    kernel: np.ndarray, response: np.ndarray, left: float, bottom: float, most: float, loudest: float
) -> list[Layer]:
    """The kernel and, to its right, its frequency response, both about half as wide as an image."""
    weights = scaled(kernel, Scale(palette="vik", limits=(-most, most), label="weight"))
    heard = scaled(response, Scale(palette="cividis", limits=(0.0, loudest), label="response"))
    return [_picture(weights, left, bottom + 0.26, 0.48), _picture(heard, left + 0.52, bottom + 0.26, 0.48)]


def _arrows(field: np.ndarray, left: float, bottom: float, longer: int) -> list[Layer]:
    """Arrows from the old to the new position of content, on a light background; rows point down."""
    height, width = field.shape[1:]
    steps = max(1, width // _GRID)
    rows, columns = (np.arange(steps // 2, size, steps) for size in (height, width))
    paths = []
    for row, column in itertools.product(rows, columns):
        move = longer * np.array([field[1, row, column], -field[0, row, column]]) / width
        if np.linalg.norm(move) >= _SHORTEST:
            head = np.array([left + (column + 0.5) / width, bottom + (height - row - 0.5) / width])
            side = np.array([-move[1], move[0]])
            barbs = [head - _BARB * move + _BARB * way * side for way in (1, -1)]
            arrow = np.array([head - move, head, barbs[0], head, barbs[1]])
            paths.append(arrow.clip([left, bottom], [left + 1, bottom + 1]))
    return [_ground(left, bottom), LinesLayer(paths=tuple(paths), role="guide", colour=style.LIGHT.ink)]


def _curve(level: np.ndarray, curve: np.ndarray, left: float, bottom: float) -> list[Layer]:
    """The new value of each value, one line per channel, over the diagonal of no change."""
    colours = _CHANNELS if len(curve) == len(_CHANNELS) else (style.LIGHT.ink,) * len(curve)
    diagonal = np.array([[left, bottom], [left + 1, bottom + 1]])
    lines: list[Layer] = [
        _ground(left, bottom),
        LinesLayer(paths=(diagonal,), role="reference", dash="dashed", colour=style.LIGHT.quiet),
    ]
    paths = (np.stack([left + level, bottom + channel], 1) for channel in curve)
    lines += (LinesLayer(paths=(p,), role="guide", colour=ink) for p, ink in zip(paths, colours, strict=True))
    return lines


def _alt(draws: PrimeDraws, class_names: Sequence[str]) -> str:
    same = (draws.predicted == draws.clean_class).sum(1)
    parts = [
        f"{name} {same[row]} of {draws.predicted.shape[1]}, mean change {draws.displacement[row].mean():.2g} ℓ2"
        for row, name in enumerate(_NAMES)
    ]
    clean = class_names[draws.clean_class] if draws.clean_class >= 0 else "nothing finite"
    return f"Random primitives on an image classified as {clean}; draws that keep this class: {'; '.join(parts)}."
