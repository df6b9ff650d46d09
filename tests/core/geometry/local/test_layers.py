"""Hidden layers: the cuts of a model, what they hold, and hooks that are gone whatever happens."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.geometry.local.layers import layer_paths, private, watched
from core.models.classifier import Classifier
from core.models.load import load_classifier
from tests import local_maps, truths

SHAPE = (3, 8, 8)


class Residual(nn.Module):
    """A stem, a block with a branch around it, and a head; `broken` raises inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 4, 3, padding=1), Branch(), nn.Linear(256, 3)
        self.twice = nn.Tanh()

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.twice(self.block(self.twice(self.stem(images))))
        logits: Tensor = self.head(hidden.flatten(1))
        return logits


class Branch(nn.Module):
    """x + f(x), added in place."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm, self.broken = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), False

    def forward(self, images: Tensor) -> Tensor:
        if self.broken:
            raise RuntimeError("broken inside")
        out: Tensor = self.norm(self.inner(images))
        out += images
        return out


def hooks(classifier: Classifier) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in classifier.module.modules())


def test_cuts_are_what_everything_passes() -> None:
    classifier = truths.classifier(Residual(), SHAPE)
    assert layer_paths(classifier) == ("stem", "block", "head")  # not inside the branch, not what is met twice
    assert layer_paths(classifier, 2) == ("stem", "head")
    assert layer_paths(classifier, 1) == ("head",)
    with pytest.raises(ValueError, match="at least one layer"):
        layer_paths(classifier, 0)
    chain = truths.classifier(local_maps.net(SHAPE), SHAPE)
    assert layer_paths(chain) == ("2", "4", "5")  # an activation belongs to the layer before it


def test_the_demo_models_have_layers() -> None:
    assert layer_paths(load_classifier("demo:photos/relu", "cpu")) == ("2", "5", "8", "11", "13")
    assert layer_paths(load_classifier("demo:photos/vit", "cpu"))[-1] == "head"


def test_layers_hold_what_the_modules_gave_and_the_classifier_is_left_alone() -> None:
    classifier = truths.classifier(Residual(), SHAPE, torch.float64)
    fingerprint, images = classifier.fingerprint, truths.images(2, SHAPE)
    with watched(classifier, ("stem", "head")) as watch:
        assert hooks(classifier) == 0  # they hang on a copy
        states = watch(images)
        torch.testing.assert_close(states.outputs[0], classifier.module.stem(images))  # type: ignore[operator]
        torch.testing.assert_close(states.outputs[1], classifier(images))
        torch.testing.assert_close(states.logits, classifier(images))
        assert not states.kinks
        assert len(watch(images).outputs) == 2  # again
    assert private(classifier).module.stem.weight is classifier.module.stem.weight  # type: ignore[union-attr]
    assert classifier.fingerprint == fingerprint


def test_kinks_are_met_in_their_order() -> None:
    with watched(truths.classifier(local_maps.net(SHAPE), SHAPE), ("2", "5")) as watch:
        kinks = watch(truths.images(2, SHAPE, dtype=torch.float32)).kinks
    assert [kink.after for kink in kinks] == [0, 1]
    assert [kink.given.shape[1] for kink in kinks] == [48, 24]


def test_hooks_are_removed_when_the_model_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = truths.classifier(Residual(), SHAPE)
    copies: list[Classifier] = []

    def remembered(one: Classifier) -> Classifier:
        copies.append(private(one))
        return copies[-1]

    monkeypatch.setattr("core.geometry.local.layers.private", remembered)
    images = truths.images(1, SHAPE, dtype=torch.float32)

    def run() -> None:
        with watched(classifier, ("stem", "block")) as watch:
            assert hooks(copies[-1]) == 2
            copies[-1].module.block.broken = True  # type: ignore[union-attr, assignment]
            watch(images)

    with pytest.raises(RuntimeError, match="broken inside"):
        run()
    assert len(copies) == 1
    assert hooks(copies[0]) == 0
    classifier.module.block.broken = True  # type: ignore[union-attr, assignment]
    with pytest.raises(RuntimeError, match="broken inside"):
        layer_paths(classifier)
    assert hooks(copies[1]) == 0
    assert hooks(classifier) == 0


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nothing", "a path of a module such as stem"),
        ("twice", "got 2 of them"),
        ("block.norm", "changed in place"),
    ],
)
def test_what_is_no_layer_is_refused(path: str, words: str) -> None:
    classifier = truths.classifier(Residual(), SHAPE)

    def run() -> None:
        with watched(classifier, (path,)) as watch:
            watch(truths.images(1, SHAPE, dtype=torch.float32))

    with pytest.raises(ValueError, match=words):
        run()
