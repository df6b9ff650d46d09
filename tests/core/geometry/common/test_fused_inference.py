"""Folded batch norms: the same logits and gradients, the caller's network as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.common.fused_inference import folded
from core.models.load import load_classifier
from tests import truths


def norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm that has seen something."""
    made = nn.BatchNorm2d(channels)
    generator = torch.Generator().manual_seed(channels)
    with torch.no_grad():
        for values in (made.weight, made.bias, made.running_mean, made.running_var):
            assert values is not None
            values.copy_(torch.rand(channels, generator=generator) + 0.5)
    return made


class Branch(nn.Module):
    """A convolution and a batch norm that are not neighbours in the flow, and a Sequential where they are."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, bias=False), norm(4), nn.SiLU(), nn.Conv2d(4, 3, 1), norm(3)
        )
        self.side, self.after = nn.Conv2d(2, 3, 1), norm(3)

    def forward(self, images: Tensor) -> Tensor:
        pooled: Tensor = (self.body(images) + self.after(self.side(images).tanh())).mean((2, 3))
        return pooled


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_logits_and_gradients_stay(dtype: torch.dtype) -> None:
    classifier = truths.classifier(Branch(), (2, 4, 4), dtype)
    lighter = folded(classifier)
    assert sum(isinstance(part, nn.BatchNorm2d) for part in lighter.module.modules()) == 1
    assert sum(isinstance(part, nn.BatchNorm2d) for part in classifier.module.modules()) == 3
    images = truths.images(3, (2, 4, 4)).to(dtype).requires_grad_()
    slack = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    np.testing.assert_allclose(lighter(images).detach(), classifier(images).detach(), atol=slack)
    (mine,), (theirs,) = (torch.autograd.grad(each(images)[:, 0].sum(), images) for each in (lighter, classifier))
    np.testing.assert_allclose(mine, theirs, atol=slack)
    assert not any(parameter.requires_grad for parameter in lighter.module.parameters())
    assert folded(classifier) is lighter


def test_the_demo_model_has_nothing_left_to_normalise() -> None:
    classifier = load_classifier("demo:photos/standard", "cpu")
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded(classifier).module.modules())


def test_what_is_hooked_stays() -> None:
    hooked = nn.Sequential(nn.Conv2d(1, 2, 1), norm(2), nn.Flatten())
    classifier = truths.classifier(hooked, (1, 2, 2))
    classifier.module[1].register_forward_hook(lambda module, images, result: result * 2)  # type: ignore[index]
    lighter, images = folded(classifier), truths.images(3, (1, 2, 2)).float()
    assert isinstance(lighter.module[1], nn.BatchNorm2d)  # type: ignore[index]
    np.testing.assert_allclose(lighter(images).detach(), classifier(images).detach(), atol=1e-6)
    affine = truths.classifier(truths.Affine(torch.eye(2, 4), torch.zeros(2)), (1, 2, 2))
    assert folded(affine) is affine


def test_convolutions_lie_channels_last_and_share_no_weight() -> None:
    parametrized = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3))
    module = nn.Sequential(nn.Conv2d(3, 4, 3), parametrized, nn.Flatten(), nn.Linear(64, 2))
    classifier = truths.classifier(module, (3, 8, 8))
    lighter, images = folded(classifier), truths.images(2, (3, 8, 8)).float()
    mine, theirs = (each.module[0].weight for each in (lighter, classifier))  # type: ignore[index]
    assert mine.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator, union-attr]
    assert theirs.is_contiguous()  # type: ignore[operator, union-attr]
    assert lighter.module[3].weight is classifier.module[3].weight  # type: ignore[index]
    np.testing.assert_allclose(lighter(images).detach(), classifier(images).detach(), atol=1e-6)
