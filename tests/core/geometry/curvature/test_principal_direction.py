"""A principal direction is the one of its number, at the nearest boundary point, or a random tangent one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.geometry.curvature.principal_direction import orthogonal, principal_direction
from tests import curved, truths

SHAPE = (3, 32, 32)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_directions_are_numbered_from_both_ends(dtype: torch.dtype) -> None:
    surface = curved.Torus(curved.rows(3, SHAPE), curved.centre(SHAPE), 3.0, 1.0)
    image = curved.at(surface, torch.tensor([[2.3, 0, 0]]))[0].to(dtype)  # inside the tube, at its inner equator
    classifier = curved.classifier(surface, SHAPE, dtype)
    first, last = principal_direction(classifier, image, 1), principal_direction(classifier, image, -1)
    assert first.curvature == pytest.approx(1 / 2, abs=2e-4)
    assert last.curvature == pytest.approx(-1, abs=2e-4)
    assert first.distance == pytest.approx(0.3, abs=1e-5)
    axes = surface.rows.detach().double().view(3, *SHAPE)  # type: ignore[union-attr]
    assert abs(float((first.direction * axes[1]).sum())) == pytest.approx(1, abs=1e-4)
    assert abs(float((last.direction * axes[2]).sum())) == pytest.approx(1, abs=1e-4)
    for principal in (first, last):
        assert float(principal.direction.norm()) == pytest.approx(1, abs=1e-12)
        assert float((principal.direction * principal.normal).sum()) == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(principal.point + principal.distance * principal.normal, image.double(), atol=1e-4)


def test_a_random_direction_is_tangential_and_of_its_seed() -> None:
    surface = curved.Ball(curved.rows(36, (1, 6, 6)), curved.centre((1, 6, 6)), 2.0)
    classifier = curved.classifier(surface, (1, 6, 6), torch.float64)
    image = curved.centre((1, 6, 6)) + truths.unit((1, 6, 6), 3)
    one, other, again = (principal_direction(classifier, image, 0, seed=seed) for seed in (1, 2, 1))
    assert np.isnan(one.curvature)
    assert torch.equal(one.direction, again.direction)
    assert not torch.allclose(one.direction, other.direction)
    assert float((one.direction * one.normal).sum()) == pytest.approx(0, abs=1e-12)


def test_the_route_of_a_network_of_kinks_is_said() -> None:
    classifier, image = (
        truths.classifier(curved.Kinked((1, 8, 8)), (1, 8, 8), torch.float64),
        truths.images(1, (1, 8, 8))[0],
    )
    apart = principal_direction(classifier, image, 1, grey_levels=2.0)
    assert apart.route == apart.profile.method == "differences"
    assert apart.profile.scale == pytest.approx(2 * 8 / 255)
    rounded = principal_direction(classifier, image, 1, method="softplus", sharpness=20.0)
    assert rounded.route == "softplus"
    assert rounded.classifier is not classifier


def test_what_has_no_direction_is_told() -> None:
    shape = (1, 6, 6)
    flat = truths.classifier(truths.Affine(torch.zeros(2, 36), torch.tensor([1.0, 0.0])), shape)
    with pytest.raises(ValueError, match="regular boundary point"):
        principal_direction(flat, torch.zeros(shape), 1)
    with pytest.raises(ValueError, match="one of 35 directions, got -36"):
        principal_direction(flat, torch.zeros(shape), -36)


def test_orthogonal_leaves_out_parts() -> None:
    first, second = truths.unit((5,), 1), truths.unit((5,), 2)
    second = orthogonal(second, first)
    third = orthogonal(torch.ones(5, dtype=torch.float64), first, second)
    np.testing.assert_allclose(
        [float(third @ first), float(third @ second), float(third.norm())], [0, 0, 1], atol=1e-14
    )
