"""The demo networks: known sizes, images of any shape, derivatives of any order."""

from __future__ import annotations

import pytest
import torch

from core.models.demo import ARCHITECTURES, demo_spec
from core.models.demo_architectures import strided, transformer

TINY = {"patch": 4, "width": 8, "depth": 2, "heads": 2}


@pytest.mark.parametrize(
    ("name", "shape", "classes", "parameters"),
    [
        ("photos/standard", (3, 32, 32), 9, 161_577),
        ("photos/vit", (3, 32, 32), 9, 141_961),
        ("digits/standard", (1, 32, 32), 10, 33_658),
    ],
)
def test_sizes_of_the_networks(name, shape, classes, parameters) -> None:
    spec = demo_spec(name)
    module = ARCHITECTURES[spec.architecture](shape, classes, **spec.arguments)
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters
    assert module(torch.zeros(2, *shape)).shape == (2, classes)


@pytest.mark.parametrize("shape", [(3, 7, 12), (1, 1, 1), (2, 33, 32)])
def test_strided_takes_images_of_any_shape(shape) -> None:
    module = strided(shape, 4, widths=[2, 3], activation="relu")
    assert module(torch.zeros(2, *shape)).shape == (2, 4)
    with pytest.raises(ValueError, match="positive"):
        strided(shape, 4, widths=[2, 0], activation="relu")


def test_a_transformer_without_positions_ignores_the_order_of_patches() -> None:
    torch.manual_seed(0)
    module = transformer((3, 8, 12), 5, **TINY).double().eval()
    images = torch.rand(4, 3, 8, 12, dtype=torch.float64)
    tiles = images.unfold(2, 4, 4).unfold(3, 4, 4)  # n c 2 3 4 4
    turned = tiles.flip(2, 3).permute(0, 1, 2, 4, 3, 5).reshape(images.shape)
    with torch.no_grad():
        assert module(images).shape == (4, 5)
        assert not torch.allclose(module(turned), module(images))
        module.pos_embed.zero_()
        assert torch.allclose(module(turned), module(images), atol=1e-12)


def test_a_transformer_has_second_derivatives_and_independent_rows() -> None:
    torch.manual_seed(0)
    module = transformer((1, 8, 8), 3, **TINY).double().eval()
    image, way = torch.rand(2, 1, 1, 8, 8, dtype=torch.float64)

    def slope(at: torch.Tensor) -> torch.Tensor:
        at = at.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(module(at)[0, 0], at)
        return (gradient * way).sum()

    at = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(at)[0, 0], at, create_graph=True)
    (second,) = torch.autograd.grad((gradient * way).sum(), at)
    by_differences = (slope(image + 1e-5 * way) - slope(image - 1e-5 * way)) / 2e-5
    assert (second * way).sum().item() == pytest.approx(by_differences.item(), rel=1e-5)
    assert abs(by_differences.item()) > 1e-6
    others = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    assert torch.allclose(module(torch.cat([image, others]))[:1], module(image), atol=1e-12)


@pytest.mark.parametrize("change", [{"patch": 5}, {"heads": 3}, {"depth": 0}])
def test_a_transformer_refuses_sizes_that_do_not_fit(change) -> None:
    with pytest.raises(ValueError, match="expected positive sizes, patches that tile the image"):
        transformer((3, 8, 8), 4, **{**TINY, **change})
