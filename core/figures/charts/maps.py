"""Charts of maps of many images: points by class or number, predictions between them, and paths across them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.names import check_class_names
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
_FAINTEST = 0.12  # share of the background's colour where it is not credible
_STRONGEST = 0.6  # share of it where it is, so that the points stand out
_SIZE = 4.2  # points: of a mark
_QUIET = 2.6  # points: of a mark below paths
_NUMBERS = {
    "margin": ("margin", "logit"),
    "confidence": ("confidence", ""),
    "spread": ("spread over seeds", "of the map's radius"),
    "curvature": ("curvature times distance", ""),
}
_REACHED = 0.9  # share of curvatures within the ends of the colours, since a few are many times as large
_BENT = 2.0  # the largest end of the colours: at 1 a linear estimate of the distance errs by its own size
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
        colour: the quantity shown by the colour of a point.
        background: whether to draw the predictions between the images, if the map has them.
        palette: of the classes.
        marked: rows of images, of which the first three get the letters A, B, C and the others a dot; rows that are not
            on the map are ignored.
        paths: drawn across the map.
        shared_scale: all maps shown together, whose colours share their scale.
        title: of the panel.

    Returns:
        A chart of one isometric panel without ticks, since its axes have no unit.

    Raises:
        ValueError: if a name of a class is missing.
    """
    check_class_names(found.num_classes, class_names)
    values, scale = _numbers(found, colour, shared_scale or (found,))
    classes = found.label if colour == "label" and (found.label >= 0).any() else found.predicted
    if scale is not None:
        colours = tuple(map(style.hex_colour, style.scale_colours(values, scale.palette, scale.limits)))
    else:
        colours = tuple(style.class_colour(int(k), palette) for k in classes)
    sheet = _sheet(found, class_names, palette, background == "shown", scale)
    unknown = np.isnan(values) & (colour == "curvature")
    layers: list[Layer] = [sheet, *_points(found.positions, colours, unknown)]
    wrong = (found.label >= 0) & (found.predicted != found.label)
    if wrong.any() and scale is None:
        ink = (style.LIGHT.ink,)
        layers.append(PointsLayer(positions=found.positions[wrong], colours=ink, marker="ring", size=1.5 * _SIZE))
    if paths is not None:
        layers += path_layers(paths, palette)
    layers += _marks(found.positions, found.row, marked)
    legend = [] if scale is not None else _legend(classes, class_names, palette)
    if unknown.any():
        legend.append(LegendEntry(colour=style.UNDEFINED[0], label="not measured"))
    words = _caption(found, colour, scale), _background_words(found, background), _WARNING
    return Chart(
        panels=(_panel(layers, sheet, title),),
        name="map",
        caption=" ".join(filter(None, words)),
        alt=_alt(found, class_names),
        legend=tuple(legend),
    )


def path_chart(
    paths: MapPaths,
    *,
    class_names: Sequence[str],
    marked: Sequence[int] = (),
    palette: str = "muted",
    title: str = "",
) -> Chart:
    """Paths across a map, with its images as small points below them.

    Args:
        paths: the paths with their map.
        class_names: one name per class of the classifier.
        marked: rows of the chosen images.
        palette: of the classes.
        title: of the panel.

    Returns:
        A chart of one isometric panel.

    Raises:
        ValueError: if a name of a class is missing.
    """
    check_class_names(paths.num_classes, class_names)
    colours = tuple(style.class_colour(int(k), palette) for k in paths.home_predicted)
    sheet = _blank(paths.home)
    layers: list[Layer] = [
        sheet,
        PointsLayer(positions=paths.home, colours=colours, size=_QUIET),
        *path_layers(paths, palette),
        *_marks(paths.home, paths.home_row, marked),
    ]
    return Chart(
        panels=(_panel(layers, sheet, title),),
        name="map_path",
        caption=f"{path_words(paths)} Points: images of the map, in the colour of their predicted class. {_WARNING}",
        alt=f"A map of {len(paths.home)} images with a path across it. {path_words(paths)}",
        legend=tuple(_legend(paths.home_predicted, class_names, palette)),
    )


