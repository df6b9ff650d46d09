"""State dicts come out of whatever a training program wrapped around them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core.errors import CheckpointError
from core.models.registries import template
from core.models.state_dicts import _candidates, choose, read_state_dicts, shards


def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).state_dict()


def named(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights().items()}


def same(tensors: Any) -> bool:
    expected = {name: tensor for name, tensor in weights().items() if not name.endswith("num_batches_tracked")}
    return tensors.keys() == expected.keys() and all(torch.equal(tensors[name], expected[name]) for name in expected)


def test_a_negative_variance_is_refused(tmp_path: Path) -> None:
    torch.save({**weights(), "1.running_var": -torch.ones(4)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="expected variances from 0 on, 1.running_var holds -1; take"):
        choose(read_state_dicts([tmp_path / "a.pt"]), None)


@pytest.mark.parametrize(
    ("wrapped", "name", "removed"),
    [
        (weights, "", ""),
        (lambda: named("module."), "", "module."),
        (lambda: named("_orig_mod.module."), "", "_orig_mod.module."),
        (lambda: {"state_dict": named("model."), "epoch": 3, "callbacks": {}}, "state_dict", "model."),
        (lambda: {"model": weights(), "optimizer": {"state": {0: {"exp_avg": torch.zeros(9, 9)}}}}, "model", ""),
        (lambda: {"model": {"module": named("module.")}}, "model/module", "module."),
        (lambda: {"model_state_dict": weights(), "loss": 0.5}, "model_state_dict", ""),
        (lambda: {"n_averaged": torch.tensor(3), **named("module.")}, "", "module."),
        (lambda: {"state_dict": {**named("model."), "criterion.weight": torch.ones(2)}}, "state_dict/model", "model."),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_wrapping_is_removed(
    tmp_path: Path, wrapped: Callable[[], dict[str, Any]], name: str, removed: str, old: bool
) -> None:
    path = tmp_path / "net.ckpt"
    torch.save(wrapped(), path, _use_new_zipfile_serialization=not old)
    found = {each.name: each for each in read_state_dicts([path])}
    assert same(found[name].tensors)
    assert found[name].removed == removed


def resnet(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {name: torch.rand(shape) for name, shape in template("torchvision:resnet18").items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


CRITERION = {"criterion.weight": torch.ones(10)}


@pytest.mark.parametrize(
    ("beside", "name", "removed"),
    [
        (lambda net: {"state_dict": under("model.", net) | CRITERION}, "state_dict/model", "model."),
        (lambda net: {"state_dict": CRITERION | under("model.", net)}, "state_dict/model", "model."),
        (lambda net: under("model.", net) | CRITERION, "model", "model."),
        (
            lambda net: {"state_dict": under("classifier.net.", net) | {"train_acc.tp": torch.ones(9)}},
            "state_dict/classifier",
            "classifier.net.",
        ),
        (lambda net: {"state_dict": under("my_net.", net)}, "state_dict", "my_net."),
        (lambda net: {"state_dict": under("module.my_net.net.", net)}, "state_dict", "module.my_net.net."),
        (lambda net: under("module.", under("f.", net) | CRITERION), "f", "module.f."),
        (lambda net: {"0.mean": torch.ones(3), "0.std": torch.ones(3), **under("1.", net)}, "1", "1."),
        (
            lambda net: {"state_dict": under("big.", {"a.weight": torch.ones(4000, 6000)}) | under("small.", net)},
            "state_dict/small",
            "small.",
        ),
        (lambda net: {"state_dict": {"w": torch.ones(9, 9)}, "nets": {"a": under("b.c.d.", net)}}, "nets/a", "b.c.d."),
        (
            lambda net: {"state_dict": under("student.", net) | under("teacher.", resnet(1))},
            "state_dict/student",
            "student.",
        ),
        (
            lambda net: {"state_dict": under("target.", resnet(1)) | under("online.", resnet(2)), "net": net},
            "net",
            "",
        ),
    ],
)
def test_a_network_is_found_among_other_trained_parts(
    tmp_path: Path, beside: Callable[[dict[str, Tensor]], dict[str, Any]], name: str, removed: str
) -> None:
    net, path = resnet(), tmp_path / "net.ckpt"
    torch.save(beside(net), path)
    found = {each.name: each for each in read_state_dicts([path])}
    assert found[name].removed == removed
    assert found[name].tensors.keys() == net.keys()
    assert all(torch.equal(found[name].tensors[key], net[key]) for key in net)
    first = choose(tuple(found.values()), None)
    assert first.tensors.keys() == net.keys()
    assert not first.is_average


def test_parts_of_a_network_are_not_networks(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"state_dict": under("model.", resnet()) | CRITERION}, path)
    assert {each.name for each in read_state_dicts([path])} == {"state_dict", "state_dict/model"}
    torch.save(resnet(), path)
    assert [each.name for each in read_state_dicts([path])] == [""]


@pytest.mark.parametrize(
    "names",
    [
        ["module." * 50_000 + each for each in "abc"],
        ["." * 300_000 + each for each in "abc"],
        [f"{number}.a.b.c.d.e.weight" for number in range(20_000)],
        [f"model.{number}.weight" for number in range(20_000)],
    ],
)
def test_deep_names_are_visited_once(names: list[str]) -> None:
    looked = [0]

    class Counted(str):
        """A name that counts how often it is cut or looked at from a place on."""

        def split(self, *options: Any) -> list[str]:  # type: ignore[override]
            looked[0] += 1
            return super().split(*options)

    tensor = torch.ones(2)
    found = _candidates({Counted(name): tensor for name in names})
    assert sum(len(each.tensors) for each in found) <= 60 * len(names)
    assert looked[0] <= 2 * len(names)


def test_a_table_that_contains_itself_is_visited_once() -> None:
    node: dict[str, Any] = {"weight": torch.ones(3)}
    for _ in range(4):
        node = {str(number): node for number in range(1000)}
    assert len(_candidates(node)) == 1


def test_averages_come_second_and_are_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    average = {name: tensor + 1 for name, tensor in weights().items()}
    torch.save({"model_ema": average, "state_dict": weights()}, path)
    found = read_state_dicts([path])
    assert [(each.name, each.is_average) for each in found] == [("state_dict", False), ("model_ema", True)]
    assert choose(found, None).name == "state_dict"
    assert torch.equal(choose(found, "model_ema").tensors["0.weight"], average["0.weight"])
    with pytest.raises(
        CheckpointError, match="expected weights out of 'state_dict', 'model_ema', got 'ema'; choose one"
    ):
        choose(found, "ema")


def test_teacher_and_student_in_one_table_are_separated(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({**named("student."), **{name: tensor + 1 for name, tensor in named("teacher.").items()}}, path)
    found = {each.name: each for each in read_state_dicts([path])}
    assert same(found["student"].tensors)
    assert found["teacher"].is_average
    assert torch.equal(found["teacher"].tensors["0.bias"], weights()["0.bias"] + 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "net.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in weights().items()}, path)
    (found,) = read_state_dicts([path])
    assert {tensor.dtype for tensor in found.tensors.values()} == {torch.float32}
    assert torch.equal(found.tensors["0.weight"], weights()["0.weight"].to(dtype).float())


def test_tied_and_sliced_tensors_are_complete(tmp_path: Path) -> None:
    path, whole = tmp_path / "net.pt", torch.arange(12.0).view(3, 4)
    torch.save({"a.weight": whole, "b.weight": whole.T, "c.weight": whole[:, 1:3]}, path)
    (found,) = read_state_dicts([path])
    assert torch.equal(found.tensors["b.weight"], whole.T)
    assert torch.equal(found.tensors["c.weight"], whole[:, 1:3])


def test_shards_are_joined(tmp_path: Path) -> None:
    parts = list(named("model.").items())
    names = [f"model-{number}-of-2.safetensors" for number in (1, 2)]
    save_file(dict(parts[:3]), tmp_path / names[0])
    save_file(dict(parts[3:]), tmp_path / names[1])
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: names[place >= 3] for place, (name, _) in enumerate(parts)}}))
    assert shards(index) == [tmp_path / name for name in names]
    (found,) = read_state_dicts(shards(index))
    assert same(found.tensors)
    with pytest.raises(CheckpointError, match=r"expected shards of one checkpoint, got .* twice"):
        read_state_dicts([tmp_path / names[0]] * 2)
    (tmp_path / names[1]).unlink()
    with pytest.raises(CheckpointError, match=r"expected 2 shards, found no model-2-of-2\.safetensors; fetch it too"):
        shards(index)


@pytest.mark.parametrize("said", ["[]", "{", '{"weight_map": {"a": "../../etc/passwd"}}', '{"weight_map": {"a": 3}}'])
def test_an_index_of_files_elsewhere_is_refused(tmp_path: Path, said: str) -> None:
    index = tmp_path / "model.index.json"
    index.write_text(said)
    with pytest.raises(CheckpointError, match="expected"):
        shards(index)


def test_too_large_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(weights(), path)
    with pytest.raises(CheckpointError, match="expected at most 0 MB"):
        read_state_dicts([path], most_bytes=100)


@pytest.mark.parametrize("shape", [[2**59, 2**59, 0], [0, 2**62, 4], [2**31, 2**31, 2, 0]])
def test_a_shape_with_too_many_entries_is_refused(shape: list[int], tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    path = tmp_path / "large.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match="expected"):
        read_state_dicts([path])
