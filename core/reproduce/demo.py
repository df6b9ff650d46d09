"""The demo models that claims are tested on, with their images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    """The base of what was measured on one model: the model's name and what it says."""

    name: str  # such as photos/standard-1

    @property
    def data(self) -> str:
        """The name of the data set, such as photos."""
        return self.name.split("/")[0]

    @property
    def training(self) -> str:
        """How it was trained: standard, adversarial, prime, ..., or untrained."""
        return self.name.split("/")[1].split("-")[0]

    @property
    def seed(self) -> str:
        """The number at the end of the name, empty for the first seed."""
        return self.name.partition("-")[2]

    @property
    def trained(self) -> bool:
        """Whether the model was trained at all."""
        return self.training != "untrained"


One = TypeVar("One", bound=Named)


def partners(measured: Sequence[One], training: str, against: str) -> list[tuple[One, One]]:
    """Pairs of models of one data set and seed that were trained in two ways; models without a partner are left out."""
    others = {(one.data, one.seed): one for one in measured if one.training == against}
    ours = [one for one in measured if one.training == training]
    return [(one, others[one.data, one.seed]) for one in ours if (one.data, one.seed) in others]


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
        """The images, changed as in the model's training set, such as that of digits/lowpass."""
        change = {"digits/flipped": flipped, "digits/lowpass": low_passed}.get(self.name)
        pixels = self.images.pixels
        return self.images if change is None else replace(self.images, pixels=change(pixels.double()).float())


@dataclass(frozen=True, kw_only=True)
class Study:
    """The arguments of `core.reproduce.claims_about`."""

    models: tuple[str, ...]
    device: str | None
    on_progress: OnProgress
    count: int
    seed: int

    def each(self, measure: Callable[[DemoModel, int, int], Measured]) -> Iterator[Measured]:
        """Measure one model after the other.

        Args:
            measure: a function of a model, the number of images and the seed.

        Yields:
            What `measure` returns for each model.
        """
        for number, source in enumerate(self.models, 1):
            yield measure(DemoModel.load(source, self.device), self.count, self.seed)
            self.on_progress(number / len(self.models))
