"""Foreign models: classifiers out of registries, hubs and files that are not ours; see `core.sources` for the names."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core import exported, preprocessing, registries, state_dicts
from core.classifier import Classifier
from core.downloads import fetched
from core.errors import CheckpointError
from core.inspection import require_classifier
from core.sources import DIGEST_LENGTH, MOST_CLASSES, UNTRAINED, Source

Uploads = Callable[[str], Sequence[Path]]  # the files of an upload, by its digest

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class _Loaded:
    """A module, and what is known about it."""

    module: nn.Module
    shape: Shape
    own: tuple[Sequence[float], Sequence[float]] | None
    name: str
    class_names: Sequence[str] = ()


def load_foreign(source: Source, device: str | torch.device | None, uploads: Uploads | None) -> Classifier:
    """Load a model of somebody else's.

    Args:
        source: of any kind but "demo".
        device: where it will run.
        uploads: finds uploaded files by digest; None where there are none.

    Returns:
        The classifier.

    Raises:
        CheckpointError: if it cannot be loaded, with the reason and what to do.
        ValueError: if there is no such device here.
    """
    loaded = _LOADERS[source.kind](source, uploads)
    with torch.random.fork_rng(devices=[]):
        count = require_classifier(loaded.module, loaded.shape)
    mean, std = preprocessing.normalisation(source, loaded.shape[0], loaded.own)
    names: Sequence[str] | None = class_names(source, count, uploads)
    if names is None and len(loaded.class_names) == count:
        names = loaded.class_names
    name = source.options.get("name", loaded.name)[:60]
    return Classifier(loaded.module, loaded.shape, names, mean, std, name, device)


def digest_of(paths: Sequence[Path]) -> str:
    """What uploaded files are known by: the SHA-256 of one file's bytes, of several files that of their digests."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    one = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
    return one[:DIGEST_LENGTH]


def by_digest(paths: Sequence[Path]) -> Uploads:
    """Finds files by digest among those given: each alone, and all together as shards of one checkpoint.

    Raises:
        CheckpointError: if one is no file.
    """
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise CheckpointError(f"expected a file, found no {missing.name[:80]!a}; check the spelling")
    known = {digest_of([path]): [path] for path in paths}
    if len(paths) > 1:
        known[digest_of(paths)] = list(paths)
    return lambda digest: known.get(digest, [])


def class_names(source: Source, count: int, uploads: Uploads | None) -> list[str] | None:
    """The class names that a source asks for; None where it asks for none, or an uploaded list is not here.

    Args:
        source: its option `names` decides.
        count: of the model's classes.
        uploads: finds an uploaded list.

    Raises:
        CheckpointError: if there are not as many as classes.
    """
    said = source.options.get("names")
    if said is None:
        return None
    kind, _, place = said.partition(":")
    if kind == "list":
        files = () if uploads is None else uploads(place)
        if not files:  # names are words on a figure, no part of the function: classes are numbered then
            return None
        names = read_names(files[0])
    elif kind == "file":
        if source.kind == "upload":
            raise CheckpointError(
                "expected class names in the source itself, got a file of this machine; upload the list"
            )
        names = read_names(Path(place))
    elif said == "imagenet":
        from torchvision.models import ResNet18_Weights

        names = list(ResNet18_Weights.DEFAULT.meta["categories"])
    else:
        names = said.split("/")
    if len(names) != count:
        raise CheckpointError(f"expected {count} class names, as many as logits, got {len(names)}; mend the list")
    return names


