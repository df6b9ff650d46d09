"""Stars of blind spots: one source of a set, and the ends of walks on its level set as limbs.

From the words of a recipe to `core.geometry.level_sets.star_likeness` and `core.geometry.level_sets.widths` at the ends
of walks to many targets. Walks go along the level set ("equality" or "paper"): what they may lose on straight ways is a
setting of its own.

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from core.analyses.inputs import Inputs
from core.analyses.prepare.level_sets import source_of, targets_of, walks_of
from core.errors import ImageError
from core.geometry.level_sets.star_likeness import StarLikeness, star_likeness
from core.geometry.level_sets.step import Mode
from core.geometry.level_sets.widths import level_set_widths
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.result import quantity
from core.runtime.progress import part_of

_POINTS = 15  # of spokes and chords


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelStar(StarLikeness):
    """The ends of walks from one source as the limbs of a star; NaN where a walk never began."""

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


def star_of_walks(
    inputs: Inputs, *, mode: Mode, delta: float, steps: int, count: int, within: float, directions: int, seed: int
) -> LevelStar:
    """The ends of walks from the start as limbs of a star.

    Args:
        inputs: models and images; the rows after the first are targets. The reference says of what class other targets
            are, so that all models have the same ones.
        mode: see `core.geometry.level_sets.traverse.traverse`; along the level set.
        delta: see there.
        steps: see there.
        count: how many targets there are in all, the rest drawn from the set.
        within: what the confidence may lose on straight ways, and sideways of the ends.
        directions: in which widths are measured.
        seed: of the targets and the directions.

    Returns:
        The ends as limbs.

    Raises:
        ImageError: if no walk began, or no target is of another class than the source.
    """
    classifier, images, rows, on_progress = inputs.classifier, inputs.images, inputs.rows, inputs.on_progress
    source = source_of(inputs.start)
    taken = _targets(inputs.reference, images, source, rows, count, seed)
    targets = targets_of(images, [rows[0], *taken])
    found = walks_of(classifier, source, targets, mode, delta, steps, part_of(on_progress, 0.0, 0.5))
    there = np.isfinite(found.endpoints).all((1, 2, 3))
    if not there.any():
        raise ImageError(
            f"expected a walk that begins, got {found.status[0]}; choose another source or a smaller delta"
        )
    ends, aims = torch.from_numpy(found.endpoints[there]), targets[torch.from_numpy(there)]
    star = star_likeness(
        classifier,
        source,
        ends,
        torch.zeros(len(ends), dtype=torch.int64),
        delta=within,
        points=_POINTS,
        on_progress=part_of(on_progress, 0.5, 0.7),
    )
    level = np.full(len(ends), max(float(found.source_confidence[0]) - within, 1e-6))
    wide = level_set_widths(
        classifier,
        ends,
        ends - source,
        found.source_class[there],
        level,
        directions=directions,
        tolerance=1e-2,
        seed=seed,
        on_progress=part_of(on_progress, 0.7, 1.0),
    )
    values = {entry.name: getattr(star, entry.name) for entry in fields(star)}
    return LevelStar(
        **values,
        length=_apart(ends, source),
        target_length=_apart(aims, source),
        ratio=found.ratio[there],
        width=wide.width(0.05),
        end_confidence=found.end_confidence[there],
        target_class=found.target_class[there],
        target_row=np.array(taken, np.int32)[there],
        skipped=int((~there).sum()),
        mode=mode,
    )


def _apart(images: Tensor, source: Tensor) -> np.ndarray:
    lengths: np.ndarray = (images.double() - source.double()).flatten(1).norm(dim=1).numpy()
    return lengths


def _targets(
    classifier: Classifier, images: ImageSet, source: Tensor, rows: Sequence[int], count: int, seed: int
) -> list[int]:
    """The chosen targets, then others of the set that the classifier calls something else than the source.

    Raises:
        ImageError: if there is none.
    """
    predicted, own = classifier.predict(images.pixels).label, int(classifier.predict(source).label[0])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = [row for row in dict.fromkeys(rows[1:]) if row != rows[0]]
    others = [row for row in order if predicted[row] != own and row not in chosen]
    taken = [*chosen, *others][:count]
    if not taken:
        raise ImageError("expected an image of another class to walk to, got none; choose another set")
    return sorted(taken, key=lambda row: (predicted[row], row))  # neighbours in the picture are of one class
