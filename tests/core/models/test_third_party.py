"""Models of registries, hubs and files are loaded by one line, or refused in one sentence."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from core import cli
from core.errors import CheckpointError
from core.images.load import load_images
from core.models.checkpoints import write_checkpoint
from core.models.load import load_classifier
from core.models.registries import untrained
from core.models.third_party import by_digest, digest_of
from core.sources.models import Source
from tests.core.models.test_checkpoints import FACTS, small

ARCHITECTURE = "torchvision:squeezenet1_1"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mine.pt"
    torch.save({"state_dict": untrained(ARCHITECTURE, 4).state_dict()}, path)
    return path


def options(**said: str) -> str:
    return Source("file", "", {"arch": ARCHITECTURE, "preset": "imagenet", "size": "64", **said}).text()


def test_a_file_with_its_architecture(file: Path) -> None:
    classifier = load_classifier(f"{file}{options(names='a/b/c/d', name='my own')}", "cpu")
    assert classifier.input_shape == (3, 64, 64)
    assert classifier.class_names == ("a", "b", "c", "d")
    assert classifier.name == "my own"
    assert classifier.mean == (0.485, 0.456, 0.406)
    images = load_images("demo:photos@64").pixels[:2]
    shift, scale = torch.tensor(classifier.mean).view(-1, 1, 1), torch.tensor(classifier.std).view(-1, 1, 1)
    expected = untrained(ARCHITECTURE, 4)((images - shift) / scale)
    assert torch.allclose(classifier(images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("prefix", "beside"),
    [
        ("model.", {"criterion.weight": torch.ones(4)}),
        ("model.", {"train_accuracy.correct": torch.ones(4), "val_accuracy.total": torch.tensor(3)}),
        ("1.", {"0.mean": torch.zeros(3, 1, 1), "0.std": torch.ones(3, 1, 1)}),
        ("classifier_a.", {f"critic.{number}.weight": torch.ones(900, 900) for number in range(4)}),
        ("my.own.net.", {}),
    ],
)
def test_the_network_of_a_training_program_is_found(prefix: str, beside: dict[str, torch.Tensor], file: Path) -> None:
    plain = untrained(ARCHITECTURE, 4).state_dict()
    path = file.with_name("trained.ckpt")
    torch.save({"epoch": 3, "state_dict": {**{prefix + name: plain[name] for name in plain}, **beside}}, path)
    one, two = (load_classifier(f"{each}{options()}", "cpu") for each in (file, path))
    assert one.fingerprint == two.fingerprint


def test_of_two_networks_the_one_of_the_architecture_is_loaded(tmp_path: Path) -> None:
    small, path = untrained(ARCHITECTURE, 4).state_dict(), tmp_path / "two.pt"
    large = untrained("torchvision:resnet18", 4).state_dict()
    both = {f"large.{name}": tensor for name, tensor in large.items()}
    torch.save({**both, **{f"small.{name}": tensor for name, tensor in small.items()}}, path)
    classifier = load_classifier(f"{path}{options()}", "cpu")
    assert classifier.module.state_dict().keys() == small.keys()
    with pytest.raises(CheckpointError, match="expected weights out of 'large', 'small', '', got 'middle'; choose one"):
        load_classifier(f"{path}{options(weights='middle')}", "cpu")


@pytest.mark.parametrize(
    ("beside", "prefix", "left"),
    [("classifier", "generator", "classifier"), ("q", "k", "q"), ("model_ema", "state_dict", "model_ema")],
)
def test_another_network_that_also_fits_is_reported(
    beside: str, prefix: str, left: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors, path = untrained(ARCHITECTURE, 4).state_dict(), tmp_path / "two.pt"
    torch.save({prefix: tensors, beside: {name: tensor + 1 for name, tensor in tensors.items()}}, path)
    load_classifier(f"{path}{options()}", "cpu")
    (told,) = [record.getMessage() for record in caplog.records]
    assert f"and left out {left}, which fit as well; choose with &weights=NAME" in told
    caplog.clear()
    load_classifier(f"{path}{options(weights=left)}", "cpu")
    assert not caplog.records


@pytest.mark.parametrize(("layer", "net"), [("0.", "1."), ("normalize.", "model."), ("norm.", "net.module.")])
@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize("shape", [(3,), (1, 3, 1, 1)])
def test_a_normalisation_layer_in_the_file_is_used(
    layer: str, net: str, white: int, shape: tuple[int, ...], tmp_path: Path
) -> None:
    tensors, path = untrained(ARCHITECTURE, 4).state_dict(), tmp_path / "whole.pt"
    mean, std = torch.tensor([0.25, 0.5, 0.75]), torch.tensor([0.5, 0.25, 0.125])
    wrapped = {f"{net}{name}": tensor for name, tensor in tensors.items()}
    layers = {f"{layer}mean": white * mean.view(shape), f"{layer}std": white * std.view(shape)}
    torch.save({**layers, **wrapped}, path)
    source = Source("file", str(path), {"arch": ARCHITECTURE, "size": "64"}).text()
    classifier = load_classifier(source, "cpu")
    assert (classifier.mean, classifier.std) == ((0.25, 0.5, 0.75), (0.5, 0.25, 0.125))
    assert load_classifier(f"{source}&preset=imagenet", "cpu").mean == pytest.approx((0.485, 0.456, 0.406))


MEAN, STD = torch.tensor([0.25, 0.5, 0.75]), torch.tensor([0.5, 0.25, 0.125])


@pytest.mark.parametrize(
    ("prefix", "beside"),
    [
        ("", {"mean": MEAN, "std": STD}),
        ("model.", {"pixel_mean": 255 * MEAN.view(3, 1, 1), "pixel_std": 255 * STD.view(3, 1, 1)}),
        ("model.", {"model.mean": MEAN.view(1, 3, 1, 1), "model.std": STD.view(1, 3, 1, 1)}),
        ("backbone.", {"data_mean": MEAN, "data_std": STD}),
        ("net.", {"normalizer.mu": MEAN, "normalizer.sigma": STD}),
        ("net.", {"normalize.means": MEAN, "normalize.sds": STD}),
        ("1.", {"0.weight": torch.diag(1 / STD).view(3, 3, 1, 1), "0.bias": -MEAN / STD}),
        ("1.", {"0.weight": (1 / (255 * STD)).view(3, 1, 1, 1), "0.bias": -MEAN / STD}),
        ("net.", {"norm.mean": MEAN, "norm.std": STD, "data.mean": MEAN, "data.std": STD}),
        ("net.", {"normalize._mean": MEAN, "normalize._std": STD}),
        ("net.", {"MEAN": MEAN, "STD": STD}),
        ("net.", {"mean_rgb": MEAN, "std_rgb": STD}),
        ("net.", {"normalizer.new_mean": MEAN, "normalizer.new_std": STD}),
        ("net.", {"norm.mean": MEAN, "norm.var": STD.square()}),
        ("net.", {"norm.mean": MEAN, "norm.std": STD, "perceptual.mean": 2 * MEAN, "perceptual.std": STD}),
        ("1.", {"0.running_mean": MEAN, "0.running_var": STD.square() - 1e-5}),
        ("1.", {"0.weight": (1 / STD).view(3, 1, 1), "0.bias": (-MEAN / STD).view(3, 1, 1)}),
    ],
)
def test_a_normalisation_of_any_known_name_is_used(
    prefix: str, beside: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    tensors = untrained(ARCHITECTURE, 4).state_dict()
    torch.save({**{f"{prefix}{name}": tensor for name, tensor in tensors.items()}, **beside}, tmp_path / "net.pt")
    source = Source("file", str(tmp_path / "net.pt"), {"arch": ARCHITECTURE, "size": "64"}).text()
    classifier = load_classifier(source, "cpu")
    assert (*classifier.mean, *classifier.std) == pytest.approx((*MEAN.tolist(), *STD.tolist()))


@pytest.mark.parametrize(
    "beside",
    [
        {"val_acc_mean": [0.91, 0.92, 0.93], "val_acc_std": [0.01, 0.02, 0.01]},
        {"loss_mean": [1.9], "loss_std": [0.3]},
        {"target_mean": torch.tensor([3.1]), "target_std": torch.tensor([1.2])},
        {"hyper_parameters": {"noise_mean": [0.0], "noise_std": [0.1]}},
        {"prior.mean": torch.tensor([0.0]), "prior.std": torch.tensor([1.0])},
    ],
)
def test_numbers_about_something_else_are_no_normalisation(beside: dict[str, object], tmp_path: Path) -> None:
    torch.save({"state_dict": untrained(ARCHITECTURE, 4).state_dict(), **beside}, tmp_path / "net.pt")
    classifier = load_classifier(f"{tmp_path / 'net.pt'}?arch={ARCHITECTURE}&size=64", "cpu")
    assert classifier.mean == pytest.approx((0.485, 0.456, 0.406))


@pytest.mark.parametrize(
    ("beside", "left"),
    [
        ({"1.weight": torch.ones(10, 4) / 3, "1.bias": torch.ones(10)}, ""),  # too small to be told from a statistic
        ({"1.weight": torch.ones(100, 4) / 3, "1.bias": torch.ones(100)}, "1.weight 100 x 4"),
        ({"2.weight": torch.ones(3, 3, 3, 3) / 3}, "2.weight 3 x 3 x 3 x 3"),
    ],
)
def test_weights_that_the_architecture_lacks_are_said(
    beside: dict[str, torch.Tensor], left: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = {f"0.{name}": tensor for name, tensor in untrained(ARCHITECTURE, 4).state_dict().items()}
    torch.save({**tensors, **beside}, tmp_path / "net.pt")
    load_classifier(f"{tmp_path / 'net.pt'}?arch={ARCHITECTURE}&size=64", "cpu")
    told = [record.getMessage() for record in caplog.records if "left out of the file" in record.getMessage()]
    assert told == ([f"net: left out of the file {left}, which {ARCHITECTURE} lacks"] if left else [])


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    tensors = {
        name: (100 * tensor).round().to(torch.int8) if tensor.ndim > 1 else tensor
        for name, tensor in untrained(ARCHITECTURE, 4).state_dict().items()
    }
    torch.save(tensors, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="expected weights of real numbers, .* holds whole ones; convert them"):
        load_classifier(f"{tmp_path / 'net.pt'}?arch={ARCHITECTURE}&size=64", "cpu")


@pytest.mark.parametrize("where", [lambda kept: kept, lambda kept: {"normalize": kept}])
@pytest.mark.parametrize("white", [1, 255])
def test_a_normalisation_in_plain_numbers_is_used(
    where: Callable[[dict[str, object]], dict[str, object]], white: int, tmp_path: Path
) -> None:
    kept = where({"mean": tuple((white * MEAN).tolist()), "std": (white * STD).tolist()})
    torch.save({"state_dict": untrained(ARCHITECTURE, 4).state_dict(), **kept}, tmp_path / "net.pt")
    classifier = load_classifier(f"{tmp_path / 'net.pt'}?arch={ARCHITECTURE}&size=64", "cpu")
    assert (*classifier.mean, *classifier.std) == pytest.approx((*MEAN.tolist(), *STD.tolist()))


def test_a_normalisation_next_to_the_weights_is_used_and_one_of_bytes_is_scaled(tmp_path: Path) -> None:
    tensors = untrained(ARCHITECTURE, 4).state_dict()
    torch.save({"state_dict": tensors, "mean": torch.zeros(3), "std": torch.full((3,), 255.0)}, tmp_path / "net.pt")
    classifier = load_classifier(f"{tmp_path / 'net.pt'}?arch={ARCHITECTURE}&size=64", "cpu")
    assert (classifier.mean, classifier.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        (
            {"norm.mean": MEAN, "norm.std": STD, "data.mean": MEAN, "data.std": 2 * STD},
            "one normalisation .* such as norm.mean and data",
        ),
        ({"norm.mean": MEAN}, "a mean and a std in the file, norm.mean has no partner"),
        (
            {"a.mean": MEAN, "a.std": STD},
            "to know the normalisation .*, the file stores a mean in a. that",
        ),
        ({"mean": "0.5,0.5,0.5", "std": "1,1,1"}, "a finite mean and a positive std, got mean with nan"),
        ({"mean": np.full(3, 0.5), "std": np.full(3, 0.5)}, "a finite mean and a positive std, got mean with nan"),
        ({"0.shift": MEAN, "0.scale": STD}, "a mean and a std in the file, 0.shift and scale can be read in two ways"),
        ({"pixel_mean": 255 * MEAN, "pixel_std": STD}, "a normalisation of pixels in .0, 1. or of bytes"),
        ({"pixel_mean": -MEAN, "pixel_std": STD}, "a normalisation of pixels in .0, 1. or of bytes"),
        ({"pixel_mean": torch.tensor([104.0, 117.0, 124.0]), "pixel_std": torch.full((3,), 57.0)}, "red, green, blue"),
        ({"pixel_mean": torch.tensor(0.5)}, "pixel_mean has no partner"),
        ({"norm.mean": MEAN, "norm.std": STD[:1]}, "norm.mean has no partner"),
        ({"norm.mean": MEAN, "norm.std": 0 * STD}, "a positive std, got norm.mean with 0.25/0.5/0.75/0/0/0"),
        ({"norm.mean": MEAN, "norm.std": -STD}, "a positive std"),
        ({"norm.mean": torch.full((3,), torch.nan), "norm.std": STD}, "a finite mean"),
    ],
)
def test_an_ambiguous_normalisation_is_refused(beside: dict[str, torch.Tensor], message: str, tmp_path: Path) -> None:
    tensors = untrained(ARCHITECTURE, 4).state_dict()
    torch.save({**{f"net.{name}": tensor for name, tensor in tensors.items()}, **beside}, tmp_path / "net.pt")
    source = f"{tmp_path / 'net.pt'}?arch={ARCHITECTURE}&size=64"
    with pytest.raises(CheckpointError, match=f"^expected .*{message}.*; say mean= and std= for pixels in \\[0, 1\\]"):
        load_classifier(source, "cpu")
    assert load_classifier(f"{source}&preset=half", "cpu").mean == (0.5, 0.5, 0.5)
    assert load_classifier(f"{source}&mean=0.1/0.2/0.3&std=1/1/1", "cpu").mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    "beside",
    [
        {"critic.0.weight": torch.rand(3, 3, 1, 1), "critic.0.bias": MEAN},
        {"metric.mean": torch.tensor(0.5)},
        {"bn.running_mean": MEAN, "bn.running_std": STD},
        {"latent.mean": torch.ones(7), "latent.std": torch.ones(7)},
    ],
)
def test_tensors_that_only_look_like_a_normalisation_are_ignored(
    beside: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    tensors = untrained(ARCHITECTURE, 4).state_dict()
    torch.save({**{f"net.{name}": tensor for name, tensor in tensors.items()}, **beside}, tmp_path / "net.pt")
    assert load_classifier(f"{tmp_path / 'net.pt'}?arch={ARCHITECTURE}&size=64", "cpu").mean == (0.485, 0.456, 0.406)


def test_the_same_file_under_another_name_has_the_same_fingerprint(file: Path, tmp_path: Path) -> None:
    tensors = {f"module.{name}": tensor for name, tensor in untrained(ARCHITECTURE, 4).state_dict().items()}
    save_file(tensors, tmp_path / "other.safetensors")
    one, two = (load_classifier(f"{path}{options()}", "cpu") for path in (file, tmp_path / "other.safetensors"))
    assert one.fingerprint == two.fingerprint
    assert one.fingerprint != load_classifier(f"{file}{options(preset='half')}", "cpu").fingerprint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("torchvision:resnet18:IMAGENET1K_V9", "expected weights of resnet18 out of IMAGENET1K_V1, DEFAULT, untrained"),
        ("torchvision:resnet19", "expected an architecture such as torchvision:resnet18"),
        ("timm:nonsense.tag", "expected an architecture such as"),
        ("hf-hub:timm/resnet18", r"expected hf-hub:OWNER/NAME@REVISION, got 'timm/resnet18'; pin the revision"),
        ("robustbench:Standard", "expected robustbench:THREAT/DATASET/NAME"),
        ("robustbench:Linf/cifar10/Standard", "expected the package robustbench to load 'Standard', it is not"),
        ("upload:0123", "expected the uploaded file '0123', it is not here; upload it on the Model view"),
        ("module:net.py", "expected module:path/to/net.py:factory"),
        ("torchvision:squeezenet1_1:untrained?size=1x64x64", "expected images of 3 x 224 x 224 for this model"),
        ("torchvision:squeezenet1_1:untrained?names=a/b", "expected 1000 class names, as many as logits, got 2"),
    ],
)
def test_models_that_cannot_be_loaded_are_refused_with_the_reason(source: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_classifier(source, "cpu")


def test_models_are_loaded_by_library_name() -> None:
    for source in (f"{ARCHITECTURE}:untrained?size=64&names=imagenet", "timm:resnet10t:untrained?size=64"):
        classifier = load_classifier(source, "cpu")
        assert classifier.num_classes == 1000
        assert classifier.input_shape == (3, 64, 64)
    assert load_classifier(f"{ARCHITECTURE}:untrained?size=64&names=imagenet", "cpu").class_names[0] == "tench"


def test_weights_of_a_library_are_read_by_our_own_reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def fetch(url: str, place: str, hash_prefix: str) -> None:
        asked.append((url.rpartition("/")[2], hash_prefix))
        torch.save(untrained(ARCHITECTURE).state_dict(), place)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    monkeypatch.setattr(torch, "load", None)
    classifier = load_classifier(ARCHITECTURE, "cpu")
    assert asked == [("squeezenet1_1-b8a52dc0.pth", "b8a52dc0")]
    assert classifier.class_names[:2] == ("tench", "goldfish")
    assert classifier.mean == (0.485, 0.456, 0.406)


def test_a_robustbench_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    package, inside = types.ModuleType("robustbench"), types.ModuleType("robustbench.utils")
    asked: dict[str, str] = {}

    def load_model(**kwargs: str) -> nn.Module:
        asked.update(kwargs)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))

    inside.load_model = load_model  # type: ignore[attr-defined]
    package.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "robustbench", package)
    monkeypatch.setitem(sys.modules, "robustbench.utils", inside)
    classifier = load_classifier("robustbench:Linf/cifar10/Standard", "cpu")
    assert asked == {"model_name": "Standard", "dataset": "cifar10", "threat_model": "Linf"}
    assert (classifier.input_shape, classifier.mean) == ((3, 32, 32), (0.0, 0.0, 0.0))


# -- uploads ----------------------------------------------------------------------------------------------------------


def test_an_upload_is_found_by_its_digest_alone(file: Path, tmp_path: Path) -> None:
    found = by_digest([file])
    source = Source("upload", digest_of([file]), Source.parse(options()).options).text()
    assert load_classifier(source, "cpu", uploads=found).num_classes == 4
    with pytest.raises(CheckpointError, match="it is not here"):
        load_classifier(source.replace(digest_of([file]), "0" * 32), "cpu", uploads=found)
    with pytest.raises(CheckpointError, match="expected class names in the source itself, got a file of this machine"):
        load_classifier(f"{source}&names=file:/etc/passwd", "cpu", uploads=found)


def test_an_uploaded_checkpoint_of_ours_needs_no_architecture(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    write_checkpoint(path, small(), FACTS)
    loaded = load_classifier(f"upload:{digest_of([path])}", "cpu", uploads=by_digest([path]))
    assert loaded.fingerprint == small().fingerprint


def test_without_its_list_of_names_classes_are_numbered(file: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("one\ntwo\nthree\nfour\n")
    said = options(names=f"list:{digest_of([names])}")
    source = Source("upload", digest_of([file]), Source.parse(said).options).text()
    assert load_classifier(source, "cpu", uploads=by_digest([file, names])).class_names[0] == "one"
    assert load_classifier(source, "cpu", uploads=by_digest([file])).class_names[0] == "class 0"


def test_a_recipe_asks_for_its_file_and_runs_no_untrusted_code(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Source("upload", digest_of([file]), Source.parse(options(size="32")).options).text()
    base = ["slice", "--model", source, "--image-set", "demo:photos@32", "--images", "3,17,42", "--resolution", "64"]
    assert cli.main([*base, "--out", str(tmp_path / "slice.npz")]) == 1
    assert "it is not here; upload it on the Model view, or name it on the command line" in capsys.readouterr().err
    assert cli.main([*base, "--out", str(tmp_path / "slice.npz"), "--upload", str(file)]) == 0
    again = ["run", str(tmp_path / "slice.npz"), "--out", str(tmp_path / "again.npz")]
    assert cli.main([*again, "--upload", str(file)]) == 0
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "slice.npz").read_bytes()
    capsys.readouterr()
    (tmp_path / "net.py").write_text("raise SystemExit(7)")
    recipe = {"recipe": 1, "analysis": "slice", "models": [f"module:{tmp_path}/net.py:f?size=3x32x32"]}
    recipe |= {"images": {"source": "demo:photos", "rows": [1, 2, 3]}}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    assert cli.main(["run", str(tmp_path / "recipe.json"), "--out", str(tmp_path / "x.npz")]) == 1
    assert "runs code by module:" in capsys.readouterr().err
