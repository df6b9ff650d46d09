"""Spaces in which images are compared: vectors, a metric, and the map from vectors back to logits.

| space | vector of an image | metric |
| --- | --- | --- |
| features | values of a layer, the penultimate one unless another is named | cosine distance |
| pixels | the image itself | Euclidean, ℓ2 over pixels |
| logits | its logits | Euclidean |
| probabilities | square roots of its probabilities | Euclidean: sqrt(2) times the Hellinger distance |
| divergence | the image itself | of pixels and of predictions in between, see `core.geometry.maps.divergence` |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.maps.features import Features
from core.geometry.maps.neighbours import Metric
from core.models.classifier import Classifier

SpaceName = Literal["features", "pixels", "logits", "probabilities", "divergence"]
SPACES: tuple[SpaceName, ...] = get_args(SpaceName)


class Space:
    """From images to the vectors of a space, and from vectors to logits.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        name: one of SPACES.
        layer: for features: path of a module, "" for the penultimate layer.

    Raises:
        ValueError: if there is no such space or layer.
    """

    def __init__(self, classifier: Classifier, name: SpaceName = "features", layer: str = "") -> None:
        if name not in SPACES:
            raise ValueError(f"expected a space out of {', '.join(SPACES)}, got {str(name)[:40]!r}")
        self.name = name
        self._classifier = classifier
        self._features = Features(classifier, layer) if name == "features" else None
        self._batches = classifier.batches()

    @property
    def metric(self) -> Metric:
        """The metric of the vectors; for "divergence" that of its Euclidean part."""
        return "cosine" if self.name == "features" else "euclidean"

    @property
    def words(self) -> str:
        """The space in plain words."""
        return f"features, {self._features.layer}" if self._features else self.name

    @property
    def answers(self) -> bool:
        """Whether vectors of this space determine the logits."""
        return self._features is None or self._features.has_head

    def __call__(
        self, images: Float[Tensor, "n c h w"], tick: Callable[[float], None] = lambda part: None
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n k"]]:
        """The vectors of images and their logits, with one forward each.

        Args:
            images: finite pixel values.
            tick: called with the fraction done.

        Returns:
            Vectors and logits, float32 or the classifier's dtype, on its device.

        Raises:
            ImageError: if the shape is not the classifier's or a value is not finite.
        """
        pixels = self._classifier.accept(images)
        classes = self._classifier.num_classes
        with torch.inference_mode():
            if self._features is not None:
                joined = self._batches(lambda rows: torch.cat(self._features(rows), 1), pixels, tick)  # type: ignore[misc]
                return joined[:, :-classes], joined[:, -classes:]
            logits = self._batches(self._classifier, pixels, tick)
        match self.name:
            case "logits":
                return logits, logits
            case "probabilities":
                return logits.double().softmax(1).sqrt().to(logits.dtype), logits
        return pixels.flatten(1), logits

    def answer(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The logits at vectors of this space, whether or not they belong to an image.

        Args:
            vectors: vectors of this space.

        Returns:
            Logits; for probabilities their logarithms, which have the same softmax.

        Raises:
            ValueError: if the layer does not determine the logits.
        """
        given = vectors.to(self._classifier.device, self._classifier.dtype)
        with torch.inference_mode():
            if self._features is not None:
                return self._batches(self._features.head, given)
            match self.name:
                case "logits":
                    return given
                case "probabilities":
                    return 2 * given.clamp(min=torch.finfo(given.dtype).tiny).log()
            return self._batches(self._classifier, given.view(-1, *self._classifier.input_shape))