def read_names(path: Path) -> list[str]:
    """Class names out of a text file, one per line, or a JSON list or mapping from numbers.

    Raises:
        CheckpointError: if it holds no such list.
    """
    try:
        if path.stat().st_size > 8 << 20:
            raise CheckpointError(f"expected a list of class names, {path.name[:80]} is too long; one name per line")
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith(("[", "{")):
            read = json.loads(text)
            values = [read[key] for key in sorted(read, key=int)] if isinstance(read, dict) else read
            names = [str(value[-1] if isinstance(value, list) else value) for value in values]
        else:
            names = [line.strip() for line in text.splitlines() if line.strip()]
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise CheckpointError(f"expected class names, cannot read {path.name[:80]}; write one name per line") from error
    names = ["".join(sign for sign in name if sign.isprintable())[:80] for name in names]
    if not 2 <= len(names) <= MOST_CLASSES or not all(names):
        raise CheckpointError(f"expected 2 class names or more, {path.name[:80]} has {len(names)}; write one per line")
    return names


# -- files ------------------------------------------------------------------------------------------------------------


def _file(source: Source, uploads: Uploads | None) -> _Loaded:
    path = Path(source.place)
    suffix = path.suffix.lower()
    files = [path]
    if path.is_dir():
        indices = sorted(path.glob(f"*{state_dicts.INDEX_SUFFIX}"))
        if len(indices) != 1:
            raise CheckpointError(
                f"expected a file, {path.name[:80]} is a folder without one index of shards; name a file"
            )
        files = state_dicts.shards(indices[0])
    elif not path.is_file():
        raise CheckpointError(f"expected a checkpoint, found no {path.name[:80]!a}; check the spelling")
    elif path.name.endswith(state_dicts.INDEX_SUFFIX):
        files = state_dicts.shards(path)
    elif suffix in (".pt2", ".onnx"):
        module, shape = exported.load_pt2(path) if suffix == ".pt2" else exported.load_onnx(path)
        return _Loaded(module, _sized(source, shape, fixed=True), None, path.stem)
    return _weights(source, files, path.name.partition(".")[0])


def _upload(source: Source, uploads: Uploads | None) -> _Loaded:
    files = () if uploads is None else uploads(source.place)
    if not files:
        raise CheckpointError(
            f"expected the uploaded file {source.place[:12]!a}, it is not here; upload it on the Model view, "
            "or name it on the command line with --upload FILE"
        )
    return _weights(source, files, source.place[:8])


def _weights(source: Source, files: Sequence[Path], name: str) -> _Loaded:
    """An architecture of a registry, filled with the weights of files."""
    found, wanted = state_dicts.read_state_dicts(files), source.options.get("weights")
    architecture = source.options.get("arch")
    if architecture is not None and wanted is None:
        wanted = max(found, key=lambda each: registries.fit(architecture, each.shapes).share).name
    chosen = state_dicts.choose(found, wanted)
    if architecture is None:
        fits = registries.guess(chosen.shapes, 3)
        best = ", ".join(each.architecture for each in fits if each.share >= 0.5) or "none that is known well"
        raise CheckpointError(
            f"expected ?arch=ARCHITECTURE after the name of the file, got none; these weights look like {best}"
        )
    fit = registries.fit(architecture, chosen.shapes)
    _, mean, std = registries.made_for(architecture)
    shape = _sized(source, fit.input_shape)
    return _Loaded(registries.build(architecture, chosen.tensors, shape), shape, (mean, std), name)


def _sized(source: Source, shape: Shape, *, fixed: bool = False) -> Shape:
    """The input shape that a source asks for, else the one given.

    Raises:
        CheckpointError: if they contradict each other.
    """
    if source.size is None:
        return shape
    channels, height, width = source.size
    asked = (shape[0] if channels is None else channels, height, width)
    if asked != shape and (fixed or asked[0] != shape[0]):
        raise CheckpointError(
            f"expected images of {' x '.join(map(str, shape))} for this model, the source says "
            f"{' x '.join(map(str, asked))}; leave the size out"
        )
    return asked


# -- names ------------------------------------------------------------------------------------------------------------


