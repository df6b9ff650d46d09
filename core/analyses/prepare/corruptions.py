"""Corruptions, white noise and PRIME's primitives, of the start and of a labelled sample of the set."""

from __future__ import annotations

from typing import Any

import torch

from core.analyses.inputs import Inputs
from core.analyses.table.corruptions import listed
from core.errors import ImageError
from core.geometry.corruptions.noise import NoiseForecast, noise_forecast
from core.geometry.corruptions.prime_draws import PrimeDraws, prime_draws
from core.geometry.corruptions.severity_path import SeverityPath, severity_path
from core.geometry.corruptions.severity_sweep import SeveritySweep, severity_sweep
from core.images.image_set import ImageSet

_SEVERITIES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
_RUNNERS_UP = 3  # one of these classes is the nearest of all but a few images, at a third of the cost of all
_DEVIATIONS = 8  # strengths of noise looked at, up to the largest


def severity(inputs: Inputs, *, corruption: str, steps: int, seed: int) -> SeverityPath:
    """The start at growing severities of one corruption."""
    image, label = inputs.start.image, int(inputs.images.labels[inputs.rows[0]])
    return severity_path(
        inputs.classifier, image, corruption, label=label, steps=steps, seed=seed, on_progress=inputs.on_progress
    )


def sweep(inputs: Inputs, *, corruptions: str, count: int, seed: int) -> SeveritySweep:
    """A labelled sample at all severities of several corruptions."""
    pixels, labels = labelled_sample(inputs.images, count, seed)
    return severity_sweep(
        inputs.classifier,
        pixels,
        labels,
        listed(corruptions),
        severities=_SEVERITIES,
        candidates=_RUNNERS_UP,
        seed=seed,
        on_progress=inputs.on_progress,
    )


def noise(inputs: Inputs, *, count: int, strongest: float, draws: int, seed: int) -> NoiseForecast:
    """A labelled sample under white noise of growing strength."""
    pixels, labels = labelled_sample(inputs.images, count, seed)
    deviations = [strongest * (place + 1) / _DEVIATIONS for place in range(_DEVIATIONS)]
    report = inputs.on_progress
    return noise_forecast(inputs.classifier, pixels, labels, deviations, draws=draws, seed=seed, on_progress=report)


def augmentation(inputs: Inputs, **settings: Any) -> PrimeDraws:
    """What PRIME's primitives make of the start."""
    return prime_draws(inputs.classifier, inputs.start.image, **settings)


def labelled_sample(images: ImageSet, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of known class, drawn without replacement: the same for every model.

    Args:
        images: the whole set.
        count: how many at most.
        seed: another one draws others.

    Returns:
        Pixels and labels.

    Raises:
        ImageError: if no image has a known class.
    """
    known = (images.labels >= 0).nonzero()[:, 0]
    if not len(known):
        raise ImageError(f"expected images of known classes to count mistakes on, {images.source} has none")
    order = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:count]]
    return images.pixels[order], images.labels[order]
