"""Training the demo models, and the command that does it.

`python -m core.training.train` cuts the held-out images, trains every model again and writes both, with model cards,
into `assets`. Training is deterministic on one machine and thread count, runs on the CPU and needs no network: the
pictures ship with scikit-image and scikit-learn.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.models.classifier import Classifier
from core.models.demo import ARCHITECTURES, RECIPES, SHIPPED, DemoSpec, demo_spec
from core.runtime.batches import set_threads
from core.runtime.progress import OnProgress, silent
from core.sources.models import ASSETS
from core.training.cards import write_model
from core.training.data import DATA, TEST_SEED, DemoData, write_images
from core.training.modes import MODES


def train(name: str, spec: DemoSpec, data: DemoData, on_progress: OnProgress = silent) -> Classifier:
    """Train a demo model on the CPU: the same bytes on the same machine with the same number of threads.

    Args:
        name: its name in figures.
        spec: its recipe.
        data: the result of `DATA[spec.data]()`.
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
            pixels = MODES[spec.mode](net, pixels, targets, generator, **spec.mode_arguments)
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


# -- the command ------------------------------------------------------------------------------------------------------


def _bar(name: str) -> OnProgress:
    """A progress line with the fraction done and the time left."""
    started = time.monotonic()

    def report(fraction: float, partial: object = None) -> None:
        left = (time.monotonic() - started) * (1 - fraction) / fraction
        line = f"{name:<20} [{'#' * round(30 * fraction):<30}] {fraction:4.0%} {left:4.0f} s left"
        end = "" if sys.stderr.isatty() and fraction < 1 else "\n"
        print(f"\r{line}" if sys.stderr.isatty() else line, end=end, file=sys.stderr, flush=True)

    return report


def main(arguments: Sequence[str] | None = None) -> None:
    """Cut the held-out images and train demo models; write both, with model cards."""
    parser = argparse.ArgumentParser(prog="python -m core.training.train", description="Train the demo models again.")
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
        measured = write_model(options.out / "models" / f"{name}.safetensors", classifier, spec, data[spec.data])
        accuracy, radius = float(measured.right.float().mean()), max(measured.attacked)
        print(
            f"{name:<20} {accuracy:.1%} of {len(measured.right)} held-out images, "
            f"{measured.attacked[radius]:.1%} under attack at {radius}, {measured.corrupted_mean:.1%} corrupted"
        )


if __name__ == "__main__":
    main()
