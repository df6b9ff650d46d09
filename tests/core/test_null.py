"""The null model has the architecture and none of the weights, and is drawn again from its seed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.checkpoints import demo_images, load_classifier
from core.classifier import Classifier
from core.null import untrained
from core.sources import CheckpointError, Source

SOURCES = ["demo:photos/standard", "demo:photos/vit", "demo:digits/prime"]


class Bare(nn.Module):
    """Weights that no layer owns, as in an exported graph."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3, 12), 7.0))
        self.scale_weight = nn.Parameter(torch.full((3,), 7.0))
        self.bias = nn.Parameter(torch.full((3,), 7.0))
        self.register_buffer("norm_running_mean", torch.full((3,), 7.0))
        self.register_buffer("norm_running_var", torch.full((3,), 7.0))

    def forward(self, images: Tensor) -> Tensor:
        spread = torch.sqrt(self.norm_running_var)
        return (images.flatten(1) @ self.weight.T - self.norm_running_mean) / spread * self.scale_weight + self.bias


@pytest.mark.parametrize("source", SOURCES)
def test_no_trained_weight_is_left_and_the_rest_is_the_same(source: str) -> None:
    trained = load_classifier(source, "cpu")
    null = untrained(trained)
    before, after = trained.module.state_dict(), null.module.state_dict()
    assert before.keys() == after.keys()
    assert all(before[name].shape == after[name].shape for name in before)
    assert not [name for name in before if before[name].ndim > 1 and torch.equal(before[name], after[name])]
    shared = (before[name] == after[name] for name in before if before[name].ndim > 1)
    assert max(float(same.float().mean()) for same in shared) < 0.01
    assert (null.input_shape, null.class_names, null.mean, null.std) == (
        trained.input_shape,
        trained.class_names,
        trained.mean,
        trained.std,
    )
    assert null.fingerprint not in ("", trained.fingerprint)


def test_the_classifier_and_the_global_generator_stay_as_they_were() -> None:
    trained = load_classifier("demo:photos/standard", "cpu")
    fingerprint, state = trained.fingerprint, torch.get_rng_state()
    untrained(trained, seed=3)
    assert load_classifier("demo:photos/standard", "cpu").fingerprint == fingerprint == trained.fingerprint
    assert torch.equal(torch.get_rng_state(), state)


def test_a_seed_draws_the_same_weights_and_another_one_others() -> None:
    trained = load_classifier("demo:digits/standard", "cpu")
    prints = [untrained(trained, seed).fingerprint for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_a_layer_is_drawn_as_torch_draws_it() -> None:
    weight = next(untrained(load_classifier("demo:photos/standard", "cpu")).module.parameters())
    bound = 1 / weight[0].numel() ** 0.5  # of a convolution as torch makes it
    assert 0.9 * bound < float(weight.abs().max()) <= bound
    assert abs(float(weight.var()) / (bound**2 / 3) - 1) < 0.3


def test_weights_that_no_layer_owns_are_drawn_by_their_shape() -> None:
    null = untrained(Classifier(Bare(), (3, 2, 2), device="cpu"))
    found = null.module.state_dict()
    assert float(found["weight"].abs().max()) <= 1 / 12**0.5
    assert len(found["weight"].unique()) == 36
    assert found["scale_weight"].tolist() == [1.0] * 3
    assert found["bias"].tolist() == [0.0] * 3
    assert found["norm_running_mean"].tolist() == [0.0] * 3
    assert found["norm_running_var"].tolist() == [1.0] * 3


def test_a_model_without_weights_has_no_null() -> None:
    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :2]

    with pytest.raises(CheckpointError, match="expected a model with weights to draw anew"):
        untrained(Classifier(Fixed(), (1, 2, 2), device="cpu"))


@pytest.mark.parametrize(
    ("text", "trained", "seed", "runs_code"),
    [
        ("untrained:demo:photos/standard", "demo:photos/standard", 0, False),
        ("untrained:7:demo:photos/standard", "demo:photos/standard", 7, False),
        ("untrained:upload:ab12?arch=timm:resnet18", "upload:ab12?arch=timm:resnet18", 0, False),
        ("untrained:net.pt2", "net.pt2", 0, True),
        ("untrained:2:module:net.py:build?size=32", "module:net.py:build?size=32", 2, True),
        ("untrained:untrained:demo:photos/vit", "demo:photos/vit", 0, False),
    ],
)
def test_a_source_says_whose_architecture_it_is(text: str, trained: str, seed: int, runs_code: bool) -> None:
    said = Source.parse(text)
    assert (said.trained.text(), said.seed, said.runs_code, said.text()) == (trained, seed, runs_code, text)


def test_a_null_is_loaded_by_its_source() -> None:
    loaded = load_classifier("untrained:1:demo:digits/flipped", "cpu")
    assert loaded.fingerprint == untrained(load_classifier("demo:digits/flipped", "cpu"), 1).fingerprint
    assert loaded.name == "digits/flipped, untrained 1"
    assert demo_images("untrained:1:demo:digits/flipped") == "demo:digits-flipped"
