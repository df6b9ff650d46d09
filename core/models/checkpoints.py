"""Our own checkpoints: written, checked and read.

A checkpoint is a safetensors file. One metadata key holds a JSON text with all that is needed to load it: architecture
and arguments, input shape, class names, normalisation, measured accuracy, recipe, and a digest of all that and of the
weights, so that damage is detected. `core.models.load` loads classifiers of any kind;
`core.models.tensor_files` reads the files of others, and refuses what would run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import CheckpointError
from core.files import atomic_write, read_start
from core.images.image_set import METADATA_KEY
from core.models.classifier import Classifier
from core.models.demo import ARCHITECTURES, _demo_path, demo_models
from core.models.state_dicts import read_tensors
from core.sources.models import ASSETS, Source, nearest
from core.sources.options import UploadFinder


def write_checkpoint(path: Path, classifier: Classifier, facts: Mapping[str, Any]) -> None:
    """Write a classifier, whole or not at all; the same classifier and facts give the same bytes.

    Args:
        path: the file to write.
        classifier: its weights, buffers, input shape, names and normalisation are stored.
        facts: `architecture` (a name in `core.models.demo.ARCHITECTURES`), its `arguments`, `accuracy` (`correct` of
            `images` of `source`), and anything else worth keeping, as plain JSON values.
    """
    from safetensors.torch import save

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.module.state_dict().items()}
    described = {
        **facts,
        "name": classifier.name,
        "input_shape": classifier.input_shape,
        "class_names": classifier.class_names,
        "mean": classifier.mean,
        "std": classifier.std,
    }
    text = _canonical({**described, "digest": _digest(described, weights)})
    with atomic_write(path) as file:
        file.write_bytes(save(weights, {METADATA_KEY: text}))


def find_checkpoint(source: Source, uploads: UploadFinder | None = None) -> Path | None:
    """The file of a demo model, or a checkpoint of ours; None for any other source.

    Raises:
        CheckpointError: if there is no such demo model or file.
    """
    if source.kind == "demo":
        if f"demo:{source.place}" not in demo_models():
            wanted = f"demo:{source.place[:80]}"
            raise CheckpointError(
                f"expected one of {nearest(wanted, demo_models())}, got {wanted}; choose one of these"
            )
        return _demo_path(source.place)
    if "arch" in source.options or source.kind not in ("file", "upload"):
        return None
    if source.kind == "upload":
        files = () if uploads is None else uploads(source.place)
        return files[0] if len(files) == 1 and _is_ours(files[0]) else None
    path = Path(source.place)
    name = path.name[:80]
    try:
        if path.is_dir():
            return None
        if not path.is_file():
            raise CheckpointError(f"expected a checkpoint, found no {name}; check the spelling")
        return path if _is_ours(path) else None
    except OSError as error:  # a name too long for the file system, or no permission to read
        raise CheckpointError(f"expected a checkpoint, cannot open {name}; check it") from error


def _is_ours(path: Path) -> bool:
    """Whether a file begins like ours: a safetensors header, with our key before the tensors."""
    return METADATA_KEY.encode() in read_start(path, 200)[8:]


def _broken(path: Path, what: str) -> str:
    return f"expected a whole checkpoint of ours, got {path.name[:80]}: {what}; fetch or train it again"


def load_checkpoint(path: Path, device: torch.device) -> Classifier:
    """The classifier in a file written by `write_checkpoint`.

    Raises:
        CheckpointError: if the file is damaged or its parts do not fit together.
    """
    facts, weights = read_checkpoint(path)
    module = _fill(path, facts, weights)
    try:
        classifier = Classifier(
            module, facts["input_shape"], facts["class_names"], facts["mean"], facts["std"], facts["name"], device
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(_broken(path, "its parts do not fit together")) from error
    if not bool(torch.isfinite(classifier(classifier.grey())).all()):
        raise CheckpointError(_broken(path, "it gives NaN or infinite logits"))
    return classifier


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The checked metadata of a checkpoint, and its weights, which share the bytes of the file.

    Raises:
        CheckpointError: if the file is damaged or foreign, or its metadata is not valid.
    """
    try:
        weights, words = read_tensors([path], ours=True, own=path.resolve().is_relative_to(ASSETS))
    except CheckpointError as error:
        raise CheckpointError(_broken(path, str(error))) from error
    text = words.get(METADATA_KEY)
    if text is None:
        raise CheckpointError(
            f"expected a safetensors file with our metadata, {path.name[:80]} has none; write it again"
        )
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(_broken(path, "its metadata is no JSON")) from error
    for name, fits in _FACTS.items():
        if not isinstance(facts, dict) or not fits(facts.get(name)):
            raise CheckpointError(_broken(path, f"its metadata has no usable {name}"))
    described = {name: value for name, value in facts.items() if name != "digest"}
    if facts["digest"] != _digest(described, weights):
        raise CheckpointError(_broken(path, "its contents do not match its digest"))
    return facts, weights


