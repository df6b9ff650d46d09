"""Charts of maps of many images: points by class or by number, what the model says between them, paths across them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    Chart,
    FieldLayer,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
    PointsLayer,
    Scale,
)

if TYPE_CHECKING:
    from core.geometry.maps.background import DecisionMap
    from core.geometry.maps.curvature import CurvedMap
    from core.geometry.maps.maps import EmbeddingMap
    from core.geometry.maps.paths import MapPaths

Colour = Literal["label", "prediction", "margin", "confidence", "spread", "curvature"]
COLOURS: tuple[Colour, ...] = get_args(Colour)

_LETTERS = "ABC"
_MARGIN = 0.08  # around the images, of the map's size
_FAINTEST = 0.12  # of the background's colour stays where it is not believed
_STRONGEST = 0.6  # of it is drawn where it is: the points stand out
_SIZE = 4.2  # points: of a mark
_QUIET = 2.6  # of a mark below paths
_NUMBERS = {
    "margin": ("margin", "logit"),
    "confidence": ("confidence", ""),
    "spread": ("spread over seeds", "of the map's radius"),
    "curvature": ("curvature times distance", ""),
}
_REACHED = 0.9  # of the curvatures lie within the ends of their colours: few are many times as large
_BENT = 2.0  # or the colours end here: at 1 a linear estimate of the distance is off by its own size
_MEANING = {
    "label": "Colour: the true class; a ring marks what the model says otherwise.",
    "prediction": "Colour: the class that the model says; a ring marks where that is not the true one.",
    "margin": "Colour: the margin, the largest logit minus the next.",
    "confidence": "Colour: the probability of the predicted class.",
    "spread": "Colour: how far an image lies elsewhere on maps of other seeds, laid over each other.",
    "curvature": "Colour: the curvature of largest magnitude at the nearest boundary point, times its distance: below 0"
    " the boundary closes around the image's class, above 0 around the other; far below 1 it is flat.",
}
_WARNING = "Near each other means alike; distances between groups, their sizes and directions mean nothing."


def map_chart(
    found: EmbeddingMap,
    *,
    class_names: Sequence[str],
    colour: Colour = "label",
    background: Literal["shown", "hidden"] = "shown",
    palette: str = "muted",
    marked: Sequence[int] = (),
    paths: MapPaths | None = None,
    shared_scale: Sequence[EmbeddingMap] = (),
    title: str = "",
) -> Chart:
    """A map of images.

    Args:
        found: the map; with a background where it has one.
        class_names: one name per class of the classifier.
        colour: what the colour of a point shows.
        background: whether what the model says between the images is drawn, where the map has it.
        palette: of the classes.
        marked: rows of images of which the first three get the letters A, B, C, others a dot; those that are not on
            the map get none.
        paths: drawn across the map.
        shared_scale: maps seen together, whose colours then mean the same.
        title: above the map.

    Returns:
        A chart of one isometric panel without ticks: its axes have no unit.

    Raises:
        ValueError: if a name of a class is missing.
    """
    _check_names(found.num_classes, class_names)
    values, scale = _numbers(found, colour, shared_scale or (found,))
    classes = found.label if colour == "label" and (found.label >= 0).any() else found.predicted
    if scale is not None:
        colours = _hex(style.scale_colours(values, scale.palette, scale.limits))
    else:
        colours = tuple(style.class_colour(int(k), palette) for k in classes)
    sheet = _sheet(found, class_names, palette, background == "shown", scale)
    layers: list[Layer] = [sheet, *_points(found.positions, colours, np.isnan(values) & (colour == "curvature"))]
    otherwise = (found.label >= 0) & (found.predicted != found.label)
    if otherwise.any() and scale is None:
        layers.append(_rings(found.positions[otherwise]))
    if paths is not None:
        layers += path_layers(paths, palette)
    layers += _marks(found.positions, found.row, marked)
    sentences = _caption(found, colour, scale), _background_words(found, background), _WARNING
    return Chart(
        panels=(_panel(layers, sheet, title),),
        name="map",
        caption=" ".join(filter(None, sentences)),
        alt=_alt(found, class_names),
        legend=_grey(values, colour) if scale is not None else _legend(classes, class_names, palette),
    )


def path_chart(
    paths: MapPaths,
    *,
    class_names: Sequence[str],
    marked: Sequence[int] = (),
    palette: str = "muted",
    title: str = "",
) -> Chart:
    """Paths across a map, its images small below them.

    Args:
        paths: with the map that they are on.
        class_names: one name per class of the classifier.
        marked: rows of the chosen images.
        palette: of the classes.
        title: above the map.

    Returns:
        A chart of one isometric panel.

    Raises:
        ValueError: if a name of a class is missing.
    """
    _check_names(paths.num_classes, class_names)
    colours = tuple(style.class_colour(int(k), palette) for k in paths.home_predicted)
    x, y = _around(paths.home)
    white = np.full((2, 2, 3), 255, np.uint8)
    sheet = FieldLayer(x=x[[0, -1]], y=y[[0, -1]], colours=white)
    layers: list[Layer] = [sheet, PointsLayer(positions=paths.home, colours=colours, size=_QUIET)]
    layers += path_layers(paths, palette)
    layers += _marks(paths.home, paths.home_row, marked)
    return Chart(
        panels=(_panel(layers, sheet, title),),
        name="map_path",
        caption=f"{path_words(paths)} Points: images of the map, in the colour of their predicted class. {_WARNING}",
        alt=f"A map of {len(paths.home)} images with a path across it. {path_words(paths)}",
        legend=_legend(paths.home_predicted, class_names, palette),
    )


def path_layers(paths: MapPaths, palette: str) -> list[Layer]:
    """The lines of paths, a square at each step in the colour of its class; jumps are dotted, or left open in a net.

    Args:
        paths: on the map that is drawn.
        palette: of the classes.

    Returns:
        Layers to put on top of it.
    """
    net = paths.kind == "slice"
    layers: list[Layer] = []
    lines, leaps = paths.pieces(), paths.leaps()
    if leaps and not net:
        layers.append(LinesLayer(paths=leaps, role="contour", dash="dotted"))
    if lines:
        layers.append(LinesLayer(paths=lines, role="contour" if net else "boundary"))
    known = np.isfinite(paths.positions[..., 0])
    places, classes = paths.positions[known], paths.predicted[known]
    if net:  # each place lies on two lines
        places, first = np.unique(places, axis=0, return_index=True)
        classes = classes[first]
    colours = tuple(style.class_colour(int(k), palette) for k in classes)
    layers.append(PointsLayer(positions=places, colours=colours, marker="square", size=_QUIET + (not net)))
    if not net:
        end = paths.positions[0][known[0]][-1:]
        layers.append(PointsLayer(positions=end, colours=(style.LIGHT.ink,), marker="diamond", size=6.0))
    return layers


def path_words(paths: MapPaths) -> str:
    """What is drawn, how many jumps it has and how far it lies from the images, in a sentence."""
    known = np.isfinite(paths.ratio)
    jumps, steps = int(paths.jumps.sum()), int(known.sum()) - len(paths.positions)
    far = float(np.median(paths.ratio[known]))
    ends, leaps = ("", "left open") if paths.kind == "slice" else (" to the diamond", "dotted")
    return (
        f"Squares: {paths.names[0]}{ends}; {jumps} of {steps} steps are jumps, {leaps}; these images are {far:.2g}"
        " times as far from their nearest images of the map as is usual among those."
    )


def _check_names(classes: int, class_names: Sequence[str]) -> None:
    if len(class_names) != classes:
        raise ValueError(f"expected one name for each of {classes} classes, got {len(class_names)} names")


def _numbers(found: EmbeddingMap, colour: Colour, together: Sequence[EmbeddingMap]) -> tuple[np.ndarray, Scale | None]:
    """The number of each image with its scale; no scale where colours are classes."""
    if colour not in _NUMBERS:
        return found.margin, None
    label, unit = _NUMBERS[colour]
    every = np.concatenate([_values(one, colour) for one in together])
    known = every[np.isfinite(every)]
    if colour == "curvature":
        end = min(float(np.quantile(np.abs(known), _REACHED)), _BENT) if len(known) else 1.0
        return _values(found, colour), Scale(palette="vik", limits=(-(end or 1.0), end or 1.0), label=label, unit=unit)
    high = 1.0 if colour == "confidence" else float(known.max(initial=0.0)) or 1.0
    return _values(found, colour), Scale(palette="cividis", limits=(0.0, high), label=label, unit=unit)


def _values(found: EmbeddingMap, colour: Colour) -> np.ndarray:
    """The number of each image; NaN of all curvatures where none was measured."""
    values: np.ndarray = getattr(found, colour, np.full(len(found.positions), np.nan))
    return values


def _points(positions: np.ndarray, colours: tuple[str, ...], quiet: np.ndarray) -> list[Layer]:
    """The images; small, and below the others, where nothing was measured."""
    if not quiet.any():
        return [PointsLayer(positions=positions, colours=colours, size=_SIZE)]
    kept = np.flatnonzero(~quiet)
    layers: list[Layer] = [PointsLayer(positions=positions[quiet], colours=(style.UNDEFINED[0],), size=_QUIET)]
    if len(kept):
        layers.append(
            PointsLayer(positions=positions[kept], colours=tuple(colours[place] for place in kept), size=_SIZE)
        )
    return layers


def _grey(values: np.ndarray, colour: Colour) -> tuple[LegendEntry, ...]:
    """What grey points are, where curvatures are coloured."""
    if colour != "curvature" or not np.isnan(values).any():
        return ()
    return (LegendEntry(colour=style.UNDEFINED[0], label="not measured"),)


def _hex(colours: np.ndarray) -> tuple[str, ...]:
    return tuple("#{:02x}{:02x}{:02x}".format(*one) for one in colours.reshape(-1, 3).tolist())


def _around(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two ends of x and of y of a square around the images."""
    low, high = positions.min(0), positions.max(0)
    half = float((high - low).max()) * (0.5 + _MARGIN) or 1.0
    middle = (low + high) / 2
    return middle[0] + np.array([-half, half]), middle[1] + np.array([-half, half])