def _torchvision(source: Source, uploads: Uploads | None) -> _Loaded:
    name, _, wanted = source.place.partition(":")
    architecture = f"torchvision:{name}"
    shape, mean, std = registries.made_for(architecture)
    if wanted == UNTRAINED:
        return _Loaded(registries.untrained(architecture), _sized(source, shape), (mean, std), f"{name} {UNTRAINED}")
    from torchvision import models

    enum = models.get_model_weights(name)
    if wanted and wanted not in enum.__members__:
        known = ", ".join((*enum.__members__, UNTRAINED))
        raise CheckpointError(f"expected weights of {name} out of {known}, got {wanted[:40]!a}; choose one of these")
    weights = enum[wanted] if wanted else enum.DEFAULT
    tensors = fetched(
        f"{name} {weights.name}", lambda: weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    )
    kept = {key: tensor for key, tensor in tensors.items() if not key.endswith("num_batches_tracked")}
    side = weights.transforms.keywords.get("crop_size", shape[1])
    shape = _sized(source, (3, side, side))
    names = tuple(weights.meta.get("categories", ()))
    return _Loaded(registries.build(architecture, kept, shape), shape, (mean, std), name, names)


def _timm(source: Source, uploads: Uploads | None) -> _Loaded:
    if source.place.endswith(f":{UNTRAINED}"):
        name = source.place.removesuffix(f":{UNTRAINED}")
        shape, mean, std = registries.made_for(f"timm:{name}")
        module = registries.untrained(f"timm:{name}")
        return _Loaded(module, _sized(source, shape), (mean, std), f"{name} {UNTRAINED}")
    registries.made_for(f"timm:{source.place.partition('.')[0]}")  # says so where there is no such architecture
    return _from_timm(source, source.place, source.place)


def _hub(source: Source, uploads: Uploads | None) -> _Loaded:
    place, _, revision = source.place.rpartition("@")
    if not place or not revision or place.count("/") != 1:
        raise CheckpointError(
            f"expected hf-hub:OWNER/NAME@REVISION, got {source.place[:60]!a}; pin the revision: a hub's files change"
        )
    return _from_timm(source, f"hf-hub:{source.place}", place.partition("/")[2])


def _from_timm(source: Source, place: str, name: str) -> _Loaded:
    import timm

    made: Any = fetched(name, lambda: timm.create_model(place, pretrained=True))
    said = made.pretrained_cfg
    channels, height, width = said["input_size"]
    own = tuple(said["mean"]), tuple(said["std"])
    return _Loaded(made.eval(), _sized(source, (channels, height, width)), own, name)


def _robustbench(source: Source, uploads: Uploads | None) -> _Loaded:
    parts = source.place.split("/")
    if len(parts) != 3:
        raise CheckpointError(
            f"expected robustbench:THREAT/DATASET/NAME, got {source.place[:60]!a}; mend it, as Linf/cifar10/Standard"
        )
    if importlib.util.find_spec("robustbench") is None:
        raise CheckpointError(
            f"expected the package robustbench to load {parts[2][:60]!a}, it is not installed; install it by "
            "pip install git+https://github.com/RobustBench/robustbench.git"
        )
    from robustbench.utils import load_model  # type: ignore[import-not-found]

    threat, data, name = parts
    module = fetched(name, lambda: load_model(model_name=name, dataset=data, threat_model=threat))
    side = 224 if data == "imagenet" else 32
    none = preprocessing.PRESETS["none"]  # its models normalise inside
    return _Loaded(module.eval(), _sized(source, (3, side, side)), (none.mean, none.std), name)


def _factory(source: Source, uploads: Uploads | None) -> _Loaded:
    module = exported.call_factory(source.place)
    if source.size is None or source.size[0] is None:
        raise CheckpointError("expected ?size=CHANNELSxHEIGHTxWIDTH after the name of a factory, got none; say it")
    none = preprocessing.presets(source.size[0])["none"]
    return _Loaded(
        module, _sized(source, (source.size[0], *source.size[1:])), (none.mean, none.std), source.place[-60:]
    )


_LOADERS: dict[str, Callable[[Source, Uploads | None], _Loaded]] = {
    "file": _file,
    "upload": _upload,
    "torchvision": _torchvision,
    "timm": _timm,
    "hf-hub": _hub,
    "robustbench": _robustbench,
    "module": _factory,
}
