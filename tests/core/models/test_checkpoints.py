"""A checkpoint comes back as it was written, or is refused in one sentence."""

from __future__ import annotations

import json
import pickle
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.errors import CheckpointError
from core.images.image_set import METADATA_KEY
from core.images.load import load_images
from core.models import demo
from core.models.checkpoints import _digest, write_checkpoint
from core.models.classifier import Classifier
from core.models.demo import demo_images, demo_models
from core.models.demo_architectures import strided
from core.models.load import load_classifier, model_card
from core.sources.models import ASSETS

# Least accuracy: 3 points below what the cards say; an untrained network can only guess.
FLOORS = {"digits": 0.95, "photos": 0.92, "photos/adversarial": 0.85, "photos/prime": 0.9, "photos/untrained": 0.0}


def small(seed: int = 0) -> Classifier:
    """A network of ours with nothing at its default: two channels, 5 x 7 pixels, own normalisation and names."""
    generator = torch.Generator().manual_seed(seed)
    module = strided((2, 5, 7), 3, widths=[4], activation="relu")
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return Classifier(module, (2, 5, 7), ["a", "b", "c"], [0.1, 0.2], [0.5, 0.7], "small", "cpu")


FACTS = {
    "architecture": "strided",
    "arguments": {"widths": [4], "activation": "relu"},
    "accuracy": {"correct": 2, "images": 3, "source": "demo:photos"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    write_checkpoint(path, small(), FACTS)
    return path


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], object]) -> None:
    """Change a checkpoint as someone would who also renews its digest."""
    header = struct.unpack("<Q", path.read_bytes()[:8])[0]
    facts = json.loads(json.loads(path.read_bytes()[8 : 8 + header])["__metadata__"][METADATA_KEY])
    weights = load_file(path)
    change(facts, weights)
    facts.pop("digest", None)
    save_file(weights, path, {METADATA_KEY: json.dumps({**facts, "digest": _digest(facts, weights)})})


