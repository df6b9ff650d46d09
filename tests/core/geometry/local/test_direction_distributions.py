"""The distributions of directions: length 1, the right subspace, and different starts for attacks."""

from __future__ import annotations

import math

import pytest
import torch

from core.geometry.local.direction_distributions import SAMPLERS, directions
from core.images.load import load_images
from core.models.load import load_classifier
from core.runtime.cost import counting
from tests import local_maps, truths

SHAPE = (1, 16, 16)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_directions_have_length_1_and_follow_the_seed(sampler: str) -> None:
    classifier = local_maps.scaled_axes((1.0, 2.0, 3.0), SHAPE, torch.float64)
    images = truths.images(2, SHAPE)
    found = directions(classifier, images, 6, sampler, seed=3)  # type: ignore[arg-type]
    assert found.vectors.shape == (2 if sampler == "attack" else 1, 6, 256)
    torch.testing.assert_close(found.vectors.norm(dim=2), torch.ones(found.vectors.shape[:2]).double())
    again = directions(classifier, images, 6, sampler, seed=3)  # type: ignore[arg-type]
    other = directions(classifier, images, 6, sampler, seed=4)  # type: ignore[arg-type]
    assert torch.equal(found.vectors, again.vectors)
    assert not torch.equal(found.vectors, other.vectors)


def test_each_distribution_lies_where_it_should() -> None:
    classifier, images = local_maps.scaled_axes((1.0, 2.0), SHAPE, torch.float64), truths.images(1, SHAPE)
    inside = directions(classifier, images, 20, "subspace", dimension=4)
    assert inside.basis is not None
    torch.testing.assert_close(inside.basis @ inside.basis.T, torch.eye(4).double())
    torch.testing.assert_close(inside.vectors @ inside.basis.T @ inside.basis, inside.vectors)
    sparse = directions(classifier, images, 256, "pixels").vectors[0]
    assert torch.equal(sparse.sum(0), torch.ones(256).double())  # every value once
    band = directions(classifier, images, 4, "dct").vectors.view(4, 16, 16)
    rows = torch.arange(16).double()
    cosine = torch.cos(math.pi * rows[:, None] * (rows + 0.5) / 16)
    high = (cosine[8:] @ band[0] @ cosine.T).abs().max()  # the first block has no high frequency downwards
    assert float(high) < 1e-10


def test_attacks_end_where_the_boundary_is_near() -> None:
    classifier = load_classifier("demo:digits/standard", "cpu")
    images = load_images("demo:digits").pixels[3:5]
    with counting() as cost:
        found = directions(classifier, images, 4, "attack", radius=1.0)
    assert cost.gradients == 2 * 4 * 8
    own = classifier.predict(images).label
    ends = (images[:, None].flatten(2) + found.vectors).view(-1, *images.shape[1:])
    changed = classifier.predict(ends).label.reshape(2, 4) != own[:, None]
    plain = directions(classifier, images, 4, "sphere").vectors.expand(2, -1, -1)
    beside = classifier.predict((images[:, None].flatten(2) + plain).view(-1, *images.shape[1:])).label
    assert changed.mean() > (beside.reshape(2, 4) != own[:, None]).mean() + 0.4
    assert (found.vectors[0, 0] * found.vectors[0, 1]).sum() < 0.9999  # another start, another end


@pytest.mark.parametrize(
    ("count", "sampler", "options", "words"),
    [
        (1, "sphere", {}, "at least 2 directions"),
        (4, "subspace", {"dimension": 1}, "2 to 256 dimensions"),
        (300, "pixels", {}, "at most 256 values"),
    ],
)
def test_distributions_that_cannot_be_drawn_are_refused(
    count: int, sampler: str, options: dict[str, int], words: str
) -> None:
    classifier = local_maps.scaled_axes((1.0, 2.0), SHAPE, torch.float64)
    with pytest.raises(ValueError, match=words):
        directions(classifier, truths.images(1, SHAPE), count, sampler, **options)  # type: ignore[arg-type]
