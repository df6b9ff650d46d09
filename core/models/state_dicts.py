"""State dicts: tensors by name, from any file, read without running anything in it.

Training programs wrap weights in many ways: under `state_dict` or `model`, next to an exponential moving average (EMA),
with `module.` or `model.` before every name, next to a loss, a metric or a second network, in shards. All wrapping is
removed here, and nothing else is changed but the dtype, which becomes float32. A part of a file is recognised as a
network by its similarity to known architectures (`core.models.sketches`).
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from heapq import nlargest
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models import tensor_files
from core.models.sketches import likeness
from core.runtime.sandbox import Limits, by_descriptor, isolated

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
INDEX_SUFFIX = ".index.json"  # of an index of shards, as Hugging Face writes it
MOST_BYTES = 16 << 30  # of all files of one checkpoint
MOST_SHARDS = 500

# Prefixes that are removed if all names have them, and prefixes that separate several sets of weights in one file.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "classifier_model.", "_forward_module.")
_SETS = (*_WRAPPERS, "ema.", "ema_model.", "model_ema.", "module_ema.", "teacher.", "student.", "encoder.", "backbone.")
_EXTRAS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")  # counters, not weights
_FIRST = ("", "state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module")
_DEEPEST = 4
_KNOWN = 1.0  # likeness, of at most 1.5, of networks with the same body; parts of networks are below 0.6
_FEWEST, _MOST = 8, 10_000  # tensors of a known network
_HEAVIEST = 8  # prefixes of each depth that are tried
_MOST_SETS = 50  # of one checkpoint


@dataclass(frozen=True, eq=False)
class StateDict:
    """One set of weights in a file.

    Attributes:
        name: its path in the file, such as "state_dict" or "model_ema"; "" for the file itself.
        tensors: float32 (whole numbers unchanged) by name, without wrapping prefixes.
        removed: the prefix that was removed.
        small: the small tensors of the whole file, by their paths in it.
        left: paths and shapes of weights of the file that belong to none of its sets.
    """

    name: str
    tensors: Mapping[str, Tensor]
    removed: str = ""
    small: Mapping[str, Tensor] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by name."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}

    @property
    def parameters(self) -> int:
        """The number of numbers in all tensors."""
        return _size(self.tensors)

    @cached_property
    def is_known(self) -> bool:
        """Whether nearly all of its names and shapes are those of one known architecture."""
        if not _FEWEST <= len(self.tensors) <= _MOST:
            return False
        return float(likeness(self.shapes)[1].max()) >= _KNOWN

    @property
    def is_average(self) -> bool:
        """Whether its name says that it is an average over training (EMA, SWA)."""
        return any(word in self.name.lower() for word in ("ema", "averag", "swa", "teacher"))


def read_state_dicts(
    paths: Sequence[Path],
    most_bytes: int = MOST_BYTES,
    on_progress: Callable[[float], None] = lambda fraction: None,
    *,
    kept: bool = False,
) -> tuple[StateDict, ...]:
    """Every set of weights in a checkpoint, the likeliest first.

    Args:
        paths: one file, or the shards of one checkpoint.
        most_bytes: allowed for all files together.
        on_progress: called with the fraction done; an exception from it ends the reading.
        kept: nobody writes to the files while the weights are in use, see `read_tensors`.

    Returns:
        At least one set.

    Raises:
        CheckpointError: if a file is damaged, would run something, or holds no weights.
    """
    if not 1 <= len(paths) <= MOST_SHARDS:
        raise CheckpointError(
            f"expected one file or at most {MOST_SHARDS} shards, got {len(paths)}; choose the weights"
        )
    total = sum(path.stat().st_size for path in paths)
    if total > most_bytes:
        raise CheckpointError(
            f"expected at most {most_bytes >> 20} MB, {paths[0].name[:80]} has {total >> 20}; save the weights alone"
        )
    whole, _ = read_tensors(paths, on_progress, kept=kept)
    found = _candidates(whole)
    if not found:
        raise CheckpointError(
            f"expected a state dict, {paths[0].name[:80]} holds no tensors by name; "
            "`torch.save(model.state_dict(), 'weights.pt')` writes one"
        )
    return tuple(found)


def choose(found: Sequence[StateDict], name: str | None) -> StateDict:
    """The set of weights of this name; by default the likeliest.

    Raises:
        CheckpointError: if there is no such set, or it contains NaN, infinity or a negative variance.
    """
    names = [each.name for each in found]
    if name is not None and name not in names:
        raise CheckpointError(f"expected weights out of {', '.join(map(ascii, names))}, got {name[:60]!a}; choose one")
    chosen = found[0] if name is None else found[names.index(name)]
    for key, tensor in {id(tensor): (key, tensor) for key, tensor in chosen.tensors.items()}.values():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"expected finite weights, {key[:80]} holds NaN or infinity; take a checkpoint from before"
            )
        if not tensor.is_floating_point() and tensor.ndim > 1:
            raise CheckpointError(f"expected weights of real numbers, {key[:80]} holds whole ones; convert them first")
        if key.endswith("running_var") and tensor.numel() and float(tensor.min()) < 0:
            least = f"{key[:80]} holds {float(tensor.min()):.3g}"
            raise CheckpointError(f"expected variances from 0 on, {least}; take a checkpoint from before")
    return chosen


def shards(index: Path) -> list[Path]:
    """The files that an index of shards lists, all in its folder.

    Raises:
        CheckpointError: if it is not an index, or a file is missing or elsewhere.
    """
    if not index.is_file():
        raise CheckpointError(f"expected an index of shards, {index.name[:80]} is no file; name a file of weights")
    names = isolated(
        "core.models.tensor_files:shards",
        name=index.name[:80],
        limits=Limits.of(index.stat().st_size),
        refusal=CheckpointError,
        path=index,
    )
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(f"expected {len(names)} shards, found no {missing[0][:80]}; fetch it too")
    return [index.parent / name for name in names]


# -- reading ----------------------------------------------------------------------------------------------------------


def read_tensors(
    paths: Sequence[Path],
    on_progress: Callable[[float], None] = lambda fraction: None,
    *,
    ours: bool = False,
    own: bool = False,
    kept: bool = False,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Tensors by name from files of weights, made over the bytes of the files.

    An isolated process finds the position of each tensor in the opened files (`core.models.tensor_files`); the tensors
    are made over those bytes here, and share them if the file does.

    Args:
        paths: one file, or the shards of one checkpoint.
        on_progress: called with the fraction done; an exception from it ends the reading.
        ours: our own format, whose tensors keep their dtype.
        own: the files came with the program, and need no isolated process.
        kept: nobody writes to the files while the tensors are in use: their bytes stay mapped. Else they are copied,
            each once, since a write to a mapped file could end the program.

    Returns:
        Tensors by name (floating ones as float32), in nested mappings if the file has containers around them; and the
        metadata of a safetensors file.

    Raises:
        CheckpointError: if a file is damaged, would run something, or changes while it is read.
    """
    opened = [os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)) for path in paths]
    try:
        before = [_state(file) for file in opened]
        if own:
            layouts = tensor_files.layouts([str(path) for path in paths], on_progress)
        else:
            layouts = isolated(
                "core.models.tensor_files:layouts",
                name=paths[0].name[:80],
                limits=Limits.of(sum(size for size, _ in before), memory=_READER_BYTES, output=_LAYOUT_BYTES),
                refusal=CheckpointError,
                on_progress=on_progress,
                files=opened,
                paths=[by_descriptor(file, path) for file, path in zip(opened, paths, strict=True)],
                names=[path.name for path in paths],
            )
        whole: dict[str, Any] = {}
        words: dict[str, str] = {}
        for path, file, layout in zip(paths, opened, layouts, strict=True):
            mapped = _mapped(file, copied=not (own or kept))
            if before != [_state(each) for each in opened]:
                raise CheckpointError(f"expected {path.name[:80]} to stay as it is, it changed while it was read")
            read = _over_the_file(path, mapped, layout, as_stored=ours)
            twice = next((name for name in read if name in whole), None)
            if twice is not None:
                raise CheckpointError(
                    f"expected shards of one checkpoint, got {twice[:60]!a} twice; choose files that belong"
                )
            whole.update(read)
            words.update(layout["metadata"])
        return whole, words
    finally:
        for file in opened:
            os.close(file)


