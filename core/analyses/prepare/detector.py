"""The detector of perturbed images, tried on the set's own pairs or on images that are perturbed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.analyses.inputs import Inputs
from core.geometry.common.sampling import stratified
from core.geometry.detector.evaluation import Attack, DetectionExhibit, detection_exhibit
from core.runtime.progress import part_of

_FIRST_PROBES = 8  # of the first picture


def on_pairs_or_overshoots(inputs: Inputs, *, perturbed_by: str, **settings: Any) -> DetectionExhibit:
    """The detector on pairs of the set, or on images just across the boundary."""
    return _evaluated(inputs, () if perturbed_by == "pairs" else ("overshoot",), **settings)


def on_attacks(inputs: Inputs, **settings: Any) -> DetectionExhibit:
    """The detector on images that attacks perturb."""
    return _evaluated(inputs, ("projected gradient", "shortest"), **settings)


def _evaluated(
    inputs: Inputs, attacks: Sequence[Attack], *, count: int, seed: int, scale: float, **settings: Any
) -> DetectionExhibit:
    """The scores of the nearest boundary first, which cost a tenth, then those of all."""
    classifier, images, on_progress = inputs.classifier, inputs.images, inputs.on_progress
    clean, adversarial = images.pairs
    if not attacks and not len(clean):
        raise ValueError(
            f"expected pairs of clean and adversarial images, {images.source[:60]} holds none; bring an NPZ with the"
            " arrays clean and adversarial, or let steps across the boundary perturb the images"
        )
    whole = clean if len(clean) else np.arange(len(images))  # adversarial images do not count as clean
    rows = stratified(np.maximum(images.labels.numpy()[whole], 0), count, seed)
    chosen = images.pixels[whole[rows]]
    shared: dict[str, Any] = {"attacks": attacks, "seed": seed, "scale": scale or None}
    if not attacks:
        shared["perturbed"] = images.pixels[adversarial[rows]]
    start = 0.0
    if settings["classes"]:
        start = 0.2
        first = {**settings, "classes": 0, "probes": min(_FIRST_PROBES, settings["probes"])}
        on_progress(
            start,
            detection_exhibit(classifier, chosen, **shared, **first, on_progress=part_of(on_progress, 0.0, start)),
        )
    return detection_exhibit(classifier, chosen, **shared, **settings, on_progress=part_of(on_progress, start, 1.0))
