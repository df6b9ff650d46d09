"""Several seeds as one line with a band: the lines of models that differ only by their seed, drawn as one.

A chart of several models distinguishes them by colours, named in its legend, or by panels, named in their titles.
Wherever the values f_1(x), ..., f_n(x) of all n seeds are known, the line is their mean and the band reaches from the
smallest to the largest of them: a few seeds support no more, so no confidence interval is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from core.figures.drawing.chart import (
    Axis,
    BandLayer,
    BarsLayer,
    Chart,
    FieldLayer,
    Layer,
    LinesLayer,
    Panel,
    PointsLayer,
)
from core.figures.drawing.symlog import Symlog

Word = Literal["seeds", "models"]

_LINE = "their mean wherever all of them have a value; band: from the least to the greatest."
_LEFT_OUT = "Marks and bands of a single model, told of below, are left out for these."
_APART = "Models stay apart in this picture, which is not made of lines."


def seeds_in_one_line(
    chart: Chart, models: Sequence[str], groups: Sequence[Sequence[int]], word: Word = "seeds"
) -> Chart:
    """The chart with the lines of each group of models as one line with a band.

    Args:
        chart: of several models, distinguished by colours of its legend, or by equally many panels each in their order.
        models: their names.
        groups: numbers of models, each model in one group; a group of one stays unchanged.
        word: what a group consists of: "seeds" of one training, or other "models".

    Returns:
        The chart with mean lines and bands from the smallest to the largest value, explained in its caption. A chart
        that does not consist of lines stays unchanged, and its caption says so.

    Raises:
        ValueError: if the groups do not hold each model once.
    """
    if sorted(number for group in groups for number in group) != list(range(len(models))):
        raise ValueError(f"expected groups that hold each of {len(models)} models once, got {groups}")
    several = [group for group in groups if len(group) > 1]
    if not several:
        return chart
    colours = _colours(chart, models)
    more = {"seeds": ", {} seeds", "models": " and {} more"}[word]
    names = {models[g[0]]: models[g[0]] + more.format(len(g) - (word == "models")) for g in several}
    folded = _by_colour(chart, models, groups, names, colours) if colours else _by_panel(chart, models, groups, names)
    if folded is None:
        return replace(chart, caption=f"{chart.caption} {_APART}".strip())
    named = " and ".join(f"{len(group)} {word} ({', '.join(models[k] for k in group)})" for group in several)
    words = f"One line for {named}: {_LINE}"
    caption = f"{words} {_LEFT_OUT} {chart.caption}" if chart.caption else words
    return replace(folded, caption=caption, alt=f"{words} {chart.alt}".strip())


# -- distinguished by colours -----------------------------------------------------------------------------------------


def _colours(chart: Chart, models: Sequence[str]) -> list[str]:
    """The colour of each model in the legend; none if the legend does not name them all."""
    named = {_model_in(one.label): one.colour for one in reversed(chart.legend)}
    found = [named.get(model, "") for model in models]
    return found if all(found) and len(set(found)) == len(models) else []


def _by_colour(
    chart: Chart,
    models: Sequence[str],
    groups: Sequence[Sequence[int]],
    names: Mapping[str, str],
    colours: Sequence[str],
) -> Chart | None:
    panels, changed = [], False
    for panel in chart.panels:
        layers: list[Layer] = [layer for layer in panel.layers if _model_of(layer, colours) is None]
        bands: list[Layer] = []
        lines: list[Layer] = []
        for group in groups:
            own = [[layer for layer in panel.layers if _model_of(layer, colours) == k] for k in group]
            joined = _join(own, panel, colours[group[0]]) if len(group) > 1 else None
            changed = changed or bool(joined)
            kept = joined if joined is not None else [layer for part in own for layer in part]
            bands += [layer for layer in kept if isinstance(layer, BandLayer)]
            lines += [layer for layer in kept if not isinstance(layer, BandLayer)]
        panels.append(replace(panel, layers=(*layers, *bands, *lines)))
    if not changed:
        return None
    dropped = {models[k] for group in groups for k in group[1:]}
    legend = tuple(
        replace(one, label=names.get(_model_in(one.label), one.label))
        for one in chart.legend
        if _model_in(one.label) not in dropped
    )
    return replace(chart, panels=tuple(panels), legend=legend)


def _model_in(label: str) -> str:
    """The model that a legend entry is about: its name ends at a colon."""
    return label.partition(": ")[0]


def _model_of(layer: Layer, colours: Sequence[str]) -> int | None:
    """The number of the model whose colour a line, a band or all marks of a layer have."""
    own = set(_inks(layer)) if isinstance(layer, LinesLayer | BandLayer | PointsLayer) else set()
    return next((number for number, colour in enumerate(colours) if own == {colour}), None)


# -- distinguished by panels ------------------------------------------------------------------------------------------


def _by_panel(
    chart: Chart, models: Sequence[str], groups: Sequence[Sequence[int]], names: Mapping[str, str]
) -> Chart | None:
    """One panel for each group in place of one for each model; the panels of a model form a column or a row."""
    each, rest = divmod(len(chart.panels), len(models))
    if rest or not each or chart.columns % len(models):
        return None
    across = chart.columns // len(models)  # of one model
    rows = [chart.panels[start : start + chart.columns] for start in range(0, len(chart.panels), chart.columns)]
    panels: list[Panel] = []
    for row in rows:
        for group in groups:
            for place in range(across):
                own = [row[k * across + place] for k in group]
                joined = own[0] if len(group) == 1 else _one_panel(own)
                if joined is None:
                    return None
                model = models[group[0]]
                panels.append(replace(joined, title=joined.title.replace(model, names.get(model, model), 1)))
    used = {colour for panel in panels for layer in panel.layers for colour in _inks(layer)}
    fields = any(isinstance(layer, FieldLayer) for panel in panels for layer in panel.layers)
    legend = tuple(one for one in chart.legend if fields or not one.colour or one.colour in used)
    return replace(chart, panels=tuple(panels), columns=across * len(groups), legend=legend)


def _one_panel(panels: Sequence[Panel]) -> Panel | None:
    if any(isinstance(layer, FieldLayer) for panel in panels for layer in panel.layers):
        return None
    layers = _join([list(panel.layers) for panel in panels], panels[0])
    if layers is None:
        return None
    layers.sort(key=lambda layer: not isinstance(layer, BandLayer))  # bands below lines
    x = replace(panels[0].x, limits=_reach([panel.x.limits for panel in panels]))
    y = replace(panels[0].y, limits=_reach([panel.y.limits for panel in panels]))
    return replace(panels[0], layers=tuple(layers), x=x, y=y)


def _reach(limits: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    known = [each for each in limits if each is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if len(known) == len(limits) else None


def _inks(layer: Layer) -> tuple[str, ...]:
    return layer.colours if isinstance(layer, PointsLayer | BarsLayer) else (getattr(layer, "colour", ""),)


# -- lines ------------------------------------------------------------------------------------------------------------


def _join(seeds: Sequence[Sequence[Layer]], panel: Panel, colour: str = "") -> list[Layer] | None:
    """The layers of several seeds as those of one; None if no line is common to all.

    Lines correspond if they look the same but for the model's colour: the second dashed line of one seed belongs to the
    second dashed lines of the others. Pieces that follow each other along x are one line.
    """
    if panel.kind != "cartesian":
        return None
    tables = [_named(layers, bool(colour)) for layers in seeds]
    found: list[Layer] = []
    lines = 0
    for look, first in tables[0].items():
        same = [table[look] for table in tables if look in table]
        if len(same) < len(tables):
            continue
        joined = _one_line(same, panel.x, panel.y, colour or first.colour)
        if joined is None:
            return None
        lines += first.role == "curve"
        found += joined
    return found if lines else None


def _named(layers: Sequence[Layer], coloured: bool) -> dict[tuple[object, ...], LinesLayer]:
    """Lines by their look and their number among those that look the same."""
    table: dict[tuple[object, ...], LinesLayer] = {}
    for layer in (layer for layer in layers if isinstance(layer, LinesLayer)):
        look = (layer.role, layer.dash, "" if coloured else layer.colour)
        count = sum(other[:-1] == look for other in table)
        before = table.get((*look, count - 1))
        if before is not None and _follows(before.joined[:, 0], layer.joined[:, 0]):
            table[*look, count - 1] = replace(before, paths=(*before.paths, *layer.paths))
        else:
            table[*look, count] = layer
    return table


def _follows(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a line along x begins beyond the end of another."""
    return bool(len(before) and len(after) and np.nanmax(before) < np.nanmin(after))


