"""The demo models: their architectures and how they are trained.

`python -m core.demo` cuts the held-out images, trains every model again and writes both, with model cards, into
`assets`. Training is deterministic on one machine and thread count, runs on the CPU and needs no network: the pictures
ship with scikit-image and scikit-learn.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.classifier import Classifier
from core.compute import OnProgress, atomic_write, set_threads, silent
from core.demo_data import CROPS, DATA, PATCHES_PER_EPOCH, TEST_SEED, DemoData, write_images
from core.images import ASSETS

# -- architectures ----------------------------------------------------------------------------------------------------

_ACTIVATIONS: Mapping[str, type[nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU}


def strided(input_shape: Sequence[int], classes: int, *, widths: Sequence[int], activation: str) -> nn.Sequential:
    """Stages of [3 x 3 convolution of stride 2, BatchNorm, activation], then a linear head on all that is left.

    Args:
        input_shape: (c, h, w) of one image.
        classes: number of logits.
        widths: channels of each stage.
        activation: "silu" (smooth, so that curvature is defined) or "relu".

    Raises:
        ValueError: if a size is not positive.
    """
    if min(*input_shape, classes, *widths) < 1:
        raise ValueError(f"expected positive sizes, got {(*input_shape, classes, *widths)}")
    channels, height, width = input_shape
    stages: list[nn.Module] = []
    for stage in widths:
        convolution = nn.Conv2d(channels, stage, kernel_size=3, stride=2, padding=1, bias=False)
        stages += [convolution, nn.BatchNorm2d(stage), _ACTIVATIONS[activation]()]
        channels, height, width = stage, -(-height // 2), -(-width // 2)
    return nn.Sequential(*stages, nn.Flatten(), nn.Linear(channels * height * width, classes))


ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {"strided": strided}

# -- recipes ----------------------------------------------------------------------------------------------------------

Net = Callable[[Tensor], Tensor]
Mode = Callable[[Net, Tensor, Tensor, torch.Generator], Tensor]

# What training does to a batch (network from pixels to logits, pixels, labels, generator) before it learns from it.
MODES: Mapping[str, Mode] = {"standard": lambda net, pixels, labels, generator: pixels}


@dataclass(frozen=True, kw_only=True)
class DemoSpec:
    """How one demo model is made: stochastic gradient descent with Nesterov momentum 0.9 and a one-cycle rate."""

    data: str  # in DATA
    architecture: str  # in ARCHITECTURES
    arguments: Mapping[str, Any]
    mode: str = "standard"  # in MODES
    epochs: int
    batch: int = 64
    peak_rate: float = 0.1
    warm_up: float = 0.25  # share of the steps in which the rate rises
    weight_decay: float = 5e-4
    clip: float = 0.5  # largest norm of a gradient
    seed: int = 0


RECIPES: Mapping[str, DemoSpec] = {
    "photos/standard": DemoSpec(
        data="photos",
        architecture="strided",
        arguments={"widths": [32, 64, 96, 96], "activation": "silu"},
        epochs=12,
    ),
    "digits/standard": DemoSpec(
        data="digits",
        architecture="strided",
        arguments={"widths": [16, 32, 64], "activation": "silu"},
        epochs=15,
    ),
}
SHIPPED = ("photos/standard", "photos/standard-1", "digits/standard")  # in `assets/models`; the first is the default


def demo_spec(name: str) -> DemoSpec:
    """The recipe of a demo model; a number at its end is the seed: `photos/standard-1`.

    Raises:
        ValueError: if there is no such recipe.
    """
    family, _, seed = name.rpartition("-")
    if name in RECIPES:
        return RECIPES[name]
    if family in RECIPES and seed.isdecimal():
        return replace(RECIPES[family], seed=int(seed))
    raise ValueError(f"expected one of {', '.join(RECIPES)} (-1, -2, ... for another seed), got {name}; choose one")


# -- training ---------------------------------------------------------------------------------------------------------


def train(name: str, spec: DemoSpec, data: DemoData, on_progress: OnProgress = silent) -> Classifier:
    """Train a demo model on the CPU; same bytes again on the same machine with as many threads.

    Args:
        name: how figures call it.
        spec: its recipe.
        data: what `DATA[spec.data]` makes.
        on_progress: called after each epoch.

    Returns:
        The trained classifier, on the CPU; the global random generator is left as it was.
    """
    generator = torch.Generator().manual_seed(spec.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        input_shape = tuple(data.test_images.shape[1:])
        module = ARCHITECTURES[spec.architecture](input_shape, len(data.class_names), **spec.arguments)
    mean, std = _mean_and_std(data)
    shift, scale = torch.tensor(mean).view(-1, 1, 1), 1 / torch.tensor(std).view(-1, 1, 1)
    optimizer = torch.optim.SGD(
        module.parameters(), lr=spec.peak_rate, momentum=0.9, nesterov=True, weight_decay=spec.weight_decay
    )

    def net(pixels: Tensor) -> Tensor:
        logits: Tensor = module((pixels - shift) * scale)
        return logits

    for epoch in range(spec.epochs):
        images, labels = data.epoch(generator)
        order = torch.randperm(len(images), generator=generator)
        batches = torch.split(order, spec.batch)
        for step, rows in enumerate(batches):
            pixels, targets = images[rows].float() / 255, labels[rows]
            if data.jitter:
                pixels = _jitter(pixels, generator)
            module.eval()  # a mode that attacks the network must see it as it will be used
            pixels = MODES[spec.mode](net, pixels, targets, generator)
            module.train()
            for group in optimizer.param_groups:
                group["lr"] = _rate(spec, (epoch + step / len(batches)) / spec.epochs)
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(net(pixels), targets))
            nn.utils.clip_grad_norm_(module.parameters(), spec.clip)
            optimizer.step()
        on_progress((epoch + 1) / spec.epochs)
    return Classifier(module, input_shape, data.class_names, mean, std, name, device="cpu")


def _mean_and_std(data: DemoData) -> tuple[list[float], list[float]]:
    """Per channel, over one epoch of training images; four decimals are plenty for a normalisation."""
    images, _ = data.epoch(torch.Generator().manual_seed(TEST_SEED))
    values = images.double() / 255
    mean, std = values.mean(dim=(0, 2, 3)), values.std(dim=(0, 2, 3))
    return [round(value, 4) for value in mean.tolist()], [round(value, 4) for value in std.tolist()]


def _jitter(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror every other image; contrast by up to 30 % about the image's mean, brightness by up to 0.15."""
    mirror, contrast, brightness = torch.rand(3, len(pixels), 1, 1, 1, generator=generator)
    pixels = torch.where(mirror < 0.5, pixels.flip(3), pixels)
    grey = pixels.mean(dim=(1, 2, 3), keepdim=True)
    changed: Tensor = grey + (0.7 + 0.6 * contrast) * (pixels - grey) + 0.3 * brightness - 0.15
    return changed.clamp(0, 1)


