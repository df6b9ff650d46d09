"""Jacobians as matrices and as products, and the largest singular value by power iteration."""

from __future__ import annotations

import pytest
import torch

from core.geometry.local import jacobian
from core.geometry.local.jacobian import Linearised, Outputs, largest_singular_value, singular_values
from core.runtime.cost import counting
from tests import local_maps, truths

SHAPE = (1, 8, 8)


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("count", [1, 5])
def test_a_stored_jacobian_and_its_products_agree(
    dtype: torch.dtype, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = truths.classifier(local_maps.net(SHAPE), SHAPE, dtype)
    images = truths.images(count, SHAPE, dtype=dtype)
    vectors = torch.randn((count, 3, 64), generator=torch.Generator().manual_seed(1), dtype=dtype)
    stored = Linearised(Outputs(classifier), images)
    assert stored.matrix is not None
    for row in range(count):
        exact = torch.func.jacrev(lambda image: classifier(image[None])[0])(images[row]).flatten(1)
        torch.testing.assert_close(stored.matrix[row], exact)
        torch.testing.assert_close(stored(vectors)[row], vectors[row] @ exact.T)
    torch.testing.assert_close(stored(vectors[:1])[-1], vectors[0] @ stored.matrix[-1].T)
    monkeypatch.setattr(jacobian, "MOST_ROWS", 2)
    with counting() as cost:
        products = Linearised(Outputs(classifier), images)
        moved = products(vectors)
    assert cost.gradients > 0
    assert cost.forwards == count
    assert products.matrix is None
    assert products.singular_values() is None
    torch.testing.assert_close(moved, stored(vectors))
    torch.testing.assert_close(products(vectors[:1]), stored(vectors[:1]))
    exact, found = stored.largest(), products.largest(200)
    torch.testing.assert_close(found.value, exact.value, rtol=1e-3, atol=0)
    assert (found.value <= exact.value * (1 + 1e-5)).all()
    assert (found.residual < 0.1).all()


def test_the_vector_is_the_one_that_is_stretched_most() -> None:
    classifier = local_maps.scaled_axes((1.0, 4.0, 2.0), SHAPE, torch.float64)
    found = Linearised(Outputs(classifier), truths.images(2, SHAPE)).largest()
    torch.testing.assert_close(found.value, torch.full((2,), 4.0, dtype=torch.float64))
    torch.testing.assert_close(found.vector.abs()[:, 1], torch.ones(2, dtype=torch.float64))


def test_rows_stop_together_once_none_changes() -> None:
    matrix = torch.diag(torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64))
    found = largest_singular_value(lambda v: v @ matrix, lambda u: u @ matrix, torch.zeros(2, 3).double())
    torch.testing.assert_close(found.value, torch.full((2,), 3.0, dtype=torch.float64), rtol=1e-4, atol=0)
    assert 2 < found.rounds < 20


def test_probabilities_are_softened_logits() -> None:
    classifier = local_maps.scaled_axes((1.0, 4.0, 2.0), SHAPE, torch.float64)
    images = truths.images(3, SHAPE)
    there = Linearised(Outputs(classifier, "probabilities"), images)
    torch.testing.assert_close(there.value, classifier(images).softmax(1))
    assert there.matrix is not None
    p = there.value
    softmax = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    logits = Linearised(Outputs(classifier), images).matrix
    assert logits is not None
    torch.testing.assert_close(there.matrix, softmax @ logits)
    assert (there.largest().value <= singular_values(logits)[:, 0] / 2 + 1e-12).all()


def test_outputs_that_see_no_image_have_a_jacobian_of_0(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = truths.classifier(local_maps.Constant(), SHAPE)
    images = truths.images(2, SHAPE, dtype=torch.float32)
    assert Linearised(Outputs(classifier), images).largest().value.tolist() == [0, 0]
    monkeypatch.setattr(jacobian, "MOST_ROWS", 1)
    there = Linearised(Outputs(classifier), images)
    assert there.largest().value.tolist() == [0, 0]
    assert (there(torch.ones(1, 2, 64)) == 0).all()
