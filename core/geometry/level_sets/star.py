"""Stars of blind spots: the ends of walks from one source as the limbs of a star.

A walk leads from the source to a target on the source's level set. Its end is a limb of the star; the segment from the
source to the end is a spoke, one between two ends a chord (`core.geometry.level_sets.star_likeness`). The width of the
level set at an end is measured across the spoke (`core.geometry.level_sets.widths`).

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.geometry.level_sets.star_likeness import StarLikeness, star_likeness
from core.geometry.level_sets.step import Mode
from core.geometry.level_sets.traverse import traverse
from core.geometry.level_sets.widths import level_set_widths
from core.models.classifier import Classifier
from core.result import quantity
from core.runtime.progress import OnProgress, part_of, silent

_POINTS = 15  # of spokes and chords


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelStar(StarLikeness):
    """The ends of walks from one source as the limbs of a star; walks that never began are left out."""

    length: np.ndarray = quantity("ℓ2 pixel", "spoke")  # from the source to the end
    target_length: np.ndarray = quantity("ℓ2 pixel", "spoke")  # from the source to the target
    ratio: np.ndarray = quantity(
        "", "spoke", words="distance to the target, end over source"
    )  # of distances to the target, end over source
    width: np.ndarray = quantity(
        "ℓ2 pixel", "spoke", words="width of the level set at an end"
    )  # which 95 % of the tangent directions have at the end
    end_confidence: np.ndarray = quantity("", "spoke", words="confidence at the end")
    target_class: np.ndarray = quantity("", "spoke")
    target_row: np.ndarray = quantity("", "spoke")
    skipped: int = quantity("")  # walks that never began
    mode: str = quantity("")


def level_star(
    classifier: Classifier,
    source: Float[Tensor, "1 c h w"],
    targets: Float[Tensor, "n c h w"],
    target_row: np.ndarray,
    *,
    mode: Mode,
    delta: float,
    steps: int,
    within: float,
    directions: int,
    seed: int,
    on_progress: OnProgress = silent,
) -> LevelStar:
    """Walk from a source to each target, and measure the star that the ends form.

    Args:
        classifier: the model.
        source: an image in [0, 1], where the walks start.
        targets: images in [0, 1].
        target_row: (n,) rows of the targets in their set.
        mode: see `core.geometry.level_sets.traverse.traverse`; along the level set.
        delta: see there.
        steps: see there.
        within: what the confidence may lose on spokes and chords, and across the spokes at the ends.
        directions: number of tangent directions in which the width is measured at each end.
        seed: of these directions.
        on_progress: called with the fraction done.

    Returns:
        The star.

    Raises:
        ImageError: if no walk began.
    """
    found = traverse(
        classifier,
        source,
        targets,
        mode,
        delta,
        steps,
        pairing="all",
        keep=len(targets),
        on_progress=part_of(on_progress, 0.0, 0.5),
    )
    began = np.isfinite(found.endpoints).all((1, 2, 3))
    if not began.any():
        raise ImageError(
            f"expected a walk that begins, got {found.status[0]}; choose another source or a smaller delta"
        )
    ends, aims = torch.from_numpy(found.endpoints[began]), targets[torch.from_numpy(began)]
    star = star_likeness(
        classifier,
        source,
        ends,
        torch.zeros(len(ends), dtype=torch.int64),
        delta=within,
        points=_POINTS,
        on_progress=part_of(on_progress, 0.5, 0.7),
    )
    wide = level_set_widths(
        classifier,
        ends,
        ends - source,
        found.source_class[began],
        np.full(len(ends), max(float(found.source_confidence[0]) - within, 1e-6)),
        directions=directions,
        tolerance=1e-2,
        seed=seed,
        on_progress=part_of(on_progress, 0.7, 1.0),
    )
    length, target_length = ((each.double() - source.double()).flatten(1).norm(dim=1).numpy() for each in (ends, aims))
    return LevelStar.extended(
        star,
        length=length,
        target_length=target_length,
        ratio=found.ratio[began],
        width=wide.width(0.05),
        end_confidence=found.end_confidence[began],
        target_class=found.target_class[began],
        target_row=target_row[began],
        skipped=int((~began).sum()),
        mode=mode,
    )