def _rate(spec: DemoSpec, done: float) -> float:
    """The one-cycle rate: half a cosine up from 1/25 of the peak, half a cosine down to nothing."""
    if done < spec.warm_up:
        return spec.peak_rate * (0.04 + 0.96 * (1 - math.cos(math.pi * done / spec.warm_up)) / 2)
    return spec.peak_rate * (1 + math.cos(math.pi * (done - spec.warm_up) / (1 - spec.warm_up))) / 2


# -- what is written --------------------------------------------------------------------------------------------------


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share, from `correct` hits among `count` (Wilson, JASA 22, 1927)."""
    z2 = 1.959964**2  # square of the normal distribution's 97.5 % point
    share, scale = correct / count, 1 + z2 / count
    half = math.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / scale
    centre = (share + z2 / (2 * count)) / scale
    return max(centre - half, 0.0), min(centre + half, 1.0)


def write_model(path: Path, classifier: Classifier, spec: DemoSpec, data: DemoData) -> float:
    """Measure a model on the held-out images, write it and, beside it, its card; returns the accuracy."""
    from core.checkpoints import write_checkpoint  # which reads ARCHITECTURES from here

    with torch.inference_mode():
        right = classifier(data.test_images.float() / 255).argmax(1) == data.test_labels
    facts = {
        "architecture": spec.architecture,
        "arguments": spec.arguments,
        "accuracy": {"correct": int(right.sum()), "images": len(right), "source": f"demo:{spec.data}"},
        "recipe": asdict(spec),
    }
    write_checkpoint(path, classifier, facts)
    by_class = [float(right[data.test_labels == k].float().mean()) for k in range(len(data.class_names))]
    with atomic_write(path.with_suffix(".md")) as file:
        file.write_text(_card(classifier, spec, int(right.sum()), by_class, len(right)), encoding="utf-8")
    return float(right.float().mean())


# Of each demo set: what the models learned from, what that keeps them from showing, and the licence.
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
    "digits": (
        "scikit-learn's 1,797 handwritten digits (8 x 8, 17 grey levels), enlarged bilinearly: 1,297 for training, 500 "
        "held out, the same share of each digit in both. No augmentation.",
        "The images are 8 x 8 scans enlarged four times: they hold almost nothing at high frequencies and flatter any "
        "statement about those. Training and held-out digits share their writers.",
        "Weights: MIT, like the code. Digits: `assets/images/digits.md` (CC BY 4.0).",
    ),
}


def _card(classifier: Classifier, spec: DemoSpec, correct: int, by_class: list[float], count: int) -> str:
    """The model card: what, data, recipe, accuracy, limits, licence."""
    low, high = wilson_interval(correct, count)
    weakest = min(range(len(by_class)), key=by_class.__getitem__)
    parameters = sum(parameter.numel() for parameter in classifier.module.parameters())
    shape = " x ".join(map(str, classifier.input_shape))
    arguments = ", ".join(f"{key} {value}" for key, value in spec.arguments.items())
    data, limits, licence = _DATA_NOTES[spec.data]
    return f"""# {classifier.name}

