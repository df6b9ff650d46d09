"""A map of images, a Streamlit component: points to look at one by one, and those that its user chose.

The image under the pointer is shown next to it: all images travel as one contact sheet. A click chooses one image, a
line drawn around some of them chooses these. `st.plotly_chart(on_select=...)` cannot take its place: its hover labels
hold text alone, hovering is not sent to Python, and the chart is mounted anew, without its zoom, whenever what it draws
changes, as it does when an image is chosen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from core.figures.drawing.chart import Chart
from dashboard.viewer.asset import asset
from dashboard.viewer.gestures import received
from dashboard.viewer.thumbnails import grid_data
from dashboard.viewer.viewer import Busy, panel_data

_mount = st.components.v2.component(
    "image_scatter", html=asset("scatter.html"), css=asset("scatter.css"), js=asset("scatter.js")
)


def scatter_view(
    chart: Chart,
    images: np.ndarray,
    *,
    key: str,
    positions: np.ndarray,
    rows: Sequence[int],
    words: Sequence[str],
    busy: Busy | None = None,
    on_choose: Callable[[int], None] | None = None,
    on_lasso: Callable[[list[int]], None] | None = None,
    height: int = 640,
) -> None:
    """Show a map and tell the page which images its user chose.

    Args:
        chart: of one isometric panel, with the points in it.
        images: (n, height, width, 3) uint8, those that the points stand for.
        key: what the map is known by; its zoom survives reruns under this key.
        positions: (n, 2) of the images on the chart.
        rows: the number that each image is known by.
        words: the label of each image.
        busy: work under way.
        on_choose: called with the row of an image that was clicked, before the next rerun.
        on_lasso: called with the rows of the images inside a line that was drawn, in the order of `rows`.
        height: the longest the side of the map may be, in CSS pixels.

    Raises:
        ValueError: if the chart is not such a one, or anything is not one per image.
    """
    data = scatter_data(chart, images, positions, rows, words)

    def chosen() -> None:
        if on_choose is not None:
            with contextlib.suppress(ValueError):
                [row] = parse_rows({"rows": [_entry(received(key, "choose"), "row")]}, rows)
                on_choose(row)

    def lassoed() -> None:
        if on_lasso is not None:
            with contextlib.suppress(ValueError):
                on_lasso(parse_rows(received(key, "lasso"), rows))

    _mount(
        key=key,
        data=data
        | {"busy": busy, "chooses": on_choose is not None, "lassoes": on_lasso is not None, "side": height}
        | {"dark": st.context.theme.type == "dark"},
        on_choose_change=chosen,
        on_lasso_change=lassoed,
    )


def scatter_data(
    chart: Chart, images: np.ndarray, positions: np.ndarray, rows: Sequence[int], words: Sequence[str]
) -> dict[str, Any]:
    """Describe a map for the browser.

    Args:
        chart: see `scatter_view`.
        images: see `scatter_view`.
        positions: see `scatter_view`.
        rows: see `scatter_view`.
        words: see `scatter_view`.

    Returns:
        Plain values, fit for JSON.

    Raises:
        ValueError: as `scatter_view`.
    """
    if positions.shape != (len(images), 2) or len(words) != len(images):
        raise ValueError(f"expected a place and words for each of {len(images)} images, got {len(words)} words")
    panel, sheet = panel_data(chart), grid_data(images, rows, size=96)
    drawn = {name: panel[name] for name in ("fields", "lines", "points", "frame", "alt")}
    return drawn | {
        "sheet": {name: sheet[name] for name in ("sheet", "across", "wide", "tall", "smooth")},
        "rows": sheet["rows"],
        "x": np.round(positions[:, 0], 6).tolist(),
        "y": np.round(positions[:, 1], 6).tolist(),
        "words": list(words),
    }


def parse_rows(value: object, rows: Sequence[int]) -> list[int]:
    """Check the choice that a browser sent.

    Args:
        value: `{"rows": [numbers]}`.
        rows: those that could be chosen.

    Returns:
        The rows that were chosen, each once, in the order of `rows`.

    Raises:
        ValueError: if there is none, or one that could not be chosen.

    Example:
        >>> parse_rows({"rows": [7, 5, 7]}, rows=[5, 6, 7])
        [5, 7]
    """
    given = _entry(value, "rows")
    known = set(rows)
    if not isinstance(given, list | tuple) or not given or not all(type(row) is int and row in known for row in given):
        raise ValueError(f"expected rows of the map, got {given!r:.40}")
    wanted = set(given)
    return [int(row) for row in rows if row in wanted]


def apart(positions: np.ndarray, count: int) -> list[int]:
    """Order places so that the first ones lie apart.

    Args:
        positions: (n, 2), n >= 1.
        count: of the first ones.

    Returns:
        The number of the most central place, then of those farthest from all before, then all others in their order.

    Example:
        >>> apart(np.array([[0.0, 0], [1, 0], [4, 0], [5, 0], [9, 0]]), 3)
        [2, 4, 0, 1, 3]
    """
    first = int(np.linalg.norm(positions - positions.mean(0), axis=1).argmin())
    taken = [first]
    while len(taken) < min(count, len(positions)):
        away = np.linalg.norm(positions[:, None] - positions[taken], axis=2).min(1)
        away[taken] = -1.0
        taken.append(int(away.argmax()))
    return [*taken, *(number for number in range(len(positions)) if number not in taken)]


def _entry(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
