"""Third-party models: from registries, hubs and files that are not ours (sources: `core.sources.models`)."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import CheckpointError, one_line
from core.models import exported, preprocessing, registries, state_dicts
from core.models.classifier import Classifier
from core.models.downloads import fetched, file_at, file_of_hub
from core.models.inspection import require_classifier
from core.models.normalisations import normalisation_in
from core.models.trust import is_program
from core.runtime.sandbox import Limits, isolated
from core.sources.models import DIGEST_LENGTH, UNTRAINED, Source
from core.sources.options import UploadFinder

logger = logging.getLogger(__name__)

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class _Loaded:
    """A module with its input shape, its library's mean and std, its name and class names."""

    module: nn.Module
    shape: Shape
    own: tuple[Sequence[float], Sequence[float]] | None
    name: str
    class_names: Sequence[str] = ()


def load_third_party(
    source: Source, device: str | torch.device | None, uploads: UploadFinder | None, trust: bool
) -> Classifier:
    """Load a third-party model.

    Args:
        source: of any kind but "demo".
        device: where it will run.
        uploads: finds uploaded files by digest.
        trust: whether code that comes with it may run; see `core.models.trust`.

    Raises:
        CheckpointError: if it cannot be loaded, with the reason and advice.
        ValueError: if there is no such device here.
    """
    loaded = _LOADERS[source.kind](source, uploads, trust)
    with torch.random.fork_rng(devices=[]):
        count = require_classifier(loaded.module, loaded.shape)
    mean, std = preprocessing.normalisation(source, loaded.shape[0], loaded.own)
    names: Sequence[str] | None = class_names(source, count, uploads)
    if names is None and len(loaded.class_names) == count:
        names = loaded.class_names
    name = source.options.get("name", loaded.name)[:60]
    return Classifier(loaded.module, loaded.shape, names, mean, std, name, device)


def digest_of(paths: Sequence[Path]) -> str:
    """The digest of uploaded files: the SHA-256 of one file's bytes; for several files, that of their digests."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    one = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
    return one[:DIGEST_LENGTH]


def by_digest(paths: Sequence[Path]) -> UploadFinder:
    """A finder of files by digest: each of those given, and all together as shards of one checkpoint.

    Raises:
        CheckpointError: if one is not a file.
    """
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise CheckpointError(f"expected a file, found no {missing.name[:80]!a}; check the spelling")
    known = {digest_of([path]): [path] for path in paths}
    if len(paths) > 1:
        known[digest_of(paths)] = list(paths)
    return lambda digest: known.get(digest, [])


def class_names(source: Source, count: int, uploads: UploadFinder | None) -> list[str] | None:
    """The class names that a source specifies; None if it does not, or an uploaded list is not here.

    Args:
        source: its option `names` decides.
        count: number of the model's classes.
        uploads: finds an uploaded list.

    Raises:
        CheckpointError: if there is not one name per class.
    """
    wanted = source.options.get("names")
    if wanted is None:
        return None
    kind, _, location = wanted.partition(":")
    if kind == "list":
        files = () if uploads is None else uploads(location)
        if not files:  # names are only labels in figures: without them classes are numbered
            return None
        names = read_names(files[0])
    elif kind == "file":
        if source.kind == "upload":
            raise CheckpointError(
                "expected class names in the source itself, got a file of this machine; upload the list"
            )
        names = read_names(Path(location))
    elif wanted == "imagenet":
        from torchvision.models import ResNet18_Weights

        names = list(ResNet18_Weights.DEFAULT.meta["categories"])
    else:
        names = wanted.split("/")
    if len(names) != count:
        raise CheckpointError(f"expected {count} class names, as many as logits, got {len(names)}; mend the list")
    return names


def read_names(path: Path) -> list[str]:
    """Read class names from a text file, one per line, or from a JSON list or mapping from numbers.

    Raises:
        CheckpointError: if it does not hold such a list.
    """
    if not path.is_file():
        raise CheckpointError(f"expected a list of class names, found no file {path.name[:80]!a}; check the spelling")
    names: list[str] = isolated(
        "core.models.name_lists:read",
        name=path.name[:80],
        limits=Limits.of(path.stat().st_size),
        refusal=CheckpointError,
        path=path,
    )
    return names


# -- files ------------------------------------------------------------------------------------------------------------


def _file(source: Source, uploads: UploadFinder | None, trust: bool) -> _Loaded:
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
    elif trust and is_program(path):
        module, shape = exported.load_pt2(path) if suffix == ".pt2" else exported.load_onnx(path)
        return _Loaded(module, _sized(source, shape, fixed=True), None, path.stem)
    return _weights(source, files, path.name.partition(".")[0])


def _upload(source: Source, uploads: UploadFinder | None, trust: bool) -> _Loaded:
    files = () if uploads is None else uploads(source.place)
    if not files:
        raise CheckpointError(
            f"expected the uploaded file {source.place[:12]!a}, it is not here; upload it on the Model view, "
            "or name it on the command line with --upload FILE"
        )
    return _weights(source, files, source.place[:8])


def _weights(source: Source, files: Sequence[Path], name: str) -> _Loaded:
    found, wanted = state_dicts.read_state_dicts(files), source.options.get("weights")
    architecture = source.options.get("arch")
    if architecture is None:
        guesses = registries.guess(state_dicts.choose(found, wanted).shapes, 3)
        best = ", ".join(each.architecture for each in guesses if each.share >= 0.5) or "none that is known well"
        raise CheckpointError(
            f"expected ?arch=ARCHITECTURE after the name of the file, got none; these weights look like {best}"
        )
    if wanted is not None:
        chosen = state_dicts.choose(found, wanted)
        fit = registries.fit(architecture, chosen.shapes)
    else:
        fits = {each.name: registries.fit(architecture, each.shapes) for each in found}
        best = max(fits, key=lambda each: fits[each].share)
        chosen, fit = state_dicts.choose(found, best), fits[best]
        _warn_of_others(name, best, [each for each in fits if each != best and fits[each].share >= fit.share])
    _, mean, std = registries.made_for(architecture)
    shape = _sized(source, fit.input_shape)
    asked = "mean" in source.options or source.options.get("preset", preprocessing.OWN) != preprocessing.OWN
    stored = None if asked else normalisation_in(chosen, shape[0])
    if stored is not None:
        logger.warning("%s: took the normalisation that the file stores as %s", name, stored.name)
    left = [each for each in chosen.left if stored is None or each.partition(" ")[0] != stored.name]
    if left:
        logger.warning("%s: left out of the file %s, which %s lacks", name, ", ".join(left[:5]), architecture)
    own = (mean, std) if stored is None else stored[:2]
    return _Loaded(registries.build(architecture, chosen.tensors, shape), shape, own, name)


def _warn_of_others(file: str, chosen: str, others: Sequence[str]) -> None:
    """Warn that other networks of a file fit as well, if the source names none; the file itself does not count."""
    others = [each for each in others if each]
    if others:
        logger.warning(
            "%s: took the weights %s, and left out %s, which fit as well; choose with &weights=NAME",
            file,
            chosen or "of the whole file",
            ", ".join(others[:5]),
        )


def _sized(source: Source, shape: Shape, *, fixed: bool = False) -> Shape:
    """The input shape that a source specifies, else `shape`.

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


