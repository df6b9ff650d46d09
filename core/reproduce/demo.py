"""The demo models that claims are tested on, with the images that they were made for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from core.images.image_set import ImageSet
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.runtime.progress import OnProgress
from core.training.data import flipped, low_passed

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Named:
    """What was measured on one model, by the model's name."""

    name: str  # such as photos/standard-1

    @property
    def data(self) -> str:
        """The data set, such as photos."""
        return self.name.split("/")[0]

    @property
    def training(self) -> str:
        """How it was trained: standard, adversarial, prime, ..., or untrained."""
        return self.name.split("/")[1].split("-")[0]

    @property
    def seed(self) -> str:
        """The number behind its name, empty for the first."""
        return self.name.partition("-")[2]

    @property
    def trained(self) -> bool:
        """Whether it is more than its architecture."""
        return self.training != "untrained"


@dataclass(frozen=True)
class DemoModel(Named):
    """A demo model and its images."""

    classifier: Classifier
    images: ImageSet

    @classmethod
    def load(cls, source: str, device: str | None) -> DemoModel:
        """Load a model, such as demo:photos/standard, and its images."""
        name = source.removeprefix("demo:")
        return cls(name, load_classifier(source, device), load_images(f"demo:{name.split('/')[0]}"))

    @property
    def as_trained(self) -> ImageSet:
        """The images as its training set, such as that of digits/lowpass, had them."""
        change = {"digits/flipped": flipped, "digits/lowpass": low_passed}.get(self.name)
        pixels = self.images.pixels
        return self.images if change is None else replace(self.images, pixels=change(pixels.double()).float())


@dataclass(frozen=True, kw_only=True)
class Study:
    """The arguments of `core.reproduce.claims_about`, and how its models are measured."""

    models: tuple[str, ...]
    device: str | None
    on_progress: OnProgress
    count: int
    seed: int

    def each(self, measure: Callable[[DemoModel, int, int], Measured]) -> Iterator[Measured]:
        """Measure one model after the other.

        Args:
            measure: a function of a model, how many images, and the seed.

        Yields:
            What it returns.
        """
        for number, source in enumerate(self.models, 1):
            yield measure(DemoModel.load(source, self.device), self.count, self.seed)
            self.on_progress(number / len(self.models))
