"""A classifier is one function of images, and its fingerprint names that function."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

from core.classifier import Classifier
from core.errors import ImageError
from tests import truths

SHAPE = (3, 8, 8)


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 5)
    )


def test_the_callers_module_is_left_alone() -> None:
    module = net().train()
    classifier = Classifier(module, SHAPE, device="cpu")
    assert module.training
    assert module[2].inplace
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not any(part.training for part in classifier.module.modules())
    assert not any(parameter.requires_grad for parameter in classifier.module.parameters())
    with torch.no_grad():
        module[5].bias.add_(1)
    assert not torch.equal(classifier.module[5].bias, module[5].bias)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_normalisation_happens_inside(dtype: torch.dtype) -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    classifier = Classifier(net().to(dtype), SHAPE, mean=mean, std=std, device="cpu")
    images = truths.images(5, SHAPE, dtype=dtype)
    by_hand = (images - torch.tensor(mean, dtype=dtype).view(3, 1, 1)) / torch.tensor(std, dtype=dtype).view(3, 1, 1)
    torch.testing.assert_close(classifier(images), net().to(dtype).eval()(by_hand))
    assert classifier.dtype == dtype


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_along_a_patch_equals_the_images_that_lie_there(batch: int, dtype: torch.dtype) -> None:
    classifier = Classifier(net().to(dtype), SHAPE, mean=(0.5,) * 3, std=(0.2,) * 3, device="cpu")
    origin, axes = truths.images(1, SHAPE)[0], truths.images(2, SHAPE, seed=1)
    coordinates = torch.randn((batch, 2), generator=torch.Generator().manual_seed(2), dtype=dtype)
    images = origin + torch.einsum("na,achw->nchw", coordinates.double(), axes)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    expected = classifier(images.to(dtype))
    torch.testing.assert_close(classifier.along(origin, axes)(coordinates), expected, atol=tolerance, rtol=tolerance)


def test_gradients_reach_the_images() -> None:
    classifier = Classifier(net(), SHAPE, device="cpu")
    images = truths.images(2, SHAPE, dtype=torch.float32).requires_grad_()
    (gradient,) = torch.autograd.grad(classifier(images)[:, 0].sum(), images)
    assert gradient.abs().sum() > 0


def test_predictions_are_probabilities_and_nan_logits_are_said_to_be() -> None:
    classifier = truths.classifier(truths.Affine(torch.ones(2, 192), torch.tensor([0.0, 1.0])), SHAPE)
    predictions = classifier.predict(truths.images(3, SHAPE))
    np.testing.assert_allclose(predictions.probabilities.sum(1), 1)
    assert predictions.label.tolist() == [1, 1, 1]
    np.testing.assert_allclose(predictions.confidence, 1 / (1 + np.exp(-1)), rtol=1e-5)
    broken = truths.classifier(truths.Affine(torch.full((2, 192), torch.nan), torch.zeros(2)), SHAPE)
    predictions = broken.predict(truths.images(1, SHAPE))
    assert predictions.label.tolist() == [-1]
    assert np.isnan(predictions.confidence).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 9, 8), "expected images of n x 3 x 8 x 8 for Sequential, got 1 x 3 x 9 x 8"),
        (torch.zeros(3, 8, 8), "got 3 x 8 x 8"),
        (torch.full((1, 3, 8, 8), torch.nan), "expected finite pixel values"),
    ],
)
def test_images_are_checked_at_the_door(images: torch.Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Classifier(net(), SHAPE, device="cpu").accept(images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": ("a", "b")}, "expected 5 class names"),
        ({"mean": (0.5,)}, "expected 3 values of mean"),
        ({"std": (0.5, 0.0, 0.5)}, "expected a positive std"),
        ({"input_shape": (8, 8)}, "expected an input shape"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier(**{"module": net(), "input_shape": SHAPE, "device": "cpu", **change})  # type: ignore[arg-type]


def test_what_is_no_classifier_is_refused() -> None:
    with pytest.raises(ValueError, match="is it a classifier"):
        Classifier(nn.Identity(), SHAPE, device="cpu")


# -- fingerprint ------------------------------------------------------------------------------------------------------


def fingerprint(module: nn.Module, **settings: object) -> str:
    return Classifier(module, SHAPE, device="cpu", **settings).fingerprint  # type: ignore[arg-type]


def test_equal_functions_have_equal_fingerprints() -> None:
    assert fingerprint(net()) == fingerprint(net())
    assert fingerprint(net(), name="another") == fingerprint(net(), name="name")  # a name is no part of the function


def test_whatever_changes_the_function_changes_the_fingerprint() -> None:
    changed_buffer = net()
    changed_buffer[1].running_mean.add_(0.1)
    changed_stride = net()
    changed_stride[0].stride = (2, 2)
    changed_order = nn.Sequential(*reversed([nn.ReLU(), nn.Tanh()]), nn.Flatten(), nn.LazyLinear(2))
    changed_order(torch.zeros(1, *SHAPE))
    prints = [
        fingerprint(net()),
        fingerprint(net(1)),
        fingerprint(changed_buffer),
        fingerprint(net(), mean=(0.1,) * 3),
        fingerprint(net(), std=(0.1,) * 3),
        fingerprint(truths.Ball(truths.images(1, SHAPE)[0], 5.0)),
        fingerprint(truths.Ball(truths.images(1, SHAPE)[0], 6.0)),
        fingerprint(changed_order),
    ]
    assert all(prints)
    assert len(set(prints)) == len(prints)


class Closure(nn.Module):
    """A module whose function hangs on an attribute."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        value = images.flatten(1).sum(1)
        return torch.stack([value, -value], 1)


def times(factor: float) -> object:
    def multiply(value: torch.Tensor) -> torch.Tensor:
        return factor * value

    return multiply


def test_functions_count_with_what_they_close_over() -> None:
    assert fingerprint(Closure(times(2.0))) == fingerprint(Closure(times(2.0)))
    assert fingerprint(Closure(times(2.0))) != fingerprint(Closure(times(3.0)))
    assert fingerprint(Closure(torch.relu)) != fingerprint(Closure(torch.tanh))
    assert fingerprint(Closure([1, 2.0, {"a": (3,)}])) != fingerprint(Closure([1, 2.0, {"a": (4,)}]))


def test_what_cannot_be_hashed_has_no_fingerprint() -> None:
    assert fingerprint(Closure(functools.partial(times, 2.0))) == ""
    assert fingerprint(Closure(object())) == ""


def test_a_copy_in_float64_is_another_function() -> None:
    classifier = Classifier(net(), SHAPE, mean=(0.5,) * 3, std=(0.2,) * 3, device="cpu")
    double = classifier.to(dtype=torch.float64)
    assert double.fingerprint != classifier.fingerprint
    assert classifier.dtype == torch.float32
    images = truths.images(2, SHAPE)
    torch.testing.assert_close(double(images).float(), classifier(images.float()))
