"""The chart of a component graph: the pairs of images that paths join, as a matrix and as a graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.names import check_class_names
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
)

if TYPE_CHECKING:
    from core.geometry.regions.region_graph import RegionGraph

GraphShow = Literal["both", "matrix", "graph"]
GRAPH_SHOWS: tuple[GraphShow, ...] = get_args(GraphShow)

# in the order of `core.geometry.regions.region_graph.OUTCOMES`: colour and label
_OUTCOMES = (
    ("#3b678e", "straight segment"),
    ("#82bcca", "path over corners"),
    ("#dcb55a", "path after a search"),
    ("#b84f4b", "not found"),
    ("#c9c5ba", "not tried yet"),
    ("#f1efe9", "another class"),
)
_PATHS, _MISSING, _OTHER = 3, 3, 5  # the first three are paths
_DASHES: tuple[style.Dash, ...] = ("solid", "dashed", "dotted")
_LABELLED = 24  # images: with more, thumbnails of the graph have no numbers
_NAMED = 14  # images: with more, not every row of the matrix has a number
_APART = (2.9, 3.5)  # radii between the circles of two classes, across and down


def region_graph_chart(
    graph: RegionGraph,
    *,
    class_names: Sequence[str],
    pictures: np.ndarray,
    show: GraphShow = "both",
    palette: str = "muted",
    title: str = "",
) -> Chart:
    """The pairs of images that paths join.

    Args:
        graph: the graph, as far as known.
        class_names: one name per class of the classifier.
        pictures: (m, height, width, 3) uint8, the images of the graph.
        show: "matrix" of pairs, "graph" of images, or both.
        palette: class palette of `style.PALETTES`, for the frames of images.
        title: of the first panel.

    Returns:
        A chart of one or two panels.

    Raises:
        ValueError: if names of classes, or pictures, are missing.
    """
    check_class_names(graph.num_classes, class_names)
    if len(pictures) != len(graph.row):
        raise ValueError(f"expected a picture for each of {len(graph.row)} images, got {len(pictures)}")
    panels = []
    if show != "graph":
        panels.append(_matrix(graph, class_names, title))
    if show != "matrix":
        panels.append(_graph(graph, class_names, pictures, palette, "" if panels else title))
    words = graph_words(graph, class_names)
    upper = graph.outcome[np.triu_indices(len(graph.row), 1)]
    counts = np.bincount(upper[upper != _OTHER], minlength=len(_OUTCOMES))
    return Chart(
        panels=tuple(panels),
        name="region_graph",
        columns=len(panels),
        caption=f"{words} Components count images that no chain of paths has joined so far, at the resolution of the"
        " paths: an upper bound of connected regions, never a proof of separate ones.",
        alt=f"A matrix and a graph of {len(graph.row)} images and the paths between them. {words}",
        legend=tuple(
            LegendEntry(colour=colour, label=f"{label} ({count})")
            for (colour, label), count in zip(_OUTCOMES, counts.tolist(), strict=True)
            if count
        ),
    )


def on_plane(chart: Chart) -> Chart:
    """The graph on axes, for the plane viewer.

    Args:
        chart: of one panel, the graph.

    Returns:
        The same picture on axes without ticks.
    """
    (panel,) = chart.panels
    spans = [limits for limits in panel.limits if limits is not None]
    half = max(high - low for low, high in spans) / 2
    x, y = (((low + high) / 2 - half, (low + high) / 2 + half) for low, high in spans)
    page = np.full((2, 2, 3), style.rgb(style.LIGHT.paper), np.uint8)
    back = FieldLayer(x=np.array(x) / 2 + sum(x) / 4, y=np.array(y) / 2 + sum(y) / 4, colours=page)
    shown = replace(
        panel,
        kind="cartesian",
        isometric=True,
        layers=(back, *panel.layers),
        x=replace(panel.x, limits=x, ticks=()),
        y=replace(panel.y, limits=y, ticks=()),
    )
    return replace(chart, panels=(shown,))


def graph_words(graph: RegionGraph, class_names: Sequence[str]) -> str:
    """The known part of the graph in a few sentences.

    Args:
        graph: the graph, as far as known.
        class_names: one name per class of the classifier.

    Returns:
        The sentences.
    """
    parts = [
        f"{class_names[k]}: {int((graph.source_class == k).sum())} images in {count} component{'s' * (count > 1)}"
        for k, count in graph.components.items()
    ]
    so_far = "" if graph.tried == graph.pairs else f", of which {graph.tried} were tried so far"
    missing = [f"{graph.row[i]} and {graph.row[j]}" for i, j in graph.missing.tolist()]
    lacking = f" No path was found between images {', '.join(missing[:6])}{' ...' * (len(missing) > 6)}."
    joined = f"A path was found for {graph.found} of {graph.pairs} pairs of one class{so_far}."
    return f"{joined}{lacking if missing else ''} {'; '.join(parts)}."


def _matrix(graph: RegionGraph, class_names: Sequence[str], title: str) -> Panel:
    """Rows and columns are images; row 0 on top."""
    size = len(graph.row)
    colours = np.array([style.rgb(colour) for colour, _ in _OUTCOMES], np.uint8)
    words = [_cell_words(graph, class_names, i, j) for i in range(size) for j in range(size)]
    field = FieldLayer(
        x=np.arange(size, dtype=np.float64),
        y=np.arange(size, dtype=np.float64),
        colours=colours[graph.outcome][::-1],
        hover=tuple(words),
        hover_index=np.arange(size * size).reshape(size, size)[::-1],
    )
    layers: list[Layer] = [field]
    changes = np.flatnonzero(np.diff(graph.source_class)) + 0.5
    ends = (-0.5, size - 0.5)
    if len(changes):
        lines = [np.array([[at, ends[0]], [at, ends[1]]]) for at in changes]
        lines += [np.array([[ends[0], size - 1 - at], [ends[1], size - 1 - at]]) for at in changes]
        layers.append(LinesLayer(paths=tuple(lines), role="outline"))
    crosses = np.argwhere(graph.outcome == _MISSING)
    if len(crosses):  # so that the meaning does not depend on colour alone
        at = np.stack([crosses[:, 1], size - 1 - crosses[:, 0]], 1).astype(np.float64)
        layers.append(PointsLayer(positions=at, marker="cross", size=4.0))
    ticks = [(float(k), str(graph.row[k])) for k in range(0, size, -(-size // _NAMED))]
    return Panel(
        layers=tuple(layers),
        title=title,
        isometric=True,
        x=Axis(label="image", limits=ends, ticks=tuple(ticks)),
        y=Axis(label="image", limits=ends, ticks=tuple((size - 1 - k, row) for k, row in ticks)),
    )


def _cell_words(graph: RegionGraph, class_names: Sequence[str], i: int, j: int) -> str:
    """The text under the pointer over a cell."""
    if i == j:
        k = int(graph.source_class[i])
        return f"image {graph.row[i]}: {class_names[k] if k >= 0 else 'undefined'}"
    code = int(graph.outcome[i, j])
    words = f"images {graph.row[i]} and {graph.row[j]}: {_OUTCOMES[code][1]}"
    if code < _PATHS:
        words += f", {graph.length_ratio[i, j]:.3f} times as long as straight"
        words += f", smallest margin {graph.min_margin[i, j]:.2g} logits"
    return words


def _graph(graph: RegionGraph, class_names: Sequence[str], pictures: np.ndarray, palette: str, title: str) -> Panel:
    """Images on a circle for each class, joined by lines if there is a path."""
    classes = [k for k in dict.fromkeys(graph.source_class.tolist()) if k >= 0]
    across = math.ceil(math.sqrt(len(classes)))
    positions = np.full((len(graph.row), 2), np.nan)
    layers: list[Layer] = []
    names, places = [], []
    for number, k in enumerate(classes):
        mine = np.flatnonzero(graph.source_class == k)
        mine = mine[np.argsort(graph.component[mine], kind="stable")]  # components side by side
        middle = np.array([number % across, -(number // across)]) * _APART
        angle = math.pi / 2 - 2 * math.pi * np.arange(len(mine)) / len(mine)
        radius = 1.0 if len(mine) > 1 else 0.0
        positions[mine] = middle + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
        parts = graph.components[k]
        names.append(f"{class_names[k]}: {parts}" + (f" component{'s' * (parts > 1)}" if len(classes) == 1 else ""))
        places.append((float(middle[0]), float(middle[1]) + 1.4))
    for code in range(_PATHS):
        pairs = np.argwhere(np.triu(graph.outcome == code, 1))
        if len(pairs):
            paths = tuple(positions[pairs])
            layers.append(LinesLayer(paths=paths, role="curve", colour=_OUTCOMES[code][0], dash=_DASHES[code]))
    drawn = np.flatnonzero(np.isfinite(positions[:, 0]))
    layers += [
        ImagesLayer(
            positions=positions[drawn],
            images=pictures[drawn],
            labels=tuple(str(row) for row in graph.row[drawn]) if len(drawn) <= _LABELLED else (),
            colours=tuple(style.class_colour(int(k), palette) for k in graph.source_class[drawn]),
            size=18.0 if len(classes) < 2 else 11.0,
        ),
        PointsLayer(positions=np.array(places), labels=tuple(names), marker="none"),
    ]
    down = -(-len(classes) // across)
    return Panel(
        layers=tuple(layers),
        kind="image",
        title=title,
        x=Axis(limits=(-1.35, (across - 1) * _APART[0] + 1.35)),
        y=Axis(limits=(-(down - 1) * _APART[1] - 1.75, 1.55)),
    )