def _sheet(
    found: EmbeddingMap, class_names: Sequence[str], palette: str, shown: bool, scale: Scale | None
) -> FieldLayer:
    """The background: what the model says between the images, or white."""
    if not shown or not hasattr(found, "background") or not (found.background >= 0).any():
        x, y = _around(found.positions)
        return FieldLayer(x=x, y=y, colours=np.full((2, 2, 3), 255, np.uint8), scale=scale)
    drawn: DecisionMap = found  # type: ignore[assignment]
    colours = style.class_colours(drawn.background, palette=palette).astype(np.float64)
    strength = _STRONGEST * (_FAINTEST + (1 - _FAINTEST) * drawn.belief)[..., None]
    faded = np.rint(255 + strength * (colours - 255)).astype(np.uint8)
    labels = [f"would be {name}" for name in class_names]
    words = (*labels, *(f"{one}, not to be believed here" for one in labels))
    doubtful = drawn.belief <= 0
    index = np.where(drawn.background >= 0, drawn.background + len(labels) * doubtful, -1)
    return FieldLayer(x=drawn.x, y=drawn.y, colours=faded, hover=words, hover_index=index, scale=scale)


def _rings(positions: np.ndarray) -> PointsLayer:
    ink = (style.LIGHT.ink,)
    return PointsLayer(positions=positions, colours=ink, marker="ring", size=1.5 * _SIZE)


