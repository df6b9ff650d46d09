"""What an analysis costs is counted once, where the network runs."""

import torch
from torch import nn

from core.geometry.boundary.signed_margin import SignedMargin
from core.models.classifier import Classifier
from core.result import Result
from core.runtime.cost import CountedCache, count_passes, counted, counting, spent


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


def test_passes_of_an_inner_analysis_count_for_its_caller_too() -> None:
    result = outer(a_classifier(), torch.rand(5, 1, 2, 2))
    assert (result.forwards, result.gradients) == (10, 5)
    assert result.seconds > 0


def test_each_call_is_counted_separately() -> None:
    classifier, images = a_classifier(), torch.rand(5, 1, 2, 2)
    assert inner(classifier, images).forwards == inner(classifier, images).forwards == 5
    count_passes(forwards=1)  # nobody's


def test_padding_counts_and_measuring_the_batch_shape_does_not() -> None:
    classifier = a_classifier()
    with counting() as cost:
        batches = classifier.batches()
        batches(classifier, torch.rand(batches.size + 1, 1, 2, 2))
    assert cost.forwards == 2 * batches.size


def test_cached_values_are_charged_each_time() -> None:
    classifier, images = a_classifier(), torch.rand(5, 1, 2, 2)
    cache: CountedCache[str, str] = CountedCache(2)

    @counted
    def ask(key: str | None) -> Result:
        found = cache.get(key)
        if found is None:
            with counting() as cost:
                inner(classifier, images)
            cache.put(key, "made", cost)
        return Result(**spent())

    for key in ("a", "a", None, None):
        result = ask(key)
        assert (result.forwards, result.gradients) == (5, 5)
    assert (cache.get("a"), cache.get(None), cache.get("b")) == ("made", None, None)


def test_products_are_reported_if_a_result_has_them() -> None:
    with counting() as cost:
        count_passes(products=3)
    assert cost.so_far(products=True)["products"] == 3
    assert "products" not in cost.so_far()
