"""Distances to the boundary inside subspaces, of the chosen images and of others of the set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.analyses.inputs import Inputs
from core.analyses.prepare.curvature import drawn
from core.geometry.subspaces.subspace_distances import SubspaceDistances, subspace_distances
from core.geometry.subspaces.subspaces import (
    Subspaces,
    colour_axes,
    frequency_blocks,
    frequency_windows,
    patches,
    principal_components,
)
from core.runtime.progress import part_of


def over_picture(inputs: Inputs, *, over: str, block: int, count: int, slides: int, seed: int) -> SubspaceDistances:
    """The distances inside patches of pixels or blocks of frequencies."""
    cut = patches if over == "patches" else frequency_blocks
    return _measured(inputs, cut(inputs.classifier.input_shape, block), count, slides, seed)


def along_curve(
    inputs: Inputs, *, along: str, block: int, stride: int, count: int, slides: int, seed: int
) -> SubspaceDistances:
    """The distances along frequencies, principal components or colours."""
    shape = inputs.classifier.input_shape
    if along == "frequencies":
        family = frequency_windows(shape, block, stride)
    else:
        family = principal_components(inputs.images.pixels) if along == "components" else colour_axes(shape)
    return _measured(inputs, family, count, slides, seed)


def _measured(inputs: Inputs, family: Subspaces, count: int, slides: int, seed: int) -> SubspaceDistances:
    """The distances of the chosen images, with their perturbations, then of others of the set."""
    known = list(dict.fromkeys(inputs.rows))
    taken = [*known, *drawn(known, len(inputs.images), count, seed)]
    chosen = inputs.images[taken]

    def named(result: SubspaceDistances) -> SubspaceDistances:
        done = len(result.distance)
        label, row = chosen.labels.numpy().astype(np.int32), np.array(taken, np.int32)
        return replace(result, label=label[:done], row=row[:done])

    report, keep = part_of(inputs.on_progress, 0.0, 1.0, named), len(inputs.rows)
    return named(
        subspace_distances(
            inputs.classifier, chosen.pixels, subspaces=family, slides=slides, keep=keep, on_progress=report
        )
    )
