"""Ends, means and densities of known matrices: clusters, repeated and opposite values, few distinct ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Int
from torch import Tensor

from core.geometry.hessian.lanczos import Operator, Side, extreme_eigenvalues, hutchinson, quadrature

DIMENSION = 300


class Matrices:
    """n symmetric matrices with the same eigenvectors, which are the basis of a random rotation."""

    def __init__(self, values: Tensor, rotation: Tensor, skew: Tensor | None = None) -> None:
        self.values, self.rotation, self.skew = values, rotation, skew
        self.calls = 0

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    @property
    def tangent_dim(self) -> int:
        return self.values.shape[1]

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    def select(self, rows: Int[Tensor, " m"]) -> Matrices:
        return Matrices(self.values[rows], self.rotation, self.skew)

    @property
    def normal_basis(self) -> Tensor:
        return self.values.new_empty((len(self.values), 0, self.tangent_dim))

    def tangential(self, vectors: Tensor) -> Tensor:
        return vectors

    def apply_unprojected(self, vectors: Tensor) -> Tensor:
        return self(vectors)

    def __call__(self, vectors: Tensor) -> Tensor:
        self.calls += 1
        mapped: Tensor = ((vectors @ self.rotation) * self.values[:, None]) @ self.rotation.T
        return mapped if self.skew is None else mapped + vectors @ self.skew


def matrices(*spectra: np.ndarray, skew: float = 0.0) -> Matrices:
    values = torch.from_numpy(np.stack(spectra))
    size = values.shape[1]
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn((size, size), generator=generator, dtype=torch.float64))[0]
    random = torch.randn((size, size), generator=generator, dtype=torch.float64)
    return Matrices(values, rotation, skew * (random - random.T) if skew else None)


def padded(*values: float, size: int = DIMENSION) -> np.ndarray:
    """These eigenvalues, and a bulk of small ones of both signs."""
    generator = np.random.default_rng(1)
    return np.concatenate([values, generator.uniform(-0.05, 0.05, size - len(values))])


SPECTRA = (
    padded(3, -2.9, 2.8, -2, 1, -1, 0.5),  # opposite values of almost the same size
    padded(1, 1 - 1e-4, 0.99, 0.9, 0.9 - 1e-5, 0.8),  # clustered
    padded(*np.linspace(-1, -0.2, 7)),  # one side alone
    np.r_[-0.5, np.zeros(DIMENSION - 1)],  # a cylinder: the space is exhausted at once
    np.full(DIMENSION, -0.7),  # a ball
    np.random.default_rng(0).standard_t(2, DIMENSION),  # heavy ends, no gap
)


@pytest.mark.parametrize("side", ["largest magnitude", "both ends"])
@pytest.mark.parametrize("block", [1, 4])
def test_both_ends_are_found_for_many_matrices_at_once(block: int, side: Side) -> None:
    operator = matrices(*SPECTRA)
    assert isinstance(operator, Operator)
    found = extreme_eigenvalues(operator, 6, side=side, block=block, tolerance=1e-4, budget=240)
    assert found.converged.all()
    for row, spectrum in enumerate(SPECTRA):
        order = np.sort(spectrum)
        expected = np.r_[order[:3], order[-3:]] if side == "both ends" else spectrum[np.argsort(-np.abs(spectrum))[:6]]
        np.testing.assert_allclose(found.values[row], np.sort(expected)[::-1], atol=1e-5 * np.abs(spectrum).max())
    mapped = operator(found.vectors) - found.values[:, :, None] * found.vectors
    np.testing.assert_allclose(mapped.norm(dim=2), found.residual, atol=1e-10)
    products = found.vectors @ found.vectors.mT
    np.testing.assert_allclose(products, torch.eye(6).expand_as(products), atol=1e-8)
    assert found.asymmetry_ratio.max() < 1e-10
    assert int(found.steps[3]) < int(found.steps[5])  # rows stop by themselves


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    together = extreme_eigenvalues(matrices(*SPECTRA), 4)
    for row in (0, 4):
        alone = extreme_eigenvalues(matrices(SPECTRA[row]), 4)
        np.testing.assert_allclose(alone.values[0], together.values[row], rtol=1e-9)


def test_repeated_values_are_counted_up_to_the_size_of_a_block() -> None:
    repeated = matrices(padded(1, 1, 1, 0.9, 0.9, 0.8))
    found = extreme_eigenvalues(repeated, 6, block=4)
    np.testing.assert_allclose(found.values[0], [1, 1, 1, 0.9, 0.9, 0.8], atol=1e-6)
    single = extreme_eigenvalues(repeated, 3)
    np.testing.assert_allclose(single.values[0, 0], 1, atol=1e-6)  # at least once


def test_small_spaces_are_searched_whole() -> None:
    spectrum = np.array([2.0, 1.0, -1.0, -3.0, 0.5])
    found = extreme_eigenvalues(matrices(spectrum, -spectrum), 9, block=4)
    np.testing.assert_allclose(found.values[0], [2, 1, 0.5, -1, -3], atol=1e-12)
    np.testing.assert_allclose(found.values[1], [3, 1, -0.5, -1, -2], atol=1e-12)
    assert found.converged.all()


def test_what_does_not_converge_says_so() -> None:
    found = extreme_eigenvalues(matrices(np.linspace(-1, 1, DIMENSION)), 20, budget=22, tolerance=1e-8)
    assert not found.converged.any()
    assert (found.residual > 1e-8).any()
    assert int(found.steps[0]) <= 22


def test_an_antisymmetric_part_is_measured_and_left_out() -> None:
    found = extreme_eigenvalues(matrices(padded(3, -2, 1), skew=0.002), 3, budget=60)
    assert 0.001 < float(found.asymmetry_ratio[0]) < 0.2
    np.testing.assert_allclose(found.values[0], [3, 1, -2], atol=0.02)


def test_the_mean_comes_with_its_error() -> None:
    operator = matrices(*SPECTRA)
    mean = hutchinson(operator, 64)
    truth = np.array([spectrum.mean() for spectrum in SPECTRA])
    assert (np.abs(mean.value.numpy() - truth) < 4 * mean.error.numpy() + 1e-12).all()
    assert float(mean.error[4]) < 1e-12  # of a ball every direction says the same
    assert torch.isnan(hutchinson(operator, 1).error).all()


def test_the_density_has_the_right_moments() -> None:
    operator = matrices(*SPECTRA[:5])
    density = quadrature(operator, probes=16, steps=12)
    np.testing.assert_allclose(density.weights.sum(1), 1, rtol=1e-10)
    for power in (1, 2):
        moments = (density.weights * density.nodes**power).sum(1)
        truth = [(spectrum**power).mean() for spectrum in SPECTRA[:5]]
        spread = [np.std(spectrum**power) for spectrum in SPECTRA[:5]]
        assert (np.abs(moments.numpy() - truth) <= 5 * np.array(spread) * (2 / 16 / DIMENSION) ** 0.5 + 1e-10).all()
    inside = (density.weights * (density.nodes.abs() < 0.06)).sum(1)
    np.testing.assert_allclose(inside[0], 293 / 300, atol=0.03)
    np.testing.assert_allclose(inside[4], 0, atol=1e-12)


@settings(max_examples=15)
@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_ends_scale_and_turn_with_the_matrix(factor: float, seed: int) -> None:
    spectrum = np.random.default_rng(seed).standard_normal(40) ** 3
    plain = extreme_eigenvalues(matrices(spectrum), 5, seed=seed, tolerance=1e-6)
    turned = extreme_eigenvalues(matrices(-factor * spectrum), 5, seed=seed, tolerance=1e-6)
    scale = float(np.abs(spectrum).max())
    np.testing.assert_allclose(turned.values[0] / factor, -plain.values[0].flip(0), atol=1e-7 * scale)


def test_progress_is_told() -> None:
    told: list[float] = []
    extreme_eigenvalues(matrices(SPECTRA[5]), 6, tick=told.append)
    assert told == sorted(told)
    assert 0 < told[0] <= told[-1] <= 1
