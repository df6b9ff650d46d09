"""The curvatures near one image, and for comparison near others of its set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.geometry.curvature.profile import CurvatureProfile
from core.result import quantity


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvatureAtImage(CurvatureProfile):
    """The curvatures near one image, then near others of the set, with the image itself."""

    image: np.ndarray = quantity("pixel", "one c h w")
    row: np.ndarray = quantity("", "n")  # of the set; -1 for a point that was picked on a plane
    words: str = quantity("")  # the label of the image in figures
    complete: bool = quantity("", default=True)  # False while more is being computed