def _is_list_of(kind: type | tuple[type, ...], low: int, high: int) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, list)
        and low <= len(value) <= high
        and all(isinstance(entry, kind) and not isinstance(entry, bool) for entry in value)
    )


def _is_accuracy(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    correct, count = value.get("correct"), value.get("images")
    return isinstance(correct, int) and isinstance(count, int) and 0 <= correct <= count and count > 0


# The required metadata, each with the test of its value; 100,000: more classes than any public data set.
_FACTS: Mapping[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str) and 0 < len(value) <= 200,
    "architecture": lambda value: isinstance(value, str) and value in ARCHITECTURES,
    "arguments": lambda value: isinstance(value, dict),
    "input_shape": _is_list_of(int, 3, 3),
    "class_names": _is_list_of(str, 2, 100_000),
    "mean": _is_list_of((int, float), 1, 100),
    "std": _is_list_of((int, float), 1, 100),
    "accuracy": _is_accuracy,
    "digest": lambda value: isinstance(value, str),
}


def _fill(path: Path, facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """The architecture with these weights; first built without memory, so that a false size costs nothing.

    Raises:
        CheckpointError: if the weights are not the architecture's, or not finite.
    """
    build = ARCHITECTURES[facts["architecture"]]
    try:
        with torch.device("meta"):
            _check_arguments(facts["arguments"], len(weights))
            module = build(facts["input_shape"], len(facts["class_names"]), **facts["arguments"])
    except (TypeError, ValueError, LookupError, RuntimeError, OverflowError) as error:
        raise CheckpointError(_broken(path, f"its arguments are not those of {facts['architecture']}")) from error
    expected = module.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        if name not in expected or name not in weights:
            what = "it lacks" if name in expected else "it has unknown"
            raise CheckpointError(_broken(path, f"{what} weights {name[:80]}"))
        if (came := _form(weights[name])) != (needed := _form(expected[name])):
            raise CheckpointError(_broken(path, f"{name} is {came} instead of {needed}"))
        if not bool(torch.isfinite(weights[name]).all()):
            raise CheckpointError(_broken(path, f"{name} holds NaN or infinity"))
    module.load_state_dict(weights, assign=True)
    return module


def _check_arguments(arguments: Mapping[str, Any], tensors: int) -> None:
    depth = arguments.get("depth", 0)
    parts = [len(value) for value in arguments.values() if isinstance(value, list)]
    if max([depth if isinstance(depth, int) else 0, *parts]) > tensors:
        raise ValueError(f"expected at most {tensors} parts, one for each tensor, got more")


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {' x '.join(map(str, tensor.shape)) or 'scalar'}"


def _canonical(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True)


def _digest(facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of the metadata and of every tensor with its name, dtype and shape."""
    digest = hashlib.sha256(_canonical(facts).encode())
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        digest.update(f"{name}\0{_form(tensor)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
