"""Weights find their architecture again, and what does not fit is shown."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models import registries
from core.models.registries import build, fit, guess, search, untrained


def weights(architecture: str, **options: object) -> dict[str, Tensor]:
    module = registries._make(architecture, options)
    return {name: tensor for name, tensor in module.state_dict().items() if not name.endswith("num_batches_tracked")}


def shapes(architecture: str, **options: object) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in weights(architecture, **options).items()}


@pytest.mark.parametrize(
    ("architecture", "options", "shape"),
    [
        ("torchvision:resnet18", {"num_classes": 7}, (3, 224, 224)),
        ("torchvision:squeezenet1_1", {"num_classes": 12}, (3, 224, 224)),
        ("torchvision:googlenet", {"num_classes": 10, "aux_logits": False}, (3, 224, 224)),
        ("torchvision:vit_b_16", {"num_classes": 10, "image_size": 96}, (3, 96, 96)),
        ("timm:resnet26d", {"num_classes": 2, "in_chans": 1}, (1, 224, 224)),
        ("timm:vit_tiny_patch16_224", {"num_classes": 21, "img_size": 64}, (3, 64, 64)),
        ("timm:convnext_atto", {"num_classes": 5}, (3, 224, 224)),
        ("timm:efficientnet_b0", {"num_classes": 21841}, (3, 224, 224)),
    ],
)
def test_an_architecture_is_recognised_by_its_weights(
    architecture: str, options: dict[str, int], shape: tuple[int, int, int]
) -> None:
    first = guess(shapes(architecture, **options))
    exact = {each.architecture: each for each in first if each.exact}
    assert architecture in exact
    assert exact[architecture].num_classes == options["num_classes"]
    assert exact[architecture].input_shape == shape
    assert first[0].exact


def test_all_architectures_with_the_same_tensors_are_found() -> None:
    found = guess(shapes("torchvision:resnet18", num_classes=7))
    assert [each.architecture for each in found[:2]] == ["torchvision:resnet18", "timm:resnet18"]
    assert [each.exact for each in found[:2]] == [True, True]


def test_differences_are_named_with_both_shapes() -> None:
    changed = shapes("torchvision:resnet18", num_classes=10)
    changed["conv1.weight"] = (64, 3, 3, 3)
    changed["extra.bias"] = (4,)
    del changed["bn1.bias"]
    found = fit("torchvision:resnet18", changed)
    assert not found.exact
    assert found.num_classes == 10
    assert {(each.name, each.came, each.expected) for each in found.differences} == {
        ("conv1.weight", (64, 3, 3, 3), (64, 3, 7, 7)),
        ("extra.bias", (4,), None),
        ("bn1.bias", None, (64,)),
    }
    assert guess(changed)[0].architecture == "torchvision:resnet18"  # the nearest all the same


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("torchvision:resnet18", {"num_classes": 7}),
        ("timm:levit_128s", {"num_classes": 3}),  # has buffers that no file holds
        ("timm:resnet10t", {"num_classes": 4, "in_chans": 1}),
    ],
)
def test_a_built_architecture_computes_the_same_logits(architecture: str, options: dict[str, int]) -> None:
    torch.manual_seed(1)
    original = registries._make(architecture, options).eval()
    tensors = {name: t for name, t in original.state_dict().items() if not name.endswith("num_batches_tracked")}
    channels = options.get("in_chans", 3)
    images = torch.rand(2, channels, 224, 224, generator=torch.Generator().manual_seed(0))
    state = torch.random.get_rng_state()
    module = build(architecture, tensors)
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.inference_mode():
        assert torch.equal(module(images), original(images))


def test_wrong_weights_are_refused_with_the_nearest_architectures() -> None:
    with pytest.raises(
        CheckpointError, match=r"expected the weights of timm:resnet26d, .* nearest otherwise: torchvision:r"
    ):
        build("timm:resnet26d", weights("torchvision:resnet18", num_classes=7))


def test_a_fixed_size_cannot_be_changed_by_the_source() -> None:
    tensors = weights("timm:vit_tiny_patch16_224", num_classes=3)
    with pytest.raises(CheckpointError, match="expected images of 3 x 224 x 224 for these weights"):
        build("timm:vit_tiny_patch16_224", tensors, (3, 96, 96))


@pytest.mark.parametrize("name", ["torchvision:resnet19", "timm:", "resnet18", "torchvision:../x"])
def test_unknown_architectures_are_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match="expected an architecture such as"):
        fit(name, {})


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("resnet18", "torchvision:resnet18 or timm:resnet18"),
        ("ResNet18", "torchvision:resnet18 or timm:resnet18"),
        ("resnet-18", "torchvision:resnet18 or timm:resnet18"),
        ("resnet_18", "torchvision:resnet18 or timm:resnet18"),
        ("resnet 18", "torchvision:resnet18 or timm:resnet18"),
        (":resnet18", "torchvision:resnet18 or timm:resnet18"),
        ("microsoft/resnet-18", "torchvision:resnet18 or timm:resnet18"),
        ("torch:resnet18", "torchvision:resnet18 or timm:resnet18"),
        ("timm/resnet18", "timm:resnet18"),
        ("timm.resnet18", "timm:resnet18"),
        ("timm:ResNet-18", "timm:resnet18"),
        ("TIMM:resnet18", "timm:resnet18"),
        ("timm:resnet18.a1_in1k", "timm:resnet18"),
        ("torchvision/resnet18", "torchvision:resnet18"),
        ("torchvision.models.resnet18", "torchvision:resnet18"),
        ("torchvision:vit_tiny_patch16_224", "timm:vit_tiny_patch16_224"),
        ("vit-tiny-patch16-224", "timm:vit_tiny_patch16_224"),
        ("torchvision:resnet19", "torchvision:resnet18 or .*"),
        ("EfficientNet-B0", "torchvision:efficientnet_b0 or timm:efficientnet_b0"),
        ("x" * 5000, "torchvision:resnet18"),
        ("", "torchvision:resnet18"),
    ],
)
def test_an_architecture_in_another_spelling_is_suggested(said: str, meant: str) -> None:
    with pytest.raises(CheckpointError, match=rf"such as {meant}, got '.*'; give the library and the name"):
        fit(said, {})


def test_search_requires_every_word() -> None:
    found = search("vit tiny 224")
    assert found
    assert all("vit" in name and "tiny" in name and "224" in name for name in found)
    assert search("no such thing") == ()


def test_untrained_is_the_same_each_time() -> None:
    one, two = (untrained("torchvision:squeezenet1_1", 3).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
