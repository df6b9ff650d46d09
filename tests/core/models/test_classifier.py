"""A classifier is one function of images, and its fingerprint names that function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.errors import ImageError
from core.geometry.boundary.deepfool import boundary_points
from core.geometry.curvature.profile import curvature_profile
from core.models.classifier import Classifier
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
def test_logits_along_a_patch_equal_those_of_its_images(batch: int, dtype: torch.dtype) -> None:
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


def test_predictions_are_probabilities_and_nan_logits_are_marked() -> None:
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
def test_images_are_checked_on_entry(images: torch.Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Classifier(net(), SHAPE, device="cpu").accept(images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": ("a", "b")}, "expected 5 class names"),
        ({"mean": (0.5,)}, "expected 3 finite numbers of mean"),
        ({"mean": 0.5}, "expected 3 finite numbers of mean, one per channel, got 0.5; give them"),
        ({"std": ((0.5, 0.5, 0.5),)}, "expected 3 finite numbers of std"),
        ({"std": ([0.5], 0.5, 0.5)}, "expected 3 finite numbers of std"),
        ({"std": (0.5, 0.0, 0.5)}, "expected a mean, and a positive std"),
        ({"std": (0.5, -0.2, 0.5)}, "expected a mean, and a positive std"),
        ({"std": (np.nan, 0.5, 0.5)}, "expected 3 finite numbers of std"),
        ({"mean": (np.inf, 0.5, 0.5)}, "expected 3 finite numbers of mean"),
        ({"mean": (0.5, 0.5, -np.inf)}, "expected 3 finite numbers of mean"),
        ({"mean": (0.5, 1e300, 0.5)}, "within the range of float32, got mean"),
        ({"std": (0.5, 1e300, 0.5)}, "within the range of float32"),
        ({"std": (0.5, 1e-300, 0.5)}, "within the range of float32"),
        ({"mean": (10**400, 0.5, 0.5)}, "expected 3 finite numbers of mean"),
        ({"mean": (0.5, 0.5 + 1j, 0.5)}, "expected 3 finite numbers of mean"),
        ({"mean": ("0.5", "0.5", "0.5")}, "expected 3 finite numbers of mean"),
        ({"mean": "555"}, "expected 3 finite numbers of mean"),
        ({"mean": (None, None, None)}, "expected 3 finite numbers of mean"),
        ({"mean": (True, False, True)}, "expected 3 finite numbers of mean"),
        ({"input_shape": (8, 8)}, "expected an input shape"),
    ],
)
def test_inconsistent_arguments_are_refused_in_one_sentence(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        made(**change)
    assert "\n" not in str(refused.value)


def made(**settings: object) -> Classifier:
    """A classifier of whatever comes from outside: the checks of types are not asked."""
    classifier = object.__new__(Classifier)
    fill: Any = getattr(Classifier.__init__, "__wrapped__", Classifier.__init__)
    fill(classifier, **{"module": net(), "input_shape": SHAPE, "device": "cpu", **settings})
    return classifier


@pytest.mark.parametrize(
    "statistic", [np.array([0.1, 0.2, 0.3]), [np.float32(0.1), 0.2, 0.3], torch.tensor([0.1, 0.2, 0.3])]
)
def test_statistics_may_be_arrays_of_any_library(statistic: object) -> None:
    assert made(mean=statistic).mean == pytest.approx((0.1, 0.2, 0.3))


def test_statistics_beyond_the_range_of_the_dtype_are_refused() -> None:
    classifier = Classifier(net().double(), SHAPE, std=(1e-300,) * 3, device="cpu")
    with pytest.raises(ValueError, match="within the range of float32"):
        classifier.to(dtype=torch.float32)


def test_a_module_that_is_not_a_classifier_is_refused() -> None:
    with pytest.raises(ValueError, match="is it a classifier"):
        Classifier(nn.Identity(), SHAPE, device="cpu")


# -- how images lie in memory ------------------------------------------------------------------------------------------


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_an_axis_of_length_one_may_be_reversed(axis: int) -> None:
    shape = (1, 8, 8)
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), shape, device="cpu")
    turned = np.flip(truths.images(1, shape, dtype=torch.float32).numpy(), axis)
    np.testing.assert_array_equal(
        classifier.predict(turned).probabilities, classifier.predict(turned.copy()).probabilities
    )


@pytest.mark.parametrize(
    "laid",
    [
        lambda a: a[:, :, ::-1][:, :, ::-1],  # negative strides twice
        lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
        lambda a: a.astype(">f4"),
        lambda a: a.astype(">f8"),
        lambda a: a.astype("<f8"),
        lambda a: a.astype(np.longdouble),
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        lambda a: np.repeat(a, 2, axis=3)[..., ::2],
        lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),  # unaligned
        read_only,
        lambda a: torch.from_numpy(a).flip(2).flip(2).to(memory_format=torch.channels_last),
        lambda a: torch.from_numpy(a).requires_grad_(),
    ],
)
def test_images_may_have_any_memory_layout(laid: Callable[[np.ndarray], Any]) -> None:
    classifier = Classifier(net(), SHAPE, device="cpu")
    pixels = truths.images(3, SHAPE, dtype=torch.float32).numpy()
    expected = classifier.predict(pixels)
    given = laid(pixels)
    np.testing.assert_array_equal(classifier.accept(given).numpy(), pixels)
    np.testing.assert_allclose(classifier.predict(given).probabilities, expected.probabilities, rtol=1e-5)


def test_an_expanded_view_is_accepted() -> None:
    classifier = Classifier(net(), SHAPE, device="cpu")
    one = truths.images(1, SHAPE, dtype=torch.float32)
    expected = classifier.predict(one.repeat(3, 1, 1, 1)).probabilities
    for given in (one.expand(3, -1, -1, -1), np.broadcast_to(one.numpy(), (3, *SHAPE))):
        np.testing.assert_allclose(classifier.predict(given).probabilities, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, *SHAPE), np.uint8), "got uint8; divide them by 255"),
        (np.zeros((1, *SHAPE), ">i2"), "got >i2; convert them"),
        (torch.zeros((1, *SHAPE), dtype=torch.uint8), "got uint8; divide them by 255"),
        (np.zeros((1, *SHAPE), bool), "got bool; convert them"),
        (np.zeros((1, *SHAPE), complex), "got complex128; convert them"),
        (torch.zeros((1, *SHAPE), dtype=torch.complex64), "got complex64; convert them"),
        (np.full((1, *SHAPE), None), "got object; convert them"),
        (np.full((1, *SHAPE), "0.5"), "got <U3; convert them"),
        (torch.zeros(1, *SHAPE).to_sparse(), "got sparse_coo; convert them"),
        (np.full((1, *SHAPE), 1e300), "expected finite pixel values"),
        (np.zeros((0, 3, 9, 9), np.float32), "got 0 x 3 x 9 x 9"),
    ],
)
def test_invalid_images_are_refused_in_one_sentence(images: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Classifier(net(), SHAPE, device="cpu").predict(images)


# -- modules that write into what they are given ----------------------------------------------------------------------

MEAN, STD = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)


class Writes(nn.Module):
    """A smooth network behind steps that may write into the images."""

    def __init__(self, steps: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.steps, self.net = steps, nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(144, 5))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(self.steps(images))
        return logits


def through_a_view(images: Tensor) -> Tensor:
    for channel in range(3):
        images[:, channel].mul_(2)
    images[:, 0, 2:5].zero_()
    return images


def out_of_a_view(images: Tensor) -> Tensor:
    images = images * 2
    keep = torch.ones_like(images)
    keep[:, 0, 2:5] = 0
    return images * keep


def through_a_list(images: Tensor) -> Tensor:
    held = [images]
    held[0] *= 3
    return images


def only_where_bright(images: Tensor) -> Tensor:
    return images.div_(2) if images.max() > 0.9 else images


WRITES = [
    (lambda x: x.sub_(MEAN).div_(STD), lambda x: (x - MEAN) / STD),
    (lambda x: nn.functional.relu(x.sub_(0.5), inplace=True), lambda x: (x - 0.5).relu()),
    (through_a_view, out_of_a_view),
    (through_a_list, lambda x: 3 * x),
]


@pytest.mark.parametrize(("writes", "reads"), WRITES)
@pytest.mark.parametrize("mean", [None, (0.1, 0.2, 0.3)])
def test_a_module_that_writes_into_its_input_is_the_same_function(
    writes: Callable[[Tensor], Tensor], reads: Callable[[Tensor], Tensor], mean: tuple[float, ...] | None
) -> None:
    written, read = (Classifier(Writes(steps), SHAPE, mean=mean, device="cpu") for steps in (writes, reads))
    images = truths.images(3, SHAPE, dtype=torch.float32)
    kept = images.clone()
    np.testing.assert_allclose(written.predict(images).probabilities, read.predict(images).probabilities, rtol=1e-5)
    at, way = images.clone().requires_grad_(), truths.images(3, SHAPE, seed=1, dtype=torch.float32)
    gradients, products, forwards, each, along = [], [], [], [], []
    for classifier in (written, read):
        (gradient,) = torch.autograd.grad(classifier(at)[:, 0].sum(), at, create_graph=True)
        gradients.append(gradient.detach())
        products.append(torch.autograd.grad((gradient * way).sum(), at)[0])
        forwards.append(torch.func.jvp(classifier, (images,), (way,))[1])
        each.append(torch.func.vmap(lambda image, asked=classifier: asked(image[None])[0])(images))
        along.append(classifier.along(images[0], way[:2])(torch.tensor([[0.0, 0.0], [0.3, -0.2]])))
    for mine, expected in (gradients, products, forwards, each, along):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(images, kept)


def test_a_module_that_writes_into_some_images_is_the_same_function() -> None:
    images = truths.images(2, SHAPE, dtype=torch.float32)
    kept, at = images.clone(), images.clone().requires_grad_()
    assert images.max() > 0.9
    classifier = Classifier(Writes(only_where_bright), SHAPE, device="cpu")
    torch.autograd.grad(classifier(at).sum(), at)
    assert classifier.predict(images).label.tolist() == classifier.predict(images).label.tolist()
    assert torch.equal(images, kept)


@pytest.mark.parametrize(("writes", "reads"), WRITES)
def test_boundary_points_of_a_module_that_writes_into_its_input(
    writes: Callable[[Tensor], Tensor], reads: Callable[[Tensor], Tensor]
) -> None:
    images = truths.images(2, SHAPE, dtype=torch.float32)
    found = [boundary_points(Classifier(Writes(steps), SHAPE, device="cpu"), images) for steps in (writes, reads)]
    np.testing.assert_allclose(found[0].distance, found[1].distance, rtol=1e-4)
    profiles = [curvature_profile(Classifier(Writes(steps), SHAPE, device="cpu"), images) for steps in (writes, reads)]
    np.testing.assert_allclose(profiles[0].curvatures, profiles[1].curvatures, rtol=1e-3, atol=1e-4)


# -- fingerprint ------------------------------------------------------------------------------------------------------


def fingerprint(module: nn.Module, **settings: object) -> str:
    return Classifier(module, SHAPE, device="cpu", **settings).fingerprint  # type: ignore[arg-type]


def test_equal_functions_have_equal_fingerprints() -> None:
    assert fingerprint(net()) == fingerprint(net())
    assert fingerprint(net(), name="another") == fingerprint(net(), name="name")  # a name is no part of the function


def test_any_change_of_the_function_changes_the_fingerprint() -> None:
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


def test_fingerprints_include_closures() -> None:
    assert fingerprint(Closure(times(2.0))) == fingerprint(Closure(times(2.0)))
    assert fingerprint(Closure(times(2.0))) != fingerprint(Closure(times(3.0)))
    assert fingerprint(Closure(torch.relu)) != fingerprint(Closure(torch.tanh))
    assert fingerprint(Closure([1, 2.0, {"a": (3,)}])) != fingerprint(Closure([1, 2.0, {"a": (4,)}]))


def test_a_module_that_cannot_be_hashed_has_no_fingerprint() -> None:
    assert fingerprint(Closure(functools.partial(times, 2.0))) == ""
    assert fingerprint(Closure(object())) == ""


def test_a_copy_in_float64_is_another_function() -> None:
    classifier = Classifier(net(), SHAPE, mean=(0.5,) * 3, std=(0.2,) * 3, device="cpu")
    double = classifier.to(dtype=torch.float64)
    assert double.fingerprint != classifier.fingerprint
    assert classifier.dtype == torch.float32
    images = truths.images(2, SHAPE)
    torch.testing.assert_close(double(images).float(), classifier(images.float()))
