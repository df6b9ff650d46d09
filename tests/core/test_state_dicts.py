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
from core.state_dicts import choose, read_state_dicts, shards


def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).state_dict()


def named(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights().items()}


def same(tensors: Any) -> bool:
    expected = {name: tensor for name, tensor in weights().items() if not name.endswith("num_batches_tracked")}
    return tensors.keys() == expected.keys() and all(torch.equal(tensors[name], expected[name]) for name in expected)


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
def test_wrapping_is_taken_off(
    tmp_path: Path, wrapped: Callable[[], dict[str, Any]], name: str, removed: str, old: bool
) -> None:
    path = tmp_path / "net.ckpt"
    torch.save(wrapped(), path, _use_new_zipfile_serialization=not old)
    found = {each.name: each for each in read_state_dicts([path])}
    assert same(found[name].tensors)
    assert found[name].removed == removed


def test_averages_are_chosen_by_name_and_come_second(tmp_path: Path) -> None:
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


def test_teacher_and_student_in_one_table_are_told_apart(tmp_path: Path) -> None:
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


def test_tied_and_cut_tensors_are_whole(tmp_path: Path) -> None:
    path, whole = tmp_path / "net.pt", torch.arange(12.0).view(3, 4)
    torch.save({"a.weight": whole, "b.weight": whole.T, "c.weight": whole[:, 1:3]}, path)
    (found,) = read_state_dicts([path])
    assert torch.equal(found.tensors["b.weight"], whole.T)
    assert torch.equal(found.tensors["c.weight"], whole[:, 1:3])


def test_shards_are_put_together(tmp_path: Path) -> None:
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
def test_an_index_that_points_elsewhere(tmp_path: Path, said: str) -> None:
    index = tmp_path / "model.index.json"
    index.write_text(said)
    with pytest.raises(CheckpointError, match="expected"):
        shards(index)


def test_too_large_is_told_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(weights(), path)
    with pytest.raises(CheckpointError, match="expected at most 0 MB"):
        read_state_dicts([path], most_bytes=100)