def refused(path: Path | str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_classifier(path, "cpu")
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert isinstance(path, str) or str(path.parent) not in sentence
    assert sentence.startswith("expected ")
    assert ";" in sentence  # and what to do


# -- what is shipped --------------------------------------------------------------------------------------------------


def test_every_shipped_model_is_there() -> None:
    assert demo_models() == tuple(f"demo:{name}" for name in demo.SHIPPED)
    assert demo_models()[:2] == ("demo:photos/standard", "demo:photos/standard-1")


@pytest.mark.parametrize("source", demo_models())
def test_shipped_models_are_as_accurate_as_their_cards_say(source) -> None:
    name = source.removeprefix("demo:")
    family = name.partition("-")[0]
    stored = load_file(ASSETS / "images" / f"{demo.demo_spec(name).data}.safetensors")
    pixels, labels = stored["pixels"].float() / 255, stored["labels"]
    classifier = load_classifier(source, "cpu")
    assert classifier.name == name
    assert classifier.class_names == load_images(f"demo:{name.split('/')[0]}").class_names
    assert classifier.input_shape == tuple(pixels.shape[1:])
    assert classifier.fingerprint
    with torch.inference_mode():
        correct = int((classifier(pixels).argmax(1) == labels).sum())
    assert correct / len(labels) >= FLOORS.get(family, FLOORS[family.split("/")[0]])
    told = re.search(r"(\d+) of (\d+) held-out images", model_card(source))
    assert told
    # Another processor rounds differently: an image on the edge may change sides.
    assert abs(int(told[1]) - correct) <= 1
    assert int(told[2]) == len(labels)


def test_no_two_models_are_the_same() -> None:
    assert len({load_classifier(source, "cpu").fingerprint for source in demo_models()}) == len(demo_models())


@pytest.mark.parametrize("source", demo_models())
def test_cards_contain_what_a_reader_needs(source) -> None:
    card = model_card(source)
    assert card.startswith(f"# {source.removeprefix('demo:')}\n")
    words = ("Accuracy", "Wilson", "Parameters", "Data.", "Training.", "seed", "threads", "cannot show", "Licence")
    for word in words:
        assert word in card


def test_weights_are_small() -> None:
    sizes = [path.stat().st_size for path in (ASSETS / "models").rglob("*.safetensors")]
    assert max(sizes) < 700_000
    assert sum(sizes) < 15_000_000


# -- there and back ---------------------------------------------------------------------------------------------------


def test_a_checkpoint_survives_the_round_trip(file) -> None:
    before, after = small(), load_classifier(file, "cpu")
    images = torch.rand(5, 2, 5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(before(images), after(images))
    assert after.fingerprint == before.fingerprint
    for field in ("name", "class_names", "input_shape", "mean", "std", "num_classes"):
        assert getattr(after, field) == getattr(before, field)
    assert after.module[1].running_var.equal(before.module[1].running_var)
    assert load_classifier(str(file), "cpu").fingerprint == before.fingerprint


def test_the_same_classifier_gives_the_same_bytes(file, tmp_path) -> None:
    write_checkpoint(tmp_path / "again.safetensors", small(), dict(reversed(FACTS.items())))
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_loading_does_not_disturb_random_numbers(file) -> None:
    before = torch.random.get_rng_state()
    load_classifier(file, "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_weights_outlive_their_file(file) -> None:
    classifier = load_classifier(file, "cpu")
    before = classifier(torch.zeros(1, 2, 5, 7))
    file.write_bytes(bytes(file.stat().st_size))
    assert torch.equal(classifier(torch.zeros(1, 2, 5, 7)), before)


def test_a_card_is_made_from_the_metadata_of_a_file_without_one(file) -> None:
    card = model_card(file)
    assert card.startswith("# small\n")
    assert "2 x 5 x 7 images into 3 classes: a, b, c" in card
    assert "66.7% of 3 held-out images" in card
    file.with_suffix(".md").write_text("# my own card", encoding="utf-8")
    assert model_card(file) == "# my own card"


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["demo:photos/other", "demo:../models/photos/standard", "demo:"])
def test_an_unknown_name_lists_the_known_ones(source) -> None:
    refused(source, "expected one of demo:photos/standard, demo:photos/standard-1, .*, demo:digits/standard, .*, got")
    with pytest.raises(CheckpointError, match="choose one of these"):
        model_card(source)


def test_missing_files_are_reported(tmp_path) -> None:
    refused(tmp_path / "none.safetensors", r"found no none\.safetensors; check the spelling")
    refused(tmp_path / ("x" * 300), "expected a checkpoint")
    (tmp_path / "folder.safetensors").mkdir()
    refused(tmp_path / "folder.safetensors", r"folder\.safetensors is a folder without one index of shards; name a")


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize("name", ["model.pt", "renamed.safetensors"])
@pytest.mark.parametrize("kind", ["torch", "old torch", "bare"])
def test_pickles_are_never_opened(tmp_path, name, kind) -> None:
    path = tmp_path / name
    if kind == "bare":
        path.write_bytes(pickle.dumps(Hostile()))
    else:
        torch.save({"state_dict": Hostile()}, path, _use_new_zipfile_serialization=kind == "torch")
    refused(
        path, f"{re.escape(name)} is a pickle that may run code and wants to import .*outcomes.* was not opened; in"
    )


def test_foreign_safetensors_are_refused_with_what_is_supported(tmp_path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    refused(path, r"expected \?arch=ARCHITECTURE after the name of the file, got none; these weights look like")
    save_file({"weight": torch.zeros(3)}, path, {METADATA_KEY: "{"})
    refused(path, "its metadata is no JSON")
    save_file({"weight": torch.zeros(3)}, path, {METADATA_KEY: "[]"})
    refused(path, "its metadata has no usable name")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 10**9) + b"{}", struct.pack("<Q", 2) + b"[]"],
)
def test_absurd_headers_are_refused(tmp_path, content) -> None:
    (tmp_path / "absurd.safetensors").write_bytes(content)
    refused(tmp_path / "absurd.safetensors", r"expected a safetensors file, absurd\.safetensors is none, or cut off")


