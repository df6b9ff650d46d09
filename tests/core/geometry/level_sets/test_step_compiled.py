"""Calm steps, compiled, against the same steps written with tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.level_sets.step import MODES, Mode, Stepper
from core.geometry.level_sets.traverse import traverse
from core.geometry.level_sets.walkers import Walkers
from core.images.load import load_images
from core.models.load import load_classifier


@pytest.mark.parametrize("mode", MODES)
def test_calm_steps_are_the_same_steps_with_fewer_operations(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_classifier("demo:photos/standard", "cpu").to(dtype=torch.float64)
    images = load_images("demo:photos")
    sources, targets = images.pixels[[3, 5, 400]].double(), images.pixels[[17, 42, 9]].double()
    calm: list[bool] = []
    whole = Stepper._calmly

    def counted(stepper: Stepper, walkers: Walkers, value: Tensor, gradient: Tensor, logits: Tensor) -> bool:
        calm.append(whole(stepper, walkers, value, gradient, logits))
        return calm[-1]

    monkeypatch.setattr(Stepper, "_calmly", counted)
    quick = traverse(classifier, sources, targets, mode, 0.1, 70)
    assert sum(calm) > 30
    monkeypatch.setattr(Stepper, "_calm_for", lambda stepper, walkers: 0)
    slow = traverse(classifier, sources, targets, mode, 0.1, 70)
    assert len(calm) <= 71
    for name in ("endpoints", "log_odds", "target_confidence", "distance", "cosine", "moved", "snapshots"):
        np.testing.assert_allclose(getattr(quick, name), getattr(slow, name), rtol=1e-7, atol=1e-9, err_msg=name)
    assert quick.status.tolist() == slow.status.tolist()
    assert (quick.forwards, quick.gradients) == (slow.forwards, slow.gradients)