def _mapped(file: int, *, copied: bool) -> mmap.mmap:
    """The bytes of a file, mapped so that writes do not change it; or a copy of them."""
    if not copied:
        return mmap.mmap(file, 0, access=mmap.ACCESS_COPY)
    size = os.fstat(file).st_size
    memory = mmap.mmap(-1, size)
    view, at = memoryview(memory), 0
    with os.fdopen(os.dup(file), "rb", buffering=0) as source:
        source.seek(0)
        while at < size and (count := source.readinto(view[at:])):
            at += count
    view.release()
    return memory


_READER_BYTES = 1 << 30  # of memory to read a file's layout: a pickle of 64 MB makes objects of 500 MB
_LAYOUT_BYTES = 256 << 20
_COPIED, _SEEN = 4, 16  # bytes per byte of a file that copies of its tensors, and all of its tensors, may take
_FREE = 64 << 20  # bytes that are always allowed


def _state(file: int) -> tuple[int, int]:
    state = os.fstat(file)
    return state.st_size, state.st_mtime_ns


def _over_the_file(path: Path, mapped: mmap.mmap, layout: Mapping[str, Any], *, as_stored: bool) -> dict[str, Any]:
    """Tensors over the bytes of a file, at the positions in its layout.

    Raises:
        CheckpointError: if they repeat the same numbers many times.
    """
    storages, size = layout["storages"], len(mapped)
    made: dict[tuple[Any, ...], Tensor] = {}
    copies, seen = _COPIED * size + _FREE, _SEEN * size + _FREE

    def tensor(number: int, dtype: str, offset: int, shape: Sequence[int], stride: Sequence[int]) -> Tensor:
        nonlocal copies, seen
        place = number, dtype, offset, *shape, *stride
        if place not in made:
            kind = getattr(torch, dtype)
            wanted = torch.float32 if kind.is_floating_point and not as_stored else kind
            seen -= math.prod(shape) * wanted.itemsize
            fits = seen >= 0 and math.prod(max(side, 1) for side in shape) < 2**63  # torch's limit
            if fits:
                view = torch.as_strided(_stored(mapped, kind, *storages[number]), shape, stride, offset)
                copies -= 0 if view.is_contiguous() and wanted == kind else view.numel() * wanted.itemsize
            if not fits or copies < 0:
                raise CheckpointError(
                    f"expected whole weights, those of {path.name[:80]} repeat a few numbers; save them with"
                    " .contiguous(), each once"
                )
            made[place] = view.to(wanted).contiguous()
        return made[place]

    def tensors(node: Mapping[str, Any]) -> dict[str, Any]:
        return {name: tensors(inner) if isinstance(inner, Mapping) else one(inner) for name, inner in node.items()}

    def one(inner: Sequence[Any]) -> Tensor:
        return torch.tensor(inner) if all(isinstance(each, float) for each in inner) else tensor(*inner)

    return tensors(layout["tree"])


