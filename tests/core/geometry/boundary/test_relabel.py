"""Into the region of a class: exact for flat boundaries and balls, away from two walls at once, and on a demo model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import ImageError
from core.geometry.boundary.relabel import Entered, RegionMargin, deepen, enter, relabel
from core.images.load import load_images
from core.models.load import load_classifier
from tests import curved, truths


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("shape", truths.SHAPES)
@pytest.mark.parametrize("count", [1, 5])
def test_into_a_half_space_the_way_is_the_shortest_and_a_fiftieth(
    count: int, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    normal = truths.unit(shape)
    weight = torch.stack([torch.zeros_like(normal).flatten(), 3 * normal.flatten()])
    classifier = truths.classifier(truths.Affine(weight, torch.tensor([0.0, -60.0])), shape, dtype)
    images = truths.images(count, shape)
    found = relabel(classifier, images, torch.ones(count, dtype=torch.int64))
    depth = 20 - images.flatten(1) @ normal.flatten()
    assert found.found.all()
    assert found.before.tolist() == [0] * count
    np.testing.assert_allclose(found.distance, 1.02 * 1.02 * depth, rtol=2e-5)  # one step, and its overshoot
    np.testing.assert_allclose(found.margin, 3 * (found.distance - depth.numpy()), rtol=2e-3)
    assert (classifier.predict(found.images).label == 1).all()
    assert found.gradients == 2 * count  # the second tells that the image has arrived


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_into_a_ball_from_outside_is_along_the_radius(dtype: torch.dtype) -> None:
    shape = (3, 32, 32)
    centre, away = curved.centre(shape), truths.unit(shape)
    classifier = truths.classifier(truths.Ball(centre, 2.0), shape, dtype)
    found = relabel(classifier, (centre + 9 * away)[None], torch.tensor([0]), overshoot=0.01)
    way = torch.from_numpy(found.images[0]).double() - (centre + 9 * away)
    assert float(-(way * away).sum() / way.norm()) == pytest.approx(1, abs=1e-6)
    assert 7 < found.distance[0] < 7.4


def test_an_image_of_its_class_stays_where_it_is() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    said = torch.as_tensor(classifier.predict(images.pixels[:4]).label).long()
    found = relabel(classifier, images.pixels[:4], said)
    np.testing.assert_array_equal(found.images, images.pixels[:4])
    assert found.distance.tolist() == [0] * 4


def test_every_class_is_reached_from_every_image_of_a_demo_model() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    pixels = images.pixels[:3].repeat_interleave(classifier.num_classes, 0)
    wanted = torch.arange(classifier.num_classes).repeat(3)
    found = relabel(classifier, pixels, wanted)
    assert found.found.all()
    np.testing.assert_array_equal(classifier.predict(found.images).label, wanted)
    noise = relabel(classifier, truths.images(9, (3, 32, 32)), torch.arange(9))
    np.testing.assert_array_equal(classifier.predict(noise.images).label, np.arange(9))


def test_where_the_class_is_nowhere_that_is_said() -> None:
    shape = (1, 8, 8)
    normal = truths.unit(shape).flatten()
    weight = torch.stack([normal, torch.zeros_like(normal)])
    lower = truths.classifier(truths.Affine(weight - weight[:1], torch.tensor([0.0, -1.0])), shape)
    found = relabel(lower, truths.images(2, shape), torch.tensor([0, 0]))
    assert found.found.all()  # class 0 wins by 1 wherever the slope leads
    flat = truths.classifier(truths.Affine(torch.zeros(2, 64), torch.tensor([1.0, 0.0])), shape)
    found = relabel(flat, truths.images(2, shape), torch.tensor([1, 0]))
    assert found.found.tolist() == [False, True]
    assert np.isnan(found.distance[0])
    assert np.isnan(found.images[0]).all()


def test_no_step_is_longer_than_the_reach() -> None:
    shape = (1, 8, 8)
    normal = truths.unit(shape)
    weight = torch.stack([torch.zeros(64, dtype=torch.float64), normal.flatten()])
    classifier = truths.classifier(truths.Affine(weight, torch.tensor([0.0, 0.0])), shape, torch.float64)
    margin = RegionMargin(classifier)
    starts = -10 * normal[None].repeat(2, 1, 1, 1)
    reach = torch.tensor([1.0, 4.0], dtype=torch.float64)
    classes = torch.tensor([1, 1])
    few = enter(margin, starts, classes, reach=reach, max_steps=3)
    assert few.inside.tolist() == [False, True]
    np.testing.assert_allclose((few.images - starts).flatten(1).norm(dim=1)[0], 3.0)
    many = enter(margin, starts, classes, reach=reach, max_steps=12)
    assert many.inside.all()


def wedge(degrees: float) -> tuple[Tensor, Tensor]:
    """Logits whose class 0 has the wedge of this opening around the first of two axes."""
    rows = curved.rows(2, (3, 32, 32))
    half = math.radians(degrees) / 2
    walls = [[math.sin(half), math.cos(half)], [math.sin(half), -math.cos(half)]]  # normals into the wedge
    weight = torch.stack([torch.zeros(3072, dtype=torch.float64), *(-torch.tensor(w).double() @ rows for w in walls)])
    return weight, rows


@pytest.mark.parametrize("degrees", [10.0, 60.0])
def test_in_a_wedge_deeper_is_along_its_middle(degrees: float) -> None:
    weight, rows = wedge(degrees)
    classifier = truths.classifier(truths.Affine(weight, torch.zeros(3)), (3, 32, 32), torch.float64)
    margin = RegionMargin(classifier)
    start = (torch.tensor([[1.0, 0.0]], dtype=torch.float64) @ rows).view(1, 3, 32, 32)
    classes = torch.tensor([0])
    before = margin(start, classes)
    assert float(before[0]) == pytest.approx(math.sin(math.radians(degrees) / 2))
    found = deepen(margin, Entered(start, before > 0, before), classes, torch.tensor([1.0], dtype=torch.float64))
    assert float(found.margin[0]) > 1.04 * float(before[0])
    place = found.images.flatten(1) @ rows.T
    assert float(place[0, 1]) == pytest.approx(0, abs=1e-9)  # the gradient of the margin alone leads into a wall


def test_wrong_calls_are_explained() -> None:
    classifier = truths.classifier(truths.Affine(torch.zeros(2, 64), torch.zeros(2)), (1, 8, 8))
    images = truths.images(2, (1, 8, 8))
    with pytest.raises(ValueError, match="expected a class for each"):
        relabel(classifier, images, torch.tensor([1]))
    with pytest.raises(ValueError, match="expected classes from 0 to 1"):
        relabel(classifier, images, torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="expected at least one step"):
        relabel(classifier, images, torch.tensor([1, 0]), max_steps=0)
    with pytest.raises(ImageError):
        relabel(classifier, images[:, :, :3], torch.tensor([1, 0]))
