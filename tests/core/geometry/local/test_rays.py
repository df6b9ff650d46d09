"""Distances of the label along rays: exact for flat and round boundaries, censored where none is met."""

from __future__ import annotations

import pytest
import torch

from core.geometry.local.jacobian import Outputs
from core.geometry.local.rays import label_rays
from core.runtime.cost import counting
from tests import local_maps, truths


@pytest.mark.parametrize("shape", truths.SHAPES)
@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("count", [1, 5])
def test_a_flat_boundary_is_met_on_one_side_only(shape: tuple[int, ...], dtype: torch.dtype, count: int) -> None:
    normal = truths.unit(shape)
    weight = torch.stack([normal.flatten(), torch.zeros(normal.numel()).double()])
    images = truths.images(count, shape)
    bias = torch.tensor([0.7 - float(images[0].flatten() @ normal.flatten()), 0.0], dtype=torch.float64)
    classifier = truths.classifier(truths.Affine(weight, bias), shape, dtype)
    other = truths.unit(shape, 1).flatten()
    tilted = 0.5 * normal.flatten() + other * 0.75**0.5
    vectors = torch.stack([normal.flatten(), tilted / tilted.norm()])[None].to(dtype)
    outputs = Outputs(classifier)
    with counting() as cost:
        found = label_rays(outputs, images.to(dtype), vectors, 20.0)
    height = (images.flatten(1) - images[0].flatten()) @ normal.flatten() + 0.7
    slope = vectors[0].double() @ normal.flatten()
    expected = height[:, None] / slope  # positive: behind
    for sense, sign in ((0, -1.0), (1, 1.0)):
        far = sign * expected
        met = (far > 0) & (far < 20)
        assert torch.equal(found.distance[sense].isnan(), ~met)
        torch.testing.assert_close(found.distance[sense][met], far[met], rtol=1e-3, atol=1e-4)
        assert (found.reached[sense][met] >= 0).all()
        assert (found.reached[sense][~met] == -1).all()
    assert cost.forwards > 32 * count * 2


def test_a_ball_is_symmetric_around_its_centre_and_out_of_reach_beyond() -> None:
    shape = (1, 6, 6)
    centre = torch.full(shape, 0.5, dtype=torch.float64)
    classifier = truths.classifier(truths.Ball(centre, 2.0), shape, torch.float64)
    vectors = torch.randn((1, 7, 36), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vectors /= vectors.norm(dim=2, keepdim=True)
    found = label_rays(Outputs(classifier), centre[None], vectors, 10.0)
    torch.testing.assert_close(found.distance, torch.full((2, 1, 7), 2.0).double(), rtol=1e-3, atol=0)
    assert label_rays(Outputs(classifier), centre[None], vectors, 1.9).distance.isnan().all()
    with pytest.raises(ValueError, match="positive length"):
        label_rays(Outputs(classifier), centre[None], vectors, 0.0)


def test_each_image_may_have_vectors_of_its_own() -> None:
    shape = (1, 4, 4)
    classifier = local_maps.scaled_axes((1.0, 0.0), shape, torch.float64)
    images = torch.full((2, *shape), 1.0).double()
    vectors = torch.zeros(2, 1, 16).double()
    vectors[0, 0, 0], vectors[1, 0, 1] = 1.0, 1.0
    found = label_rays(Outputs(classifier), images, vectors, 5.0)
    assert float(found.distance[1, 0, 0]) == pytest.approx(1.0, abs=1e-3)
    assert found.distance[:, 1].isnan().all()
