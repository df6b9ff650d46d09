"""The normalisation that a model was trained with is recognised; another one is suspected."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from core.errors import CheckpointError
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.preprocessing import PRESETS, Trial, looks_untrained, normalisation, presets, suspicion, trials
from core.sources.models import Source

IMAGES = load_images("demo:photos").pixels[:27]


class Trained(nn.Module):
    """A convolution and a batch normalisation that saw the demo photos under a preset, then a linear head."""

    def __init__(self, preset: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, momentum=None)
        self.head = nn.Linear(8, 9)
        shift, scale = (torch.tensor(values).view(-1, 1, 1) for values in (PRESETS[preset].mean, PRESETS[preset].std))
        with torch.no_grad():
            self.norm(self.conv((IMAGES - shift) / scale))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.conv(images)).relu().mean((2, 3)))
        return logits


@pytest.mark.parametrize("trained", ["imagenet", "half", "none"])
@pytest.mark.parametrize("used", ["imagenet", "half", "none"])
def test_a_wrong_preset_is_suspected_and_a_right_one_is_not(trained: str, used: str) -> None:
    mean, std = PRESETS[used].mean, PRESETS[used].std
    classifier = Classifier(Trained(trained), (3, 32, 32), mean=mean, std=std, device="cpu")
    before = classifier.fingerprint
    tried = trials(classifier, IMAGES[:9])
    assert tried[0].name == "chosen"
    assert {each.name for each in tried[1:]} == set(presets(3)) - {used}
    said = suspicion(tried)
    assert (trained in said) == (trained != used)
    assert bool(said) == (trained != used)
    assert not classifier.module.norm._forward_pre_hooks
    assert classifier.to().fingerprint == before


def test_the_mismatch_is_the_divergence_of_two_normal_distributions() -> None:
    norm = nn.BatchNorm2d(1, eps=0.0)
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    classifier = Classifier(nn.Sequential(norm, nn.Flatten(), nn.Linear(256, 2)), (1, 16, 16), device="cpu")
    images = torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    mean, var = float(images.double().mean()), float(images.double().var())
    ratio = var / 4
    exact = (ratio + (mean - 1) ** 2 / 4 - 1 - math.log(ratio)) / 2
    assert trials(classifier, images)[0].mismatch == pytest.approx(exact, rel=1e-6)


def test_known_trials_are_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Trained("half")
    mean, std = PRESETS["imagenet"].mean, PRESETS["imagenet"].std
    first = trials(Classifier(module, (3, 32, 32), device="cpu"), IMAGES[:9])
    asked: list[int] = []
    monkeypatch.setattr(Trained, "forward", lambda self, images: asked.append(1) or torch.zeros(len(images), 9))
    classifier = Classifier(module, (3, 32, 32), mean=mean, std=std, device="cpu")
    asked.clear()
    again = trials(classifier, IMAGES[:9], known=first)
    assert asked == []
    assert {(each.mean, each.confidence) for each in again} == {(each.mean, each.confidence) for each in first}
    assert (again[0].name, again[0].mean) == ("chosen", mean)


def test_logits_that_are_not_finite_have_no_class() -> None:
    module = Trained("half")
    module.forward = lambda images: torch.full((len(images), 9), torch.nan)  # type: ignore[method-assign]
    (chosen, *_) = trials(Classifier(module, (3, 32, 32), device="cpu"), IMAGES[:9])
    assert set(chosen.labels) == {-1}
    assert chosen.commonest == 0
    assert math.isnan(chosen.confidence)


def trial(name: str, confidence: float, commonest: float) -> Trial:
    return Trial(name, (0.0,), (1.0,), confidence, commonest, None, (), ())


@pytest.mark.parametrize(
    ("chosen", "other", "said"),
    [
        ((0.9, 1.0), (0.9, 0.3), "100% of the pictures get one class; with half 30%"),
        ((0.4, 0.3), (0.9, 0.3), ""),  # confidence alone says nothing
        ((0.8, 0.3), (0.9, 0.3), ""),
        ((0.9, 1.0), (0.9, 0.95), ""),
        ((0.4, 0.3), (0.99, 1.0), ""),  # sure of one class for all: no better
    ],
)
def test_collapse_is_reported_without_batch_normalisation(
    chosen: tuple[float, float], other: tuple[float, float], said: str
) -> None:
    found = suspicion([trial("chosen", *chosen), trial("half", *other)])
    assert said in found
    assert bool(found) == bool(said)


def test_an_untrained_batch_normalisation_is_no_evidence() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(3))
    module(IMAGES[:2])
    module[1].reset_running_stats()
    classifier = Classifier(module, (3, 32, 32), device="cpu")
    tried = trials(classifier, IMAGES[:9])
    assert all(each.mismatch is None for each in tried)
    assert looks_untrained(classifier)
    assert suspicion(tried, untrained=True).startswith("This model looks untrained")
    assert not looks_untrained(Classifier(Trained("half"), (3, 32, 32), device="cpu"))


@pytest.mark.parametrize(
    ("options", "channels", "expected"),
    [
        ({"preset": "imagenet"}, 3, (PRESETS["imagenet"].mean, PRESETS["imagenet"].std)),
        ({"preset": "half"}, 1, ((0.5,), (0.5,))),
        ({"mean": "0.1/0.2", "std": "0.5/1"}, 2, ((0.1, 0.2), (0.5, 1.0))),
        ({}, 3, ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))),
        ({"preset": "own"}, 1, ((0.2,), (2.0,))),
    ],
)
def test_a_source_determines_the_normalisation(
    options: dict[str, str], channels: int, expected: tuple[tuple[float, ...], tuple[float, ...]]
) -> None:
    found = normalisation(Source("file", "net.pt", options), channels, ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0)))
    assert found[0] == pytest.approx(expected[0])
    assert found[1] == pytest.approx(expected[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "imagnet"}, r"expected a preset out of imagenet, half"),
        ({"preset": "mnist"}, r"for 3 channels, got 'mnist'"),
        ({"mean": "0.1/0.2/0.3"}, "mean and std together"),
        ({"mean": "0/0/0", "std": "1/1/1", "preset": "half"}, "leave one out"),
        ({"mean": "0/0", "std": "1/1"}, "expected 3 values of mean"),
        ({"mean": "0/0/0", "std": "1/0/1"}, "positive std"),
        ({}, r"expected \?preset=NAME out of"),
    ],
)
def test_an_inconsistent_normalisation_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        normalisation(Source("file", "net.pt", options), 3)
