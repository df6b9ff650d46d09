"""The penultimate layer of networks of several kinds, and heads that say what the whole network says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.geometry.maps.features import Features
from core.images.load import load_images
from core.models.load import load_classifier
from tests import truths

SHAPE = (1, 32, 32)


class Skipping(nn.Module):
    """The logits are those of a linear layer plus what goes around it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(1024, 3), nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        low = self.first(images.flatten(1))
        found: Tensor = self.last(torch.relu(low)) + low
        return found


class Scaled(nn.Module):
    """Logits of a convolution, averaged over the picture and divided by a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, stride=4), nn.ReLU())
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(images)).mean((2, 3)) / 2
        return found


@pytest.mark.parametrize(
    ("source", "layer", "dimension"),
    [
        ("demo:photos/vit", "input of head", 64),
        ("demo:digits/standard", "input of 10", 1024),
    ],
)
def test_the_penultimate_layer_is_found_and_its_head_says_what_the_network_says(
    source: str, layer: str, dimension: int
) -> None:
    classifier = load_classifier(source, "cpu")
    images = load_images(source.split("/")[0]).pixels[:5]
    features = Features(classifier, "")
    values, logits = features(images)
    assert (features.layer, features.dimension, values.shape) == (layer, dimension, (5, dimension))
    assert features.has_head
    torch.testing.assert_close(logits, classifier(images))
    torch.testing.assert_close(features.head(values), logits)


def test_linear_features_are_what_the_weights_say() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(1024, 7), nn.ReLU(), nn.Linear(7, 3))
    images = truths.images(4, SHAPE).float()
    features = Features(truths.classifier(module, SHAPE))
    values, _ = features(images)
    torch.testing.assert_close(values, module[2](module[1](images.flatten(1))))
    unseen = torch.rand(3, 7)
    torch.testing.assert_close(features.head(unseen), module[3](unseen))
    named = Features(truths.classifier(module, SHAPE), "1")
    torch.testing.assert_close(named(images)[0], module[1](images.flatten(1)))
    torch.testing.assert_close(named.head(unseen), module[3](torch.relu(unseen)))


def test_a_head_in_the_middle_of_a_network_is_the_rest_of_it() -> None:
    torch.manual_seed(1)
    module = Scaled()
    images = truths.images(3, SHAPE).float()
    features = Features(truths.classifier(module, SHAPE))
    values, logits = features(images)
    assert (features.layer, features.shape) == ("input of head", (4, 8, 8))
    torch.testing.assert_close(features.head(values), logits)
    torch.testing.assert_close(features.head(values[[2, 0]]), logits[[2, 0]])


def test_a_layer_that_something_passes_by_has_no_head() -> None:
    torch.manual_seed(2)
    features = Features(truths.classifier(Skipping(), SHAPE))
    assert features.layer == "input of last"
    assert not features.has_head
    with pytest.raises(ValueError, match="which something passes by"):
        features.head(torch.zeros(1, 3))
    assert Features(truths.classifier(Skipping(), SHAPE), "first").has_head


def test_the_classifier_is_left_without_hooks_and_hears_nothing() -> None:
    classifier = load_classifier("demo:digits/standard", "cpu")
    features = Features(classifier)
    features(load_images("demo:digits").pixels[:2])
    for module in (*classifier.module.modules(), *features._classifier.module.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_layers_that_cannot_be_taken_are_refused() -> None:
    classifier = load_classifier("demo:digits/standard", "cpu")
    with pytest.raises(ValueError, match=r"expected the path of a layer, such as .*10, got 'nothing'"):
        Features(classifier, "nothing")
    affine = truths.classifier(truths.Affine(torch.ones(2, 1024), torch.zeros(2)), SHAPE)
    with pytest.raises(ValueError, match="single one; choose pixels"):
        Features(affine)
