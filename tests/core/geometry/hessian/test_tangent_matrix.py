"""All eigenvalues of a matrix at hand: any spectrum, both ends with vectors, reflected coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.hessian import tangent_matrix as module
from core.geometry.hessian.dense import symmetrise
from core.geometry.hessian.lanczos import Side
from core.geometry.hessian.tangent_matrix import TangentBasis, TangentMatrix, mirror
from tests import truths

SIZE = 300
_random = np.random.default_rng(0)
SPECTRA = {
    "random": _random.standard_normal(SIZE),
    "a hyperplane": np.zeros(SIZE),
    "a ball": np.full(SIZE, -0.7),
    "a cylinder": np.r_[np.full(5, -0.5), np.zeros(SIZE - 5)],
    "opposite": np.r_[3, -3, 2, -2, _random.uniform(-0.05, 0.05, SIZE - 4)],
    "clustered": np.r_[np.full(30, 5.0), _random.standard_normal(SIZE - 30)],
    "one sign": -np.geomspace(1e-6, 1, SIZE),
    "few": np.array([1.0]),
    "two": np.array([1.0, -2.0]),
    "tiny": 1e-25 * _random.standard_normal(SIZE),
}


def basis(size: int) -> TangentBasis:
    """Of the space across a random unit vector."""
    normal = torch.randn(size + 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return TangentBasis(normal / normal.norm(), None)


def matrix_of(values: np.ndarray, dtype: torch.dtype, *, turned: bool = True) -> TangentMatrix:
    size = len(values)
    diagonal = torch.from_numpy(np.diag(values))
    if turned:
        random = torch.randn((size, size), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        rotation = torch.linalg.qr(random)[0]
        diagonal = rotation @ diagonal @ rotation.T
    held = diagonal.to(dtype)
    symmetrise(held)
    return TangentMatrix(held, 0.25, basis(size))


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("side", ["largest magnitude", "both ends"])
@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("name", SPECTRA)
def test_any_spectrum_is_found_with_vectors_of_its_ends(
    name: str, turned: bool, side: Side, dtype: torch.dtype
) -> None:
    values = np.sort(SPECTRA[name])[::-1]
    matrix = matrix_of(values, dtype, turned=turned)
    before = matrix.values.clone()
    every, ends = matrix.eigenvalues(6, side)
    count = min(6, len(values))
    slack = {torch.float32: 3e-6, torch.float64: 1e-13}[dtype] * np.abs(values).max()
    np.testing.assert_allclose(every, values, atol=slack)
    assert (every.diff() <= 0).all()
    upper = -(-count // 2)
    chosen = (
        np.r_[values[:upper], values[len(values) - count + upper :]]
        if side == "both ends"
        else np.sort(values[np.argsort(-np.abs(values), kind="stable")[:count]])[::-1]
    )
    if name != "opposite" or side == "both ends" or count % 2 == 0:
        np.testing.assert_allclose(ends.values[0].abs(), np.abs(chosen), atol=3 * slack)
    assert (every.dtype, ends.values.dtype, ends.vectors.dtype) == (torch.float64,) * 3
    vectors = ends.vectors[0]
    fine = {torch.float32: 1e-4, torch.float64: 1e-10}[dtype]
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(count), atol=fine)
    inner = matrix.basis.coordinates(vectors)
    off = inner @ before.double() - ends.values[0, :, None] * inner
    np.testing.assert_allclose(off, 0, atol=1e-5 * max(np.abs(values).max(), 1e-300))
    np.testing.assert_allclose(ends.residual[0], off.norm(dim=1), atol=1e-5 * np.abs(values).max())
    assert ends.converged.all()
    np.testing.assert_array_equal(ends.asymmetry_ratio, 0.25)
    assert torch.equal(matrix.values, before)  # and can be used again


@pytest.mark.parametrize("name", ["random", "opposite", "one sign", "clustered"])
def test_distinct_ends_need_no_second_search(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("block Lanczos was asked")

    monkeypatch.setattr(module, "extreme_eigenvalues", fail)
    assert matrix_of(SPECTRA[name], torch.float32).eigenvalues(6, "both ends")[1].converged.all()


def test_both_ends_of_a_ball_are_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    search = module.extreme_eigenvalues
    monkeypatch.setattr(module, "extreme_eigenvalues", lambda *a, **o: asked.append(1) or search(*a, **o))
    ends = matrix_of(SPECTRA["a ball"], torch.float64, turned=False).eigenvalues(6, "both ends")[1]
    assert asked
    np.testing.assert_allclose(ends.vectors[0] @ ends.vectors[0].T, np.eye(6), atol=1e-10)


def test_values_that_lapack_does_not_find_are_found_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.linalg

    functions = scipy.linalg.get_lapack_funcs

    def broken(names: tuple[str, ...], arrays: tuple[np.ndarray, ...]) -> list[object]:
        reduce, room, find = functions(names, arrays)
        return [reduce, room, lambda main, beside: (find(main, beside)[0] * np.nan, 3)]

    matrix = matrix_of(SPECTRA["random"], torch.float64)
    expected, ends = matrix.eigenvalues(6, "both ends")
    monkeypatch.setattr(scipy.linalg, "get_lapack_funcs", broken)
    every, again = matrix.eigenvalues(6, "both ends")
    np.testing.assert_allclose(every, expected, atol=1e-12)
    np.testing.assert_allclose(again.values, ends.values, atol=1e-9)


def test_a_matrix_that_is_not_finite_has_no_curvatures() -> None:
    matrix = TangentMatrix(torch.full((8, 8), torch.nan), float("nan"), basis(8))
    every, ends = matrix.eigenvalues(4, "both ends")
    assert torch.isnan(every).all()
    assert torch.isnan(ends.values).all()
    assert ends.values.shape == (1, 4)
    assert ends.vectors.shape == (1, 4, 9)
    assert not ends.converged.any()


@pytest.mark.parametrize("size", [1, 2, 40, 300])
def test_a_matrix_of_image_space_is_reflected_in_its_own_memory(size: int) -> None:
    random = torch.randn((size + 1, size + 1), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    whole: Tensor = random + random.T
    tangent = basis(size)
    columns = tangent.columns(0, size, torch.float64)
    expected = 0.3 * columns @ whole @ columns.T
    start = whole.data_ptr()
    inner = tangent.inside(whole, 0.3)
    np.testing.assert_allclose(inner, expected, atol=1e-12)
    assert inner.data_ptr() == start
    assert inner.is_contiguous()


@pytest.mark.parametrize("size", [1, 5, 256, 300])
def test_one_half_is_written_over_by_the_other(size: int) -> None:
    matrix = torch.randn((size, size), generator=torch.Generator().manual_seed(4))
    expected = matrix.triu() + matrix.triu(1).T
    mirror(matrix)
    assert torch.equal(matrix, expected)
