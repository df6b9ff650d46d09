"""One image under a corruption of growing severity: its appearance, its predictions, and its distance to the boundary.

The severity s runs from 0, the image itself, in even steps. Random numbers stay the same along the way
(`core.geometry.corruptions.corruptions`), so x(s) is a path in image space, continuous except for JPEG and pixelation,
and seldom straight. The signed distance along it is that of `core.geometry.corruptions.severity_sweep`: to first order,
to the boundary of the region of the image's class, positive while the classifier predicts that class. It falls before
the label changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.corruptions.corruptions import WORST, corrupt
from core.geometry.corruptions.severity_sweep import severity_sweep
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent


@dataclass(frozen=True, kw_only=True, eq=False)
class SeverityPath(ClassifierResult):
    """An image at growing severities of one corruption."""

    severity: np.ndarray = quantity("", "severity")
    strength: np.ndarray = quantity("", "severity")  # in the corruption's own unit
    images: np.ndarray = quantity("pixel", "severity c h w")
    probabilities: np.ndarray = quantity("probability", "severity class")  # NaN where a logit is not finite
    predicted: np.ndarray = quantity("", "severity")  # -1 where a logit is not finite
    distance: np.ndarray = quantity("ℓ2 pixel", "severity")  # signed; NaN where nothing says
    displacement: np.ndarray = quantity("ℓ2 pixel", "severity")  # of the corrupted from the clean image
    name: str = quantity("")  # of the corruption
    label: int = quantity("")  # the class whose boundary is meant
    labelled: bool = quantity("")  # whether that is the true class; else it is the clean image's prediction
    seed: int = quantity("")

    @property
    def lost_at(self) -> float:
        """The smallest severity of the grid with another predicted class; NaN where there is none."""
        lost = np.flatnonzero(self.predicted != self.label)
        return float(self.severity[lost[0]]) if len(lost) else float("nan")

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Both ends of the path."""
        yield from self.quoted("lost_at:least severity with another class")
        for end in (0, -1):
            at = f"severity {self.severity[end]:g}"
            probability, distance = float(self.probabilities[end, self.label]), float(self.distance[end])
            yield Number(name=f"probability of {context.class_names[self.label]}, {at}", value=probability)
            yield Number(name=f"signed distance to the boundary, {at}", value=distance, unit="ℓ2 pixel")
        yield Number(name="length of the strongest corruption", value=float(self.displacement[-1]), unit="ℓ2 pixel")


@counted
def severity_path(
    classifier: Classifier,
    image: Float[Tensor, "c h w"],
    name: str,
    *,
    label: int = -1,
    steps: int = 21,
    candidates: int = 9,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> SeverityPath:
    """Follow one image through growing severities of a corruption.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        image: values in [0, 1].
        name: one of `core.geometry.corruptions.corruptions.CORRUPTIONS`.
        label: the image's true class; -1 for the predicted one.
        steps: number of severities, evenly spaced from 0 to 5, both included.
        candidates: see `severity_sweep`.
        seed: seed of the corruption.
        on_progress: called with the fraction done.

    Returns:
        Images, probabilities and signed distances by severity.

    Raises:
        ValueError: if there is no such corruption or class, or there are fewer than two steps.
        ImageError: if the image does not fit the classifier or is not in [0, 1].
    """
    if steps < 2:
        raise ValueError(f"expected at least two severities to look at, got {steps}")
    severities = np.linspace(0.0, WORST, steps)
    clean = image.detach()[None]
    images = torch.cat([corrupt(clean, name, float(severity), seed) for severity in severities])
    predicted = classifier.predict(images)
    source = label if label >= 0 else int(predicted.label[0])
    if source < 0:
        raise ValueError("expected finite logits at the image, to say which class it is in, got NaN or infinity")
    sweep = severity_sweep(
        classifier,
        clean,
        torch.tensor([source]),
        [name],
        severities=severities.tolist(),
        candidates=candidates,
        seed=seed,
        on_progress=on_progress,
    )
    return SeverityPath(
        severity=severities,
        strength=sweep.strength[0],
        images=images.to("cpu", torch.float32).numpy(),
        probabilities=predicted.probabilities,
        predicted=sweep.predicted[0, :, 0],
        distance=sweep.distance[0, :, 0],
        displacement=sweep.displacement[0, :, 0],
        name=name,
        label=source,
        labelled=label >= 0,
        seed=seed,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )
