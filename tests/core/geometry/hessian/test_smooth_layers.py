"""Layers for running backwards twice against torch's own, to the second order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from core.geometry.hessian.smooth_layers import (
    LinearConvolution,
    TwiceDifferentiable,
    eased,
    gelu,
    sigmoid,
    silu,
    spread,
    tanh,
    transpose,
)
from core.models.load import load_classifier
from tests import truths

ACTIVATIONS = ((nn.SiLU(), silu), (nn.GELU(), gelu), (nn.Tanh(), tanh), (nn.Sigmoid(), sigmoid))


@pytest.mark.parametrize(("module", "derivatives"), ACTIVATIONS)
def test_values_slopes_and_bends_are_torchs(module: nn.Module, derivatives: object) -> None:
    values = torch.linspace(-6, 6, 61, dtype=torch.float64).requires_grad_()
    rows = torch.linspace(-1, 2, 61, dtype=torch.float64)
    found = []
    for activation in (module, TwiceDifferentiable(derivatives)):  # type: ignore[arg-type]
        weights = rows.clone().requires_grad_()
        value = activation(values)
        (slope,) = torch.autograd.grad((weights * value).sum(), values, create_graph=True)
        found.append((value.detach(), slope.detach(), *torch.autograd.grad((slope * rows).sum(), (values, weights))))
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_networks_keep_their_function_and_their_second_derivative(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    convolutions = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 6, 2, dilation=1, groups=2, bias=False)
    module = nn.Sequential(
        convolutions[0],
        nn.GELU(),
        convolutions[1],
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.SiLU(),
        nn.Linear(5, 2),
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    classifier = truths.classifier(module, (1, 4, 4), dtype)
    lighter = eased(classifier)
    assert sum(isinstance(part, TwiceDifferentiable) for part in lighter.module.modules()) == 3
    assert sum(isinstance(part, LinearConvolution) for part in lighter.module.modules()) == 2
    assert not any(isinstance(part, TwiceDifferentiable) for part in classifier.module.modules())
    vectors = truths.images(3, (1, 4, 4), seed=1).to(dtype)
    found: list[Tensor] = []
    for each in (classifier, lighter):
        images = truths.images(3, (1, 4, 4)).to(dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(each(images)[:, 0].sum(), images, create_graph=True)
        found.append(torch.autograd.grad(gradient, images, vectors)[0])
    np.testing.assert_allclose(found[1], found[0], rtol={torch.float32: 1e-3, torch.float64: 1e-10}[dtype], atol=1e-5)
    assert eased(classifier) is lighter


def test_what_has_no_known_activation_is_returned_as_it_is() -> None:
    affine = truths.classifier(truths.Affine(torch.eye(2, 4), torch.zeros(2)), (1, 2, 2))
    assert eased(affine) is affine
    hooked = truths.classifier(nn.Sequential(nn.Flatten(), nn.Tanh()), (1, 2, 2))
    hooked.module[1].register_forward_hook(lambda module, images, result: 2 * result)  # type: ignore[index]
    assert eased(hooked) is hooked
    demo = load_classifier("demo:photos/standard", "cpu")
    assert not any(isinstance(part, nn.SiLU) for part in eased(demo).module.modules())


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.integers(1, 5),
    st.sampled_from([1, 16, 20]),
)
def test_the_transpose_of_a_convolution_is_torchs(
    sizes: tuple[int, int, int], padding: tuple[int, int], stride: int, images: int
) -> None:
    channels, *kernel = sizes
    convolution = nn.Conv2d(channels, 2, (kernel[0], kernel[1]), stride, padding, bias=False).double()
    image = torch.randn((images, channels, 9, 7), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image.requires_grad_()
    there = convolution(image)
    gradient = torch.randn(there.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (expected,) = torch.autograd.grad(there, image, gradient)
    with torch.no_grad():
        np.testing.assert_allclose(transpose(gradient, convolution, image.shape), expected, atol=1e-12)


def test_many_images_of_few_channels_are_spread_by_a_plain_convolution() -> None:
    few, many = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(5, 8, 3, 2, 1)
    assert spread(torch.zeros(16, 8, 4, 4), few) is not None
    assert spread(torch.zeros(15, 8, 4, 4), few) is None
    assert spread(torch.zeros(16, 8, 4, 4), many) is None
    for other in (nn.Conv2d(3, 8, 3), nn.Conv2d(3, 9, 3, 2, groups=3), nn.Conv2d(3, 8, 3, 2, dilation=2)):
        assert spread(torch.zeros(16, other.out_channels, 4, 4), other) is None
    assert spread(torch.zeros(16, 8, 4, 4), nn.Conv2d(3, 8, 3, (2, 1))) is None