def path_layers(paths: MapPaths, palette: str) -> list[Layer]:
    """The lines of paths with a square in the colour of its class at each step; jumps are dotted, or gaps in a net.

    Args:
        paths: on the drawn map.
        palette: of the classes.

    Returns:
        Layers to draw on top of the map.
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
    """The meaning of paths, the number of their jumps, and their distance from the images, in a sentence."""
    known = np.isfinite(paths.ratio)
    jumps, steps = int(paths.jumps.sum()), int(known.sum()) - len(paths.positions)
    far = float(np.median(paths.ratio[known]))
    ends, leaps = ("", "left open") if paths.kind == "slice" else (" to the diamond", "dotted")
    return (
        f"Squares: {paths.names[0]}{ends}; {jumps} of {steps} steps are jumps, {leaps}; these images are {far:.2g}"
        " times as far from their nearest images of the map as is usual among those."
    )


def _numbers(found: EmbeddingMap, colour: Colour, together: Sequence[EmbeddingMap]) -> tuple[np.ndarray, Scale | None]:
    """The number of each image with its scale; no scale if colours stand for classes."""
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
    """The number of each image; NaN for all if the map has no curvatures."""
    return np.asarray(getattr(found, colour, np.full(len(found.positions), np.nan)))


def _points(positions: np.ndarray, colours: tuple[str, ...], quiet: np.ndarray) -> list[Layer]:
    """The images, those of unknown value small and below the others."""
    layers: list[Layer] = []
    if quiet.any():
        layers.append(PointsLayer(positions=positions[quiet], colours=(style.UNDEFINED[0],), size=_QUIET))
    if not quiet.all():
        known = tuple(np.array(colours)[~quiet].tolist())
        layers.append(PointsLayer(positions=positions[~quiet], colours=known, size=_SIZE))
    return layers


def _blank(positions: np.ndarray, scale: Scale | None = None) -> FieldLayer:
    """A white square around the images."""
    low, high = positions.min(0), positions.max(0)
    half = float((high - low).max()) * (0.5 + _MARGIN) or 1.0
    x, y = ((low + high) / 2)[:, None] + np.array([-half, half])
    return FieldLayer(x=x, y=y, colours=np.full((2, 2, 3), 255, np.uint8), scale=scale)


def _sheet(
    found: EmbeddingMap, class_names: Sequence[str], palette: str, shown: bool, scale: Scale | None
) -> FieldLayer:
    """The background: predictions between the images, or white."""
    if not shown or not hasattr(found, "background") or not (found.background >= 0).any():
        return _blank(found.positions, scale)
    drawn: DecisionMap = found  # type: ignore[assignment]
    colours = style.class_colours(drawn.background, palette=palette).astype(np.float64)
    strength = _STRONGEST * (_FAINTEST + (1 - _FAINTEST) * drawn.belief)[..., None]
    faded = np.rint(255 + strength * (colours - 255)).astype(np.uint8)
    texts = [f"would be {name}" for name in class_names]
    texts += [f"{text}, not to be believed here" for text in texts]
    index = np.where(drawn.background >= 0, drawn.background + len(class_names) * (drawn.belief <= 0), -1)
    return FieldLayer(x=drawn.x, y=drawn.y, colours=faded, hover=tuple(texts), hover_index=index, scale=scale)


def _marks(positions: np.ndarray, row: np.ndarray, marked: Sequence[int]) -> list[Layer]:
    """The letters of the chosen images that are on the map."""
    ink = (style.LIGHT.ink,)
    known = {letter: row.tolist().index(one) for one, letter in zip(marked, _LETTERS, strict=False) if one in row}
    others = positions[np.isin(row, marked[len(_LETTERS) :])]
    layers: list[Layer] = []
    if len(others):
        layers.append(PointsLayer(positions=others, colours=ink, size=0.7 * _SIZE))
    if known:
        at = positions[list(known.values())]
        layers.append(PointsLayer(positions=at, labels=tuple(known), colours=ink, marker="ring", size=2 * _SIZE))
    return layers


def _panel(layers: Sequence[Layer], sheet: FieldLayer, title: str) -> Panel:
    blank = len(sheet.x) == 2
    x = (float(sheet.x[0]), float(sheet.x[-1])) if blank else sheet.edges[:2]
    y = (float(sheet.y[0]), float(sheet.y[-1])) if blank else sheet.edges[2:]
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="place on the map (no unit)", limits=x, ticks=()),
        y=Axis(label="", limits=y, ticks=()),
        isometric=True,
    )


def _legend(classes: np.ndarray, class_names: Sequence[str], palette: str) -> list[LegendEntry]:
    seen = [int(k) for k in np.unique(classes) if k >= 0]
    entries = [LegendEntry(colour=style.class_colour(k, palette), label=class_names[k]) for k in seen]
    if (classes < 0).any():
        entries.append(LegendEntry(colour=style.UNDEFINED[0], label="no class"))
    return entries


def _caption(found: EmbeddingMap, colour: Colour, scale: Scale | None) -> str:
    space = found.space_words.replace("input of ", "what goes into layer ")
    measured = f" {_measured(found, scale)}" if colour == "curvature" and scale is not None else ""
    return (
        f"UMAP of {len(found.positions)} images by {space}, {found.neighbours} neighbours."
        f" {_MEANING[colour]}{measured} Of the 10 nearest images, {found.neighbour_agreement:.0%} are kept (by chance"
        f" {found.chance:.0%}); trustworthiness {found.trustworthiness:.3f}, continuity {found.continuity:.3f}."
    )


def _measured(found: EmbeddingMap, scale: Scale) -> str:
    """The number and range of known curvatures, and the scale at which they were measured."""
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
