"""Isotropy and symmetry against closed forms of linear maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.geometry.local.isotropy import (
    asymmetry,
    censored_ratio,
    expected_variation_of_squares,
    opposition,
    quantile_ratio,
    spectral,
    variation,
)


@pytest.mark.parametrize(
    ("values", "space"), [((1.0,) * 16, 16), (tuple(range(1, 17)), 16), ((1.0,) * 10, 256), ((5.0, 1.0), 64)]
)
def test_squared_gains_of_a_linear_map_vary_as_its_spectrum_says(values: tuple[float, ...], space: int) -> None:
    drawn = torch.randn((200_000, space), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn /= drawn.norm(dim=1, keepdim=True)
    gain = (drawn[:, : len(values)] * torch.tensor(values).double()).norm(dim=1).numpy()
    found = variation((gain**2)[None])[0]
    assert found == pytest.approx(float(expected_variation_of_squares(torch.tensor(values).double(), space)), abs=0.02)


def test_spectral_isotropy_is_that_of_the_subspace() -> None:
    matrix = torch.diag(torch.tensor([4.0, 2.0, 1.0])).double()[None]
    least, share = spectral(matrix, None)
    assert float(least[0]) == pytest.approx(0.25)
    assert float(share[0]) == pytest.approx(21**2 / (256 + 16 + 1) / 3)
    basis = torch.eye(3).double()[:2]
    assert float(spectral(matrix, basis)[0][0]) == pytest.approx(0.5)
    wide = torch.zeros(1, 2, 5).double()
    wide[0, 0, 0] = wide[0, 1, 1] = 3.0
    assert float(spectral(wide, None)[0][0]) == 0  # more directions than outputs
    assert float(spectral(wide, torch.eye(5).double()[:2])[0][0]) == pytest.approx(1)
    assert math.isnan(float(spectral(torch.zeros(1, 2, 3), None)[0][0]))


def test_symmetry_of_affine_even_and_one_sided_changes() -> None:
    change = torch.tensor([[3.0, -1.0], [0.0, 2.0]])
    assert asymmetry(change, -change).tolist() == [0, 0]
    assert asymmetry(change, change).tolist() == [1, 1]
    assert opposition(change, -change).tolist() == pytest.approx([1, 1])
    nothing = torch.zeros(2, 2)
    assert asymmetry(change, nothing).tolist() == [1, 1]  # ReLU at its kink
    assert opposition(change, nothing).isnan().all()
    assert asymmetry(nothing, nothing).isnan().all()


def test_ratios_where_nothing_changes_or_little_is_known() -> None:
    assert np.isnan(variation(np.zeros((1, 5)))).all()
    assert np.isnan(quantile_ratio(np.zeros((1, 5)))).all()
    assert quantile_ratio(np.array([[1.0, 1.0, 2.0, 2.0]]))[0] == pytest.approx(0.5)
    assert censored_ratio(np.array([[2.0, 4.0, 8.0]]))[0] == pytest.approx(0.25)
    assert np.isnan(censored_ratio(np.array([[2.0, np.nan, np.nan]])))[0]
