"""Walks through a corruption: closed forms on affine models, the images of `corrupt`, and what cannot be walked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.errors import ImageError
from core.geometry.corruptions.corruptions import corrupt
from core.geometry.corruptions.severity_path import severity_path
from core.geometry.corruptions.severity_sweep import severity_sweep
from core.images.load import load_images
from core.models.load import load_classifier
from tests import truths

SHAPE = (1, 16, 16)


def affine(dtype: torch.dtype) -> tuple[truths.Affine, torch.Tensor, torch.Tensor]:
    weight = torch.stack([truths.unit(SHAPE, seed).flatten() for seed in range(3)])
    bias = torch.tensor([0.3, 0.0, -0.2], dtype=torch.float64)
    return truths.Affine(weight.to(dtype), bias.to(dtype)), weight, bias


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("name", ["brightness", "gaussian_noise"])
def test_distances_of_an_affine_model_are_those_to_its_planes(dtype: torch.dtype, name: str) -> None:
    module, weight, bias = affine(dtype)
    classifier = truths.classifier(module, SHAPE, dtype)
    image = truths.images(1, SHAPE, dtype=torch.float32)[0]
    found = severity_path(classifier, image, name, label=0, steps=6, seed=3)
    assert found.severity.tolist() == [0, 1, 2, 3, 4, 5]
    for place, severity in enumerate(found.severity):
        there = corrupt(image[None], name, float(severity), 3)
        np.testing.assert_allclose(found.images[place], there[0], atol=1e-6)
        logits = there.flatten(1).double() @ weight.T + bias
        np.testing.assert_allclose(found.probabilities[place], logits.softmax(1)[0], atol=1e-5)
        assert found.predicted[place] == int(logits.argmax())
        margins = [(logits[0, 0] - logits[0, k]) / (weight[0] - weight[k]).norm() for k in (1, 2)]
        assert found.distance[place] == pytest.approx(float(min(margins)), abs=2e-5)
        assert found.displacement[place] == pytest.approx(float((there - image).norm()), abs=1e-5)
    assert found.forwards > 0
    assert found.gradients > 0


def test_the_label_is_lost_where_the_distance_changes_its_sign() -> None:
    """Brightness moves an image along (1, ..., 1), towards the plane mean(x) = 0.7."""
    pixels = 256
    weight = torch.stack([-torch.ones(pixels), torch.ones(pixels)]) / pixels
    classifier = truths.classifier(truths.Affine(weight, torch.tensor([0.7, -0.7])), SHAPE)
    found = severity_path(classifier, torch.full(SHAPE, 0.445), "brightness", steps=51)
    assert found.label == 0
    assert not found.labelled
    assert found.lost_at == pytest.approx(2.6)  # 0.255 is added at severity 2.55; looked at in tenths
    assert (np.sign(found.distance[found.severity < 2.55]) == 1).all()
    assert (np.sign(found.distance[found.severity > 2.55]) == -1).all()
    kept = severity_path(classifier, torch.full(SHAPE, 0.1), "brightness", label=0, steps=3)
    assert np.isnan(kept.lost_at)
    assert kept.labelled


def test_a_walk_is_a_sweep_of_one_image() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    one = images[[17]]
    found = severity_path(classifier, one.pixels[0], "fog", label=int(one.labels[0]), steps=3, candidates=3)
    sweep = severity_sweep(classifier, one.pixels, one.labels, ["fog"], severities=[0, 2.5, 5], candidates=3)
    np.testing.assert_array_equal(found.distance, sweep.distance[0, :, 0])
    np.testing.assert_array_equal(found.predicted, found.probabilities.argmax(1))
    assert found.forwards == sweep.forwards + 3
    assert found.gradients == sweep.gradients


def test_what_cannot_be_walked_is_told() -> None:
    classifier = truths.classifier(affine(torch.float32)[0], SHAPE)
    image = truths.images(1, SHAPE, dtype=torch.float32)[0]
    with pytest.raises(ValueError, match="expected a corruption out of gaussian_noise, .*, got 'snow'"):
        severity_path(classifier, image, "snow")
    with pytest.raises(ValueError, match="at least two severities"):
        severity_path(classifier, image, "fog", steps=1)
    with pytest.raises(ValueError, match="expected true classes from 0 to 2, got 7"):
        severity_path(classifier, image, "fog", label=7)
    with pytest.raises(ImageError, match="expected images in"):
        severity_path(classifier, 2 * image, "fog")
    undefined = truths.classifier(truths.Affine(torch.full((2, 256), torch.nan), torch.zeros(2)), SHAPE)
    with pytest.raises(ValueError, match="expected finite logits"):
        severity_path(undefined, image, "fog")
