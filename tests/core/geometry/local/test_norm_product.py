"""The product of layers' norms: exact for one layer, above every slope of a net, and unknown for other models."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from core.geometry.local.jacobian import Linearised, Outputs
from core.geometry.local.norm_product import norm_product
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from tests import local_maps, truths

SHAPE = (3, 8, 8)


def test_one_convolution_has_the_norm_of_its_matrix() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 5))
    module[1].running_var.fill_(0.25)
    module = module.double().eval()
    classifier = Classifier(module, SHAPE, std=(0.5, 0.5, 0.25), device="cpu")
    image = torch.zeros((1, *SHAPE), dtype=torch.float64)
    matrix = torch.func.jacrev(lambda at: module(at)[0])(image).flatten(1).detach()
    found = norm_product(classifier)
    assert found.bound == pytest.approx(4 * float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-9)
    assert found.residual < 1e-6
    assert norm_product(classifier) is found


def test_a_chain_is_bounded_by_its_factors() -> None:
    module = local_maps.net(SHAPE)
    exact = math.prod(
        float(torch.linalg.matrix_norm(part.weight.detach(), 2)) for part in module if isinstance(part, nn.Linear)
    )
    classifier = truths.classifier(module, SHAPE, torch.float64)
    found = norm_product(classifier)
    assert found.bound == pytest.approx(exact, rel=1e-6)
    assert found.words == "normalisation x Linear x ReLU x Linear x ReLU x Linear"
    here = Linearised(Outputs(classifier), truths.images(8, SHAPE)).largest()
    assert (here.value < found.bound).all()


def test_slopes_of_activations_and_windows_that_overlap() -> None:
    for module, factor in ((nn.SiLU(), 1.09984), (nn.LeakyReLU(0.1), 1.0), (nn.Sigmoid(), 0.25)):
        chain = nn.Sequential(module, nn.Flatten(), nn.Linear(192, 2, bias=False))
        with torch.no_grad():
            chain[2].weight.copy_(torch.eye(192)[:2])
        assert norm_product(truths.classifier(chain, SHAPE)).bound == pytest.approx(factor, rel=1e-6)
    pooled = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(48, 2, bias=False))
    assert norm_product(truths.classifier(pooled, SHAPE)).factors[1] == 2  # a value is in up to 2 x 2 windows


def test_a_model_that_is_no_chain_has_no_bound() -> None:
    found = norm_product(truths.classifier(truths.Ball(torch.zeros(SHAPE), 1.0), SHAPE))
    assert math.isnan(found.bound)
    assert "Ball" in found.words


def test_the_demo_model_is_bounded() -> None:
    classifier, images = load_classifier("demo:photos/relu", "cpu"), load_images("demo:photos").pixels[:4]
    assert float(Linearised(Outputs(classifier), images).largest().value.max()) < norm_product(classifier).bound < 1e5
