"""What an analysis costs is counted once, where the network runs."""

import torch
from torch import nn

from core.geometry.boundary.signed_margin import SignedMargin
from core.models.classifier import Classifier
from core.result import Result
from core.runtime.cost import count_passes, counted, counting, spent


@counted
def inner(classifier: Classifier, images: torch.Tensor) -> Result:
    margin = SignedMargin(classifier)
    margin.slope(images, torch.zeros(len(images), dtype=torch.int64))
    return Result(**spent())


@counted
def outer(classifier: Classifier, images: torch.Tensor) -> Result:
    classifier.predict(images)
    inner(classifier, images)
    return Result(**spent())


def a_classifier() -> Classifier:
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), (1, 2, 2))


def test_passes_of_an_analysis_called_inside_are_charged_to_its_caller_too() -> None:
    result = outer(a_classifier(), torch.rand(5, 1, 2, 2))
    assert (result.forwards, result.gradients) == (10, 5)
    assert result.seconds > 0


def test_each_call_opens_an_account_of_its_own() -> None:
    classifier, images = a_classifier(), torch.rand(5, 1, 2, 2)
    assert inner(classifier, images).forwards == inner(classifier, images).forwards == 5
    count_passes(forwards=1)  # nobody's


def test_rows_that_fill_a_batch_are_counted_and_measuring_the_batch_shape_is_not() -> None:
    classifier = a_classifier()
    with counting() as cost:
        batches = classifier.batches()
        batches(classifier, torch.rand(batches.size + 1, 1, 2, 2))
    assert cost.forwards == 2 * batches.size


def test_results_computed_before_are_added() -> None:
    @counted
    def extended(found: Result) -> Result:
        count_passes(forwards=2)
        return Result(**spent(found))

    result = extended(Result(forwards=5, gradients=3, seconds=2.0))
    assert (result.forwards, result.gradients) == (7, 3)
    assert result.seconds > 2
