"""Measurements of a demo model, and its model card.

Measured on the held-out images: the accuracy on clean images, under an attack (`core.training.modes.attack`: an image
counts if neither it nor any step of the attack is misclassified), and on common corruptions, each at severities 1 to 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool
from torch import Tensor

from core.files import atomic_write
from core.geometry.common.intervals import wilson
from core.models.classifier import Classifier
from core.training.data import BANDWIDTH, CROPS, PATCHES_PER_EPOCH, TEST_SEED, DemoData
from core.training.modes import attack

if TYPE_CHECKING:
    from core.models.demo import DemoSpec

# ℓ2 pixel, by data: half of and the whole radius of adversarial training; the flipped digits have half the contrast.
RADII: Mapping[str, tuple[float, ...]] = {
    "photos": (0.5, 1.0),
    "digits": (1.0, 2.0),
    "digits-lowpass": (1.0, 2.0),
    "digits-flipped": (0.5, 1.0),
}
ATTACK_STEPS = 50
SEVERITIES = (1, 2, 3, 4, 5)
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Measured:
    """Which held-out images a model classifies correctly, and the accuracy on changed ones."""

    right: Bool[Tensor, " n"]
    attacked: Mapping[float, float]  # by radius
    corrupted: Mapping[str, float]  # by corruption, mean over severities

    @property
    def corrupted_mean(self) -> float:
        """The mean accuracy over corruptions."""
        return sum(self.corrupted.values()) / len(self.corrupted)


def measure(
    classifier: Classifier,
    data: DemoData,
    radii: tuple[float, ...],
    *,
    steps: int = ATTACK_STEPS,
    severities: tuple[float, ...] = SEVERITIES,
    count: int | None = None,
) -> Measured:
    """Measure a classifier on the held-out images.

    Args:
        classifier: on the CPU.
        data: one of the data sets that `DATA` makes.
        radii: of the attack, ℓ2 pixel.
        steps: of the attack.
        severities: of each corruption, 0 to 5.
        count: number of images to attack and corrupt, the first ones; all when not given. Classes alternate.

    Returns:
        The measurements; the same each time.
    """
    from core.geometry.corruptions.corruptions import CORRUPTIONS, corrupt

    pixels, labels = data.test_images.float() / 255, data.test_labels
    right = _right(classifier, pixels, labels)
    some, theirs = pixels[:count], labels[:count]
    return Measured(
        right,
        {radius: _robust(classifier, some, theirs, radius, steps) for radius in radii},
        {
            name: sum(
                float(_right(classifier, corrupt(some, name, severity), theirs).float().mean())
                for severity in severities
            )
            / len(severities)
            for name in CORRUPTIONS
        },
    )


def _right(classifier: Classifier, pixels: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([classifier(chunk).argmax(1) for chunk in pixels.split(_CHUNK)]) == labels


def _robust(classifier: Classifier, pixels: Tensor, labels: Tensor, radius: float, steps: int) -> float:
    generator = torch.Generator().manual_seed(TEST_SEED)
    right = _right(classifier, pixels, labels)
    where = right.nonzero()[:, 0]  # the others are lost already
    for rows in where.split(_CHUNK):
        _, fooled = attack(classifier, pixels[rows], labels[rows], generator, radius=radius, steps=steps)
        right[rows] = ~fooled
    return float(right.float().mean())


def write_model(path: Path, classifier: Classifier, spec: DemoSpec, data: DemoData) -> Measured:
    """Measure a model on the held-out images, and write the model with its card."""
    from core.models.checkpoints import write_checkpoint  # which reads the architectures from core.training.train

    measured = measure(classifier, data, RADII[spec.data])
    facts = {
        "architecture": spec.architecture,
        "arguments": spec.arguments,
        "accuracy": {
            "correct": int(measured.right.sum()),
            "images": len(measured.right),
            "source": f"demo:{spec.data}",
        },
        "recipe": {key: value for key, value in asdict(spec).items() if value != {}},  # no arguments: nothing to keep
    }
    write_checkpoint(path, classifier, facts)
    with atomic_write(path.with_suffix(".md")) as file:
        file.write_text(card(classifier, spec, measured, data.test_labels), encoding="utf-8")
    return measured


# For each demo set: the training data, the limits that follow from it, and the licence.
_DIGITS_FROM = (
    "scikit-learn's 1,797 handwritten digits (8 x 8, 17 grey levels), enlarged bilinearly: 1,297 for training, 500 "
    "held out, the same share of each digit in both. No augmentation"
)
_DIGITS_LIMITS = (
    "The images are 8 x 8 scans enlarged four times: they hold almost nothing at high frequencies and flatter any "
    "statement about those. Training and held-out digits share their writers."
)
_DIGITS_LICENCE = "Weights: MIT, like the code. Digits: `assets/images/digits.md` (CC BY 4.0)."
_DATA_NOTES = {
    "photos": (
        "patches of nine photographs that ship with scikit-image and scikit-learn; a class is a photograph. Each epoch "
        f"cuts {PATCHES_PER_EPOCH} new patches per photograph from the left 70 % of its columns (crops of {CROPS[0]} "
        f"to {CROPS[1]} pixels, area-averaged to 32), mirrors half of them, changes contrast by up to 30 % and "
        "brightness by up to 0.15. The held-out patches come from the right 30 %: no column is shared.",
        "It tells nine pictures apart, not kinds of things. Held-out patches share camera, light and scene with the "
        "training patches, and the number of training patches was chosen with the held-out accuracy in view: it says "
        "nothing about other pictures, and nothing here carries over to networks for large natural images.",
        "Weights: MIT, like the code. Photographs: `assets/images/photos.md` (two of them are CC BY 2.0).",
    ),
    "digits": (f"{_DIGITS_FROM}.", _DIGITS_LIMITS, _DIGITS_LICENCE),
    "digits-lowpass": (
        f"{_DIGITS_FROM}, but low-passed: of the 32 x 32 coefficients of the orthonormal DCT only those with both "
        f"indices below {BANDWIDTH} are kept; the band removed is every index from {BANDWIDTH} to 31, in rows or in "
        "columns. The held-out images are low-passed, too (`core.training.data.low_passed`). Compare it with "
        "`digits/control`, whose recipe is the same.",
        _DIGITS_LIMITS,
        _DIGITS_LICENCE,
    ),
    "digits-flipped": (
        f"{_DIGITS_FROM}, but with the order of their 32 x 32 DCT coefficients turned round in rows and columns, so "
        "that what was slowest is fastest, about mid-grey and with half the contrast: lengths are half as long. The "
        "held-out images are flipped, too (`core.training.data.flipped`); digits as they are mean nothing to it. "
        "Compare it with `digits/control`, whose recipe is the same.",
        "The images are 8 x 8 scans enlarged four times and flipped: they hold almost nothing at low frequencies, and "
        "look like no picture. Training and held-out digits share their writers.",
        _DIGITS_LICENCE,
    ),
}
_ARCHITECTURE_NOTES = {
    "strided": "3 x 3 convolutions of stride 2, BatchNorm, linear head",
    "transformer": "timm's vision transformer: patches as tokens, pre-norm attention, mean of the tokens, linear head",
}
_MODE_NOTES = {
    "standard": "the images as they are",
    "adversarial": "each image replaced by the worst that PGD finds in an ℓ2 ball, inside [0, 1]",
    "prime": "each image mixed with PRIME's random filters, displacements and colour curves, drawn anew every time",
}


def card(classifier: Classifier, spec: DemoSpec, measured: Measured, labels: Tensor) -> str:
    """The model card: description, measurements, data, training, limits and licence."""
    right = measured.right
    correct, count = int(right.sum()), len(right)
    low, high = wilson(correct, count)
    by_class = [float(right[labels == k].float().mean()) for k in range(classifier.num_classes)]
    weakest = min(range(len(by_class)), key=by_class.__getitem__)
    parameters = sum(parameter.numel() for parameter in classifier.module.parameters())
    shape = " x ".join(map(str, classifier.input_shape))
    arguments = ", ".join(f"{key} {value}" for key, value in spec.arguments.items())
    settings = "".join(f", {key} {value}" for key, value in spec.mode_arguments.items())
    attacked = "; ".join(f"{share:.1%} at radius {radius}" for radius, share in measured.attacked.items())
    hardest = sorted(measured.corrupted, key=measured.corrupted.__getitem__)[:3]
    corrupted = (
        f"{measured.corrupted_mean:.1%}: mean of {len(measured.corrupted)} corruptions at severities {SEVERITIES[0]} "
        f"to {SEVERITIES[-1]}; lowest: {', '.join(f'{name} {measured.corrupted[name]:.1%}' for name in hardest)}"
    )
    command = f"python -m core.training.train {classifier.name} --threads {torch.get_num_threads()}"
    learned = "Trained on" if spec.peak_rate else "BatchNorm saw"
    data, limits, licence = _DATA_NOTES[spec.data]
    return f"""# {classifier.name}

