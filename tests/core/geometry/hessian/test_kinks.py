"""Which operations have kinks, and which networks are linear between them."""

from __future__ import annotations

from pathlib import Path

import torch

from core.geometry.hessian import kinks as module
from core.geometry.hessian.kinks import is_piecewise_linear, kinks
from core.geometry.hessian.products import HessianProducts
from tests import curved, truths
from tests.core.geometry.hessian.test_products import SHAPE, Attention, products


def test_affine_logits_have_none() -> None:
    affine = truths.classifier(truths.Affine(torch.eye(3, 32).double(), torch.zeros(3).double()), SHAPE, torch.float64)
    ours = HessianProducts(
        affine, truths.images(2, SHAPE), torch.tensor([0, 1]), torch.tensor([1, 2]), backend="double backward"
    )
    assert not is_piecewise_linear(ours)
    assert kinks(affine) == ()


def test_kinks_are_named_and_make_exact_products_vanish() -> None:
    kinked = truths.classifier(curved.Kinked((1, 8, 8)), (1, 8, 8), torch.float64)
    assert kinks(kinked) == ("leaky_relu", "relu")
    assert "max_pool2d_with_indices" in kinks(truths.classifier(curved.Kinked((1, 8, 8), pool=True), (1, 8, 8)))
    ours = HessianProducts(
        kinked, truths.images(2, (1, 8, 8)), torch.tensor([0, 1]), torch.tensor([1, 2]), backend="double backward"
    )
    assert (ours(torch.ones(2, 1, 64, dtype=torch.float64)) == 0).all()
    assert is_piecewise_linear(ours)
    assert not is_piecewise_linear(products("double backward"))
    assert kinks(truths.classifier(Attention(), SHAPE)) == ()


def test_names_are_noted_without_torchs_compiler() -> None:
    """Torch would wrap this in what imports it at the first call: 2 s of the first picture."""
    function = module._Operations.__torch_dispatch__
    while function is not None:
        assert Path(function.__code__.co_filename).name != "_compile.py"
        function = getattr(function, "__wrapped__", None)
