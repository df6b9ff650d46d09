"""Moved samples: the boundary is where the samples say, and follows them."""

from __future__ import annotations

import pytest
import torch

from core.reproduce.moved_samples import FAR, NEAR, moved_samples


def test_the_boundary_is_between_the_classes_and_moves_with_them() -> None:
    state = torch.get_rng_state()
    before, after, scattered = (moved_samples(move, 5) for move in ("none", "by class", "at random"))
    assert before.discriminative == pytest.approx(NEAR, rel=0.2)
    assert scattered.discriminative == pytest.approx(NEAR, rel=0.2)
    assert after.moved == pytest.approx(FAR, rel=0.2)
    assert after.discriminative > 10 * before.discriminative
    assert min(before.other, before.moved) > 5 * before.discriminative
    assert min(before.accuracy, after.accuracy, scattered.accuracy) == 1
    assert torch.equal(torch.get_rng_state(), state)
    assert moved_samples("none", 5) == before
