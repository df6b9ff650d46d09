"""The shape operator: symmetric, tangential, the same by products and as a matrix, Euler's and Meusnier's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.hessian.products import Backend, HessianProducts
from core.geometry.hessian.shape_operator import ShapeOperator
from tests import curved, truths

SHAPE = (1, 6, 6)
HALF_AXES = [2.0, 1.5, 1.0, 0.8]


def operator(backend: Backend = "double backward", dtype: torch.dtype = torch.float64) -> tuple[ShapeOperator, Tensor]:
    """Of an ellipsoid at three points, and their coordinates."""
    surface = curved.Ellipsoid(curved.rows(4, SHAPE), curved.centre(SHAPE), HALF_AXES)
    y = torch.randn((3, 4), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = y / (y / torch.tensor(HALF_AXES)).norm(dim=1, keepdim=True)
    points = curved.at(surface, y).to(dtype)
    classifier = curved.classifier(surface, SHAPE, dtype)
    products = HessianProducts(
        classifier, points, torch.zeros(3).long(), torch.ones(3).long(), backend=backend, step=0.01
    )
    return ShapeOperator(products), y


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_it_is_symmetric_and_stays_in_the_tangent_space(dtype: torch.dtype) -> None:
    shape_operator, _ = operator(dtype=dtype)
    vectors = torch.randn((3, 5, 36), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shaped = shape_operator(vectors)
    slack = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    np.testing.assert_allclose((shaped @ shape_operator.normals[:, :, None]), 0, atol=slack)
    products = vectors @ shaped.mT
    np.testing.assert_allclose(products, products.mT, atol=10 * slack)
    np.testing.assert_allclose(shape_operator(shape_operator.normals[:, None]), 0, atol=slack)
    np.testing.assert_allclose(shape_operator.select(torch.tensor([1]))(vectors[1:2])[0], shaped[1], atol=slack)


@pytest.mark.parametrize("backend", ["double backward", "differences"])
def test_the_matrix_is_the_operator(backend: Backend) -> None:
    shape_operator, _ = operator(backend)
    slack = 1e-10 if backend == "double backward" else 1e-3
    for row in range(3):
        matrix = shape_operator.matrix(row, seed=4)
        assert matrix.values.shape == (35, 35)
        coordinates = torch.randn((2, 35), generator=torch.Generator().manual_seed(row), dtype=torch.float64)
        pixels = matrix.basis.pixels(coordinates)
        np.testing.assert_allclose(pixels @ pixels.T, coordinates @ coordinates.T, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(pixels @ shape_operator.normals[row], 0, atol=1e-10)
        expected = shape_operator.select(torch.tensor([row]))(pixels[None])[0]
        np.testing.assert_allclose(matrix.basis.pixels(matrix(coordinates[None])[0]), expected, atol=slack)
        assert matrix.asymmetry_ratio < slack
        every, ends = matrix.eigenvalues(3, "largest magnitude")
        assert (every < 1e-3).all()  # the inside is convex
        assert int((every < -0.01).sum()) == 3
        np.testing.assert_allclose(ends.values[0], every[-3:], rtol=1e-10)
        np.testing.assert_allclose(
            shape_operator.select(torch.tensor([row]))(ends.vectors)[0],
            ends.values[0, :, None] * ends.vectors[0],
            atol=slack,
        )


def test_matrices_share_memory_that_is_given() -> None:
    shape_operator, _ = operator()
    memory = torch.empty(36**2 + 5, dtype=torch.float64)
    first = shape_operator.matrix(0)
    for row in (1, 0):
        found = shape_operator.matrix(row, memory=memory)
        assert found.values.data_ptr() == memory.data_ptr()
    np.testing.assert_array_equal(found.values, first.values)


def test_normal_curvatures_follow_euler_and_are_undefined_along_the_normal() -> None:
    """k(v) of v = cos(a) v_1 + sin(a) v_2 is k_1 cos² a + k_2 sin² a; a part along the normal changes nothing."""
    surface = curved.Torus(curved.rows(3, SHAPE), curved.centre(SHAPE), 3.0, 1.0)
    point = curved.at(surface, torch.tensor([[4.0, 0, 0]]))
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    zero = torch.zeros(1).long()
    shape_operator = ShapeOperator(HessianProducts(classifier, point, zero, zero + 1, backend="double backward"))
    around, up = surface.rows.detach()[1], surface.rows.detach()[2]
    angles = torch.linspace(0, math.pi, 7, dtype=torch.float64)
    vectors = angles.cos()[:, None] * around + angles.sin()[:, None] * up
    expected = -(angles.cos() ** 2) / 4 - angles.sin() ** 2
    np.testing.assert_allclose(shape_operator.along(vectors[None])[0], expected, rtol=1e-10)
    tilted = 3 * vectors + 0.7 * shape_operator.normals
    np.testing.assert_allclose(shape_operator.along(tilted[None])[0], expected, rtol=1e-10)
    assert torch.isnan(shape_operator.along(shape_operator.normals[:, None])).all()
    np.testing.assert_allclose(shape_operator.steepness, 2, rtol=1e-12)