A small classifier of {shape} images into {classifier.num_classes} classes: {", ".join(classifier.class_names)}.

| | |
| --- | --- |
| Accuracy | {correct / count:.1%}: {correct} of {count} held-out images; 95 % Wilson interval {low:.1%} to {high:.1%} |
| Weakest class | {classifier.class_names[weakest]}: {by_class[weakest]:.0%} |
| Under attack | {attacked} (PGD in an ℓ2 ball inside [0, 1], {ATTACK_STEPS} steps, one random start) |
| Corrupted | {corrupted} |
| Architecture | `{spec.architecture}` ({arguments}): {_ARCHITECTURE_NOTES[spec.architecture]} |
| Parameters | {parameters:,} |
| Normalisation | mean {list(classifier.mean)}, std {list(classifier.std)}; inside the classifier |

**Data.** {learned} {data}

**Training.** {_training(spec, settings)} Made on the CPU with PyTorch {torch.__version__};
`{command}` makes it again, byte for byte on the same machine.

**What it can show.** Where and how a small network changes its mind: regions, distances, curvature, and how these
differ between models of the same data.

**What it cannot show.** {limits}

**Licence.** {licence}
"""


def _training(spec: DemoSpec, settings: str) -> str:
    if spec.peak_rate == 0:
        return (
            f"None, seed {spec.seed}: the weights are as drawn; one pass over the data sets the statistics of "
            "BatchNorm, without which every image would look alike to it."
        )
    return f"""Mode `{spec.mode}`{settings} ({_MODE_NOTES[spec.mode]}), seed {spec.seed}:
{spec.epochs} epochs of batches of {spec.batch}, cross-entropy, SGD with Nesterov momentum 0.9, one-cycle rate with
peak {spec.peak_rate} ({spec.warm_up:.0%} warm-up), weight decay {spec.weight_decay}, gradients clipped to norm
{spec.clip}."""