@pytest.mark.parametrize("kept", [4, 8, 100, -1])
def test_truncated_files_are_refused(file, kept) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    refused(file, "cut off or damaged; fetch")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_every_flipped_bit_is_detected(tmp_path_factory, data) -> None:
    file = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    write_checkpoint(file, small(), FACTS)
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    refused(file, "expected")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, w: w["0.weight"].fill_(torch.nan), "0.weight holds NaN or infinity"),
        (lambda f, w: w["4.bias"].fill_(torch.inf), "4.bias holds NaN or infinity"),
        (lambda f, w: w["1.running_var"].fill_(-1), "gives NaN or infinite logits"),
        (lambda f, w: w.update({"0.weight": torch.zeros(5, 2, 3, 3)}), "0.weight is float32 5 x 2 x 3 x 3 instead of"),
        (lambda f, w: w.update({"4.bias": w["4.bias"].half()}), "4.bias is float16 3 instead of float32 3"),
        (lambda f, w: w.pop("1.running_mean"), "it lacks weights 1.running_mean"),
        (lambda f, w: w.update(more=torch.zeros(1)), "it has unknown weights more"),
        (lambda f, w: f.update(arguments={"widths": [4]}), "its arguments are not those of strided"),
        (lambda f, w: f.update(arguments={"widths": ["4"], "activation": "relu"}), "its arguments are not those"),
        (lambda f, w: f.update(arguments={"widths": [4], "activation": "exec"}), "its arguments are not those"),
        (lambda f, w: f.update(arguments={"widths": [10**6] * 2, "activation": "relu"}), "instead of|lacks"),
        (lambda f, w: f.update(architecture="resnet"), "no usable architecture"),
        (lambda f, w: f.pop("mean"), "no usable mean"),
        (lambda f, w: f.update(mean=[0.1]), "its parts do not fit together"),
        (lambda f, w: f.update(std=[0.5, 0]), "its parts do not fit together"),
        (lambda f, w: f.update(std=["0.5", "1"]), "no usable std"),
        (lambda f, w: f.update(std=[float("nan"), 1.0]), "its parts do not fit together"),
        (lambda f, w: f.update(input_shape=[2, 5]), "no usable input_shape"),
        (lambda f, w: f.update(input_shape=[2, 5, 10**9]), "instead of"),
        (lambda f, w: f.update(input_shape=[2, -5, 7]), "its arguments are not those"),
        (lambda f, w: f.update(class_names=["a", "b", "c", "d"]), "4.bias is float32 3 instead of float32 4"),
        (lambda f, w: f.update(accuracy={"correct": 4, "images": 3}), "no usable accuracy"),
        (lambda f, w: f.update(name=""), "no usable name"),
    ],
)
def test_inconsistent_parts_are_refused(file, change, message) -> None:
    rewrite(file, change)
    refused(file, message)


def test_a_change_without_a_new_digest_is_detected(file) -> None:
    weights = load_file(file)
    header = struct.unpack("<Q", file.read_bytes()[:8])[0]
    text = json.loads(file.read_bytes()[8 : 8 + header])["__metadata__"][METADATA_KEY]
    save_file(weights, file, {METADATA_KEY: text.replace('"small"', '"large"')})
    refused(file, "its contents do not match its digest")


def test_importing_stays_light() -> None:
    slow = ["sklearn", "skimage", "torchvision", "timm", "matplotlib", "plotly", "streamlit"]
    script = f"import sys, core.models.checkpoints; print(*(name for name in {slow} if name in sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""


def test_an_unregistered_module_cannot_be_loaded_as_ours(tmp_path) -> None:
    stranger = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(70, 3)), (2, 5, 7), device="cpu")
    write_checkpoint(tmp_path / "stranger.safetensors", stranger, FACTS)
    refused(tmp_path / "stranger.safetensors", "it lacks weights 0.weight")


def test_a_demo_model_has_the_images_of_its_data_set() -> None:
    assert demo_images("demo:photos/relu") == "demo:photos"
    assert demo_images("demo:digits/adversarial-2") == "demo:digits"
    assert demo_images("demo:digits/flipped") == "demo:digits-flipped"
    assert demo_images("demo:cars/unknown") == "demo:cars"
    for model in demo_models():
        load_classifier(model, "cpu").accept(load_images(demo_images(model)).pixels[:1])
