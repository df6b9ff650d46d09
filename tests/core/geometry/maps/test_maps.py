"""Maps of images: clusters that stay apart, identical images, seeds, quality, new images, and a demo model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness
from torch import Tensor

from core.errors import ImageError
from core.geometry.maps.maps import EmbeddingMap, embed
from core.geometry.maps.spaces import SPACES, SpaceName
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.result import Result
from core.runtime.progress import Cancelled
from tests import truths
from tests.truths import BatchSize

SHAPE = (1, 32, 32)
ENDS, SAME = (0, 1), (0, 0)


def clusters(each: int, dtype: torch.dtype = torch.float32) -> tuple[Classifier, Tensor, Tensor]:
    """Two clouds of images around two centres, and the classifier of the nearest one."""
    centres = torch.stack([torch.full(SHAPE, 0.2), torch.full(SHAPE, 0.8)]).double()
    noise = 0.02 * torch.randn(2 * each, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(2).repeat_interleave(each)
    return truths.classifier(truths.NearestCentre(centres), SHAPE, dtype), (centres[labels] + noise).to(dtype), labels


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("space", ["pixels", "logits", "divergence"])
def test_two_clusters_stay_two_clusters(space: SpaceName, dtype: torch.dtype) -> None:
    classifier, images, labels = clusters(25, dtype)
    found = embed(classifier, images, space, labels=labels, neighbours=8)
    between, own = (
        torch.cdist(*(torch.from_numpy(found.positions[labels == k]) for k in pair)) for pair in (ENDS, SAME)
    )
    assert between.min() > 2 * own.fill_diagonal_(torch.inf).amin(1).max()
    assert found.label_agreement == pytest.approx((1, 1, 0.5))
    assert found.predicted_agreement == pytest.approx((1, 1, 0.5))
    np.testing.assert_array_equal(found.predicted, labels)
    logits = classifier(images).detach()
    np.testing.assert_allclose(found.margin, (logits[:, 0] - logits[:, 1]).abs(), rtol=1e-4)
    assert found.gradients == 0


def test_identical_images_have_places_and_no_order() -> None:
    classifier, images, _ = clusters(10)
    found = embed(classifier, images[:1].expand(20, -1, -1, -1), "pixels", neighbours=5)
    assert np.isfinite(found.positions).all()
    assert math.isnan(found.correlation)
    assert math.isnan(found.trustworthiness)
    assert found.typical == 0
    twins = torch.cat([images[:10], images[:10], images[10:]])
    both = embed(classifier, twins, "pixels", neighbours=5)
    distance = np.linalg.norm(both.positions[:10] - both.positions[10:20], axis=1)
    assert np.median(distance) < 0.25 * both.radius


def demo() -> tuple[Classifier, Any]:
    return load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")[:60]


LEAST = {"probabilities": 0.6, "divergence": 0.7}  # most images have the same probabilities, or nearly so


@pytest.mark.parametrize("space", SPACES)
def test_sixty_images_of_a_demo_model_in_every_space(space: SpaceName, batch_size: BatchSize) -> None:
    batch_size(32)  # not the measured one
    classifier, images = demo()
    found = embed(classifier, images.pixels, space, labels=images.labels, neighbours=8, seeds=2)
    assert found.positions.shape == (60, 2)
    assert found.trustworthiness > LEAST.get(space, 0.85)
    assert found.continuity > LEAST.get(space, 0.85)
    assert found.neighbour_agreement > 3 * found.chance
    in_map, in_space, by_chance = found.label_agreement
    assert (
        in_space > in_map > 3 * by_chance
    )  # how far above it: layouts of 60 images differ from processor to processor
    assert 0 < found.seed_agreement < 1
    assert (found.spread > 0).all()
    assert found.forwards >= 60
    if space != "divergence":
        compared = {"metric": "cosine" if space == "features" else "euclidean", "n_neighbors": 10}
        truth = trustworthiness(found.vectors.astype(np.float64), found.positions, **compared)
        assert found.trustworthiness == pytest.approx(truth, abs=1e-3)
    else:
        assert found.forwards < found.all_pairs == 60 * 59 * 6
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, EmbeddingMap)
    np.testing.assert_array_equal(again.positions, found.positions)
    placed = again.transform(classifier, images.pixels[:20])
    np.testing.assert_array_equal(placed.positions, found.positions[:20])
    backwards = again.transform(classifier, images.pixels.flip(0))  # in batches with other images
    np.testing.assert_array_equal(backwards.positions, found.positions[::-1])
    noise = 0.01 * torch.randn(images.pixels[:20].shape, generator=torch.Generator().manual_seed(0))
    near = again.transform(classifier, (images.pixels[:20] + noise).clamp(0, 1))
    off = np.linalg.norm(near.positions - found.positions[:20], axis=1)
    assert np.median(off) < 0.1 * found.radius
    np.testing.assert_array_equal(placed.neighbours[:, 0], np.arange(20))
    np.testing.assert_array_equal(placed.predicted, found.predicted[:20])
    assert (placed.ratio < 3).mean() > 0.8


@pytest.mark.parametrize("space", SPACES)
def test_sure_answers_and_features_of_one_direction_keep_their_places(space: SpaceName) -> None:
    """Probabilities are the same to the last bit, and the cosine sees no length: images are still told apart."""

    class Sure(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)
            torch.nn.init.eye_(self.first.weight)
            torch.nn.init.zeros_(self.first.bias)
            torch.nn.init.constant_(self.head.weight[:1], 900.0)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.head(self.first(images.flatten(1)))
            return logits

    torch.manual_seed(0)
    classifier = truths.classifier(Sure(), (1, 2, 2))
    lengths = torch.linspace(0.3, 1, 12).view(-1, 1, 1, 1)
    images = lengths * torch.tensor([[0.5, 0.9], [0.7, 0.2]])
    assert (classifier.predict(images).probabilities[:, 0] == 1).all()
    found = embed(classifier, images, space, neighbours=5, epochs=20)
    np.testing.assert_array_equal(found.transform(classifier, images).positions, found.positions)


def test_a_seed_gives_the_same_bytes_and_another_one_another_map() -> None:
    classifier, images = demo()
    first, same, other = (embed(classifier, images.pixels, seed=seed, epochs=50) for seed in (0, 0, 1))
    assert first.positions.tobytes() == same.positions.tobytes() != other.positions.tobytes()
    assert np.isnan(first.spread).all()
    assert math.isnan(first.seed_agreement)


def test_what_is_far_from_all_images_is_said_to_be() -> None:
    classifier, images, _ = clusters(20)
    found = embed(classifier, images, "pixels", neighbours=6)
    far = torch.cat([images[:1], torch.full((1, *SHAPE), 0.5), torch.full((1, *SHAPE), 9.0)])
    placed = found.transform(classifier, far)
    assert placed.ratio[0] < 1.2
    assert placed.ratio[1] > 5
    assert placed.ratio[2] > 100
    # the distance to a cluster of noise 0.02 in 1024 pixels: the middle is 0.3 from each, neighbours 0.02 sqrt(2)
    assert placed.ratio[1] == pytest.approx(0.3 / (0.02 * math.sqrt(2)), rel=0.1)
    with pytest.raises(ValueError, match="expected the classifier that the map is of"):
        found.transform(load_classifier("demo:digits/standard", "cpu"), far)


def test_logits_that_are_not_finite_have_no_class_and_no_place_in_their_own_space() -> None:
    class Undefined(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            first = images.flatten(1)[:, :2] + 0.0
            return first.masked_fill((images.flatten(1)[:, 2:3] > 0.9), torch.nan)

    images = truths.images(12, SHAPE).float().clamp(0, 0.8)
    images[3, 0, 0, 2] = 1.0
    classifier = truths.classifier(Undefined(), SHAPE)
    found = embed(classifier, images, "pixels", neighbours=4)
    assert found.predicted[3] == -1
    assert math.isnan(found.margin[3])
    assert np.isfinite(found.positions).all()
    with pytest.raises(ValueError, match="expected finite logits, got NaN"):
        embed(classifier, images, "logits", neighbours=4)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (3, {}, "expected 4 to 20000 images for a map, got 3"),
        (9, {"neighbours": 2}, "expected 3 neighbours"),
        (9, {"seeds": 0}, "and a seed at least"),
        (9, {"min_dist": 2.0}, "a least distance in"),
    ],
)
def test_what_makes_no_map_is_refused(count: int, options: dict[str, Any], message: str) -> None:
    classifier, images, _ = clusters(10)
    with pytest.raises(ValueError, match=message):
        embed(classifier, images[:count], **({"space": "pixels"} | options))


def test_images_of_another_shape_are_refused_and_work_can_be_cancelled() -> None:
    classifier, images, _ = clusters(10)
    with pytest.raises(ImageError):
        embed(classifier, images[:, :, :16], "pixels")

    def stop(fraction: float, partial: Result | None = None) -> None:
        if fraction > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        embed(classifier, images, "pixels", on_progress=stop)