A small classifier of {shape} images into {classifier.num_classes} classes: {", ".join(classifier.class_names)}.

| | |
| --- | --- |
| Accuracy | {correct / count:.1%}: {correct} of {count} held-out images; 95 % Wilson interval {low:.1%} to {high:.1%} |
| Weakest class | {classifier.class_names[weakest]}: {by_class[weakest]:.0%} |
| Architecture | `{spec.architecture}` ({arguments}): 3 x 3 convolutions of stride 2, BatchNorm, linear head |
| Parameters | {parameters:,} |
| Normalisation | mean {list(classifier.mean)}, std {list(classifier.std)}; inside the classifier |

**Data.** Trained on {data}

**Training.** Mode `{spec.mode}`, seed {spec.seed}: {spec.epochs} epochs of batches of {spec.batch}, cross-entropy,
SGD with Nesterov momentum 0.9, one-cycle rate with peak {spec.peak_rate} ({spec.warm_up:.0%} warm-up), weight decay
{spec.weight_decay}, gradients clipped to norm {spec.clip}. Made on the CPU with {_threads()} and
PyTorch {torch.__version__}; `make demo-models` makes it again, byte for byte on the same machine.

**What it can show.** Where and how a small network changes its mind: regions, distances, curvature, and how these
differ between models of the same data.

**What it cannot show.** {limits}

**Licence.** {licence}
"""


def _threads() -> str:
    count = torch.get_num_threads()
    return f"{count} thread{'s' if count > 1 else ''}"


def _bar(name: str) -> OnProgress:
    """A line of text that shows how far training is and how long it will go on."""
    started = time.monotonic()

    def report(fraction: float, partial: object = None) -> None:
        left = (time.monotonic() - started) * (1 - fraction) / fraction
        line = f"{name:<20} [{'#' * round(30 * fraction):<30}] {fraction:4.0%} {left:4.0f} s left"
        end = "" if sys.stderr.isatty() and fraction < 1 else "\n"
        print(f"\r{line}" if sys.stderr.isatty() else line, end=end, file=sys.stderr, flush=True)

    return report


def main(arguments: Sequence[str] | None = None) -> None:
    """Cut the held-out images, train demo models, write both with cards."""
    parser = argparse.ArgumentParser(prog="python -m core.demo", description="Train the demo models again.")
    parser.add_argument("names", nargs="*", help=f"what to train; {', '.join(SHIPPED)} when not given")
    parser.add_argument("--seeds", type=int, help="train seeds 0 to SEEDS - 1 of each recipe")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; the bytes depend on it (default: 2)")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder to write into (default: assets)")
    options = parser.parse_args(arguments)
    names = options.names or list(SHIPPED)
    if options.seeds is not None:
        families = options.names or list(RECIPES)
        names = [f"{family}-{seed}" if seed else family for family in families for seed in range(options.seeds)]
    try:
        specs = {name: demo_spec(name) for name in names}
    except ValueError as error:
        parser.error(str(error))
    set_threads(options.threads)
    data = {kind: DATA[kind]() for kind in dict.fromkeys(spec.data for spec in specs.values())}
    for kind, images in data.items():
        write_images(options.out / "images" / f"{kind}.safetensors", images)
    for name, spec in specs.items():
        classifier = train(name, spec, data[spec.data], _bar(name))
        accuracy = write_model(options.out / "models" / f"{name}.safetensors", classifier, spec, data[spec.data])
        print(f"{name:<20} {accuracy:.2%} of {len(data[spec.data].test_images)} held-out images")


if __name__ == "__main__":
    main()
