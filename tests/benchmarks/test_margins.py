"""Distances inside subspaces: their time beside that of bare forward and backward passes; `make bench`.

Only correctness is asserted; times are ratios within one run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from core.geometry.subspaces.subspace_distances import SubspaceDistances, subspace_distances
from core.images.load import load_images
from core.models.load import load_classifier

PASSES, IMAGES = 15_000, 40
SHAPES = (32, 64, 128, 256, 512)


@pytest.mark.parametrize("dataset", ["digits", "photos"])
def test_thirteen_windows_of_forty_images(
    dataset: str, alternate: Callable[..., Any], say: Callable[[str], None]
) -> None:
    classifier, images = load_classifier(f"demo:{dataset}/standard"), load_images(f"demo:{dataset}").pixels[:IMAGES]
    images = images.to(classifier.device)
    classifier.batches()  # the batch shape is measured before the clock starts

    def passes(size: int, count: int = PASSES) -> None:
        batch = images[torch.arange(size, device=images.device) % IMAGES]
        for _ in range(-(-count // size)):
            pixels = batch.clone().requires_grad_()
            torch.autograd.grad(classifier(pixels)[:, 0].sum(), pixels)

    def margins(slides: int) -> Callable[[], SubspaceDistances]:
        return lambda: subspace_distances(classifier, images, stride=2, slides=slides)

    taken = {
        size: alternate(lambda size=size: passes(size, 2000), lambda: passes(64, 2000), 3).ratio for size in SHAPES
    }
    best = min(taken, key=lambda size: taken[size])
    exact = margins(200)()
    for slides in (0, 6, 50):
        found = margins(slides)()
        pair = alternate(margins(slides), lambda: passes(best))
        longer = found.distance / exact.distance
        say(
            f"{dataset}: {found.distance.shape[1]} windows x {IMAGES} images, at most {slides} slides: "
            f"{statistics.median(pair.first):.2f} s, {pair.ratio:.2f} of {PASSES:,} passes in batches of {best} "
            f"({pair.spread}; goal 1 at 6 slides); {found.forwards:,} forwards, {found.gradients:,} gradients; "
            f"{np.nanmean(longer) - 1:.1%} longer than with 200 slides, 95 % of them below "
            f"{np.nanquantile(longer, 0.95) - 1:.1%}"
        )
        assert found.found.all()
        assert (found.full_distance[:, None] <= found.distance * (1 + 1e-4)).all()
    say(f"{dataset}: median distance, low to high: {np.round(np.median(exact.distance, 0), 2).tolist()}")
