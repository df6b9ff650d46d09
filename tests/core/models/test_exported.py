"""Exported graphs compute what the module computed, whatever batch they were exported with."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from core.errors import CheckpointError
from core.models import exported
from core.models.exported import Exported, call_factory, load_onnx, load_pt2
from core.models.load import load_classifier


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    return nn.Sequential(*layers).eval()


def images(count: int = 5) -> torch.Tensor:
    return torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def export(path: Path, batch: int | None) -> None:
    shapes = None if batch else ({0: torch.export.Dim("batch", min=1, max=4096)},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(net(), (images(batch or 2),), dynamic_shapes=shapes), path)


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_an_exported_program_computes_the_same(tmp_path: Path, batch: int | None) -> None:
    path = tmp_path / "net.pt2"
    export(path, batch)
    module, shape = load_pt2(path)
    assert shape == (3, 12, 12)
    for count in (1, 5):
        assert torch.allclose(module(images(count)), net()(images(count)), atol=1e-6)
    classifier = load_classifier(f"{path}?preset=none", "cpu")
    assert classifier.num_classes == 5
    given = images(3).requires_grad_()
    (slope,) = torch.autograd.grad(classifier(given)[:, 0].sum(), given, create_graph=True)
    (second,) = torch.autograd.grad((slope**2).sum(), given)
    expected_input = images(3).requires_grad_()
    (expected,) = torch.autograd.grad(net()(expected_input)[:, 0].sum(), expected_input)
    assert torch.allclose(slope, expected, atol=1e-6)
    assert bool(second.any())


def onnx_net(path: Path, *, batch: int | None, spoil: bool = False) -> np.ndarray:
    """A convolution, a mean and a matrix, as ONNX of opset 13; returns the logits of `images()`."""
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(4, 3, 3, 3)).astype(np.float32)
    matrix = generator.normal(size=(4, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["maps"], kernel_shape=[3, 3]),
        helper.make_node("Erf" if spoil else "Sigmoid", ["maps"], ["bent"]),
        helper.make_node("GlobalAveragePool", ["bent"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
    ]
    count = batch or "batch"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [count, 3, 12, 12])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [count, 5])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(matrix, "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    maps = torch.conv2d(images(), torch.from_numpy(kernel)).sigmoid().mean((2, 3))
    return (maps @ torch.from_numpy(matrix)).numpy()


@pytest.mark.parametrize("batch", [None, 2])
def test_an_onnx_graph_computes_the_same(tmp_path: Path, batch: int | None) -> None:
    path = tmp_path / "net.onnx"
    expected = onnx_net(path, batch=batch)
    module, shape = load_onnx(path)
    assert shape == (3, 12, 12)
    assert np.allclose(module(images()).detach().numpy(), expected, atol=1e-5)
    assert load_classifier(f"{path}?preset=none", "cpu").num_classes == 5


def test_a_conversion_with_other_logits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    onnx_net(path, batch=None)
    monkeypatch.setattr(Exported, "forward", lambda self, rows: 1.01 * self.graph(rows))
    with pytest.raises(
        CheckpointError, match=r"expected the logits of onnxruntime, the converted net\.onnx is 0\.0\d+ of"
    ):
        load_onnx(path)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_net(tmp_path / "net.onnx", batch=None)
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(CheckpointError, match=r"they are not installed; `pip install onnx onnx2torch`"):
        load_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize("name", ["net.pt2", "net.onnx"])
def test_damaged_graphs_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(CheckpointError, match="expected a"):
        load_classifier(path, "cpu")


def test_rows_of_a_fixed_batch_are_padded_and_cut() -> None:
    seen: list[int] = []

    class Fixed(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            seen.append(len(rows))
            return rows.flatten(1)[:, :2]

    given = images(7)
    assert torch.equal(Exported(Fixed(), 3)(given), given.flatten(1)[:, :2])
    assert seen == [3, 3, 3]


FACTORY = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))

def broken():
    raise RuntimeError("no weights here")

def number():
    return 3
"""


def test_a_module_of_a_users_factory_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "my_net.py"
    path.write_text(FACTORY)
    classifier = load_classifier(f"module:{path}:build?size=3x2x2&names=a/b/c", "cpu")
    assert classifier.class_names == ("a", "b", "c")
    assert classifier.input_shape == (3, 2, 2)
    for name, message in {
        "broken": "it raised RuntimeError: no weights here",
        "number": "expected 'number' to return a torch module, got a int",
        "other": r"expected a function of my_net\.py \(.*build, broken, number\), got 'other'",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            call_factory(f"{path}:{name}")
    with pytest.raises(CheckpointError, match=r"expected \?size=CHANNELSxHEIGHTxWIDTH"):
        load_classifier(f"module:{path}:build", "cpu")
    with pytest.raises(CheckpointError, match="found no 'none.py'"):
        call_factory(f"{tmp_path}/none.py:build")


def test_without_onnxruntime_there_is_no_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    onnx_net(path, batch=None)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        exported.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name)
    )
    assert load_onnx(path)[1] == (3, 12, 12)
