"""Noise in subspaces: the exact quadric of the docstring, affine truths, and what spans are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from core.errors import ImageError
from core.geometry.curvature.profile import curvature_profile
from core.geometry.shared_directions.subspace_noise import SubspaceNoise, curvature_spans, subspace_noise
from core.result import Result
from tests import curved, truths

SHAPE = (1, 6, 6)


def quadric() -> tuple[curved.Graph, torch.Tensor]:
    """Ten directions of curvature -1, ten of +1, and an image at the distance 1."""
    surface = curved.Graph(
        curved.rows(21, SHAPE), curved.centre(SHAPE), torch.diag(torch.tensor([1.0] * 10 + [-1.0] * 10)).double()
    )
    y = torch.zeros((1, 21), dtype=torch.float64)
    y[0, 0] = 1
    return surface, curved.at(surface, y)


def test_signs_must_not_be_mixed() -> None:
    """Of length 2, v flips where 1 - (|v_-|² - |v_+|²) / 2 < 0: where |v_-|² / 4, a Beta(5, 5) number, is over 3/4."""
    surface, images = quadric()
    axes = surface.rows.detach().view(21, *SHAPE)
    spans = {"convex": axes[1:11], "concave": axes[11:], "both": axes[1:], "normal": axes[:1], "full": None}
    found = subspace_noise(curved.classifier(surface, SHAPE, torch.float64), images, spans, [1.0, 2.0], draws=4000)
    rate = dict(zip(found.spans, found.rate[:, 1], strict=True))
    assert rate["convex"] == 1
    assert rate["concave"] == 0
    assert rate["both"] == pytest.approx(stats.beta.sf(0.75, 5, 5), abs=4 * (0.049 * 0.951 / 4000) ** 0.5)
    assert rate["normal"] == pytest.approx(0.5, abs=0.05)  # away from the boundary, or through it
    assert (found.rate[0, 0], found.rate[1, 0]) == (0, 0)  # 1 - 1/2 > 0
    assert found.dimension.tolist() == [10, 10, 20, 1, 36]
    assert np.isnan(found.error).all()
    assert found.forwards >= 5 * 2 * 4000


def test_spans_of_a_profile_are_tangential_orthonormal_and_ordered() -> None:
    surface = curved.Ellipsoid(curved.rows(5, SHAPE), curved.centre(SHAPE), [3.0, 2.0, 1.0, 0.8, 0.7])
    y = torch.randn((3, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = 0.8 * y / (y / torch.tensor([3, 2, 1, 0.8, 0.7])).norm(dim=1, keepdim=True)
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    images = curved.at(surface, y)
    profile = curvature_profile(classifier, images, keep=8)
    spans = curvature_spans(profile, 2)
    for span in spans.values():
        flat = span.flatten(2)
        np.testing.assert_allclose(flat @ flat.mT, np.broadcast_to(np.eye(2), (3, 2, 2)), atol=1e-9)
        np.testing.assert_allclose(flat.numpy() @ profile.normals.reshape(3, -1, 1), 0, atol=1e-5)
    distance = profile.distance.mean()
    found = subspace_noise(classifier, images, spans, [1.5 * distance, 3 * distance], draws=64)
    rate = dict(zip(found.spans, found.rate.mean(1), strict=True))
    assert rate["convex"] >= rate["random"] >= rate["flat"]
    assert rate["convex"] == pytest.approx(rate["curved"], abs=0.1)  # the same two directions, in another order
    assert rate["convex"] > 0.1
    with pytest.raises(ValueError, match="directions of every image"):
        curvature_spans(profile, 9)


def test_noise_changes_the_class_of_a_half_space_half_of_the_time_beyond_its_distance() -> None:
    weight = torch.zeros((2, 36), dtype=torch.float64)
    weight[0, 0] = 1
    classifier = truths.classifier(truths.Affine(weight, torch.tensor([0.0, 0.5]).double()), SHAPE, torch.float64)
    images = torch.full((2, *SHAPE), 0.9, dtype=torch.float64)
    axis = torch.zeros((1, *SHAPE), dtype=torch.float64)
    axis[0, 0, 0, 0] = 1
    found = subspace_noise(classifier, images, {"along": axis}, [0.39, 0.41], draws=400)
    assert found.rate[0, 0] == 0
    assert found.rate[0, 1] == pytest.approx(0.5, abs=0.1)
    np.testing.assert_array_equal(found.flipped[0], found.flipped[1])  # a shared subspace: the same noise on all
    assert found.error[0, 1] == 0
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, SubspaceNoise)
    np.testing.assert_array_equal(again.rate, found.rate)


def test_wrong_calls_are_told_what_is_wrong() -> None:
    surface, images = quadric()
    classifier, axes = curved.classifier(surface, SHAPE, torch.float64), surface.rows.detach().view(21, *SHAPE)
    for spans, lengths in (({}, [1.0]), ({"a": axes}, []), ({"a": axes}, [-1.0])):
        with pytest.raises(ValueError, match="expected images"):
            subspace_noise(classifier, images, spans, lengths)
    with pytest.raises(ImageError, match="orthonormal"):
        subspace_noise(classifier, images, {"a": 2 * axes}, [1.0])
    with pytest.raises(ImageError, match="directions of images"):
        subspace_noise(classifier, images, {"a": axes[:, :, :3]}, [1.0])