def _marks(positions: np.ndarray, row: np.ndarray, marked: Sequence[int]) -> list[Layer]:
    """The letters of the chosen images that are on the map."""
    places = [(np.flatnonzero(row == chosen), letter) for chosen, letter in zip(marked, _LETTERS, strict=False)]
    known = [(int(at[0]), letter) for at, letter in places if len(at)]
    others = positions[np.isin(row, marked[len(_LETTERS) :])]
    layers: list[Layer] = []
    if len(others):
        layers.append(PointsLayer(positions=others, colours=(style.LIGHT.ink,), size=0.7 * _SIZE))
    if known:
        at = positions[[place for place, _ in known]]
        letters = tuple(letter for _, letter in known)
        layers.append(
            PointsLayer(positions=at, labels=letters, colours=(style.LIGHT.ink,), marker="ring", size=2 * _SIZE)
        )
    return layers


def _panel(layers: Sequence[Layer], sheet: FieldLayer, title: str) -> Panel:
    x_low, x_high, y_low, y_high = sheet.edges
    inside = (float(sheet.x[0]), float(sheet.x[-1])), (float(sheet.y[0]), float(sheet.y[-1]))
    limits = inside if len(sheet.x) == 2 else ((x_low, x_high), (y_low, y_high))
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="place on the map (no unit)", limits=limits[0], ticks=()),
        y=Axis(label="", limits=limits[1], ticks=()),
        isometric=True,
    )


