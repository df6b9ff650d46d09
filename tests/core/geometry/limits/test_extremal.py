"""Classifiers of two exact halves: their distances against brute force over all images, and their distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.limits.bounds import NORMS
from core.geometry.limits.extremal import (
    EXTREMAL,
    Extremal,
    extremal_classifier,
    extremal_label,
    extremal_size,
    extremal_survival,
)


def every(values: int, bits: int) -> Tensor:
    """The levels of all images of a format."""
    q = 2**bits
    return torch.tensor(np.stack(np.unravel_index(np.arange(q**values), (q,) * values), 1))


@pytest.mark.parametrize("kind", EXTREMAL)
@pytest.mark.parametrize(("values", "bits"), [(5, 1), (6, 1), (4, 2), (3, 3)])
def test_sizes_are_those_of_brute_force(kind: Extremal, values: int, bits: int) -> None:
    levels = every(values, bits)
    label = extremal_label(kind, levels, bits)
    assert 2 * int(label.sum()) == len(label)
    pixels = levels.double() / (2**bits - 1)
    apart = (pixels[:, None] - pixels[None]).abs()
    for p in NORMS:
        size = (apart > 0).sum(2).double() if p == 0 else torch.linalg.vector_norm(apart, ord=p, dim=2)
        truth = torch.where(label[:, None] != label[None], size, math.inf).amin(1)
        torch.testing.assert_close(extremal_size(kind, levels, bits, p), truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", EXTREMAL)
@pytest.mark.parametrize(("values", "bits"), [(7, 1), (8, 1), (5, 2), (4, 3)])
def test_distributions_are_those_of_all_images(kind: Extremal, values: int, bits: int) -> None:
    levels = every(values, bits)
    known = 0
    for p in NORMS:
        sizes = np.concatenate([np.linspace(0, 4, 41), extremal_size(kind, levels, bits, p).unique().numpy()])
        log_share = extremal_survival(kind, values, bits, p, sizes)
        truth = (extremal_size(kind, levels, bits, p).numpy() > sizes[:, None] * (1 + 1e-12) + 1e-12).mean(1)
        if not np.isnan(log_share).all():
            known += 1
            np.testing.assert_allclose(np.exp(np.nan_to_num(log_share, nan=-math.inf)), truth, atol=1e-11)
    assert known == {"one value": 4, "majority": 4 if bits == 1 else 1, "sum": 4 if bits == 1 else 1}[kind]


def test_the_classifier_gives_the_labels_of_its_levels() -> None:
    levels = torch.randint(0, 8, (200, 12), generator=torch.Generator().manual_seed(0))
    for kind in EXTREMAL:
        model = extremal_classifier(kind, (3, 2, 2), 3)
        with torch.inference_mode():
            said = model((levels.double() / 7).view(-1, 3, 2, 2)).argmax(1)
        assert torch.equal(said == 1, extremal_label(kind, levels, 3))


def test_one_value_touches_the_limit_of_lengths_for_deep_images() -> None:
    sizes = np.array([0.01, 0.1, 0.4])
    found = np.exp(extremal_survival("one value", 3072, 16, 2, sizes))
    np.testing.assert_allclose(found, 1 - 2 * sizes, atol=1e-4)


def test_unknown_norms_are_refused() -> None:
    with pytest.raises(ValueError, match="a norm out of"):
        extremal_size("sum", torch.zeros((1, 3), dtype=torch.int64), 1, 3.0)
