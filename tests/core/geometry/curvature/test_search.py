"""The ways to a spectrum agree: by a matrix, by products, by quadrature."""

from __future__ import annotations

import numpy as np
import torch

from core.geometry.curvature.search import PROBES, STEPS, CurvatureSearch, Extent
from core.geometry.hessian.second_derivatives import Plan
from tests import curved

SHAPE = (1, 6, 6)
AXES = [2.0, 1.5, 1.0, 0.8]


def search(extent: Extent, density: bool = False) -> tuple[CurvatureSearch, torch.Tensor]:
    surface = curved.Ellipsoid(curved.rows(4, SHAPE), curved.centre(SHAPE), AXES)
    y = torch.randn((3, 4), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    points = curved.at(surface, y / (y / torch.tensor(AXES)).norm(dim=1, keepdim=True))
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    return CurvatureSearch(classifier, Plan("exact", None, None, ()), extent, 0, density), points


def test_the_whole_and_its_ends_agree() -> None:
    zero = torch.zeros(3).long()
    whole, points = search(Extent(True, 4, "both ends", 1e-3))
    every, kept = whole.ends(whole.operator(points, zero, zero + 1), lambda part: None)
    assert every.shape == (3, 35)
    np.testing.assert_allclose(kept.values[:, -2:], every[:, -2:], atol=1e-8)
    np.testing.assert_allclose(kept.values[:, :2], every[:, :2], atol=1e-8)
    few, _ = search(Extent(False, 3, "largest magnitude", 1e-6))
    some, ends = few.ends(few.operator(points, zero, zero + 1), lambda part: None)
    np.testing.assert_allclose(some, every[:, -3:], atol=1e-8)
    assert ends.converged.all()


def test_the_density_is_measured_where_it_is_wanted() -> None:
    zero = torch.zeros(3).long()
    without, points = search(Extent(False, 2, "both ends", 1e-3))
    operator = without.operator(points, zero, zero + 1)
    assert without.quadrature(operator)[0].shape == (3, 0)
    nodes, weights = search(Extent(False, 2, "both ends", 1e-3), density=True)[0].quadrature(operator)
    assert nodes.shape == (3, PROBES * min(STEPS, 35))
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-9)
    every, _ = search(Extent(True, 2, "both ends", 1e-3))[0].ends(operator, lambda part: None)
    np.testing.assert_allclose((nodes * weights).sum(1), every.mean(1), rtol=0.5)  # eight probes


def test_few_rows_are_filled_up_with_directions_on_a_gpu() -> None:
    found, _ = search(Extent(False, 2, "both ends", 1e-3))
    assert [found.block(rows) for rows in (1, 16)] == [1, 1]
    found.classifier.device = torch.device("cuda")
    assert [found.block(rows) for rows in (1, 4, 8, 32, 64, 100)] == [16, 16, 8, 2, 1, 1]


def test_what_is_found_so_far_is_told_before_it_is_done() -> None:
    zero = torch.zeros(3).long()
    for whole in (False, True):
        found, points = search(Extent(whole, 2, "both ends", 1e-9))
        told: list[tuple[list[int], torch.Tensor]] = []
        every, _ = found.ends(
            found.operator(points, zero, zero + 1),
            lambda part: None,
            lambda rows, values, residual, told=told: told.append((rows.tolist(), values)),  # type: ignore[misc]
        )
        assert {row for rows, _ in told for row in rows} == {0, 1, 2}
        assert all(values.shape == (len(rows), every.shape[1]) for rows, values in told)
        last = {row: values[place] for rows, values in told for place, row in enumerate(rows)}
        np.testing.assert_allclose(torch.stack([last[row] for row in range(3)]), every, atol=1e-6)
        if not whole:  # from inside the spectrum outwards
            assert told[0][1].abs().amax() <= every.abs().amax() + 1e-12
