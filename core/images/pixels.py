"""Pictures as arrays, and the tensor that they become."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from core.errors import ImageError

if TYPE_CHECKING:
    pass


def to_pixels(images: Sequence[np.ndarray], names: Sequence[str]) -> Tensor:
    """Stack pictures of one size.

    Args:
        images: (h, w), or (h, w, 3); uint8, or float32 in [0, 1]. Grey ones among colours get three equal channels.
        names: of each.

    Returns:
        float32 pixels in [0, 1], (n, c, h, w).

    Raises:
        ImageError: if two differ in size.
    """
    height, width = images[0].shape[:2]
    channels = max(3 if image.ndim == 3 else 1 for image in images)
    pixels = torch.empty(len(images), channels, height, width)
    for row, (image, name) in enumerate(zip(images, names, strict=True)):
        if image.shape[:2] != (height, width):
            came = f"{height} x {width} ({Path(names[0]).name}) and {image.shape[0]} x {image.shape[1]}"
            raise ImageError(f"expected images of one size, got {came} ({Path(name).name}); pass a size")
        values = torch.from_numpy(np.array(image))
        values = values.float() / 255 if image.dtype == np.uint8 else values
        pixels[row] = values[None] if image.ndim == 2 else values.permute(2, 0, 1)
    return pixels