def _stored(mapped: mmap.mmap, kind: torch.dtype, begin: int, length: int) -> Tensor:
    """The numbers of a storage; copied if they do not begin at a multiple of their size."""
    if not length:
        return torch.empty(0, dtype=kind)
    if begin % kind.itemsize:
        return torch.frombuffer(mapped, dtype=torch.uint8, count=length, offset=begin).clone().view(kind)
    return torch.frombuffer(mapped, dtype=kind, count=length // kind.itemsize, offset=begin)


# -- finding the weights ----------------------------------------------------------------------------------------------


def _candidates(whole: Mapping[str, Any]) -> list[StateDict]:
    """The sets of weights in a checkpoint: known, usually named and larger ones first; averages last."""
    tables = sorted(_tables(whole, "", 0, set()), key=lambda each: (_rank(each[0]), -_size(each[1])))
    whole_file = {f"{path}/{name}".lstrip("/"): tensor for path, tensors in tables for name, tensor in tensors.items()}
    small = {name: tensor for name, tensor in whole_file.items() if tensor.numel() <= tensor_files.FEW}
    found = [replace(part, small=small) for name, tensors in tables[:_MOST_SETS] for part in _parted(name, tensors)]
    found.sort(key=lambda part: (part.is_average, not part.is_known, _rank(part.name), -part.parameters))
    largest = max((part.parameters for part in found), default=0)
    kept = [part for part in found if part.is_known or part.parameters * 20 >= largest]
    weights = {
        name: tensor
        for name, tensor in whole_file.items()
        if tensor.ndim > 2 or (tensor.ndim > 1 and tensor.numel() > tensor_files.FEW)
    }
    sets = [{id(tensor) for tensor in part.tensors.values()} for part in kept]
    return [
        replace(part, left=_left_by(own, sets, weights))
        for part, own in zip(kept[:_MOST_SETS], sets, strict=False)  # without an optimiser's small tensors
    ]


def _left_by(own: set[int], sets: Sequence[set[int]], weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Paths and shapes of the weights that belong neither to a network nor to another one beside it."""
    used = own.union(*(each for each in sets if each.isdisjoint(own)))
    left = {name: tensor for name, tensor in weights.items() if id(tensor) not in used}
    return tuple(f"{name[-60:]} {' x '.join(map(str, tensor.shape))}" for name, tensor in left.items())


def _size(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())


def _rank(name: str) -> int:
    first = name.partition("/")[0]
    return _FIRST.index(first) if first in _FIRST else len(_FIRST)


def _tables(node: Mapping[Any, Any], path: str, depth: int, seen: set[int]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping that contains tensors by name, once, with its path."""
    seen.add(id(node))
    tensors = {name: value for name, value in node.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if any(tensor.is_floating_point() for tensor in tensors.values()):
        yield path, tensors
    if depth < _DEEPEST:
        for name, value in node.items():
            is_new = isinstance(value, Mapping) and id(value) not in seen
            if is_new and isinstance(name, str) and "optim" not in name.lower():
                yield from _tables(value, f"{path}/{name}" if path else name, depth + 1, seen)


def _parted(name: str, tensors: Mapping[str, Tensor]) -> Iterator[StateDict]:
    """A table as a set of weights without its wrapping; as several sets if prefixes separate several models."""
    kept = {
        key: tensor
        for key, tensor in tensors.items()
        if not key.endswith(_EXTRAS)
        and not (tensor.numel() <= tensor_files.FEW and tensor_files.OF_IMAGES.fullmatch(key))
    }
    whole = StateDict(name, *_unwrapped(kept))
    parts = [] if whole.is_known else list(_inside(whole))
    same = next((part for part in parts if len(part.tensors) == len(whole.tensors)), None)
    if same is not None:  # an unknown wrapping
        yield replace(same, name=name)
    elif whole.tensors:
        yield whole
        yield from parts


def _inside(whole: StateDict) -> Iterator[StateDict]:
    """The networks that are parts of a table: known ones, and those with a usual prefix."""
    groups: list[dict[str, list[str]]] = [{} for _ in range(_DEEPEST)]
    for key in whole.tensors:
        parts = key.split(".", _DEEPEST)[:-1]
        for group, prefix in zip(groups, accumulate(f"{part}." for part in parts), strict=False):
            group.setdefault(prefix, []).append(key)
    known: list[str] = []
    for depth, group in enumerate(groups):
        size = {prefix: sum(whole.tensors[key].numel() for key in keys) for prefix, keys in group.items()}
        usual = [] if depth or whole.removed else [prefix for prefix in _SETS if prefix in group]
        for prefix in dict.fromkeys((*nlargest(_HEAVIEST, size, key=size.__getitem__), *usual)):
            if prefix.startswith(tuple(known)):
                continue
            part, more = _unwrapped({key[len(prefix) :]: whole.tensors[key] for key in group[prefix]})
            path = f"{whole.name}/{prefix[:-1]}".lstrip("/")
            found = StateDict(path, part, whole.removed + prefix + more)
            if found.is_known:
                known.append(prefix)
            elif prefix not in usual or not 2 <= len(part) < len(whole.tensors):
                continue
            yield found


def _unwrapped(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The tensors without the wrapping prefixes that all names share, and these prefixes."""
    if not tensors:
        return {}, ""
    ends = min(tensors), max(tensors)  # all names between them share their common prefix
    shortest, end = min(map(len, tensors)), 0
    while shared := next((each for each in _WRAPPERS if all(key.startswith(each, end) for key in ends)), ""):
        if end + len(shared) >= shortest:  # a name would become empty
            break
        end += len(shared)
    return {key[end:]: tensor for key, tensor in tensors.items()}, ends[0][:end]
