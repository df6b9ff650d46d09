"""A grid of thumbnails, a Streamlit component: shows many images and reports the one that its user clicks.

All images travel as one contact sheet, a PNG of which every thumbnail shows its own part.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from dashboard.viewer.asset import asset
from dashboard.viewer.gestures import pass_on, received

PIXELS = 600_000  # of a contact sheet: 540 images of 32 x 32, 0.7 MB as text
LEVELS = 63  # steps of each channel: the error of 2/255 is invisible, and the sheet is 40 % smaller
NO_MARKS: Mapping[int, str] = {}

_mount = st.components.v2.component(
    "thumbnail_grid",
    html='<div class="grid" role="group"></div><p class="none">no images</p><style class="sheet"></style>',
    css=asset("thumbnails.css"),
    js=asset("thumbnails.js"),
)


def thumbnail_grid(
    images: np.ndarray,
    *,
    key: str,
    rows: Sequence[int],
    labels: Sequence[str] = (),
    notes: Sequence[str] = (),
    frames: Sequence[str] = (),
    selected: Sequence[int] = (),
    marks: Mapping[int, str] = NO_MARKS,
    on_choose: Callable[[int], None] | None = None,
    size: int = 44,
    height: int | None = None,
) -> None:
    """Show images as a grid of buttons and tell the page which one its user chose.

    `labels`, `notes` and `frames` are each empty or have one entry per image. `selected` and `marks` may name rows that
    the grid does not show, for example if it shows only one class.

    Args:
        images: (n, height, width, 3) uint8; n may be 0.
        key: identifies the grid; scroll position and focus survive reruns under this key.
        rows: the number of each image in its set.
        labels: the name of each image, shown on hover and read by screen readers.
        notes: a word under each image, such as its predicted class; in red if it differs from the label.
        frames: a CSS colour around each image, such as that of its class; "" for none.
        selected: rows drawn as chosen.
        marks: by row, a letter drawn on its image; such a row counts as chosen too.
        on_choose: called with the chosen row, before the next rerun. Without it images cannot be chosen.
        size: the longer side of a thumbnail, in CSS pixels.
        height: the largest height of the grid, in CSS pixels, before it scrolls; None for no limit.

    Raises:
        ValueError: if the images have another shape or type, or there is not one of everything per image.
    """
    data = grid_data(images, rows, labels=labels, notes=notes, frames=frames, size=size)
    shown = set(data["rows"])
    _mount(
        key=key,
        data=data
        | {
            "selected": [int(row) for row in selected if row in shown],
            "marks": {str(row): mark for row, mark in marks.items() if row in shown},
            "chooses": on_choose is not None,
            "height": height,
        },
        on_choose_change=lambda: pass_on(received(key, "choose"), partial(parse_choice, rows=rows), on_choose),
    )


def parse_choice(value: object, rows: Sequence[int]) -> int:
    """Check a choice that came from a browser.

    Args:
        value: `{"row": number}`.
        rows: the rows that can be chosen.

    Returns:
        The row.

    Raises:
        ValueError: if it is not one of `rows`.

    Example:
        >>> parse_choice({"row": 7}, rows=[5, 7])
        7
    """
    row = value.get("row") if isinstance(value, Mapping) else None
    if isinstance(row, bool) or not isinstance(row, int) or row not in rows:
        raise ValueError(f"expected a row of the grid, got {value!r:.40}")
    return row


def grid_data(
    images: np.ndarray,
    rows: Sequence[int],
    *,
    labels: Sequence[str] = (),
    notes: Sequence[str] = (),
    frames: Sequence[str] = (),
    size: int = 44,
) -> dict[str, Any]:
    """Describe a grid for the browser.

    Args:
        images: (n, height, width, 3) uint8.
        rows: the number of each image in its set.
        labels: the name of each image.
        notes: a word under each image.
        frames: a colour around each image.
        size: the longer side of a thumbnail, in CSS pixels.

    Returns:
        Plain values that JSON can hold. `across` is the number of images side by side on the sheet.

    Raises:
        ValueError: if the images are not of that kind, or anything is not one per image.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or 0 in images.shape[1:]:
        raise ValueError(f"expected images (n, height, width, 3) of uint8, got {images.shape} of {images.dtype}")
    if len(rows) != len(images) or len(set(rows)) != len(rows):
        raise ValueError(f"expected one row for each of {len(images)} images, got {len(set(rows))} different ones")
    for name, words in {"labels": labels, "notes": notes, "frames": frames}.items():
        if len(words) not in {0, len(images)}:
            raise ValueError(f"expected none or {len(images)} {name}, got {len(words)}")
    scale = size / max(images.shape[1:3])
    small = _reduced(images, size)
    return {
        "sheet": _contact_sheet(small.tobytes(), small.shape) if len(small) else "",
        "across": _across(len(small)),
        "wide": max(1, round(images.shape[2] * scale)),
        "tall": max(1, round(images.shape[1] * scale)),
        "smooth": max(small.shape[1:3]) > size,
        "rows": [int(row) for row in rows],
        "labels": list(labels),
        "notes": list(notes),
        "frames": list(frames),
    }


def _reduced(images: np.ndarray, size: int) -> np.ndarray:
    """The images at an integer fraction of their size: twice the size shown, for fine screens, and within `PIXELS`."""
    n, height, width = images.shape[:3]
    factor = max(math.ceil(max(height, width) / (2 * size)), math.ceil(math.sqrt(n * height * width / PIXELS)))
    if factor <= 1 or n == 0:
        return images
    return np.stack([np.asarray(Image.fromarray(image).reduce(factor)) for image in images])


def _across(n: int) -> int:
    return max(1, math.ceil(math.sqrt(n)))


@lru_cache(maxsize=16)  # 0.1 s each, and every rerun of a page asks again
def _contact_sheet(pixels: bytes, shape: tuple[int, ...]) -> str:
    """All images on one square sheet, row by row, as a data URL."""
    n, height, width, channels = shape
    across = _across(n)
    down = math.ceil(n / across)
    steps = np.rint(np.rint(np.arange(256) * (LEVELS / 255)) * (255 / LEVELS)).astype(np.uint8)
    cells = np.zeros((down * across, height, width, channels), np.uint8)
    cells[:n] = steps[np.frombuffer(pixels, np.uint8).reshape(shape)]
    sheet = cells.reshape(down, across, height, width, channels).swapaxes(1, 2)
    stream = io.BytesIO()
    Image.fromarray(sheet.reshape(down * height, across * width, channels)).save(stream, "PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
