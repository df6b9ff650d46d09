"""Products with second derivatives: every way against the whole matrix, and what kinks do to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.geometry.hessian import products as hessian
from core.geometry.hessian.products import BACKENDS, Backend, HessianProducts, choose_backend
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.runtime.cost import Cost
from tests import curved, truths

SHAPE = (2, 4, 4)


class Attention(nn.Module):
    """Rows of pixels as tokens, attending to each other by torch's fused function, after a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.norm = nn.BatchNorm2d(2)
        self.project = nn.Parameter(torch.randn((8, 24), generator=generator) * 0.6)
        self.head = nn.Parameter(torch.randn((8, 3), generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(images).permute(0, 2, 1, 3).flatten(2) @ self.project
        query, key, value = tokens[:, None].chunk(3, -1)
        seen: Tensor = F.scaled_dot_product_attention(query, key, value)
        return F.silu(seen[:, 0].mean(1)) @ self.head


def products(backend: Backend, dtype: torch.dtype = torch.float64, step: float | None = None) -> HessianProducts:
    classifier = truths.classifier(Attention(), SHAPE, dtype)
    points = truths.images(3, SHAPE).to(dtype)
    return HessianProducts(
        classifier, points, torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0]), backend=backend, step=step
    )


CASES = [(backend, dtype, block) for backend in BACKENDS[1:] for dtype in truths.DTYPES for block in (1, 5)]


@pytest.mark.parametrize(("backend", "dtype", "block"), [*CASES, ("linearize", torch.float32, 5)])  # traces are slow
def test_every_way_gives_the_same_products(backend: Backend, dtype: torch.dtype, block: int, cost: Cost) -> None:
    ours = products(backend, dtype)
    vectors = torch.randn((3, block, 32), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = ours(vectors.to(dtype)), ours(2 * vectors.to(dtype))
    expected = (curved.second_derivatives(ours) @ vectors.mT).mT
    slack = {torch.float32: 2e-3 if backend == "differences" else 1e-5, torch.float64: 1e-6}[dtype]
    for factor, each in zip((1, 2), found, strict=True):
        np.testing.assert_allclose(each, factor * expected, atol=factor * slack * float(expected.abs().max()))
    assert cost.products == 2 * 3 * block
    assert cost.gradients > 0
    some = ours.select(torch.tensor([2]))(vectors[2:].to(dtype))
    np.testing.assert_allclose(some[0], found[0][2], atol=slack * float(expected.abs().max()))


def test_directions_go_through_in_pieces_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = products("double backward")
    vectors = torch.randn((3, 7, 32), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    together = ours(vectors)
    monkeypatch.setattr(hessian, "_MOST_VALUES", 3 * 32 * 2)
    assert ours.width == 2
    np.testing.assert_allclose(ours(vectors), together, rtol=1e-10, atol=1e-12)


def test_differences_of_an_image_that_does_not_move_are_zero() -> None:
    ours = products("differences", step=0.1)
    assert (ours(torch.zeros(3, 2, 32, dtype=torch.float64)) == 0).all()


def test_affine_logits_have_no_second_derivative_and_that_is_exact() -> None:
    affine = truths.classifier(truths.Affine(torch.eye(3, 32).double(), torch.zeros(3).double()), SHAPE, torch.float64)
    ours = HessianProducts(
        affine, truths.images(2, SHAPE), torch.tensor([0, 1]), torch.tensor([1, 2]), backend="double backward"
    )
    assert (ours(torch.ones(2, 2, 32, dtype=torch.float64)) == 0).all()


class NoForward(torch.autograd.Function):
    """x² without forward-mode derivatives, twice differentiable backwards."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.square()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        return 2 * values * gradient


class BackwardOnly(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        inside = 4 - NoForward.apply(images - 0.5).flatten(1).sum(1)
        return torch.stack([inside, torch.zeros_like(inside)], 1)


class Once(torch.autograd.Function):
    """x² with a gradient that has no derivative of its own."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.square()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError("no second derivative")
        (values,) = ctx.saved_tensors
        return 2 * values * gradient


class OneGradient(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        inside = 4 - Once.apply(images - 0.5).flatten(1).sum(1)
        return torch.stack([inside, torch.zeros_like(inside)], 1)


@pytest.mark.parametrize(("module", "backend"), [(BackwardOnly, "double backward"), (OneGradient, "differences")])
def test_the_first_way_that_a_model_supports_is_chosen(module: type[nn.Module], backend: Backend) -> None:
    classifier = truths.classifier(module(), SHAPE, torch.float64)
    classes = torch.zeros(2).long(), torch.ones(2).long()
    ours = HessianProducts(classifier, truths.images(2, SHAPE), *classes, backend="linearize")
    assert choose_backend(ours) == backend
    vectors = torch.ones(2, 1, 32, dtype=torch.float64)
    found = HessianProducts(classifier, truths.images(2, SHAPE), *classes, backend=backend)(vectors)
    np.testing.assert_allclose(found, -2, rtol=1e-4)
    with pytest.raises(RuntimeError):
        ours(vectors)


def test_parameters_get_no_gradients() -> None:
    classifier: Classifier = load_classifier("demo:photos/standard", "cpu")
    ours = HessianProducts(
        classifier, truths.images(2, (3, 32, 32)), torch.tensor([0, 1]), torch.tensor([1, 2]), backend="double backward"
    )
    ours(torch.ones(2, 1, 3072))
    assert all(parameter.grad is None for parameter in classifier.module.parameters())
