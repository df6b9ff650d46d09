"""Sigma-zero on planes, gates and plateaus."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.sparse.counted_margin import CountedMargin, SparseProblem, Unit
from core.geometry.sparse.sigma_zero import Descent, sigma_zero
from core.geometry.sparse.sparsefool import FOUND, NO_DIRECTION, NOT_REACHED, UNDEFINED
from tests import truths

KAPPA = 1e-4


def descend(module: nn.Module, images: Tensor, unit: Unit = "pixel", steps: int = 100, size: int = 5) -> Descent:
    counted = CountedMargin(truths.classifier(module, images.shape[1:], images.dtype), size)
    counted.open(images)
    problem = SparseProblem(counted, images, 0 * images, 0 * images + 1, KAPPA, unit)
    return sigma_zero(problem, torch.arange(len(images)), images, steps=steps, tick=lambda share: None)


def plane(shape: tuple[int, ...], images: Tensor, pixels: int) -> tuple[truths.Affine, Tensor]:
    """A plane and the fewest pixels of each image that cross it; so many for the first one."""
    weight = truths.unit(shape, 1)
    gain = (
        (weight.abs() * torch.where(weight > 0, 1 - images, images)).sum(1).flatten(1).sort(1, descending=True).values
    )
    across = images.flatten(1) @ weight.flatten()
    needed = gain[:, :pixels].sum(1) - gain[:, pixels - 1] / 2
    bias = needed[0] + across[0]
    module = truths.Affine(torch.stack([0 * weight.flatten(), weight.flatten()]), torch.stack([bias, 0 * bias]))
    return module, (gain.cumsum(1) < (bias - across + KAPPA)[:, None]).sum(1) + 1


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_plane_is_crossed_with_nearly_the_fewest_pixels(dtype: torch.dtype, size: int) -> None:
    shape = (3, 8, 8)
    images = 0.25 + truths.images(3, shape) / 2
    module, least = plane(shape, images, 4)
    found = descend(module, images.to(dtype), size=size)
    assert (found.status == FOUND).all()
    changed = (found.adversarial != images.to(dtype)).any(1).flatten(1).sum(1)
    assert (changed >= least).all()
    assert (changed <= least + 1 + least // 4).all()
    with torch.no_grad():
        logits = module.double()(found.adversarial.double())
    assert (logits[:, 1] - logits[:, 0] > KAPPA).all()
    assert ((found.adversarial >= 0) & (found.adversarial <= 1)).all()


class OnePixel(nn.Module):
    """Class 1 where the mean of one pixel's channels passes 0.6."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        value = images.mean(1).flatten(1)[:, 5] - 0.6
        return self.scale * torch.stack([-value, value], 1)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e4])
def test_one_pixel_is_found_whatever_the_scale_of_the_logits(scale: float) -> None:
    images = truths.images(3, (3, 4, 4)) / 4
    found = descend(OnePixel(scale), images)
    support = (found.adversarial != images).any(1).flatten(1)
    assert [row.nonzero()[:, 0].tolist() for row in support] == [[5]] * 3
    assert (found.steps < 100).all()  # one pixel is the fewest there can be


def test_entries_are_counted_one_by_one() -> None:
    """With any two of three channels at 1 the mean passes .6: the one with the least room is left as it is."""
    images = torch.tensor([0.3, 0.25, 0.2], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    found = descend(OnePixel(), images, "entry")
    assert int((found.adversarial != images).sum()) == 2
    assert int((descend(OnePixel(), images, "pixel").adversarial != images).sum()) == 3


class Odd(nn.Module):
    """Flat where pixel 0 is 0, too high a wall where it is 0.2, and no logits once it moves away from 0.4."""

    def forward(self, images: Tensor) -> Tensor:
        first, rest = images.flatten(1)[:, 0], images.flatten(1)[:, 1:].sum(1)
        margin = torch.where(first < 0.1, 1 + 0 * rest, 9 - rest + 0 * first)
        margin = torch.where((first > 0.3) & (rest > 0.5), torch.nan, margin)
        return torch.stack([margin, torch.zeros_like(margin)], 1)


def test_what_is_not_found_is_said_and_the_image_left() -> None:
    images = torch.zeros(3, 1, 1, 4, dtype=torch.float64)
    images[1, ..., 0], images[2, ..., 0] = 0.2, 0.4
    found = descend(Odd(), images, steps=20)
    assert found.status.tolist() == [NO_DIRECTION, NOT_REACHED, UNDEFINED]
    assert torch.equal(found.adversarial, images)
    np.testing.assert_array_equal(found.steps[:2], [1, 20])
