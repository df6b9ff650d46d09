"""What is measured on a demo model for the claims about margins: distances by frequency, corruptions, an attack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from core.geometry.subspaces.subspace_distances import SubspaceMargins
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier

_BLOCK = 8  # frequencies per side of a window; windows do not overlap
RADIUS = {"photos": 0.5, "digits": 1.0}  # ℓ2 pixel: half of what adversarial training was given
STEPS = 20  # of projected gradient descent
_MANY = 6  # times as many images for accuracies, which cost less
TRAINED = ("standard", "adversarial", "prime")


@dataclass(frozen=True)
class Measured:
    """What was measured on one model."""

    name: str  # such as photos/standard-1
    margins: SubspaceMargins
    corrupted: np.ndarray  # (images,) share of corruptions and severities at which the class is right
    attacked: np.ndarray  # (images,) whether the class survives projected gradient descent

    @property
    def data(self) -> str:
        """The data set, such as photos."""
        return self.name.split("/")[0]

    @property
    def training(self) -> str:
        """How it was trained: standard, adversarial, prime, ..."""
        return self.name.split("/")[1].split("-")[0]

    @property
    def seed(self) -> str:
        """The number behind its name, empty for the first."""
        return self.name.partition("-")[2]

    @property
    def medians(self) -> np.ndarray:
        """The median distance in each window, of images that are classified correctly."""
        return self.margins.quantile(0.5, self.margins.right)


def measure(source: str, device: str | None, count: int, seed: int) -> Measured:
    """Measure one model.

    Args:
        source: such as demo:photos/standard.
        device: where it runs; the best one here when None.
        count: images whose distances are measured, drawn evenly from the classes; six times as many are corrupted and
            attacked, where the model was trained to classify images as they are.
        seed: of what is random.

    Returns:
        What was measured; empty arrays where nothing was corrupted.
    """
    from core.geometry.common.sampling import stratified
    from core.geometry.subspaces.subspace_distances import subspace_margins
    from core.geometry.subspaces.subspaces import frequency_windows
    from core.images.load import load_images
    from core.models.load import load_classifier

    name = source.removeprefix("demo:")
    classifier, images = load_classifier(source, device), load_images(f"demo:{name.split('/')[0]}")
    label = images.labels.numpy()
    chosen = as_trained(name, images[stratified(label, count, seed)])
    family = frequency_windows(classifier.input_shape, _BLOCK, _BLOCK)
    found = subspace_margins(classifier, chosen.pixels, subspaces=family, keep=0)
    margins = replace(found, label=chosen.labels.numpy().astype(np.int32))
    if name.split("/")[1].split("-")[0] not in TRAINED:
        return Measured(name, margins, np.empty(0), np.empty(0))
    many = images[stratified(label, _MANY * count, seed)]
    radius = RADIUS[name.split("/")[0]]
    return Measured(name, margins, _corrupted(classifier, many, seed), _attacked(classifier, many, radius, seed))


def as_trained(name: str, images: ImageSet) -> ImageSet:
    """The images as the training set of a model, such as digits/lowpass, had them."""
    from core.training.data import flipped, low_passed

    change = {"digits/flipped": flipped, "digits/lowpass": low_passed}.get(name)
    return images if change is None else replace(images, pixels=change(images.pixels.double()).float())


def _corrupted(classifier: Classifier, images: ImageSet, seed: int) -> np.ndarray:
    """For each image the share of all corruptions at severities 1 to 5 that leave its class."""
    from core.geometry.corruptions.corruptions import CORRUPTIONS, corrupt

    labels = images.labels.numpy()
    kept = [
        classifier.predict(corrupt(images.pixels, name, severity, seed)).label == labels
        for name in CORRUPTIONS
        for severity in (1.0, 2.0, 3.0, 4.0, 5.0)
    ]
    share: np.ndarray = np.mean(kept, axis=0)
    return share


def _attacked(classifier: Classifier, images: ImageSet, radius: float, seed: int) -> np.ndarray:
    """For each image whether its class survives projected gradient descent in an ℓ2 ball."""
    from core.training.modes import attack

    net = classifier.to(device="cpu")
    pixels, labels = images.pixels, images.labels
    wrong = torch.from_numpy(net.predict(pixels).label) != labels
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False):
        _, fooled = attack(net, pixels.clone(), labels, generator, radius=radius, steps=STEPS)
    survived: np.ndarray = ~(fooled | wrong).numpy()
    return survived
