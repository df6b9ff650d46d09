"""What images are compared in, and that vectors say what the model says of their images."""

from __future__ import annotations

import pytest
import torch

from core.errors import ImageError
from core.geometry.maps.spaces import SPACES, Space, SpaceName
from core.images.load import load_images
from core.models.load import load_classifier
from core.runtime.cost import counting


@pytest.mark.parametrize("name", SPACES)
def test_vectors_say_what_the_model_says_of_their_images(name: SpaceName) -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits").pixels[:7]
    space = Space(classifier, name)
    with counting() as cost:
        vectors, logits = space(images)
    assert cost.forwards >= 7
    assert space.answers
    torch.testing.assert_close(logits, classifier(images))
    torch.testing.assert_close(space.answer(vectors).softmax(1), logits.softmax(1), atol=1e-4, rtol=1e-3)
    lengths = {"features": 1024, "pixels": 1024, "divergence": 1024, "logits": 10, "probabilities": 10}
    assert vectors.shape == (7, lengths[name])
    assert space.metric == ("cosine" if name == "features" else "euclidean")
    if name == "probabilities":
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(7))


def test_a_layer_is_named_in_words_and_wrong_names_are_refused() -> None:
    classifier = load_classifier("demo:digits/standard", "cpu")
    assert Space(classifier, "features", "5").words == "features, output of 5"
    assert Space(classifier, "logits").words == "logits"
    with pytest.raises(ImageError, match="expected images of n x 1 x 32 x 32"):
        Space(classifier, "pixels")(torch.zeros(2, 3, 32, 32))
