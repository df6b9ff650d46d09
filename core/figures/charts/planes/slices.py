"""Charts of slices: a classifier's predictions everywhere on a plane."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.names import LISTED, check_class_names, share_legend
from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    Chart,
    FieldLayer,
    ImagesLayer,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
    PointsLayer,
    Scale,
    percent,
)
from core.figures.drawing.curves import rectangle

if TYPE_CHECKING:
    from core.geometry.planes.slices import Slice

Shading = Literal["confidence", "class", "margin", "entropy", "distance"]
SHADINGS: tuple[Shading, ...] = get_args(Shading)

_NAMED = 0.03  # share of the picture from which a region is named in place
_APART = 0.05  # of the picture's side: the least distance between marked severities of a path
_WALK = "walk:"  # prefix of the names of walks among paths
_CELLS = 64  # per side of the grid on which names are placed

_MEANING = {
    "class": "Colour: predicted class.",
    "confidence": "Colour: predicted class; paleness: low confidence, palest at chance level.",
    "margin": "Shading: margin, the largest logit minus the second largest.",
    "distance": "Shading: distance to the boundary to first order, the margin over its slope in the plane.",
    "entropy": "Shading: entropy of the predicted probabilities, 1 where all classes are equally likely.",
}


def slice_chart(
    slice: Slice,
    *,
    class_names: Sequence[str],
    anchors: np.ndarray | None = None,
    anchor_positions: np.ndarray | None = None,
    anchor_labels: Sequence[str] = (),
    anchor_residuals: Sequence[float] = (),
    shading: Shading = "confidence",
    distance: np.ndarray | None = None,
    limit: float | None = None,
    levels: Sequence[float] = (),
    palette: str = "muted",
    title: str = "",
) -> Chart:
    """The picture of a slice: shading, decision boundaries, anchors, true distances.

    Args:
        slice: the slice.
        class_names: one name per class of the classifier.
        anchors: thumbnails (n, h, w, 3), uint8, of the images that span the plane.
        anchor_positions: (n, 2) in plane coordinates.
        anchor_labels: texts under the thumbnails, one each.
        anchor_residuals: distances of the anchors from the plane, in ℓ2 pixel units.
        shading: the quantity shown by colour. Confidence runs from chance level 1/k to 1 and entropy from 0 to log k in
            every picture, so that pictures compare; the colours of margin and distance end at a round number near their
            99th percentile.
        distance: (r, r) distances to the boundary to first order, for that shading.
        limit: the last value of the colours of margin or distance, for pictures shown together.
        levels: lines of equal confidence ("class" or "confidence"), margin, distance, or entropy in shares of log k.
        palette: class palette of `style.PALETTES`.
        title: of the panel.

    Returns:
        A chart of one isometric panel; the legend names regions, and labels do if colours do not stand for classes.

    Raises:
        ValueError: if the shading is not one of those above, or names of classes or anchors are missing.
    """
    if shading not in SHADINGS:
        raise ValueError(f"expected a shading out of {', '.join(SHADINGS)}, got {shading!r}")
    check_class_names(slice.num_classes, class_names)
    thumbnails = _thumbnails(anchors, anchor_positions, anchor_labels, anchor_residuals)
    shares = dict(sorted(slice.shares().items(), key=lambda item: -item[1]))
    undefined = float((slice.label < 0).mean())
    unit = slice.unit("x").removesuffix(" pixel")  # short, for axes and scale bar
    by_class = shading in ("class", "confidence")
    if shading == "distance" and distance is None:
        raise ValueError("expected the distances to shade by, got none")
    field = _field(slice, class_names, shading, palette, distance, limit)
    borders = tuple(path for paths in slice.boundary_lines().values() for path in paths)
    outline = _outline(slice, field.edges)
    layers: list[Layer] = [
        field,
        *_contours(slice, shading, levels, distance),
        LinesLayer(paths=borders, role="boundary"),
        *outline,
    ]
    if not by_class:
        layers += _names_in_place(slice, class_names, shares, anchor_positions)
    layers += [*_severity_paths(slice), *thumbnails]
    legend = share_legend(class_names, shares, palette if by_class else None)
    if undefined:
        legend.append(LegendEntry(colour=style.UNDEFINED[0], label="undefined", share=undefined))
    panel = Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label=slice.x_label, unit=unit, limits=field.edges[:2]),
        y=Axis(label=slice.y_label, unit=unit, limits=field.edges[2:]),
        isometric=True,
        scale_bar=unit,
    )
    return Chart(
        panels=(panel,),
        name="slice",
        caption=_caption(shading, levels, unit, bool(outline), undefined) + path_words(slice),
        alt=_alt(slice, class_names, shares, shading, unit),
        legend=tuple(legend),
    )


def _thumbnails(
    anchors: np.ndarray | None, positions: np.ndarray | None, labels: Sequence[str], residuals: Sequence[float]
) -> list[Layer]:
    """The images that span the plane, at their positions."""
    if anchors is None:
        return []
    places = np.empty((0, 2)) if positions is None else np.asarray(positions, dtype=np.float64)
    if len(places) != len(anchors) or any(len(given) not in (0, len(anchors)) for given in (labels, residuals)):
        raise ValueError(
            f"expected a position and a label for each of {len(anchors)} anchors, "
            f"got {len(places)} positions, {len(labels)} labels, {len(residuals)} residuals"
        )
    return [
        ImagesLayer(
            positions=places,
            images=anchors,
            labels=tuple(map(_short, labels)),
            residuals=tuple(float(part) for part in residuals),
        )
    ]


def _short(words: str) -> str:
    """A label inside the picture, wrapped at 16 characters."""
    return textwrap.fill(words, 16)


def _severity_paths(slice: Slice) -> list[Layer]:
    """Paths of the image under growing corruption, with severities marked where they are far enough apart; or walks."""
    layers: list[Layer] = []
    for name, whole in paths_of(slice).items():
        path = whole[:, :2]
        layers.append(LinesLayer(paths=(path,), role="boundary", dash="dotted"))
        if name.startswith(_WALK):
            layers.append(PointsLayer(positions=path[1:], colours=(style.LIGHT.ink,), size=3.0))
            continue
        room = _APART * (slice.x[-1] - slice.x[0])
        marked = [len(path) - 1]  # from the end of the path backwards
        for severity in range(len(path) - 2, 0, -1):
            if min(np.linalg.norm(path[severity] - path[other]) for other in (marked[-1], 0)) > room:
                marked.append(severity)
        words = tuple(map(str, marked))
        layers.append(PointsLayer(positions=path[marked], labels=words, colours=(style.LIGHT.ink,), size=3.5))
    return layers


def paths_of(slice: Slice) -> dict[str, np.ndarray]:
    """The paths in a slice by name, (points, 3): x and y of the projection, and the distance from the plane."""
    if slice.paths is None:
        return {}
    pairs = zip(slice.path_names, slice.paths, strict=True)
    return {name: path[np.isfinite(path).all(1)] for name, path in pairs}


def walk_ends(slice: Slice) -> dict[int, np.ndarray]:
    """The ends of the walks in a slice, x and y in the plane through them, by the row of the target."""
    paths = paths_of(slice).items()
    return {_target(name): path[-1, :2] for name, path in paths if name.startswith(_WALK)}


def _target(walk: str) -> int:
    """The row of the target in the name of a walk."""
    return int(walk.removeprefix(_WALK).partition(",")[0])


def path_words(slice: Slice) -> str:
    """A description of the paths in a slice, with their distances from the plane; "" if there are none."""
    unit = slice.unit("x").removesuffix(" pixel")
    severities, walks = [], []
    for name, path in paths_of(slice).items():
        most = f"{path[:, 2].max():.2f}"
        if name.startswith(_WALK):
            walks.append(f"towards image {_target(name)} (at most {most} {unit} off the plane)")
        else:
            words = name.replace("_", " ")
            severities.append(f"{words} (severity 5: {path[-1, 2]:.2f} {unit} off the plane; at most {most})")
    sentence = f" Dotted, with severities: the true path of {' and '.join(severities)}, seen from above."
    led = f" Dotted: the first model's walk on its level set {' and '.join(walks)}, seen from above."
    return (sentence if severities else "") + (led if walks else "")


def _field(
    slice: Slice,
    class_names: Sequence[str],
    shading: Shading,
    palette: str,
    distance: np.ndarray | None,
    limit: float | None,
) -> FieldLayer:
    """The shading, with the text under the pointer."""
    chance = 1 / slice.num_classes
    scale: Scale | None = None
    if shading == "class":
        colours = style.class_colours(slice.label, palette=palette)
    elif shading == "confidence":
        colours = style.class_colours(slice.label, slice.confidence, chance=chance, palette=palette)
        scale = Scale(palette="paleness", limits=(chance, 1.0), label="confidence")
    else:
        values, scale = _scalar(slice, shading, distance, limit)
        colours = style.scale_colours(np.where(slice.label < 0, np.nan, values), scale.palette, scale.limits)
    # a class and its confidence in whole percent index a short table of texts
    percent = np.rint(100 * np.nan_to_num(slice.confidence)).astype(np.int64).clip(0, 100)
    place = np.searchsorted(slice.classes, slice.label)
    return FieldLayer(
        x=slice.x,
        y=slice.y,
        colours=colours,
        smooth=shading in ("margin", "entropy", "distance"),
        scale=scale,
        hover=tuple(
            f"{class_names[int(k)]}, confidence {part / 100:.2f}" for k in slice.classes for part in range(101)
        ),
        hover_index=np.where(slice.label < 0, -1, 101 * place + percent),
        name=shading,
    )


def _scalar(
    slice: Slice, shading: Shading, distance: np.ndarray | None, limit: float | None
) -> tuple[np.ndarray, Scale]:
    if shading == "entropy":
        most = math.log(slice.num_classes)
        label = f"entropy / log {slice.num_classes}"
        return slice.entropy / most, Scale(palette="cividis", limits=(0.0, 1.0), label=label)
    values, what, unit = slice.margin, "margin", slice.unit("margin")
    if distance is not None:
        values, what, unit = distance, "distance to first order", slice.unit("x").removesuffix(" pixel")
    limit = limit or colour_limit(slice, distance)
    beyond = bool((values[np.isfinite(values)] > limit).any())
    label = f"{what}, one colour from {limit:g} on" if beyond else what
    return values, Scale(palette="cividis", limits=(0.0, limit), label=label, unit=unit)


def colour_limit(slice: Slice, distance: np.ndarray | None = None) -> float:
    """The last value of the colours of margins or distances: a round number near their 99th percentile.

    Args:
        slice: the slice.
        distance: (r, r) distances to the boundary to first order, if they are shaded.

    Returns:
        The value of the last colour; for distances at most about half the picture's side.
    """
    values = slice.margin if distance is None else distance
    defined = values[np.isfinite(values)]
    most = float(np.quantile(defined, 0.99)) if len(defined) else 0.0
    if distance is not None:  # unbounded where the slope vanishes, and meaningless beyond half the picture
        most = min(most, float(slice.x[-1] - slice.x[0]) / 2)
    return round_up(most)


def round_up(value: float) -> float:
    """The next 1, 1.5, 2, 3, 5 or 7 times a power of ten; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{next(step * power for step in (1, 1.5, 2, 3, 5, 7, 10) if step * power >= value * (1 - 1e-9)):.6g}")


