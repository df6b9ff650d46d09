"""Compiled passes against torch's operations, which images with gradients go through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.geometry.corruptions import primitives_compiled
from core.geometry.corruptions.primitives import (
    Colour,
    Spectral,
    _compression,
    draw_colour,
    draw_spatial,
    draw_spectral,
)
from tests import truths

SHAPES = ((1, 1, 1), (3, 7, 5), (1, 32, 32), (2, 1, 9))
EXACT = {torch.float32: 2e-6, torch.float64: 1e-12}


def by_torch(primitive: Spectral | Colour, images: torch.Tensor) -> torch.Tensor:
    """The same without compiled passes."""
    return primitive(images.clone().requires_grad_()).detach()


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 5])
def test_filters(size: int, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    images = truths.images(6, shape).to(dtype)
    filters = draw_spectral(6, torch.Generator().manual_seed(size), size=size)
    found = filters(images)
    np.testing.assert_allclose(found, by_torch(filters, images), atol=10 * EXACT[dtype])
    assert found.dtype == dtype


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_curves(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    images = truths.images(6, shape).to(dtype)
    images[0], images[1] = 0.0, 1.0
    curves = draw_colour(6, shape[0], torch.Generator().manual_seed(3), strength=0.3)
    found = curves(images)
    np.testing.assert_allclose(found, by_torch(curves, images), atol=EXACT[dtype])
    assert torch.equal(found[:2], images[:2])  # 0 and 1 stay


def test_a_view_of_images_will_do() -> None:
    images = truths.images(4, (3, 8, 8)).to(memory_format=torch.channels_last)[::2]
    for primitive in (draw_spectral(2, torch.Generator()), draw_colour(2, 3, torch.Generator())):
        before = images.clone()
        np.testing.assert_allclose(primitive(images), by_torch(primitive, images), atol=2e-5)
        assert torch.equal(images, before)


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_values_that_are_no_pixels_read_nothing_beyond_a_table(values: list[float]) -> None:
    images = np.array(values, np.float32)[None, None]
    table = np.linspace(0, 0.5, 6, dtype=np.float32)[None, None]
    found = primitives_compiled.curved(images, table)
    assert ((found >= 0) & (found <= 1)).all()


def test_folds() -> None:
    field = draw_spatial(5, (9, 12), torch.Generator().manual_seed(0), invertible=False).field
    meta = field.double()
    down, across = meta.diff(dim=2).unbind(1), meta.diff(dim=3).unbind(1)
    largest = torch.zeros(5, dtype=torch.float64)
    for side in (slice(None, -1), slice(1, None)):
        gradient = torch.stack(
            [
                torch.stack([down[0][..., side], across[0][:, side]], -1),
                torch.stack([down[1][..., side], across[1][:, side]], -1),
            ],
            -2,
        )
        largest = largest.maximum(torch.linalg.eigvals(gradient).real.flatten(1).amax(1))
    np.testing.assert_allclose(_compression(field), largest.clamp(min=0), rtol=1e-4)
