"""The queue: what is shown on the way, how it shrinks, and how it is called off."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.level_sets import batch
from core.geometry.level_sets.traverse import LevelSetPaths, traverse
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from core.runtime.progress import Cancelled
from tests import truths
from tests.truths import BatchSize


@pytest.fixture
def pairs() -> tuple[Tensor, Tensor]:
    images = load_images("demo:digits").pixels
    return images[:6].clone(), images[100:106].clone()


def test_walks_are_shown_while_they_go_on(
    pairs: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, batch_size: BatchSize
) -> None:
    monkeypatch.setattr(batch, "_SECONDS", 0.0)
    batch_size(4)
    classifier = load_classifier("demo:digits/standard", "cpu")
    fractions: list[float] = []
    shown: list[LevelSetPaths] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        fractions.append(fraction)
        if isinstance(partial, LevelSetPaths):
            shown.append(partial)

    final = traverse(classifier, *pairs, steps=12, on_progress=listen)
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert len(shown) == 2 * 13 - 1  # two rounds of four slots; nothing is under way after the last step
    early, late = shown[4], shown[20]
    assert early.status.tolist() == ["walking"] * 6
    assert early.taken.tolist() == [4] * 4 + [0] * 2
    np.testing.assert_array_equal(early.distance[:4, :5], final.distance[:4, :5])
    assert np.isnan(early.distance[:4, 5:]).all()
    assert np.isnan(early.endpoints[4:]).all()
    assert late.status.tolist() == ["budget"] * 4 + ["walking"] * 2
    np.testing.assert_array_equal(late.endpoints[:4], final.endpoints[:4])
    plain = traverse(classifier, *pairs, steps=12)
    assert plain.to_bytes(timings=False) == final.to_bytes(timings=False)


def test_it_can_be_called_off(pairs: tuple[Tensor, Tensor]) -> None:
    def cancel(fraction: float, partial: Result | None = None) -> None:
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        traverse(load_classifier("demo:digits/standard", "cpu"), *pairs, steps=12, on_progress=cancel)


def test_slots_are_filled_again_and_dropped_when_nobody_waits(
    pairs: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, batch_size: BatchSize
) -> None:
    batch_size(3)
    sources, targets = pairs
    targets[:3] = sources[:3]  # there at once
    widths: list[int] = []
    whole = batch.LevelSetStep.__call__

    def counted(stepper: batch.LevelSetStep, walkers: batch.Walkers) -> None:
        widths.append(len(walkers.age))
        whole(stepper, walkers)

    monkeypatch.setattr(batch.LevelSetStep, "__call__", counted)
    paths = traverse(load_classifier("demo:digits/standard", "cpu"), sources, targets, steps=10)
    assert widths == [3] * 12
    assert paths.gradients == 36
    assert paths.status.tolist() == ["reached"] * 3 + ["budget"] * 3
    widths.clear()
    traverse(load_classifier("demo:digits/standard", "cpu"), sources[1:5], targets[1:5], steps=10)
    assert widths == [3, *[2] * 10, 1]  # two of three are there at once, one waits; it ends a step later


def test_images_are_kept_after_ever_more_steps() -> None:
    assert batch._frames(1) == [0, 1]
    assert batch._frames(100) == [0, 10, 20, 40, 60, 80, 100]
    assert batch._frames(400) == list(batch.FRAMES)
    assert batch._frames(1000) == [*batch.FRAMES, 600, 900, 1000]


def test_walks_that_all_cannot_begin_cost_no_step() -> None:
    weight = torch.zeros((4, 16), dtype=torch.float64)
    classifier = truths.classifier(truths.Affine(weight, torch.zeros(4, dtype=torch.float64)), (1, 4, 4))
    images = truths.images(3, (1, 4, 4)).float()
    paths = traverse(classifier, images, images.flip(0), delta=0.3, steps=9)
    assert paths.status.tolist() == ["no level"] * 3
    assert paths.gradients == 0
