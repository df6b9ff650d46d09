"""Exported models: programs in .pt2 and ONNX files, and models that your own Python builds.

All of these can run code, so they are only read if a user names a file of their own on the command line or in Python,
and never from a page. A graph may be fixed to the batch size it was exported with; then it runs on batches of that
size, the last one padded.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import CheckpointError, one_line
from core.models import onnx_files
from core.runtime.sandbox import Limits, isolated

ONNX_CLOSE = 1e-3  # of the largest logit: convolutions summed in another order differ by 1e-6 to 1e-4
_EXAMINING_BYTES = 2 << 30  # of memory for a trial run of a graph with open sizes


class Exported(nn.Module):
    """A graph that has no training mode, with rows in batches of the size it takes.

    Args:
        graph: from images to logits.
        batch: the only batch size it takes; None for any.
    """

    def __init__(self, graph: nn.Module, batch: int | None) -> None:
        super().__init__()
        self.graph = graph
        self.batch = batch

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images."""
        if self.batch is None:
            logits: Tensor = self.graph(images)
            return logits
        count = len(images)
        padding = -count % self.batch
        rows = torch.cat([images, images[-1:].expand(padding, *images.shape[1:])]) if padding else images
        return torch.cat([self.graph(part) for part in rows.split(self.batch)])[:count]

    def train(self, mode: bool = True) -> Exported:
        """Nothing: the graph was exported in one mode."""
        self.training = False
        return self


def load_pt2(path: Path) -> tuple[nn.Module, tuple[int, int, int]]:
    """Load a program written by `torch.export.save`; only your own, because reading it can run code.

    Args:
        path: the file.

    Returns:
        The module, and the shape (c, h, w) of its input.

    Raises:
        CheckpointError: if it is not an exported program with one batch of images as input.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            program = torch.export.load(path)
        graph: Any = program.module()
    except Exception as error:  # a damaged archive can raise anything
        raise CheckpointError(
            f"expected a program written by torch.export.save, cannot read {path.name[:80]}; export it again"
        ) from error
    names = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise CheckpointError(
            f"expected one input n x c x h x w, {path.name[:80]} has {len(shapes)}; export the classifier alone"
        )
    batch, *shape = shapes[0]
    if not all(isinstance(size, int) for size in shape):
        raise CheckpointError(f"expected a fixed image size, {path.name[:80]} leaves it open; export it with one size")
    return Exported(graph, batch if isinstance(batch, int) else None), (shape[0], shape[1], shape[2])


def load_onnx(path: Path) -> tuple[nn.Module, tuple[int, int, int]]:
    """Load an ONNX graph as a module, and compare its logits with onnxruntime's if that is installed.

    Args:
        path: the file.

    Returns:
        The module, and the shape (c, h, w) of its input.

    Raises:
        CheckpointError: if its reader is not installed, it cannot be converted, or the logits differ.
    """
    if importlib.util.find_spec("onnx") is None or importlib.util.find_spec("onnx2torch") is None:
        raise CheckpointError(
            f"expected the packages onnx and onnx2torch to read {path.name[:80]}, they are not installed; "
            "`pip install onnx onnx2torch`, or export a .pt2"
        )
    import onnx
    from onnx2torch import convert

    sizes: list[int] = isolated(
        "core.models.onnx_files:examine",
        name=path.name[:80],
        limits=Limits.of(path.stat().st_size, memory=_EXAMINING_BYTES),
        refusal=CheckpointError,
        path=path,
    )
    try:
        with warnings.catch_warnings(action="ignore"):
            graph: nn.Module = convert(onnx_files.flat(onnx.load(str(path)))).eval()
    except Exception as error:  # the converter can raise anything for operators that it does not know
        raise CheckpointError(
            f"expected a graph that onnx2torch converts, {path.name[:80]} raised {type(error).__name__}: "
            f"{one_line(error)[:120]}; "
            "export it with opset 13 and without constant folding, or as .pt2"
        ) from error
    if len(sizes) != 4 or not all(sizes[1:]):
        raise CheckpointError(
            f"expected one input n x c x h x w of fixed size, {path.name[:80]} has {sizes}; export it so"
        )
    module = Exported(graph, sizes[0] or None)
    shape = sizes[1], sizes[2], sizes[3]
    try:
        _compare(path, module, shape, sizes[0] or 3)
    except CheckpointError:
        raise
    except Exception as error:  # a graph of other inputs or outputs can raise anything
        raise CheckpointError(
            f"expected a graph from one float32 input n x c x h x w to one output of logits, {path.name[:80]} raised "
            f"{type(error).__name__}: {one_line(error)[:120]}; export the classifier alone"
        ) from error
    return module, shape


def _compare(path: Path, module: nn.Module, shape: tuple[int, int, int], batch: int) -> None:
    if importlib.util.find_spec("onnxruntime") is None:
        return
    import onnxruntime

    images = torch.rand(batch, *shape, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected, *_) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.inference_mode():
        came = module(images)
    wanted = torch.from_numpy(expected)
    off = float((came - wanted).abs().max()) / (float(wanted.abs().max()) or 1.0) if came.shape == wanted.shape else 1.0
    if not off <= ONNX_CLOSE:
        raise CheckpointError(
            f"expected the logits of onnxruntime, the converted {path.name[:80]} is {off:.2g} of the largest away; "
            "export it with opset 13 and without constant folding, or as .pt2"
        )


def call_factory(place: str) -> nn.Module:
    """The module that a function of your own Python returns.

    Args:
        place: `path/to/net.py:factory`; the file is run.

    Raises:
        CheckpointError: if there is no such file or function, or it returns no module.
    """
    file, _, name = place.rpartition(":")
    path = Path(file)
    if not file or not path.is_file():
        raise CheckpointError(
            f"expected module:path/to/net.py:factory, found no {path.name[:80]!a}; check the spelling"
        )
    spec = importlib.util.spec_from_file_location(f"boundary_atlas_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise CheckpointError(f"expected a Python file, got {path.name[:80]}; give it the ending .py")
    program = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = program  # as an import does: dataclasses look up their module
    try:
        spec.loader.exec_module(program)
        factory: Callable[[], Any] | None = getattr(program, name, None)
        if not callable(factory):
            known = ", ".join(each for each, thing in vars(program).items() if callable(thing))[:120]
            raise CheckpointError(
                f"expected a function of {path.name[:80]} ({known}), got {name[:60]!a}; name one of these"
            )
        made = factory()
    except CheckpointError:
        raise
    except (Exception, SystemExit) as error:  # their code
        raise CheckpointError(
            f"expected {path.name[:80]} to build a model, it raised {type(error).__name__}: "
            f"{one_line(error)[:160]}; mend it"
        ) from error
    if not isinstance(made, nn.Module):
        raise CheckpointError(f"expected {name[:60]!a} to return a torch module, got a {type(made).__name__}; mend it")
    return made.eval()
