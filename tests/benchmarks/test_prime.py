"""PRIME beside the training step that it feeds, and corruptions per image; `make bench`."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core.geometry.corruptions.corruptions import CORRUPTIONS, corrupt
from core.geometry.corruptions.prime import prime
from core.images.load import load_images
from core.models.load import load_classifier

BATCH = 64


@pytest.mark.parametrize("dataset", ["photos", "digits"])
def test_a_mixture_takes_less_than_the_step_it_feeds(
    dataset: str, alternate: Callable[..., Any], say: Callable[[str], None]
) -> None:
    """Forward and backward of the demo model in training mode, on the batch that was mixed, without the update."""
    classifier, images = load_classifier(f"demo:{dataset}/standard", "cpu"), load_images(f"demo:{dataset}")
    pixels, labels = images.pixels[:BATCH], images.labels[:BATCH]
    module = copy.deepcopy(classifier.module).train().requires_grad_(True)
    generator, parameters = torch.Generator().manual_seed(0), list(module.parameters())

    def mix() -> Tensor:
        return prime(pixels, generator)

    def step() -> tuple[Tensor, ...]:
        return torch.autograd.grad(F.cross_entropy(module(pixels), labels), parameters)

    pair = alternate(mix, step, pairs=60)
    milliseconds = 1e3 * min(pair.first), 1e3 * min(pair.second)
    say(
        f"{dataset}: mixing {BATCH} images over the step: {pair.ratio:.2f} ({pair.spread}), goal below 1; "
        f"at best {milliseconds[0]:.1f} and {milliseconds[1]:.1f} ms"
    )
    mixed = mix()
    assert mixed.shape == pixels.shape
    assert not torch.equal(mixed, pixels)


def test_corruptions_per_image(say: Callable[[str], None]) -> None:
    images = load_images("demo:photos").pixels[:180]
    for name in CORRUPTIONS:
        taken = []
        for _ in range(3):
            begin = time.perf_counter()
            made = corrupt(images, name, 3)
            taken.append(time.perf_counter() - begin)
        say(f"{name}: {1e6 * min(taken) / len(images):.0f} μs an image")
        assert made.shape == images.shape
