"""All second derivatives at once: those of the products, made symmetric."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from core.geometry.hessian.dense import hessian_matrix, symmetrise
from core.geometry.hessian.products import Backend, HessianProducts
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.runtime.cost import Cost
from tests import curved, truths

SHAPE = (2, 7, 6)


def products(dtype: torch.dtype = torch.float64, backend: Backend = "double backward") -> HessianProducts:
    """Of a small network with a batch norm, at one point."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(84, 5), nn.SiLU(), nn.Linear(5, 3)).to(dtype)
    zero = torch.zeros(1, dtype=torch.int64)
    return HessianProducts(
        Classifier(network, SHAPE), truths.images(1, SHAPE).to(dtype), zero, zero + 1, backend=backend
    )


@pytest.mark.parametrize("backend", ["double backward", "forward over reverse", "linearize"])
def test_a_column_is_the_product_with_a_pixel(backend: Backend, monkeypatch: pytest.MonkeyPatch, cost: Cost) -> None:
    monkeypatch.setattr(HessianProducts, "width", 12)
    ours = products(backend=backend)
    memory = torch.full((84 * 84 + 3,), torch.nan, dtype=torch.float64)
    told: list[float] = []
    matrix, asymmetry_ratio = hessian_matrix(ours, told.append, memory)
    assert cost.products == 84
    np.testing.assert_allclose(matrix, curved.second_derivatives(ours)[0], atol=1e-12)
    assert torch.equal(matrix, matrix.T)
    assert matrix.data_ptr() == memory.data_ptr()
    assert asymmetry_ratio < 1e-12
    assert told == [start / 84 for start in range(0, 84, 12)]


def test_a_demo_model_gives_the_products_of_its_pixels() -> None:
    classifier = load_classifier("demo:digits/standard")
    point = truths.images(1, classifier.input_shape)
    ours = HessianProducts(classifier, point, torch.tensor([3]), torch.tensor([5]), backend="double backward")
    matrix, asymmetry_ratio = hessian_matrix(ours)
    expected = curved.second_derivatives(ours)[0]
    np.testing.assert_allclose(matrix, expected, atol=1e-4 * float(expected.abs().max()))
    assert 0 < asymmetry_ratio < 1e-5


def test_autocast_around_it_changes_nothing() -> None:
    expected, _ = hessian_matrix(products(torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        matrix, _ = hessian_matrix(products(torch.float32))
    assert torch.equal(matrix, expected)


def test_what_is_not_a_number_is_said() -> None:
    ours = products()
    ours.points.fill_(torch.nan)
    assert np.isnan(hessian_matrix(ours)[1])


@pytest.mark.parametrize("size", [1, 5, 256, 300])
def test_a_matrix_is_made_symmetric_in_place(size: int) -> None:
    matrix = torch.randn((size, size), generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    even, odd = (matrix + matrix.T) / 2, (matrix - matrix.T) / 2
    asymmetry_ratio = symmetrise(matrix)
    np.testing.assert_allclose(matrix, even, atol=1e-14)
    assert torch.equal(matrix, matrix.T)
    assert asymmetry_ratio == pytest.approx(float(odd.norm() / even.norm()), abs=1e-14)


def test_no_matrix_at_all_is_symmetric() -> None:
    assert symmetrise(torch.zeros((4, 4))) == 0
