"""ONNX files: the sizes of the values between a graph's nodes, determined before the graph runs.

A graph of 300 bytes can ask for any amount of memory: one node makes a constant of any shape. So the shape of every
value is inferred first. If one stays open, the graph is tried once, on one image, here: this module runs in
`core.runtime.sandbox`, whose memory is limited.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import CheckpointError, one_line

MOST_VALUE_BYTES = 1 << 30  # of one value between two nodes, for one image
MOST_ALIVE = 2 << 30  # of all values alive at one time
MOST_BYTES = 8 << 30  # of all values
_BRANCHES = ("If", "Loop", "Scan", "SequenceMap")  # nodes with subgraphs, whose values are not inferred


def prepare() -> None:
    """Import the libraries, before memory is limited."""
    for name in ("onnx.shape_inference", "onnx.inliner", "onnxruntime"):
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            importlib.import_module(name)


def flat(model: Any) -> Any:
    """A model with its functions inlined."""
    from onnx.inliner import inline_local_functions

    return inline_local_functions(model) if model.functions else model


def examine(progress: Callable[[float], None], path: str) -> list[int]:
    """Check an ONNX file.

    Args:
        progress: not called: a graph of any size is examined in seconds.
        path: of the file.

    Returns:
        The sizes of its input; 0 for an open one.

    Raises:
        CheckpointError: if it is not an ONNX graph, its data are elsewhere, or its values are too large.
    """
    import onnx

    name = Path(path).name[:80]
    try:
        model = onnx.load(path, load_external_data=False)
        tensors = list(_tensors(model))
        model = flat(model)
        sizes = [dimension.dim_value for dimension in model.graph.input[0].type.tensor_type.shape.dim]
    except Exception as error:  # from the protobuf parser
        raise CheckpointError(f"expected a graph of ONNX, {name} is none, or damaged; export it again") from error
    for tensor in tensors:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        beside = Path(path).parent / location
        if not location or Path(location).name != location or beside.is_symlink() or not beside.is_file():
            raise CheckpointError(f"expected the weights of {name} beside it, got {location[:60]!a}; put them there")
    if sizes and not sizes[0]:
        first = model.graph.input[0].type.tensor_type.shape.dim[0]
        first.ClearField("dim_param")
        first.dim_value = 1
    with warnings.catch_warnings(action="ignore"):
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    known = {value.name: _bytes(value) for value in (*inferred.graph.value_info, *inferred.graph.output)}
    closed = [size for size in known.values() if size is not None]
    largest, alive = max(closed, default=0), _alive(inferred.graph, known)
    if largest > MOST_VALUE_BYTES or alive > MOST_ALIVE or sum(closed) > MOST_BYTES:
        raise CheckpointError(
            f"expected values of at most {MOST_VALUE_BYTES >> 20:,} MB between the nodes of a graph, and of "
            f"{MOST_ALIVE >> 20:,} MB at one time, {name} asks for {largest / 2**20:,.0f} and {alive / 2**20:,.0f} MB; "
            "export the classifier alone, for a smaller image"
        )
    open_ones = [each for node in model.graph.node for each in node.output if each and known.get(each) is None]
    if (
        (open_ones or any(node.op_type in _BRANCHES for node in model.graph.node))
        and len(sizes) == 4
        and all(sizes[1:])
    ):
        _try(path, name, sizes)
    return sizes


def _alive(graph: Any, known: Mapping[str, int | None]) -> int:
    """The most bytes alive at one time: each value lives from its node to the last one that reads it."""
    last = {each: place for place, node in enumerate(graph.node) for each in node.input}
    alive = most = 0
    made: set[str] = set()
    for place, node in enumerate(graph.node):
        made.update(node.output)
        alive += sum(known.get(each) or 0 for each in node.output)
        most = max(most, alive)
        read = {*node.input, *node.output}
        alive -= sum(known.get(each) or 0 for each in read & made if last.get(each, place) == place)
    return most


def _tensors(part: Any) -> Iterator[Any]:
    """Every tensor in a part of a model: in graphs, functions, attributes, training information."""
    import onnx

    parts = [part]
    while parts:
        part = parts.pop()
        if isinstance(part, onnx.TensorProto):
            yield part
            continue
        for field, value in part.ListFields():
            if field.message_type is not None:
                parts += [value] if hasattr(value, "ListFields") else value


def _bytes(value: Any) -> int | None:
    """The size of a value; None if its shape is open."""
    import onnx

    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not tensor.elem_type:
        return None
    sides = [dimension.dim_value if dimension.HasField("dim_value") else None for dimension in tensor.shape.dim]
    if any(side is None for side in sides):
        return None
    try:
        size = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    except (KeyError, TypeError):
        size = 8
    return int(math.prod(side for side in sides if side is not None) * size)


def _images(shape: tuple[int, ...]) -> Iterator[Any]:
    """Pictures for a trial: black, white and noise."""
    import numpy as np

    yield from (np.zeros(shape, np.float32), np.ones(shape, np.float32))
    yield np.random.default_rng(0).random(shape, np.float32)


def _try(path: str, name: str, sizes: list[int]) -> None:
    if importlib.util.find_spec("onnxruntime") is None:
        raise CheckpointError(
            f"expected a graph whose sizes can be told before it runs, {name} leaves some open; "
            "`pip install onnxruntime`, which tries it first, or export it with fixed sizes"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for image in _images((sizes[0] or 1, *sizes[1:])):  # sizes may depend on what is in the picture
            session.run(None, {session.get_inputs()[0].name: image})
    except Exception as error:  # an operator that the runtime does not know, or not enough memory
        raise CheckpointError(
            f"expected a graph that runs within the memory of its reader, {name} does not: "
            f"{one_line(error)[:120]}; export it again"
        ) from error
