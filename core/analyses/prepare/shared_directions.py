"""Directions that the boundary's curvature shares between images, on two samples without a common image."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from core.analyses.inputs import Inputs
from core.geometry.shared_directions.principal_angles import DirectionOverlap, direction_overlap
from core.geometry.shared_directions.sharing import (
    DirectionNoise,
    DirectionSharing,
    direction_noise,
    direction_sharing,
    halves,
)


def sharing(inputs: Inputs, **settings: Any) -> DirectionSharing:
    """The directions that one sample shares, seen by both."""
    samples, options = _sampled(inputs, **settings)
    return direction_sharing(inputs.classifier, *samples, **options)


def noise(inputs: Inputs, **settings: Any) -> DirectionNoise:
    """How often noise along these directions changes the class."""
    samples, options = _sampled(inputs, **settings)
    return direction_noise(inputs.classifier, *samples, **options)


def overlap(inputs: Inputs, **settings: Any) -> DirectionOverlap:
    """The angles between the directions of several models."""
    samples, options = _sampled(inputs, **settings)
    return direction_overlap(inputs.classifiers, *samples, **options)


def _sampled(
    inputs: Inputs, *, count: int, seed: int, scale: float, **settings: Any
) -> tuple[tuple[Tensor, Tensor], dict[str, Any]]:
    """Two samples of the set, the same ones for every model, and the options; scale 0 is the usual one."""
    first, second = halves(inputs.images.labels.numpy(), count, seed)
    options = {"seed": seed, "scale": scale or None, "on_progress": inputs.on_progress, **settings}
    return (inputs.images.pixels[first], inputs.images.pixels[second]), options
