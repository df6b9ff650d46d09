"""Charts of distances inside subspaces: a map over frequencies or patches, and a curve over an ordered family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.figures.charts.names import check_class_names
from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    BandLayer,
    Chart,
    FieldLayer,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
    PointsLayer,
    Scale,
    percent,
)
from core.figures.drawing.curves import known_runs, log_limits, rectangle

if TYPE_CHECKING:
    from core.geometry.subspaces.subspace_distances import SubspaceDistances

Colour = Literal["distance", "chance", "share", "ratio"]

_STEP = 0.05  # logarithmic scales end at its multiples: equal values get one colour, not the noise of rounding
_ROOM = 1.25  # factor between the outermost distances and the frame
_ORDERS = {"windows": "window of frequencies", "principal": "principal components, octaves up to number"}
_MEANING = {
    "distance": "Colour: the median distance to the boundary inside each {block}, yellow where it is far.",
    "chance": "Colour: the median of distance over that expected without a preferred direction; blue is more sensitive"
    " than by chance, red less.",
    "share": "Colour: each {block}'s mean share of the sensitivity, 1 / distance² over the sum of all.",
    "ratio": "Colour: the median distance of this model over that of {against}; red where this one is further from its"
    " boundary, blue where it is nearer.",
}


def map_values(
    result: SubspaceDistances, used: np.ndarray, colour: Colour, against: SubspaceDistances | None = None
) -> np.ndarray:
    """The values of a map, one per block.

    Args:
        result: the distances.
        used: (n,) bool, the images to count.
        colour: distance (log10 of the median), chance (log2 of the median of distance / isotropic), share (mean), or
            ratio (log2 of the ratio of medians).
        against: the denominator of a ratio.

    Returns:
        (s,) values; NaN where the median is infinite.

    Raises:
        ValueError: if a ratio has no denominator.
    """
    if colour == "share":
        return np.asarray(result.shares()[used].mean(0))
    if colour == "chance":
        values = np.log2(result.quantile(0.5, used, result.distance / result.isotropic))
    elif colour == "ratio":
        if against is None:
            raise ValueError("expected two models or more for their ratio, got one; compare with another one")
        with np.errstate(invalid="ignore"):
            values = np.log2(result.quantile(0.5, used)) - np.log2(against.quantile(0.5, used))
    else:
        values = np.log10(result.quantile(0.5, used))
    return np.where(np.isfinite(values), values, np.nan)


def map_limits(values: Sequence[np.ndarray], colour: Colour) -> tuple[float, float]:
    """The values of the first and the last colour of maps shown together.

    Args:
        values: of each map.
        colour: the quantity they show.

    Returns:
        Limits of one scale: from 0 for shares, symmetric for ratios and chance.
    """
    finite = np.concatenate([each[np.isfinite(each)] for each in values])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if colour == "share":
        return 0.0, _stepped(high, 0.01)
    if colour == "distance":
        return -_stepped(-low, _STEP), max(_stepped(high, _STEP), -_stepped(-low, _STEP) + _STEP)
    most = max(_stepped(max(abs(low), abs(high)), _STEP), _STEP)
    return -most, most


def _stepped(value: float, step: float) -> float:
    """The next multiple of a step, so that scales end at round numbers."""
    return round(math.ceil(value / step - 1e-9) * step, 6) + 0.0


def margins_map_chart(
    result: SubspaceDistances,
    *,
    used: np.ndarray,
    colour: Colour = "distance",
    against: SubspaceDistances | None = None,
    against_name: str = "the first model",
    shared_scale: Sequence[SubspaceDistances] = (),
    marked: int = -1,
    title: str = "",
) -> Chart:
    """The distance to the boundary over a grid of frequencies, or of patches of the picture.

    Args:
        result: of subspaces that are rectangles.
        used: (n,) bool, the images to count, such as those that every model shown classifies correctly.
        colour: see `map_values`.
        against: the denominator of a ratio.
        against_name: the name of its model.
        shared_scale: all results shown together, which share their scale and caption.
        marked: the number of a block to outline; -1 for none.
        title: of the panel.

    Returns:
        A chart of one isometric panel: low frequencies at the lower left, the top of the picture at the top.

    Raises:
        ValueError: if the subspaces are not rectangles, no image is used, or a ratio has no denominator.
    """
    if (result.bounds < 0).any() or result.kind == "windows":
        raise ValueError(f"expected blocks of frequencies or patches for a map, got {result.kind}; draw a curve")
    if not used.any():
        raise ValueError("expected at least one image to look at, got none; take more images into the count")
    patches = result.kind == "patches"
    values = map_values(result, used, colour, against)
    seen = shared_scale or (result,)
    scale = _scale(colour, map_limits([map_values(each, used, colour, against) for each in seen], colour))
    height, width = int(result.bounds[:, 1].max()), int(result.bounds[:, 3].max())
    block = np.zeros((height, width), np.int64)
    for number, (top, bottom, left, right) in enumerate(result.bounds):
        block[top:bottom, left:right] = number
    corners = [np.array(side, float) for side in result.bounds]
    if patches:  # row 0 of a picture is its top, row 0 of a field its bottom
        block = block[::-1]
        corners = [np.array([height - bottom, height - top, left, right]) for top, bottom, left, right in corners]
    layers: list[Layer] = [
        FieldLayer(
            x=np.arange(width, dtype=np.float64),
            y=np.arange(height, dtype=np.float64),
            colours=style.scale_colours(values[block], scale.palette, scale.limits),
            scale=scale,
            hover=_hover(result, used, values, colour),
            hover_index=block,
            name=colour,
        )
    ]
    if 0 <= marked < len(corners):
        bottom, top, left, right = corners[marked] - 0.5
        layers.append(LinesLayer(paths=(rectangle(left, right, bottom, top),), role="boundary"))
    if patches:
        across, down, unit, one, many = "across", "down", "pixels", "patch", "patches"
    else:
        across, down, unit = "horizontal frequency", "vertical frequency", "half waves"
        one, many = "block of frequencies", "blocks of frequencies"
    panel = Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label=across, unit=unit, limits=(-0.5, width - 0.5), ticks=_ticks(width)),
        y=Axis(label=down, unit=unit, limits=(-0.5, height - 0.5), ticks=_ticks(height, patches)),
        isometric=True,
    )
    finite = values[np.isfinite(values)]
    span = f"from {finite.min():.3g} to {finite.max():.3g}" if len(finite) else "with no boundary found"
    return Chart(
        panels=(panel,),
        name="margins",
        caption=_caption(seen, used, _MEANING[colour].format(block=one, against=against_name)),
        alt=f"A map of {len(values)} {many}, {scale.title} {span}.",
    )


def _ticks(size: int, downwards: bool = False) -> tuple[tuple[float, str], ...]:
    """Ticks at about four whole numbers, counted from the end if downwards."""
    step = max(1, 2 ** (size // 4).bit_length() // 2)
    return tuple((float(size - 1 - at if downwards else at), str(at)) for at in range(0, size, step))


def _scale(colour: Colour, limits: tuple[float, float]) -> Scale:
    label, unit, palette = {
        "distance": ("median distance", "ℓ2", "cividis"),
        "chance": ("log₂ of distance over chance", "", "vik"),
        "share": ("share of sensitivity", "", "cividis"),
        "ratio": ("log₂ of the ratio of distances", "", "vik"),
    }[colour]
    return Scale(palette=palette, limits=limits, label=label, unit=unit, exponents=colour == "distance")


def _hover(result: SubspaceDistances, used: np.ndarray, values: np.ndarray, colour: Colour) -> tuple[str, ...]:
    low, middle, high = (result.quantile(share, used) for share in (0.05, 0.5, 0.95))
    return tuple(
        f"{label}: median {_far(middle[place])}, 90 % from {_far(low[place])} to {_far(high[place])} ℓ2"
        + (f"; {_scale(colour, (0, 1)).label} {values[place]:.3g}" if colour != "distance" else "")
        for place, label in enumerate(result.labels)
    )


def _far(distance: float) -> str:
    return f"{distance:.3g}" if math.isfinite(distance) else "beyond reach"


def _caption(seen: Sequence[SubspaceDistances], used: np.ndarray, meaning: str) -> str:
    diagonal = math.sqrt(seen[0].space)
    missing = float(np.mean([~result.found[used] for result in seen]))
    beyond = float(np.mean([result.distance[used] > diagonal for result in seen]))
    left_out = len(used) - int(used.sum())
    words = [meaning, f"{int(used.sum())} image{'s' if used.sum() > 1 else ''}."]
    if left_out:
        words.append(f"{left_out} more left out: not classified correctly by every model shown.")
    if missing:
        words.append(f"No boundary found in {percent(missing)} of searches, counted as infinitely far.")
    words.append("Distances are ℓ2 over pixels in [0, 1] and about the function: the images reached may leave the box.")
    if beyond:
        words.append(f"{percent(beyond)} are longer than its diagonal, {diagonal:.3g}.")
    return " ".join(words)


def curve_limits(results: Sequence[SubspaceDistances], used: np.ndarray, image: int = 0) -> tuple[float, float]:
    """The limits of the distance for curves shown together.

    Args:
        results: the distances.
        used: (n,) bool, the images of the band.
        image: the image whose curve is drawn.

    Returns:
        A little below the smallest and above the largest distance drawn.
    """
    drawn = [each for result in results for each in (result.distance[image], result.isotropic[image])]
    if used.any():
        drawn += [result.quantile(share, used) for result in results for share in (0.05, 0.95)]
    return log_limits(*drawn, room=_ROOM, otherwise=(0.1, 10.0))


def margin_curve_chart(
    result: SubspaceDistances,
    *,
    used: np.ndarray,
    image: int = 0,
    image_name: str = "the image",
    class_names: Sequence[str],
    shared_scale: Sequence[SubspaceDistances] = (),
    palette: str = "muted",
    title: str = "",
) -> Chart:
    """The distance to the boundary of one image along a family of subspaces, over the band of a whole set.

    Args:
        result: the distances.
        used: (n,) bool, the images of the band.
        image: the position in the result of the image whose curve is drawn.
        image_name: its name in the chart.
        class_names: one name per class of the classifier.
        shared_scale: all results shown together, which share their axes and caption.
        palette: class palette of `style.PALETTES`.
        title: of the panel.

    Returns:
        A chart of one panel; marks have the colour of the class reached.

    Raises:
        ValueError: if names of classes are missing.
    """
    check_class_names(result.num_classes, class_names)
    low, high = curve_limits(shared_scale or (result,), used, image)
    along = result.frequency[:, 1] if result.kind == "windows" else np.arange(len(result.labels), dtype=np.float64)
    ends = [label.rpartition("–")[2].strip() if result.kind == "principal" else label for label in result.labels]
    named = None if result.kind == "windows" else tuple(zip(along.tolist(), ends, strict=True))
    layers: list[Layer] = []
    if used.sum() > 1:
        bottom, middle, top = (result.quantile(share, used).clip(low, high) for share in (0.05, 0.5, 0.95))
        layers += [
            BandLayer(x=along, low=bottom, high=top, name="5th to 95th percentile"),
            LinesLayer(paths=(np.stack([along, middle], 1),), colour=style.PRINT.quiet, name="median of the set"),
        ]
    expected = result.isotropic[image]
    if np.isfinite(expected).all():
        path = np.stack([along, expected], 1)
        layers.append(LinesLayer(paths=(path,), role="reference", dash="dashed", name="no preferred direction"))
    far, reached = result.distance[image], result.target_class[image]
    found = np.isfinite(far)
    layers.append(LinesLayer(paths=known_runs(along, far), role="curve", name=image_name))
    if found.any():
        colours = tuple(style.class_colour(int(k), palette) for k in reached[found])
        layers.append(PointsLayer(positions=np.stack([along, far], 1)[found], colours=colours, size=6.0))
    panel = Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(
            label=_ORDERS.get(result.kind, ""),
            unit="half waves" if result.kind == "windows" else "",
            ticks=named,
        ),
        y=Axis(
            label="distance to the boundary",
            unit="ℓ2",
            limits=(low, high),
            scale="log",
            ticks=style.log_ticks(low, high),
        ),
    )
    classes = list(dict.fromkeys(reached[found].tolist()))
    meaning = (
        f"Line with marks: {image_name}, coloured by the class that is reached. Band: 5th to 95th percentile of the"
        " set, thin line its median. Dashed: what this image's distance in all of space would give if no direction"
        " were preferred; below it the model is more sensitive than by chance."
    )
    return Chart(
        panels=(panel,),
        name="margin_curve",
        caption=_caption(shared_scale or (result,), used, meaning),
        alt=(
            f"A curve of the distance of {image_name} to the boundary along {len(along)} subspaces: "
            + ", ".join(f"{words} {_far(value)}" for words, value in zip(result.labels, far, strict=True))
            + " ℓ2."
        ),
        legend=tuple(
            LegendEntry(colour=style.class_colour(k, palette), label=f"reaches {class_words(class_names[k])}")
            for k in classes
        ),
    )


def class_words(name: str) -> str:
    """A class in words, even if its name is a bare number.

    >>> class_words("7"), class_words("hubble")
    ('class 7', 'hubble')
    """
    return f"class {name}" if name.isdigit() else name
