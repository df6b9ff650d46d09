"""Small graphs that ask for much memory are refused before they run; others say the sizes of their input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.errors import CheckpointError
from core.models import exported
from core.models.load import load_classifier
from core.models.onnx_files import examine
from core.runtime import sandbox

OPSETS = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]


def graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    tensors: list[onnx.TensorProto],
    batch: int | str = "n",
    functions: Sequence[onnx.FunctionProto] = (),
) -> Path:
    """A graph from `images` (n, 3, 8, 8) to `logits` (n, 5)."""
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 5])],
        tensors,
    )
    onnx.save(helper.make_model(made, functions=functions, opset_imports=OPSETS, ir_version=8), str(path))
    return path


def head(after: str) -> list[onnx.NodeProto]:
    """From values of any shape to five logits."""
    return [
        helper.make_node("ReduceMax", [after], ["most"], keepdims=0),
        helper.make_node("Flatten", ["images"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "matrix"], ["product"]),
        helper.make_node("Add", ["product", "most"], ["logits"]),
    ]


MATRIX = numpy_helper.from_array(np.ones((192, 5), np.float32), "matrix")


def shape(*sides: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(sides, np.int64), "shape")


BOMBS: dict[str, tuple[list[onnx.NodeProto], list[onnx.TensorProto]]] = {
    "constant": ([helper.make_node("ConstantOfShape", ["shape"], ["large"])], [shape(50_000, 50_000)]),
    "expand": (
        [helper.make_node("ReduceMax", ["images"], ["one"]), helper.make_node("Expand", ["one", "shape"], ["large"])],
        [shape(1, 300, 10_000, 1000)],
    ),
    "tile": ([helper.make_node("Tile", ["images", "shape"], ["large"])], [shape(1, 1, 10_000, 10_000)]),
    "pad": (
        [helper.make_node("Pad", ["images", "shape"], ["large"])],
        [shape(0, 0, 0, 0, 0, 0, 30_000, 30_000)],
    ),
    "many at one time": (
        [
            *(helper.make_node("Tile", ["images", "shape"], [f"large {number}"]) for number in range(40)),
            helper.make_node("Sum", [f"large {number}" for number in range(40)], ["large"]),
        ],
        [shape(1, 1, 400, 400)],
    ),
    "counted shape": (
        [
            helper.make_node("Mul", ["shape", "shape"], ["square"]),
            helper.make_node("ConstantOfShape", ["square"], ["large"]),
        ],
        [shape(300, 300)],
    ),
    "shape of the image": (
        [
            helper.make_node("Shape", ["images"], ["sides"]),
            helper.make_node("Pow", ["sides", "shape"], ["power"]),
            helper.make_node("Cast", ["power"], ["whole"], to=TensorProto.INT64),
            helper.make_node("ConstantOfShape", ["whole"], ["large"]),
        ],
        [shape(1, 1, 6, 6)],
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_graph_that_needs_too_much_memory_never_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, tensors = BOMBS[name]
    path = graph(tmp_path / "net.onnx", [*nodes, *head("large")], [*tensors, MATRIX])
    monkeypatch.setattr(exported.Exported, "forward", lambda self, rows: pytest.fail("it ran"))
    with pytest.raises(CheckpointError, match="expected (values of at most 1,024 MB|a graph that runs within|a file)"):
        load_classifier(f"{path}?preset=none", "cpu")


def test_a_graph_with_open_sizes_is_tried(tmp_path: Path) -> None:
    nodes, _ = BOMBS["shape of the image"]
    path = graph(tmp_path / "net.onnx", [*nodes, *head("large")], [shape(1, 1, 2, 2), MATRIX])
    assert examine(lambda fraction: None, str(path)) == [0, 3, 8, 8]


def test_external_weights_must_be_in_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(np.ones((192, 5), np.float32).tobytes())
    for place, refused in {"weights": False, "../weights": True, "/etc/hostname": True, "nothing": True}.items():
        tensor = TensorProto(name="matrix", data_type=TensorProto.FLOAT, dims=[192, 5], data_location=1)
        tensor.external_data.add(key="location", value=place)
        path = graph(tmp_path / "net.onnx", head("images"), [tensor])
        if refused:
            with pytest.raises(CheckpointError, match=r"expected the weights of net\.onnx beside it"):
                examine(lambda fraction: None, str(path))
        else:
            assert examine(lambda fraction: None, str(path)) == [0, 3, 8, 8]


def node(model: onnx.ModelProto) -> onnx.NodeProto:
    return model.functions.add(name="f", domain="own").node.add(op_type="Constant", output=["y"])


PLACES: dict[str, Callable[[onnx.ModelProto, onnx.TensorProto], object]] = {
    "sparse initialiser": lambda model, tensor: model.graph.sparse_initializer.add(values=tensor),
    "its indices": lambda model, tensor: model.graph.sparse_initializer.add(indices=tensor),
    "tensors": lambda model, tensor: model.graph.node[0].attribute.add(name="a", tensors=[tensor]),
    "sparse tensor": lambda model, tensor: (
        model.graph.node[0].attribute.add(name="a").sparse_tensor.values.CopyFrom(tensor)
    ),
    "sparse tensors": lambda model, tensor: (
        model.graph.node[0].attribute.add(name="a").sparse_tensors.add(indices=tensor)
    ),
    "graph of a branch": lambda model, tensor: (
        model.graph.node[0].attribute.add(name="a").graphs.add().initializer.append(tensor)
    ),
    "function": lambda model, tensor: node(model).attribute.add(name="value").t.CopyFrom(tensor),
    "default of a function": lambda model, tensor: (
        model.functions.add(name="f").attribute_proto.add(name="a").t.CopyFrom(tensor)
    ),
    "training": lambda model, tensor: model.training_info.add().algorithm.initializer.append(tensor),
}


@pytest.mark.parametrize("place", PLACES)
def test_external_weights_are_found_in_every_part_of_a_model(place: str, tmp_path: Path) -> None:
    path = graph(tmp_path / "net.onnx", head("images"), [MATRIX])
    tensor = TensorProto(name="more", data_type=TensorProto.FLOAT, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="/etc/hostname")
    model = onnx.load(str(path))
    PLACES[place](model, tensor)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"expected the weights of net\.onnx beside it, got '/etc/hostname'"):
        examine(lambda fraction: None, str(path))


@pytest.mark.parametrize("side", [2, 50_000])
def test_functions_are_inlined(side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape(side, side)),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    called = helper.make_node("shift", ["images"], ["large"], domain="own")
    shift = helper.make_function("own", "shift", ["x"], ["y"], nodes, OPSETS)
    path = graph(tmp_path / "net.onnx", [called, *head("large")], [MATRIX], functions=[shift])
    if side == 2:
        assert load_classifier(f"{path}?preset=none", "cpu").num_classes == 5
        return
    monkeypatch.setattr(exported.Exported, "forward", lambda self, rows: pytest.fail("it ran"))
    with pytest.raises(CheckpointError, match="expected values of at most 1,024 MB"):
        load_classifier(f"{path}?preset=none", "cpu")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x08", b"\xff" * 1000])
def test_files_that_are_not_graphs_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"expected a graph of ONNX, net\.onnx is none, or damaged"):
        load_classifier(tmp_path / "net.onnx", "cpu")


def test_the_limits_of_the_sandbox_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sandbox.MEMORY, "1")
    path = graph(tmp_path / "net.onnx", head("images"), [MATRIX])
    with pytest.raises(CheckpointError, match="expected a file that is read within 1 MB"):
        load_classifier(f"{path}?preset=none", "cpu")


def test_values_live_until_the_last_node_that_reads_them(tmp_path: Path) -> None:
    nodes = [helper.make_node("Tile", ["images", "shape"], ["a 0"])]  # 123 MB
    nodes += [helper.make_node("Relu", [f"a {number}"], [f"a {number + 1}"]) for number in range(30)]
    path = graph(tmp_path / "deep.onnx", [*nodes, *head("a 30")], [shape(1, 1, 400, 400), MATRIX])
    assert examine(lambda fraction: None, str(path)) == [0, 3, 8, 8]
