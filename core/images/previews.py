"""Previews: a small copy of a picture with a frame around the part that is kept."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

FRAME = (213, 94, 0)  # vermilion: visible on light and dark pictures
_FADE = 0.6  # share of grey where the picture is cut off
_FADED = 128


def preview(pixels: np.ndarray, box: tuple[float, float, float, float], longest: int = 256) -> np.ndarray:
    """A small copy of a picture, with the part that is cut off faded and a frame around the rest.

    Args:
        pixels: (h, w) or (h, w, 3), uint8 or float32 in [0, 1].
        box: the part that is kept: left, top, right and bottom, in pixels of the picture.
        longest: pixels of the longer side.

    Returns:
        (height, width, 3) uint8; without a frame if all of it is kept.
    """
    levels = pixels if pixels.dtype == np.uint8 else (pixels * 255).round().astype(np.uint8)
    height, width = levels.shape[:2]
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST  # pixels of small pictures stay squares
    shown = np.asarray(Image.fromarray(levels).convert("RGB").resize(size, how))
    left, top, right, bottom = box
    if right - left > 0.999 * width and bottom - top > 0.999 * height:
        return shown
    corners = [round(side * scale) for side in box]
    inside = np.zeros(shown.shape[:2], dtype=bool)
    inside[corners[1] : corners[3], corners[0] : corners[2]] = True
    faded = ((1 - _FADE) * shown + _FADE * _FADED).round().astype(np.uint8)
    marked = Image.fromarray(np.where(inside[:, :, None], shown, faded))
    edge = corners[0], corners[1], corners[2] - 1, corners[3] - 1
    ImageDraw.Draw(marked).rectangle(edge, outline=FRAME, width=max(1, longest // 100))
    return np.asarray(marked)
