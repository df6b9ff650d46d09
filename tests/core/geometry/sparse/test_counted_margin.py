"""The counted: the margins of `SignedMargin`, whatever the batches, and every image's own costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.geometry.boundary.signed_margin import SignedMargin
from core.geometry.sparse.counted_margin import CountedMargin, SparseProblem, batch_size
from core.runtime.cost import counting
from tests import truths

SHAPE = (3, 4, 5)


def centres() -> truths.NearestCentre:
    return truths.NearestCentre(truths.images(4, SHAPE, seed=3))


@pytest.mark.parametrize("size", [1, 5, 100])
def test_margins_are_those_of_each_images_class_in_batches_of_any_size(size: int) -> None:
    classifier, images = truths.classifier(centres(), SHAPE, torch.float64), truths.images(7, SHAPE)
    plain, counted = SignedMargin(classifier), CountedMargin(classifier, size)
    with counting() as cost:
        logits = counted.open(images)
        numbers = torch.tensor([6, 0, 3, 3, 1, 2, 2, 2])
        counted.slope(images[numbers], numbers)
    assert cost.forwards == int(counted.forwards_of.sum()) == 15
    assert cost.gradients == int(counted.gradients_of.sum()) == 8
    counted.open(images)
    torch.testing.assert_close(logits, classifier(images))
    points = images[numbers] + 0.1
    source = logits.argmax(1)[numbers]
    margin, gradient, runner_up = plain.slope(points, source)
    found = counted.slope(points, numbers)
    torch.testing.assert_close(found.margin, margin)
    torch.testing.assert_close(found.gradient, gradient)
    assert torch.equal(found.runner_up, runner_up)
    torch.testing.assert_close(counted(points, numbers), margin)
    torch.testing.assert_close(counted.of(numbers, lambda part: points[part]), margin)
    classes = (source[:, None] + torch.tensor([1, 2])) % 4
    for mine, theirs in zip(
        counted.class_margins(points, numbers, classes), plain.class_margins(points, source, classes), strict=True
    ):
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other)
    times = torch.bincount(numbers, minlength=7)
    np.testing.assert_array_equal(counted.gradients_of, 3 * times)  # one by `slope`, two by `class_margins`
    np.testing.assert_array_equal(counted.forwards_of, 1 + 4 * times)


def test_tied_images_have_one_channel_whose_gradient_is_the_sum_of_all() -> None:
    classifier, grey = truths.classifier(centres(), SHAPE, torch.float64), truths.images(3, (1, 4, 5))
    plain, tied = CountedMargin(classifier, 5), CountedMargin(classifier, 5, tied=True)
    numbers = torch.arange(3)
    torch.testing.assert_close(tied.open(grey), plain.open(grey.expand(-1, 3, -1, -1)))
    one, three = tied.slope(grey, numbers), plain.slope(grey.expand(-1, 3, -1, -1), numbers)
    torch.testing.assert_close(one.gradient, three.gradient.sum(1, keepdim=True))
    torch.testing.assert_close(one.margin, three.margin)


def test_records_keep_the_fewest_pixels_of_every_image() -> None:
    counted = CountedMargin(truths.classifier(centres(), SHAPE, torch.float64), 5)
    counted.open(truths.images(3, SHAPE))
    for numbers, counts in (([0, 0, 2], [torch.inf, 7, torch.inf]), ([2, 0], [4, 9]), ([0], [2])):
        counted.record(torch.tensor(numbers), torch.tensor(counts, dtype=torch.float64))
    best = torch.stack([record for record, _ in counted.records], 1)
    np.testing.assert_array_equal(best[0], [np.nan, 7, 7, 2])
    np.testing.assert_array_equal(best[1], [np.nan] * 4)
    np.testing.assert_array_equal(best[2], [np.nan, np.nan, 4, 4])


@pytest.mark.parametrize(("unit", "shape"), [("pixel", (3, 20)), ("entry", (1, 60))])
def test_items_are_pixels_with_their_channels_or_entries(unit: str, shape: tuple[int, int]) -> None:
    images = truths.images(2, SHAPE)
    counted = CountedMargin(truths.classifier(centres(), SHAPE, torch.float64), 5)
    counted.open(images)
    problem = SparseProblem(counted, images, 0 * images, 0 * images + 1, 1e-4, "pixel" if unit == "pixel" else "entry")
    numbers = torch.arange(2)
    assert problem.items(images).shape == (2, *shape)
    margin, gradient = problem.gradient(numbers, problem.items(images))
    torch.testing.assert_close(margin, problem.margins(numbers, problem.items(images)))
    torch.testing.assert_close(gradient, problem.items(counted.slope(images, numbers).gradient))


def test_batches_are_no_larger_than_the_classifier_likes() -> None:
    classifier = truths.classifier(centres(), SHAPE)
    assert 1 <= batch_size(classifier) <= classifier.batches().size