def _torchvision(source: Source, uploads: UploadFinder | None, trust: bool) -> _Loaded:
    name, _, wanted = source.place.partition(":")
    architecture = f"torchvision:{name}"
    shape, mean, std = registries.made_for(architecture)
    if wanted == UNTRAINED:
        return _untrained(source, architecture)
    from torchvision import models

    enum = models.get_model_weights(name)
    if wanted and wanted not in enum.__members__:
        known = ", ".join((*enum.__members__, UNTRAINED))
        raise CheckpointError(f"expected weights of {name} out of {known}, got {wanted[:40]!a}; choose one of these")
    weights = enum[wanted] if wanted else enum.DEFAULT
    file = file_at(f"{name} {weights.name}", weights.url)
    tensors = state_dicts.choose(state_dicts.read_state_dicts([file]), None).tensors
    side = weights.transforms.keywords.get("crop_size", shape[1])
    shape = _sized(source, (3, side, side))
    names = tuple(weights.meta.get("categories", ()))
    return _Loaded(registries.build(architecture, tensors, shape), shape, (mean, std), name, names)


def _untrained(source: Source, architecture: str) -> _Loaded:
    shape, mean, std = registries.made_for(architecture)
    name = f"{architecture.partition(':')[2]} {UNTRAINED}"
    return _Loaded(registries.untrained(architecture), _sized(source, shape), (mean, std), name)


def _timm(source: Source, uploads: UploadFinder | None, trust: bool) -> _Loaded:
    if source.place.endswith(f":{UNTRAINED}"):
        return _untrained(source, f"timm:{source.place.removesuffix(f':{UNTRAINED}')}")
    name = source.place
    registries.made_for(f"timm:{name.partition('.')[0]}")  # raises if there is no such architecture
    from timm.models import get_pretrained_cfg, is_model_pretrained

    if not is_model_pretrained(name):
        raise CheckpointError(f"expected weights that timm knows, got {name[:60]!a}; write timm:{name[:40]}:untrained")
    config = get_pretrained_cfg(name)
    assert config is not None  # since there are weights of that name
    if config.hf_hub_id:
        files = [config.hf_hub_filename] if config.hf_hub_filename else list(_HUB_FILES)
        file = file_of_hub(name, config.hf_hub_id, files)
    elif config.url and not config.custom_load:
        file = file_at(name, *((config.url,) if isinstance(config.url, str) else config.url))
    else:
        raise CheckpointError(
            f"expected weights as a state dict, timm keeps those of {name[:60]} otherwise; name a file"
        )
    return _from_timm(source, name, name.partition(".")[0], file, config.to_dict(), {})


