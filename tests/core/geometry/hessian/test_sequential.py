"""Second derivatives of plain chains against the whole matrix, and what is no plain chain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from core.geometry.common.fused_inference import folded
from core.geometry.hessian.products import HessianProducts
from core.geometry.hessian.sequential import Tape, steps_of
from core.geometry.hessian.smooth_layers import eased
from core.models.classifier import Classifier
from core.models.load import load_classifier
from tests import curved, truths

SHAPE = (2, 6, 6)
CHAINS = {
    "convolutions": lambda: nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.SiLU()),
        nn.Identity(),
        nn.Sequential(nn.Conv2d(4, 6, 2, groups=2, bias=False), nn.Dropout2d(0.5), nn.Tanh()),
        nn.Flatten(),
        nn.Linear(24, 5),
        nn.GELU(),
        nn.Dropout(0.5),
        nn.Linear(5, 3),
    ),
    "an activation first": lambda: nn.Sequential(nn.Sigmoid(), nn.Flatten(), nn.Linear(72, 3)),
    "two activations in a row": lambda: nn.Sequential(
        nn.Flatten(), nn.SiLU(), nn.Tanh(), nn.Linear(72, 4), nn.SiLU(), nn.Linear(4, 3)
    ),
    "an activation last": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 3), nn.Sigmoid()),
    "affine": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 3)),
}


class Squared(nn.Module):
    """A smooth layer that nobody knows."""

    def forward(self, images: Tensor) -> Tensor:
        return images.square()


def made(name: str, dtype: torch.dtype = torch.float64, mean: float = 0.4) -> Classifier:
    torch.manual_seed(0)
    module = CHAINS[name]()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.running_mean, -1, 1)
    return Classifier(module.to(dtype), SHAPE, mean=(mean, 0.5), std=(0.2, 0.3))


def products(classifier: Classifier, rows: int) -> HessianProducts:
    points = truths.images(rows, SHAPE).to(classifier.dtype)
    source = torch.arange(rows) % 3
    return HessianProducts(classifier, points, source, (source + 1) % 3, backend="double backward")


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize(("rows", "block"), [(1, 1), (1, 4), (3, 1), (3, 4)])
def test_products_are_those_of_the_whole_matrix(name: str, dtype: torch.dtype, rows: int, block: int) -> None:
    ours = products(made(name, dtype), rows)
    vectors = torch.randn((rows, block, 72), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given_in = vectors.to(dtype)
    found = ours(given_in)
    assert isinstance(ours._tape, Tape)
    assert torch.equal(given_in, vectors.to(dtype))  # what comes in is left as it is
    matrix = curved.second_derivatives(ours)
    slack = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype] * max(1.0, float(matrix.abs().max()))
    np.testing.assert_allclose(found, (matrix @ vectors.mT).mT, atol=slack * 72**0.5)
    np.testing.assert_allclose(ours.gradient(), ours.gradient(ours.points), atol=slack)
    assert (ours.cost.products, ours.cost.forwards, ours.cost.gradients) == (rows * block, 2 * rows, 2 * rows)


def test_some_of_the_points_take_what_is_known_along() -> None:
    ours = products(made("convolutions"), 3)
    vectors = torch.randn((3, 2, 72), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    every = ours(vectors)
    some = ours.select(torch.tensor([2, 0]))
    np.testing.assert_allclose(some(vectors[[2, 0]]), every[[2, 0]], atol=1e-14)
    assert ours.cost.forwards == 3  # nothing was put through again


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_products_are_linear_and_symmetric(a: float, b: float) -> None:
    ours = products(made("convolutions"), 1)
    vectors = torch.randn((1, 2, 72), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    u, v = vectors[:, :1], vectors[:, 1:]
    np.testing.assert_allclose(ours(a * u + b * v), a * ours(u) + b * ours(v), atol=1e-12)
    np.testing.assert_allclose((u * ours(v)).sum(), (v * ours(u)).sum(), atol=1e-12)


def test_a_demo_model_is_a_chain_and_agrees_with_torchs_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_classifier("demo:digits/standard")
    points = truths.images(2, classifier.input_shape)
    source = torch.tensor([3, 5])
    ours, theirs = (
        HessianProducts(classifier, points, source, source + 1, backend="double backward") for _ in range(2)
    )
    vectors = torch.randn((2, 3, points[0].numel()), generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(theirs, "_tape", None)
    expected = theirs(vectors)
    assert theirs._tape is None
    np.testing.assert_allclose(ours(vectors), expected, atol=1e-4 * float(expected.abs().max()))
    assert ours._tape is not None


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.ReLU(), nn.Linear(8, 3)),  # kinks have nothing to keep
        nn.Sequential(Squared(), nn.Flatten(), nn.Linear(72, 3)),
        nn.Sequential(nn.Flatten(2), nn.Flatten(), nn.Linear(72, 3)),
        nn.Sequential(nn.Conv2d(2, 2, 3, padding="same"), nn.SiLU(), nn.Flatten(), nn.Linear(72, 3)),
        nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), nn.SiLU(), nn.Flatten(), nn.Linear(72, 3)),
    ],
)
def test_other_networks_are_no_plain_chain(module: nn.Module) -> None:
    assert steps_of(eased(folded(Classifier(module, SHAPE)))) is None


def test_what_hooks_change_is_no_plain_chain() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.SiLU(), nn.Linear(8, 3))
    module[1].register_forward_hook(lambda part, args, value: value.sin())
    assert steps_of(eased(folded(Classifier(module, SHAPE)))) is None