def _contours(slice: Slice, shading: Shading, levels: Sequence[float], distance: np.ndarray | None) -> list[Layer]:
    if not levels:
        return []
    name = "confidence" if shading == "class" else shading
    factor = math.log(slice.num_classes) if name == "entropy" else 1.0
    followed = distance if name == "distance" and distance is not None else name
    found = slice.contours(followed, [factor * level for level in levels])  # type: ignore[arg-type]
    paths = [(path, level) for level in levels for path in found[factor * level]]
    return [
        LinesLayer(
            paths=tuple(path for path, _ in paths),
            role="contour",
            labels=_once(tuple(f"{level:g}" for _, level in paths), [len(path) for path, _ in paths]),
            name=f"{'entropy / log k' if name == 'entropy' else name} {', '.join(f'{level:g}' for level in levels)}",
        )
    ]


def _once(words: tuple[str, ...], lengths: Sequence[int]) -> tuple[str, ...]:
    """Labels with each text kept only at its longest line, so that small rings have none."""
    order = sorted(range(len(words)), key=lambda place: (lengths[place], -place))  # of equal ones the first counts
    longest = {words[place]: place for place in order}
    return tuple(word if longest[word] == place else "" for place, word in enumerate(words))


def _outline(slice: Slice, edges: tuple[float, float, float, float]) -> list[LinesLayer]:
    """The edge of the part of the plane that holds images, unless the view lies inside it."""
    corners = slice.outline
    if len(corners) < 3:
        return []
    sides = np.roll(corners, -1, 0) - corners
    towards = rectangle(*edges)[:4, None] - corners
    turns = sides[:, 0] * towards[..., 1] - sides[:, 1] * towards[..., 0]
    if ((turns > 0).all(1) | (turns < 0).all(1)).all():  # the part is convex: inside means on one side of all edges
        return []
    return [LinesLayer(paths=(np.concatenate([corners, corners[:1]]),), role="outline", name="edge of the pixel range")]


