"""Limits on any classifier, what is found for a model, and the pixels between two images."""

from __future__ import annotations

import math
from typing import Any

from core.analyses.inputs import Inputs
from core.geometry.common.sampling import stratified
from core.geometry.limits.bounds import RobustnessBound, robustness_bound
from core.geometry.limits.enumeration import EveryImage, every_image
from core.geometry.limits.overlay import Overlay, overlay
from core.geometry.limits.painting import PaintedClass, painted_class
from core.geometry.limits.survival import Survival, survival


def bound(inputs: Inputs, *, side: int, channels: int, bits: int, norm: str, share: float) -> RobustnessBound:
    """The bound for a format of images; 0 stands for the model's own side or channels, or for any share."""
    own, height, width = inputs.classifier.input_shape
    size = side or round(math.sqrt(height * width))
    return robustness_bound(size, channels or own, bits, float(norm), share or None)


def survival_of_sample(inputs: Inputs, *, count: int, seed: int, **settings: Any) -> Survival:
    """The survival of images drawn evenly from the classes."""
    labels = inputs.images.labels.numpy()
    chosen = inputs.images[stratified(labels, min(count, len(labels)), seed)]
    report = inputs.on_progress
    return survival(inputs.classifier, chosen.pixels, count=count, seed=seed, on_progress=report, **settings)


def overlay_of_two(inputs: Inputs, *, orders: int, seed: int) -> Overlay:
    """The way from the first chosen image to the second, pixel by pixel."""
    first, second = (inputs.images[[row]].pixels for row in inputs.rows[:2])
    return overlay(inputs.classifier, first, second, orders=orders, seed=seed, on_progress=inputs.on_progress)


def painting(inputs: Inputs, *, side: str, painted: str) -> PaintedClass:
    """The limits of a class that somebody painted."""
    return painted_class(int(side), painted)


def enumeration(inputs: Inputs, *, pixels: int) -> EveryImage:
    """The class of every image of a tiny format."""
    return every_image(inputs.classifier, pixels, on_progress=inputs.on_progress)