def _one_line(lines: Sequence[LinesLayer], x: Axis, y: Axis, colour: str) -> list[Layer] | None:
    """A band and the mean within it; the mean alone of lines that are not data, or one of them if they are equal."""
    paths = [path for line in lines for path in line.paths]
    equal = all(_equal(line, lines[0]) for line in lines)
    backwards = any((np.diff(path[:, 0]) < 0).any() for path in paths)
    if equal and (backwards or lines[0].role != "curve"):
        return [lines[0]]
    if backwards:
        return None
    at = np.unique(np.concatenate([np.empty(0), *(path[:, 0] for path in paths)]))
    sides = np.stack([_values(line, at, x, y) for line in lines])  # (seeds, 2, places): just before and just after
    known = np.isfinite(sides).all((0, 1))
    between = np.stack([_values(line, (at[:-1] + at[1:]) / 2, x, y)[0] for line in lines])
    breaks = np.flatnonzero(~(known[:-1] & known[1:] & np.isfinite(between).all(0))) + 1
    layers: list[Layer] = []
    means: list[np.ndarray] = []
    texts: list[str] = []
    for run in np.split(np.arange(len(at)), breaks):
        if not len(run) or not known[run[0]]:
            continue
        place = np.repeat(at[run], 2)
        values = sides[:, :, run].transpose(0, 2, 1).reshape(len(lines), -1)
        new = np.concatenate([[True], (np.diff(place) > 0) | (np.diff(values, axis=1) != 0).any(0)])
        place, values = place[new], values[:, new]
        summary = values.mean(0), values.min(0), values.max(0)
        mean, low, high = (Symlog(y.symlog).at(each) if y.symlog else each for each in summary)
        means.append(np.stack([place, mean], 1))
        texts += [f"mean {m:.3g}, from {least:.3g} to {most:.3g}" for m, least, most in zip(*summary, strict=True)]
        if lines[0].role == "curve":
            layers.append(BandLayer(x=place, low=low, high=high, colour=colour))
    line = replace(lines[0], paths=tuple(means), colour=colour, hover=tuple(texts), labels=())
    return [*layers, line]


