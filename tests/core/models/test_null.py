"""The null models: the architecture without its weights, drawn again from a seed; the affine map of first order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.errors import CheckpointError
from core.images.load import load_images
from core.models import null as nulls
from core.models.classifier import Classifier
from core.models.demo import demo_images
from core.models.load import load_classifier
from core.models.null import linearised, null_of, untrained
from core.recipes.recipe import Recipe
from core.runtime.progress import silent
from core.sources.models import Source
from tests import truths

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
def test_all_weights_are_new_and_the_rest_is_unchanged(source: str) -> None:
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


def test_the_classifier_and_the_global_generator_are_unchanged() -> None:
    trained = load_classifier("demo:photos/standard", "cpu")
    fingerprint, state = trained.fingerprint, torch.get_rng_state()
    untrained(trained, seed=3)
    assert load_classifier("demo:photos/standard", "cpu").fingerprint == fingerprint == trained.fingerprint
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_depend_on_the_seed_alone() -> None:
    trained = load_classifier("demo:digits/standard", "cpu")
    prints = [untrained(trained, seed).fingerprint for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_a_layer_is_initialised_as_in_torch() -> None:
    weight = next(untrained(load_classifier("demo:photos/standard", "cpu")).module.parameters())
    bound = 1 / weight[0].numel() ** 0.5  # of a convolution as torch makes it
    assert 0.9 * bound < float(weight.abs().max()) <= bound
    assert abs(float(weight.var()) / (bound**2 / 3) - 1) < 0.3


def test_weights_outside_of_layers_are_drawn_by_their_shape() -> None:
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
    ("text", "trained", "seed"),
    [
        ("untrained:demo:photos/standard", "demo:photos/standard", 0),
        ("untrained:7:demo:photos/standard", "demo:photos/standard", 7),
        ("untrained:upload:ab12?arch=timm:resnet18", "upload:ab12?arch=timm:resnet18", 0),
        ("untrained:net.pt2", "net.pt2", 0),
        ("untrained:2:module:net.py:build?size=32", "module:net.py:build?size=32", 2),
        ("untrained:untrained:demo:photos/vit", "demo:photos/vit", 0),
        (
            "linearised:upload:ab12?arch=timm:resnet18&row=3&images=upload:cd",
            "upload:ab12?arch=timm:resnet18",
            0,
        ),
        ("analytic:ball:net.pt2?row=3", "net.pt2", 0),
        ("linearised:untrained:2:demo:photos/vit?row=3", "demo:photos/vit", 0),
    ],
)
def test_a_null_is_named_after_its_model(text: str, trained: str, seed: int) -> None:
    said = Source.parse(text)
    assert (said.trained.text(), said.seed, said.text()) == (trained, seed, text)


def test_a_null_is_loaded_by_its_source() -> None:
    loaded = load_classifier("untrained:1:demo:digits/flipped", "cpu")
    assert loaded.fingerprint == untrained(load_classifier("demo:digits/flipped", "cpu"), 1).fingerprint
    assert loaded.name == "digits/flipped, untrained 1"
    assert demo_images("untrained:1:demo:digits/flipped") == "demo:digits-flipped"


def test_the_linearisation_agrees_with_the_model_to_first_order() -> None:
    model, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    flat = linearised(model.to(dtype=torch.float64), images.pixels[3])
    at, way = images.pixels[3:4].double(), truths.unit((3, 32, 32))[None]
    torch.testing.assert_close(flat(at), model.to(dtype=torch.float64)(at))
    errors = [float((flat(at + h * way) - model.to(dtype=torch.float64)(at + h * way)).abs().max()) for h in (0.2, 0.1)]
    assert 3 < errors[0] / errors[1] < 5  # what is left out is of second order
    assert (flat.class_names, flat.input_shape, flat.name) == (
        model.class_names,
        model.input_shape,
        "photos/standard, linearised",
    )


@pytest.mark.parametrize("most", [64, 2])
def test_an_affine_model_is_its_own_linearisation(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nulls, "_GRADIENTS", most)  # of five classes
    generator = torch.Generator().manual_seed(0)
    weight, bias = (torch.randn(size, generator=generator, dtype=torch.float64) for size in ((5, 12), (5,)))
    one = truths.classifier(truths.Affine(weight, bias), (3, 2, 2), torch.float64)
    some = truths.images(4, (3, 2, 2))
    torch.testing.assert_close(linearised(one, some[0])(some), one(some))


def test_models_without_a_linearisation_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rounded(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :2].detach().round()

    with pytest.raises(CheckpointError, match="expected logits with a derivative, Rounded has none"):
        linearised(Classifier(Rounded(), (1, 2, 2), device="cpu"), torch.zeros(1, 2, 2))
    monkeypatch.setattr(nulls, "MOST_VALUES", 7)
    with pytest.raises(CheckpointError, match="expected at most 7 derivatives, got 2 classes times 4 pixel values"):
        linearised(Classifier(Rounded(), (1, 2, 2), device="cpu"), torch.zeros(1, 2, 2))


def test_a_null_at_an_image_is_loaded_by_its_source() -> None:
    said = load_classifier("linearised:untrained:1:demo:digits/flipped?row=3", "cpu")
    assert said.name == "digits/flipped, untrained 1, linearised at image 3"
    of, image = load_classifier("untrained:1:demo:digits/flipped", "cpu"), load_images("demo:digits-flipped").pixels[3]
    assert said.fingerprint == linearised(of, image).fingerprint


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("linearised:demo:digits/standard?row=x", "expected a row such as 3, got 'x'; mend the source"),
        ("linearised:demo:digits/standard?row=99999", "expected a row below"),
        ("analytic:cube:demo:digits/standard", "expected an analytic model out of hyperplane, ball, voronoi"),
        ("analytic:ball", "expected a model behind analytic:ball, got none; name one"),
        ("demo:digits/standard?row=3", "expected options out of arch"),
        ("linearised:demo:digits/standard?images=demo:photos", "expected images of n x 1 x 32 x 32"),
    ],
)
def test_invalid_sources_of_nulls_are_refused(source: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_classifier(source, "cpu")


def test_models_other_than_demos_need_named_images() -> None:
    with pytest.raises(CheckpointError, match="expected images=SOURCE after . in linearised:upload:ab"):
        null_of(Source.parse("linearised:upload:ab?row=3"), load_classifier("demo:digits/prime", "cpu"), load_images)


def test_a_null_can_be_moved_to_another_model_and_image() -> None:
    said = Source.parse("analytic:ball:demo:photos/standard?row=3&images=demo:photos")
    assert said.of(Source.parse("upload:ab?size=64")).at("upload:cd?size=32", 5).text() == (
        "analytic:ball:upload:ab?size=64&row=5&images=upload:cd%3Fsize%3D32"
    )
    seeded = Source.parse("untrained:2:demo:photos/standard")
    assert seeded.of(Source.parse("demo:photos/vit")).text() == "untrained:2:demo:photos/vit"
    assert seeded.at("demo:photos", 3) == seeded
    assert Source.parse("linearised:demo:photos/standard-2?row=3").seedless == "linearised:demo:photos/standard?row=3"


@pytest.mark.parametrize(
    "source", ["linearised:demo:digits/standard?row=3", "analytic:ball:demo:digits/standard?row=3"]
)
def test_analyses_of_layers_accept_a_null_of_one_layer(source: str) -> None:
    recipe = Recipe.make(
        "local_layers",
        models=[source],
        images="demo:digits",
        rows=[3],
        settings={"others": 1, "directions": 4},
    )
    result = recipe.run([load_classifier(source, "cpu")], load_images("demo:digits"), silent)
    assert recipe.chart([result], [load_classifier(source, "cpu")], load_images("demo:digits")).alt
