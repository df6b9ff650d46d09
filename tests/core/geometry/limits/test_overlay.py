"""Overlays: pixels are painted in the order of their difference, and the first flip is where a threshold says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.geometry.limits.overlay import overlay
from core.images.load import load_images
from core.models.load import load_classifier
from tests.truths import DTYPES, Affine, classifier


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 5])
def test_an_affine_classifier_flips_at_the_pixel_that_crosses(dtype: torch.dtype, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    second = torch.rand(count, 1, 5, 5, generator=generator)
    first = torch.zeros_like(second)
    level = 6.0
    model = classifier(
        Affine(torch.stack([-torch.ones(25), torch.ones(25)]), torch.tensor([level, -level])), (1, 5, 5), dtype
    )
    found = overlay(model, first, second, orders=3)
    total = np.sort(second.flatten(1).numpy(), axis=1)[:, ::-1].cumsum(1)
    expected = (total <= level).sum(1) + 1
    np.testing.assert_array_equal(found.needed()[:, 0], expected)
    np.testing.assert_array_equal(found.left(), found.needed())  # two classes
    assert (found.needed()[:, 1:] >= expected[:, None]).all()
    np.testing.assert_array_equal(
        np.sort(found.rank.reshape(count, 4, -1), axis=2)[..., :],
        np.arange(25)[None, None].repeat(count, 0).repeat(4, 1),
    )
    np.testing.assert_array_equal(found.painted(0, 25), found.second[0])
    np.testing.assert_array_equal(found.painted(0, 0), found.first[0])
    assert ((found.painted(0, 4) != 0).sum()) == 4
    assert found.forwards >= count * 4 * 26


def test_images_of_one_class_need_no_answer_and_fewer_steps_are_coarser() -> None:
    model = classifier(Affine(torch.zeros(2, 16), torch.tensor([1.0, 0.0])), (1, 4, 4))
    found = overlay(model, torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4), orders=0, steps=4)
    np.testing.assert_array_equal(found.pixels, [0, 4, 8, 12, 16])
    assert np.isnan(found.needed()).all()
    assert np.isnan(found.left()).all()


def test_a_demo_model_ends_with_the_second_image() -> None:
    images = load_images("demo:digits")
    model = load_classifier("demo:digits/standard", "cpu")
    found = overlay(model, images[[3]].pixels, images[[17]].pixels, orders=1, steps=64)
    assert found.side == 32
    np.testing.assert_array_equal(found.label[0, :, -1], found.label[0, 0, -1])
    assert (found.own[0, 0, 0] > 0.5) & (found.other[0, 0, -1] > 0.5)


def test_numbers_out_of_range_are_refused() -> None:
    model = classifier(Affine(torch.zeros(2, 16), torch.tensor([1.0, 0.0])), (1, 4, 4))
    with pytest.raises(ValueError, match="expected pairs of images"):
        overlay(model, torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4), steps=0)
