"""A map of images, a Streamlit component: hovering shows an image, clicks and lassos choose images.

All images travel as one contact sheet, of which the image under the pointer is shown. A click chooses one image, a line
drawn around several chooses those. `st.plotly_chart(on_select=...)` cannot replace it: its hover labels hold only text,
hover events do not reach Python, and the chart is mounted anew, without its zoom, whenever its content changes, as it
does when an image is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from core.figures.drawing.chart import Chart
from dashboard.viewer.asset import asset
from dashboard.viewer.gestures import pass_on, received
from dashboard.viewer.thumbnails import grid_data, parse_choice
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
        chart: of one isometric panel, with the points.
        images: (n, height, width, 3) uint8, the images of the points.
        key: identifies the map; its zoom survives reruns under this key.
        positions: (n, 2) of the images on the chart.
        rows: the number of each image in its set.
        words: the label of each image.
        busy: work in progress.
        on_choose: called with the row of a clicked image, before the next rerun.
        on_lasso: called with the rows of the images inside a drawn line, in the order of `rows`.
        height: the largest side of the map, in CSS pixels.

    Raises:
        ValueError: if the chart has another panel, or there is not one of everything per image.
    """
    _mount(
        key=key,
        data=scatter_data(chart, images, positions, rows, words)
        | {"busy": busy, "chooses": on_choose is not None, "lassoes": on_lasso is not None, "side": height}
        | {"dark": st.context.theme.type == "dark"},
        on_choose_change=lambda: pass_on(received(key, "choose"), partial(parse_choice, rows=rows), on_choose),
        on_lasso_change=lambda: pass_on(received(key, "lasso"), partial(parse_rows, rows=rows), on_lasso),
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
        Plain values that JSON can hold.

    Raises:
        ValueError: see `scatter_view`.
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
    """Check a choice of images that came from a browser.

    Args:
        value: `{"rows": [numbers]}`.
        rows: the rows on the map.

    Returns:
        The chosen rows, each once, in the order of `rows`.

    Raises:
        ValueError: if there is none, or one that is not on the map.

    Example:
        >>> parse_rows({"rows": [7, 5, 7]}, rows=[5, 6, 7])
        [5, 7]
    """
    given = value.get("rows") if isinstance(value, Mapping) else None
    known = set(rows)
    if not isinstance(given, list | tuple) or not given or not all(type(row) is int and row in known for row in given):
        raise ValueError(f"expected rows of the map, got {given!r:.40}")
    wanted = set(given)
    return [int(row) for row in rows if row in wanted]


def apart(positions: np.ndarray, count: int) -> list[int]:
    """Order positions so that the first ones lie far apart.

    Args:
        positions: (n, 2), n >= 1.
        count: how many of them lie far apart.

    Returns:
        The index of the most central position, then those farthest from all before, then all others in their order.

    Example:
        >>> apart(np.array([[0.0, 0], [1, 0], [4, 0], [5, 0], [9, 0]]), 3)
        [2, 4, 0, 1, 3]
    """
    taken = [int(np.linalg.norm(positions - positions.mean(0), axis=1).argmin())]
    while len(taken) < min(count, len(positions)):
        away = np.linalg.norm(positions[:, None] - positions[taken], axis=2).min(1)
        away[taken] = -1.0
        taken.append(int(away.argmax()))
    return [*taken, *(number for number in range(len(positions)) if number not in taken)]
