"""What is said between images: classes in closed form, round trips, agreement, and layers that say nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.maps.background import STATUSES, DecisionMap, decision_map
from core.geometry.maps.maps import embed
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests.core.geometry.maps.test_maps import clusters


def test_between_two_clusters_the_nearer_one_says_the_class() -> None:
    classifier, images, labels = clusters(20)
    found = embed(classifier, images, "pixels", neighbours=6, labels=labels)
    drawn = decision_map(classifier, found, resolution=24)
    assert isinstance(drawn, DecisionMap)
    assert drawn.background_agreement == 1
    assert drawn.background_chance == 0.5
    grid = np.stack(np.meshgrid(drawn.x, drawn.y), 2)
    far = np.linalg.norm(grid[:, :, None] - found.positions, axis=3)
    nearest = found.predicted[far.argmin(2)]
    np.testing.assert_allclose(drawn.gap, far.min(2) / found.radius, rtol=1e-6)
    inside = drawn.gap < 0.1
    assert inside.any()
    np.testing.assert_array_equal(drawn.background[inside], nearest[inside])
    assert (drawn.background_confidence[inside] > 0.99).all()
    assert np.median(drawn.round_trip[inside]) < 0.25  # it comes back into its cluster, away from it it does not
    assert (drawn.belief[drawn.gap > 0.25] == 0).all()
    assert drawn.belief.max() > 0.3
    assert drawn.forwards > found.forwards
    assert drawn.status == "measured"
    np.testing.assert_array_equal(drawn.positions, found.positions)
    low, high = found.positions.min(0), found.positions.max(0)
    assert (drawn.x[0], drawn.y[0]) < tuple(low)
    assert (drawn.x[-1], drawn.y[-1]) > tuple(high)
    assert drawn.x[-1] - drawn.x[0] == pytest.approx(drawn.y[-1] - drawn.y[0])


@pytest.mark.parametrize("space", ["features", "logits", "probabilities", "divergence"])
def test_a_demo_model_says_of_its_images_what_it_says(space: str) -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")[:60]
    found = embed(classifier, images.pixels, space, neighbours=8)  # type: ignore[arg-type]
    drawn = decision_map(classifier, found, resolution=12)
    assert drawn.background_agreement > 0.5 > drawn.background_chance
    assert (drawn.background >= 0).all()
    measured = space != "divergence"
    assert drawn.status == ("measured" if measured else "not measured")
    assert np.isfinite(drawn.round_trip).all() == measured
    assert ((drawn.belief >= 0) & (drawn.belief <= 1)).all()
    again = Result.from_bytes(drawn.to_bytes())
    assert isinstance(again, DecisionMap)
    np.testing.assert_array_equal(again.belief, drawn.belief)


def test_a_layer_that_something_passes_by_has_no_background() -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(1024, 3), nn.Linear(3, 3)

        def forward(self, images: Tensor) -> Tensor:
            low = self.first(images.flatten(1))
            found: Tensor = self.last(torch.relu(low)) + low
            return found

    from tests import truths

    torch.manual_seed(0)
    classifier = truths.classifier(Skipping(), (1, 32, 32))
    found = embed(classifier, truths.images(12, (1, 32, 32)).float(), neighbours=4)
    drawn = decision_map(classifier, found, resolution=4)
    assert drawn.status == "no head"
    assert "no background" in STATUSES["no head"]
    assert (drawn.background == -1).all()
    assert math.isnan(drawn.background_agreement)
    with pytest.raises(ValueError, match="a resolution of at least 2"):
        decision_map(classifier, found, resolution=1)
    with pytest.raises(ValueError, match="expected the classifier that the map is of"):
        decision_map(load_classifier("demo:digits/standard", "cpu"), found)
