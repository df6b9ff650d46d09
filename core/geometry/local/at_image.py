"""The local properties of one image, with what a plane through it shows of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.geometry.local.local import LocalGeometry
from core.result import quantity


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalAtImage(LocalGeometry):
    """Local properties of one image, and the plane around it."""

    angle: np.ndarray = quantity("rad", "angle")
    rings: np.ndarray = quantity("ℓ2 pixel", "ring")
    plane_gain: np.ndarray = quantity("output / ℓ2 pixel", "ring angle")
    plane_linear: np.ndarray = quantity("output / ℓ2 pixel", "angle")
    plane_boundary: np.ndarray = quantity("ℓ2 pixel", "angle")  # NaN: none within the reach
    plane_class: np.ndarray = quantity("", "angle")  # -1 there
    x_label: str = quantity("")
    y_label: str = quantity("")
    words: str = quantity("")  # how a figure calls the image