def _equal(one: LinesLayer, other: LinesLayer) -> bool:
    pairs = zip(one.paths, other.paths, strict=False)
    return len(one.paths) == len(other.paths) and all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def _values(line: LinesLayer, at: np.ndarray, x: Axis, y: Axis) -> np.ndarray:
    """The values (2, places) of a line just before and just after each place; NaN where it is not drawn.

    Between its points a line is straight as drawn, on logarithmic axes too.
    """
    found = np.full((2, len(at)), np.nan)
    ahead = np.log(at) if x.scale == "log" else at
    for path in filter(len, line.paths):
        along, up = path.astype(np.float64).T
        along, up = (np.log(along) if x.scale == "log" else along), (np.log(up) if y.scale == "log" else up)
        inside = (ahead >= along[0]) & (ahead <= along[-1])
        places, known = np.unique(along, return_index=True)
        last = len(along) - 1 - np.unique(along[::-1], return_index=True)[1]
        for side, index in enumerate((known, last)):
            drawn = _between(ahead[inside], places, up[index], up[last], up[known])
            found[side, inside] = np.exp(drawn) if y.scale == "log" else drawn
    return Symlog(y.symlog).values(found) if y.symlog else found


def _between(
    at: np.ndarray, places: np.ndarray, here: np.ndarray, leaving: np.ndarray, arriving: np.ndarray
) -> np.ndarray:
    """Interpolate from each point's `leaving` value to the next one's `arriving` value; at a point itself `here`."""
    after = np.searchsorted(places, at)  # the first point not before
    exact = places[np.minimum(after, len(places) - 1)] == at
    before = np.maximum(after - 1, 0)
    gap = np.where(exact, 1.0, places[after] - places[before])
    share = np.where(exact, 1.0, (at - places[before]) / np.where(gap > 0, gap, 1.0))
    return np.where(exact, here[after], leaving[before] + share * (arriving[after] - leaving[before]))