def _legend(classes: np.ndarray, class_names: Sequence[str], palette: str) -> tuple[LegendEntry, ...]:
    seen = [int(k) for k in np.unique(classes) if k >= 0]
    entries = [LegendEntry(colour=style.class_colour(k, palette), label=class_names[k]) for k in seen]
    if (classes < 0).any():
        entries.append(LegendEntry(colour=style.UNDEFINED[0], label="no class"))
    return tuple(entries)


def _caption(found: EmbeddingMap, colour: Colour, scale: Scale | None) -> str:
    space = found.space_words.replace("input of ", "what goes into layer ")
    measured = f" {_measured(found, scale)}" if colour == "curvature" and scale is not None else ""
    return (
        f"UMAP of {len(found.positions)} images by {space}, {found.neighbours} neighbours."
        f" {_MEANING[colour]}{measured} Of the 10 nearest images, {found.neighbour_agreement:.0%} are kept (by chance"
        f" {found.chance:.0%}); trustworthiness {found.trustworthiness:.3f}, continuity {found.continuity:.3f}."
    )


def _measured(found: EmbeddingMap, scale: Scale) -> str:
    """For how many images curvatures are known, how far they reach, and at which scale they were measured."""
    values = _values(found, "curvature")
    known = values[np.isfinite(values)]
    if not hasattr(found, "curvature"):
        return "No curvature was measured."
    curved: CurvedMap = found  # type: ignore[assignment]
    words = f"Known for {len(known)} of {curved.drawn} images drawn"
    if len(known):
        words += f", from {known.min():.2g} to {known.max():.2g}; colours end at ±{scale.limits[1]:.2g}"
    if np.isfinite(curved.scale_of_differences):
        words += f"; by differences over {curved.scale_of_differences:.2g} ℓ2, since the network has kinks"
    return f"{words}."


def _background_words(found: EmbeddingMap, background: str) -> str:
    if background != "shown" or not hasattr(found, "background"):
        return ""
    drawn: DecisionMap = found  # type: ignore[assignment]
    if drawn.status == "no head":
        return ""
    how = (
        "it fades as going there and back misses, and away from images, to almost nothing at a quarter of the radius"
        if drawn.status == "measured"
        else "it fades away from images; going there and back was not measured"
    )
    return (
        f"Background: what the model would say between the images, on one curved sheet through the space; {how}. It"
        f" agrees with {drawn.background_agreement:.0%} of the images, each left out in turn (the most frequent"
        f" class alone: {drawn.background_chance:.0%})."
    )


def _alt(found: EmbeddingMap, class_names: Sequence[str]) -> str:
    counts = np.bincount(found.predicted[found.predicted >= 0], minlength=len(class_names))
    each = ", ".join(f"{class_names[k]} {counts[k]}" for k in np.argsort(-counts) if counts[k])
    return f"A map of {len(found.positions)} images as points, near each other where they are alike. Predicted: {each}."
