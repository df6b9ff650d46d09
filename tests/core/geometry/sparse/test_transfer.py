"""What transfers between models whose boundaries are known: all, nothing, or where the pixels may be anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.boundary.signed_margin import SignedMargin
from core.geometry.common.sampling import correct_rows
from core.geometry.sparse.transfer import CONDITIONS, CONTROLS, Transfer, cross_on_support, transfer
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.result import Result
from tests import truths

SHAPE = (1, 8, 8)


def one_pixel(row: int, column: int, sign: float = 1.0, dtype: torch.dtype = torch.float32) -> Classifier:
    """Class 1 where the pixel is bright (sign 1), or where it is dark; other pixels do not matter."""
    weight = torch.zeros((2, 8, 8), dtype=torch.float64)
    weight[1, row, column] = 4.0 * sign
    bias = torch.tensor([2.0, 0.0] if sign > 0 else [0.0, 2.0], dtype=torch.float64)
    return truths.classifier(truths.Affine(weight.flatten(1), bias), SHAPE, dtype)


def share(found: Transfer, condition: str) -> np.ndarray:
    return found.flipped[CONDITIONS.index(condition)]


def dark(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return 0.3 * truths.images(count, SHAPE, dtype=dtype)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_models_of_one_pixel_share_it_or_nothing(count: int, dtype: torch.dtype) -> None:
    models = [one_pixel(2, 3, dtype=dtype), one_pixel(2, 3, dtype=dtype), one_pixel(6, 1, dtype=dtype)]
    found = transfer(models, dark(count, dtype), steps=3)
    expected = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    for condition in ("change", "support"):
        np.testing.assert_array_equal(share(found, condition), expected)
        np.testing.assert_array_equal(found.same_target[CONDITIONS.index(condition)], expected)
    if count > 1:
        np.testing.assert_array_equal(share(found, "patch on another image"), expected)
        np.testing.assert_array_equal(found.count[CONDITIONS.index("patch on another image")], count)
    else:
        assert np.isnan(share(found, "patch on another image")).all()  # there is no other image
    np.testing.assert_array_equal(found.agreement, expected)
    np.testing.assert_allclose(found.agreement_chance, 1 / 64)
    for condition, controls in CONTROLS.items():
        for control in controls:
            known = found.flipped[control][:2, :2]
            assert (np.isnan(known) | (known <= found.flipped[condition][:2, :2])).all()
    assert (share(found, "support, shifted")[:2, :2] == 0).all()  # a shift is never 0
    assert (share(found, "change, shifted")[:2, :2] == 0).all()
    assert found.flipped_low[0, 0, 0] < 1 == found.flipped_high[0, 0, 0]


def test_where_any_pixel_will_do_the_controls_flip_as_often() -> None:
    """Class 1 from a sum of 20.9 on: of 64 pixels of 0.3, which sum to 19.2, any three will do at 1, but no two."""
    weight = torch.stack([torch.zeros(64), torch.ones(64)]).double()
    classifier = truths.classifier(truths.Affine(weight, torch.tensor([20.9, 0.0], dtype=torch.float64)), SHAPE)
    found = transfer([classifier], torch.full((5, *SHAPE), 0.3), steps=2)
    np.testing.assert_array_equal(found.pixels, 3)
    for condition in CONDITIONS:
        np.testing.assert_array_equal(share(found, condition), 1, err_msg=condition)


def test_a_bound_holds_for_painted_colours_too() -> None:
    models = [one_pixel(2, 3), one_pixel(2, 3)]
    images = torch.full((2, *SHAPE), 0.3)
    assert (share(transfer(models, images, bound=0.45, steps=2), "change") == 1).all()
    tight = transfer(models, images, bound=0.1, steps=2)
    assert np.isnan(tight.flipped).all()  # nothing was found to ask about
    assert (tight.count == 0).all()


def margin_of(weight: list[float], bias: float) -> SignedMargin:
    """F = bias - <weight, x> of class 0 over three pixels."""
    matrix = torch.tensor([[-each for each in weight], [0.0] * 3], dtype=torch.float64)
    module = truths.Affine(matrix, torch.tensor([bias, 0.0], dtype=torch.float64))
    return SignedMargin(truths.classifier(module, (1, 1, 3), torch.float64))


@pytest.mark.parametrize(("bias", "crosses"), [(1.45, True), (1.55, False)])
def test_colours_on_a_support_are_the_best_of_the_box(bias: float, crosses: bool) -> None:
    """At x = 1/2 with weights 2, -1, 5 and the last pixel fixed, <w, x> is 2 - 0 at the corner (1, 0) and 2.5 more."""
    margin = margin_of([2.0, -1.0, 5.0], bias + 3.0)
    images = torch.full((1, 1, 1, 3), 0.5, dtype=torch.float64)
    marks = torch.tensor([[[True, True, False]]])
    box = torch.zeros_like(images), torch.ones_like(images)
    reached = cross_on_support(margin, images, torch.tensor([0]), marks, box, 1)
    assert bool(reached[0] == 1) is crosses


def test_models_must_have_the_same_classes() -> None:
    other = truths.classifier(truths.NearestCentre(truths.images(3, SHAPE, dtype=torch.float32)), SHAPE)
    with pytest.raises(ValueError, match=r"expected models of the same classes, got \[2, 3\]"):
        transfer([one_pixel(2, 3), other], dark(1))
    with pytest.raises(ValueError, match="expected at least one step, got 0"):
        transfer([other], dark(1), steps=0)


def test_demo_models_transfer_more_than_controls_and_the_result_is_kept() -> None:
    models = [load_classifier(f"demo:photos/standard{seed}", "cpu") for seed in ("", "-1")]
    images = load_images("demo:photos")
    rows = correct_rows(models, images.pixels, images.labels.numpy(), 4, 0)
    told: list[float] = []
    found = transfer(models, images.pixels[rows], steps=5, on_progress=lambda part, partial=None: told.append(part))
    np.testing.assert_array_equal(share(found, "change").diagonal(), 1)  # what was found on a model flips it
    assert (share(found, "support") >= share(found, "support, shifted")).all()
    assert told == sorted(told)
    assert found.gradients > 0
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, Transfer)
    np.testing.assert_array_equal(again.flipped, found.flipped)
    assert list(again.models) == ["photos/standard", "photos/standard-1"]
