"""All second derivatives at once: those of the products, for any plain convolutions and any rows together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from core.geometry.hessian import dense as module
from core.geometry.hessian.dense import hessian_matrix, symmetrise
from core.geometry.hessian.products import Backend, HessianProducts
from core.models.classifier import Classifier
from core.models.load import load_classifier
from tests import curved, truths
from tests.core.geometry.hessian.test_sequential import CHAINS, Squared, made, products

SHAPE = (2, 7, 6)


def pixel_products(ours: HessianProducts) -> Tensor:
    """By one product for each pixel."""
    return ours(torch.eye(ours.shape[1], dtype=ours.dtype)[None])[0]


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("together", [1, 24, 1000])
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_run_by_rows_gives_the_whole_matrix(
    name: str, together: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOGETHER", together)
    monkeypatch.setattr(HessianProducts, "width", 12)
    ours = products(made(name, dtype), 1)
    told: list[float] = []
    matrix, skew = hessian_matrix(ours, told.append)
    expected = curved.second_derivatives(ours)[0]
    slack = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    np.testing.assert_allclose(matrix, expected, atol=slack * max(1.0, float(expected.abs().max())))
    assert torch.equal(matrix, matrix.T)
    assert skew < slack
    assert told == sorted(told)
    assert all(0 <= part < 1 for part in told)
    assert ours.cost.products >= 72


@st.composite
def convolutions(draw: st.DrawFn) -> nn.Sequential:
    """Two of them, of any kernel, stride, padding and dilation that leave something of the image."""
    layers: list[nn.Module] = []
    channels, height, width = SHAPE
    for _ in range(2):
        kernel, dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), draw(st.integers(1, 2))
        padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
        reach = [dilation * (each - 1) + 1 for each in kernel]
        room = [size + 2 * each - own for size, each, own in zip((height, width), padding, reach, strict=True)]
        if min(room) < 0:
            break
        stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
        groups = draw(st.sampled_from([1, channels]))
        layers += [nn.Conv2d(channels, 4, kernel, stride, padding, dilation, groups), nn.SiLU()]
        channels, (height, width) = 4, (free // step + 1 for free, step in zip(room, stride, strict=True))
    return nn.Sequential(*layers, nn.SiLU(), nn.Flatten(), nn.Linear(channels * height * width, 3)).double()


@given(convolutions(), st.integers(1, 90))
def test_any_convolutions_take_the_rows_they_reach(network: nn.Sequential, together: int) -> None:
    torch.manual_seed(0)
    for each in network.parameters():
        nn.init.normal_(each, std=0.5)
    zero = torch.zeros(1, dtype=torch.int64)
    ours = HessianProducts(
        Classifier(network, SHAPE), truths.images(1, SHAPE).double(), zero, zero + 1, backend="double backward"
    )
    assert ours.tape is not None
    expected = pixel_products(ours)
    matrix = torch.empty((84, 84), dtype=torch.float64)
    module._by_rows(ours.tape, matrix, together, lambda part: None)
    np.testing.assert_allclose(matrix, expected, atol=1e-11 * max(1.0, float(expected.abs().max())))


@pytest.mark.parametrize("backend", ["double backward", "forward over reverse", "linearize"])
def test_other_networks_and_ways_take_one_product_for_each_pixel(backend: Backend) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(Squared(), nn.Flatten(), nn.Linear(84, 5), nn.SiLU(), nn.Linear(5, 3)).double()
    zero = torch.zeros(1, dtype=torch.int64)
    ours = HessianProducts(
        Classifier(network, SHAPE), truths.images(1, SHAPE).double(), zero, zero + 1, backend=backend
    )
    memory = torch.full((84 * 84 + 3,), torch.nan, dtype=torch.float64)
    matrix, skew = hessian_matrix(ours, memory=memory)
    assert ours.tape is None
    assert ours.cost.products == 84
    np.testing.assert_allclose(matrix, curved.second_derivatives(ours)[0], atol=1e-12)
    assert matrix.data_ptr() == memory.data_ptr()
    assert skew < 1e-12


def test_a_demo_model_gives_the_products_of_its_pixels() -> None:
    classifier = load_classifier("demo:digits/standard")
    point = truths.images(1, classifier.input_shape)
    ours = HessianProducts(classifier, point, torch.tensor([3]), torch.tensor([5]), backend="double backward")
    matrix, skew = hessian_matrix(ours)
    expected = pixel_products(ours)
    np.testing.assert_allclose(matrix, expected, atol=1e-5 * float(expected.abs().max()))
    assert 0 < skew < 1e-5


def test_autocast_around_it_changes_nothing() -> None:
    expected, _ = hessian_matrix(products(made("convolutions", torch.float32), 1))
    ours = products(made("convolutions", torch.float32), 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gradient = ours.gradient()  # which makes the tape
        matrix, _ = hessian_matrix(ours)
    assert torch.equal(matrix, expected)
    assert torch.equal(gradient, ours.gradient())
    assert gradient.dtype == torch.float32


def test_what_is_not_a_number_is_said() -> None:
    ours = products(made("convolutions"), 1)
    tape = ours.tape
    assert tape is not None
    next(iter(tape.bends.values())).fill_(torch.nan)
    assert np.isnan(hessian_matrix(ours)[1])


@pytest.mark.parametrize("size", [1, 5, 256, 300])
def test_a_matrix_is_made_symmetric_in_place(size: int) -> None:
    matrix = torch.randn((size, size), generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    even, odd = (matrix + matrix.T) / 2, (matrix - matrix.T) / 2
    skew = symmetrise(matrix)
    np.testing.assert_allclose(matrix, even, atol=1e-14)
    assert torch.equal(matrix, matrix.T)
    assert skew == pytest.approx(float(odd.norm() / even.norm()), abs=1e-14)


def test_no_matrix_at_all_is_symmetric() -> None:
    assert symmetrise(torch.zeros((4, 4))) == 0
