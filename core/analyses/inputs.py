"""What an analysis is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.analyses.prepare.plane import StartImage
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier
    from core.runtime.progress import OnProgress


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """The models and images of a recipe, with the image it starts from.

    Attributes:
        classifiers: all models of a joint analysis; else the reference and, where it is another, the model measured.
        images: the whole set.
        rows: the chosen images.
        start: the image asked about: the first chosen one, or the one at a point of a plane.
        on_progress: called with the fraction done and, now and then, a coarser result.
    """

    classifiers: Sequence[Classifier]
    images: ImageSet
    rows: Sequence[int]
    start: StartImage
    on_progress: OnProgress

    @property
    def classifier(self) -> Classifier:
        """The model that is measured."""
        return self.classifiers[-1]

    @property
    def reference(self) -> Classifier:
        """The recipe's first model: it lays planes and draws samples, the same ones for all models."""
        return self.classifiers[0]
