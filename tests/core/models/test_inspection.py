"""What the geometry relies on is tried, and what is no classifier is told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import CheckpointError
from core.models.classifier import Classifier
from core.models.inspection import doubts, inspect, require_classifier
from core.models.load import load_classifier


class Does(nn.Module):
    """A module that does what a function says."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Any:
        return self.function(images)


def logits(images: Tensor) -> Tensor:
    """Three smooth functions of each image."""
    return torch.stack([images.sin().sum((1, 2, 3)), images.cos().sum((1, 2, 3)), (images**3).sum((1, 2, 3))], 1)


def verdicts(function: Callable[[Tensor], Any]) -> dict[str, tuple[str, str]]:
    found = inspect(Classifier(Does(function), (3, 8, 8), device="cpu"))
    return {each.name: (each.verdict, each.words) for each in found}


def test_a_smooth_classifier_is_good() -> None:
    found = verdicts(logits)
    assert {name for name, (verdict, _) in found.items() if verdict != "good"} == set()
    assert found["classes"][1] == "3."
    assert "ms for one image" in found["speed"][1]


def test_a_demo_model_is_good() -> None:
    assert {each.verdict for each in inspect(load_classifier("demo:photos/standard", "cpu"))} == {"good"}


@pytest.mark.parametrize(
    ("function", "name", "verdict", "words"),
    [
        (lambda x: logits(x) - logits(x).mean(0), "rows do not mix", "bad", "no boundary is defined"),
        (lambda x: logits(x + torch.rand(())), "repeats itself", "bad", "It draws at random or keeps a state"),
        (lambda x: logits(x + torch.rand(())), "rows do not mix", "note", "Not known"),
        (lambda x: logits(x).log().sqrt().neg().sqrt(), "finite logits", "bad", "NaN or infinity on noise"),
        (lambda x: x.flatten(1)[:, :3].relu(), "second derivatives", "note", "piecewise linear"),
        (lambda x: logits(x.round()), "gradients", "bad", "logits do not see the image"),
        (lambda x: logits(x).detach(), "gradients", "bad", "None in the image"),
        (lambda x: logits(x).repeat(1, 1000), "classes", "note", "3,000: a wide head"),
    ],
)
def test_each_defect_is_reported(function: Callable[[Tensor], Any], name: str, verdict: str, words: str) -> None:
    found = verdicts(function)[name]
    assert found[0] == verdict
    assert words in found[1]


class Keeps(nn.Module):
    """Logits that move each time they are asked for: a state that eval mode does not stop."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("times", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.times += 1
        return logits(images) * (1 + 0.01 * self.times)


def drops(share: float, of: Callable[[Tensor], Tensor] = lambda x: x) -> nn.Module:
    return Does(lambda x: logits(nn.functional.dropout(of(x), share, training=True)))


class Blocks(nn.Module):
    """A residual block that is left out at random, for the whole batch at once."""

    def forward(self, images: Tensor) -> Tensor:
        return logits(images + (torch.rand(()) < 0.4) * images.square())


def no_statistics(shape: int = 2) -> nn.Module:
    torch.manual_seed(0)
    head: list[nn.Module] = [nn.Softplus(), nn.AdaptiveAvgPool2d(shape), nn.Flatten(), nn.Linear(4 * shape**2, 3)]
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), *head)


def after_pooling() -> nn.Module:
    """Statistics of one value per channel, which torch refuses for one image alone."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(4, track_running_stats=False)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), norm, nn.Softplus(), nn.Linear(4, 3)
    )