def _names_in_place(
    slice: Slice, class_names: Sequence[str], shares: Mapping[int, float], taken: np.ndarray | None
) -> list[Layer]:
    """The name of each large region at its widest point, away from thumbnails."""
    stride = max(1, len(slice.x) // _CELLS)
    label = slice.label[::stride, ::stride]
    x, y = slice.x[::stride], slice.y[::stride]
    free = np.ones(label.shape, bool)
    for at_x, at_y in np.empty((0, 2)) if taken is None else taken:
        reach = 0.1 * (slice.x[-1] - slice.x[0])
        free &= ~((np.abs(x - at_x) < reach) & (np.abs(y - at_y) < reach)[:, None])
    regions = {k: (label == k) & free for k, share in shares.items() if share >= _NAMED}
    named = {k: _widest(region) for k, region in regions.items() if region.any()}
    if not named:
        return []
    positions = np.array([(x[column], y[row]) for row, column in named.values()], dtype=np.float64)
    return [PointsLayer(positions=positions, labels=tuple(_short(class_names[k]) for k in named), marker="none")]


def _widest(region: np.ndarray) -> tuple[int, int]:
    """The point of a non-empty region that is left last when its rim is removed again and again."""
    from scipy.ndimage import binary_erosion  # 0.2 s, and only shadings by a number need it

    left = region
    while region.any():
        left = region
        region = binary_erosion(region)
    points = np.argwhere(left)
    row, column = points[np.abs(points - points.mean(0)).sum(1).argmin()]
    return int(row), int(column)


def _caption(shading: Shading, levels: Sequence[float], unit: str, outlined: bool, undefined: float) -> str:
    words = [_MEANING[shading], "Dark lines: decision boundaries."]
    if levels:
        words.append("Thin lines: equal values, as labelled.")
    if outlined:
        words.append("Dashed: beyond it some pixels leave [0, 1].")
    if undefined:
        words.append("Grey: the model's output is not finite.")
    words.append(f"Distances are {unit} over pixels in [0, 1].")
    return " ".join(words)


def _alt(slice: Slice, class_names: Sequence[str], shares: Mapping[int, float], shading: Shading, unit: str) -> str:
    parts = [f"{class_names[k]} {percent(share)}" for k, share in shares.items()]
    listed = ", ".join(parts[:LISTED]) + (f" and {len(parts) - LISTED} more" if len(parts) > LISTED else "")
    return (
        f"A square slice through image space, shaded by {shading}, with decision boundaries as lines. "
        f"Predicted classes by share of the picture: {listed}. "
        f"Horizontal axis: {slice.x_label} from {slice.x[0]:.3g} to {slice.x[-1]:.3g} {unit}; "
        f"vertical axis: {slice.y_label} from {slice.y[0]:.3g} to {slice.y[-1]:.3g} {unit}."
    )