def _hub(source: Source, uploads: UploadFinder | None, trust: bool) -> _Loaded:
    """A model on the hub: a timm architecture by its name, with weights that our own reader reads."""
    repository, _, revision = source.place.rpartition("@")
    if not repository or not revision or repository.count("/") != 1:
        raise CheckpointError(
            f"expected hf-hub:OWNER/NAME@REVISION, got {source.place[:60]!a}; pin the revision: a hub's files change"
        )
    name = repository.partition("/")[2]
    config = _facts(name, file_of_hub(name, repository, ["config.json"], revision))
    architecture = config["architecture"].partition(".")[0]
    registries.made_for(f"timm:{architecture}")
    file = file_of_hub(name, repository, _HUB_FILES, revision)
    return _from_timm(source, name, architecture, file, config, config["model_args"])


_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_FACTS_BYTES = 2 << 20  # of a model's configuration, with the names of its classes
# The fields of a configuration that are used; not the place of the weights, which another reader would read
_OF_WEIGHTS = (
    "num_classes",
    "input_size",
    "mean",
    "std",
    "first_conv",
    "classifier",
    "label_offset",
    "fixed_input_size",
)


def _facts(name: str, file: Path) -> dict[str, Any]:
    """The fields of a timm configuration: `_OF_WEIGHTS`, `architecture`, `model_args` and `label_names`.

    Raises:
        CheckpointError: if it is not a configuration of timm.
    """
    wrong = f"expected a configuration of timm in config.json, that of {name[:60]} is none; name a file of weights"
    if file.stat().st_size > _FACTS_BYTES:
        raise CheckpointError(wrong)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        inside = content.get("pretrained_cfg", content)
        facts = {key: {**inside, **content}[key] for key in _OF_WEIGHTS if key in {**inside, **content}}
        facts |= {"architecture": content["architecture"], "model_args": content.get("model_args") or {}}
        channels, height, width = facts.get("input_size", (3, 224, 224))
        names = content.get("label_names") or inside.get("label_names") or ()
        facts["label_names"] = names if isinstance(names, list) else ()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(wrong) from error
    whole = all(isinstance(side, int) and 1 <= side <= 4096 for side in (channels, height, width))
    if not whole or not isinstance(facts["architecture"], str) or not isinstance(facts["model_args"], dict):
        raise CheckpointError(wrong)
    return facts


def _from_timm(
    source: Source, name: str, architecture: str, file: Path, config: Mapping[str, Any], arguments: Mapping[str, Any]
) -> _Loaded:
    """A timm architecture with weights that our own reader reads; timm updates their names.

    Raises:
        CheckpointError: if they do not fit, or the arguments are not the architecture's.
    """
    import timm

    own = set(inspect.signature(timm.create_model).parameters)
    wrong = next((key for key in arguments if key in own or key.startswith(("pretrained", "features", "out_"))), None)
    if wrong is not None:
        raise CheckpointError(f"expected arguments of {architecture}, {name[:60]} has {wrong[:40]!a}; name a file")
    tensors = dict(state_dicts.choose(state_dicts.read_state_dicts([file]), None).tensors)
    facts = {key: config[key] for key in _OF_WEIGHTS if config.get(key) is not None}
    options = {"num_classes": facts.get("num_classes", 1000), **arguments}
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            size = sum(each.numel() for each in timm.create_model(architecture, **options).parameters())
        if size > 2 * sum(tensor.numel() for tensor in tensors.values()) + 1_000_000:
            raise CheckpointError(
                f"expected weights of {architecture}, {name[:60]} asks for {size:,} of them; check it"
            )
        overlay = {**facts, "state_dict": tensors, "hf_hub_id": None, "url": "", "file": None, "source": None}
        with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):
            module: nn.Module = timm.create_model(
                architecture, pretrained=True, pretrained_cfg_overlay=overlay, **options
            )
    except CheckpointError:
        raise
    except Exception as error:  # an architecture can raise anything for foreign arguments and weights
        raise CheckpointError(
            f"expected weights of {architecture}, those of {name[:60]} do not fit: "
            f"{one_line(error)[:160]}; name the architecture"
        ) from error
    channels, height, width = facts.get("input_size", (3, 224, 224))
    numbers = preprocessing.PRESETS["imagenet"]
    normalised = tuple(facts.get("mean", numbers.mean)), tuple(facts.get("std", numbers.std))
    shape = _sized(source, (channels, height, width))
    return _Loaded(module.eval(), shape, normalised, name, tuple(map(str, config.get("label_names") or ())))


def _robustbench(source: Source, uploads: UploadFinder | None, trust: bool) -> _Loaded:
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


def _factory(source: Source, uploads: UploadFinder | None, trust: bool) -> _Loaded:
    module = exported.call_factory(source.place)
    if source.size is None or source.size[0] is None:
        raise CheckpointError("expected ?size=CHANNELSxHEIGHTxWIDTH after the name of a factory, got none; say it")
    none = preprocessing.presets(source.size[0])["none"]
    return _Loaded(
        module, _sized(source, (source.size[0], *source.size[1:])), (none.mean, none.std), source.place[-60:]
    )


_LOADERS: dict[str, Callable[[Source, UploadFinder | None, bool], _Loaded]] = {
    "file": _file,
    "upload": _upload,
    "torchvision": _torchvision,
    "timm": _timm,
    "hf-hub": _hub,
    "robustbench": _robustbench,
    "module": _factory,
}