UNSTEADY = [
    (lambda: drops(0.5), "repeats itself"),
    (lambda: drops(0.01), "repeats itself"),
    (lambda: Does(lambda x: logits(x + 0.01 * torch.randn_like(x))), "repeats itself"),
    (lambda: Does(lambda x: logits(x) + 1e-3 * torch.rand(()) + torch.rand(3)), "repeats itself"),
    (Blocks, "repeats itself"),
    (Keeps, "repeats itself"),
    (no_statistics, "rows do not mix"),
    (after_pooling, "rows do not mix"),
    (lambda: Does(lambda x: logits(x - x.mean(0))), "rows do not mix"),
    (lambda: Does(lambda x: logits(x.cumsum(0))), "rows do not mix"),
    (lambda: Does(lambda x: logits(x + 0.1 * x.roll(1, 0))), "rows do not mix"),
    (lambda: Does(lambda x: logits(x / x.amax())), "rows do not mix"),
    (lambda: Does(lambda x: logits(x).softmax(0)), "rows do not mix"),
    (lambda: Does(lambda x: 1e4 + logits(x - x.mean(0))), "rows do not mix"),
    (lambda: Does(lambda x: logits(x - x.mean(0) if len(x) > 16 else x)), "rows do not mix"),
    (lambda: Does(lambda x: logits(x) * (2 if len(x) > 40 else 1)), "rows do not mix"),
    (lambda: Does(lambda x: 1e-6 * logits(x - x.mean(0))), "rows do not mix"),
    (lambda: Does(lambda x: logits(x).detach() * torch.nan), "finite logits"),
    (lambda: Does(lambda x: 1 + 3e-6 * logits(x) / logits(x).detach().abs().amax()), "digits of logits"),
    (lambda: Does(lambda x: logits(x) / (x.amax((1, 2, 3)) < 0.4)[:, None]), "finite logits"),
]


@pytest.mark.parametrize(("make", "name"), UNSTEADY)
@pytest.mark.parametrize("side", [8, 64])
def test_classifiers_without_a_boundary_are_doubted(make: Callable[[], nn.Module], name: str, side: int) -> None:
    torch.manual_seed(1)
    classifier = Classifier(make(), (3, side, side), name="mine", device="cpu")
    (bad,) = (each for each in inspect(classifier) if each.verdict == "bad" and each.name != "gradients")
    assert bad.name == name
    assert doubts([classifier, classifier]) == (f"mine: {bad.words}",)
    assert bad.words.count("no boundary is defined") + bad.words.count("takes no image alone") == 1


@pytest.mark.parametrize(
    "module",
    [
        Does(logits),
        Does(lambda x: 1e4 + logits(x)),
        Does(lambda x: 1e-8 * logits(x)),
        Does(lambda x: torch.zeros(len(x), 3)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(144, 3)),
    ],
)
def test_sound_classifiers_are_not_doubted(module: nn.Module) -> None:
    assert doubts([Classifier(module, (3, 8, 8), device="cpu")]) == ()


def test_a_model_is_checked_once_and_the_generators_are_not_used() -> None:
    asked = []
    classifier = Classifier(Does(lambda x: asked.append(len(x)) or logits(x + torch.rand(()))), (3, 8, 8), device="cpu")
    asked.clear()
    torch.manual_seed(3)
    expected = torch.rand(())
    torch.manual_seed(3)
    first = doubts([classifier])
    assert torch.equal(torch.rand(()), expected)
    assert asked[:5] == [4, 4, 4, 1, 1]
    assert len(asked) == 6
    assert asked[5] > 16
    assert doubts([classifier]) == first
    assert len(asked) == 6


def test_a_classifier_in_training_mode_is_reported() -> None:
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), (3, 8, 8), device="cpu")
    classifier.module.train().requires_grad_(True)
    (found,) = (each for each in inspect(classifier) if each.name == "frozen")
    assert found.verdict == "bad"
    assert found.words == "3 parts in training mode, 2 weights that keep gradients."


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, "a map of 3 x 8 x 8 per image, as for segmentation or features; pool it"),
        (lambda x: (logits(x), logits(x)), "2 outputs; wrap it so that it returns the logits alone"),
        (lambda x: {"logits": logits(x), "aux": x}, r"several outputs by name \(logits, aux\); wrap it"),
        (lambda x: logits(x)[:, :1], "one number per image; wrap it so that it gives two logits"),
        (lambda x: torch.zeros(2, 200_000), "200,000 numbers per image, more than any data set has classes"),
        (lambda x: x.flatten(2), "3 x 64 numbers for each of two images"),
        (lambda x: "cat", "the model gives a str"),
        (lambda x: x @ torch.zeros(7, 7), "expected a model that takes images of 3 x 8 x 8, it raised RuntimeError"),
    ],
)
def test_other_models_are_refused_with_what_they_are(function: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        require_classifier(Does(function), (3, 8, 8))


def test_the_number_of_classes() -> None:
    assert require_classifier(Does(logits), (3, 8, 8)) == 3
