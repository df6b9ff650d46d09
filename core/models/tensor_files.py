"""Files of tensors: the kind of a file, and the position of each tensor in it, found without running any of it.

Three kinds hold weights and nothing else: safetensors, the archives of `torch.save`, and its files from before torch
1.6. Their headers are checked to the last byte, and what is checked is what is loaded: the result gives the position of
each tensor's numbers, and the reader maps them from there. No archive and no pickle is passed to torch.

Nothing here imports torch: it runs in `core.runtime.sandbox`.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from core.errors import CheckpointError
from core.files import read_start
from core.models.pickles import ITEM_BYTES, PickleError, StoragePlace, Stub, TensorPlace, Unpickled, unpickle

WEIGHTS = ("safetensors", "torch", "legacy")  # the kinds that hold weights and nothing else

MOST_PICKLE_BYTES = 64 << 20  # of the pickle itself, without tensors: a state dict of 10,000 tensors takes 2 MB
MOST_HEADER_BYTES = 16 << 20  # of safetensors
MOST_ENTRIES = 200_000  # of an archive: one per tensor
MOST_TENSORS = 200_000  # of a file, each counted as often as it has a name
DEEPEST = 4  # containers around a state dict
FEW = 64  # numbers: a mean or std of images has one per channel
OF_IMAGES = re.compile(  # not a layer's
    r"((model|module|net|network)\.)*\w*(?<!running_)(mean|mu|std|stdev|sigma|sd|var)s?(_?(rgb|tensor|values?|buffer))?",
    re.IGNORECASE,
)
_ZIP, _LEGACY_MAGIC = b"PK\x03\x04", b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's own number, as a pickled integer
_LOCAL = struct.Struct("<4s5H3L2H")  # before each entry of an archive
_EXPORTED = re.compile(r"(^|/)models/[^/]*\.json$")  # the graph of an exported program
_END = struct.Struct("<4s4H2LH")  # the record at the end of an archive
_END_64, _LOCATOR_64 = 56, 20  # bytes of the two zip64 records of large archives
_TOO_LARGE = 0xFFFFFFFF  # in the record at the end: the number is in a zip64 record
_DESCRIPTOR_BYTES = 24  # at most, after an entry, to repeat its sizes
_CHUNK = 4 << 20

# dtype by its name in safetensors
_SAFE = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64",
    "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip

_HOW = "in the program that made it, `torch.save(model.state_dict(), 'weights.pt')` writes the weights alone"
_BIG_ENDIAN = "its numbers have their last byte first; save it on another machine"
_NO_CHECKSUM = "a part of it does not match its checksum, unless torch.serialization was told to write none"
_OTHER_TENSORS = {  # names of torch for tensors that are not dense and real
    *(f"torch._utils._rebuild_{kind}" for kind in ("sparse_tensor", "sparse_csr_tensor", "qtensor", "nested_tensor")),
    *(
        f"torch.{kind}"
        for kind in ("sparse_coo", "sparse_csr", "sparse_csc", "per_tensor_affine", "per_channel_affine")
    ),
    *(f"torch.{kind}Storage" for kind in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")),
    *(f"torch.{kind}" for kind in ("qint8", "quint8", "qint32", "sparse_bsr", "sparse_bsc", "jagged")),
    "torch.serialization._get_layout",
}
_LISTED = 4  # names shown in an error message

Progress = Callable[[float], None]


def kind(path: str, progress: Progress = lambda fraction: None) -> str:
    """The kind of a file, by its bytes.

    Args:
        path: of the file.
        progress: not called: only the first bytes are read.

    Returns:
        One of `WEIGHTS`, or "torchscript", "exported" (.pt2), "zip", "pickle" or "other".
    """
    start = read_start(path, 32)  # newer protocols have two more instructions before the number
    if start.startswith(b"PK"):
        return _kind_of_zip(path)
    if _LEGACY_MAGIC in start:
        return "legacy"
    if start[8:9] == b"{":
        return "safetensors"
    return "pickle" if start[:1] == b"\x80" or _short(path).lower().endswith((".pkl", ".pickle")) else "other"


def layouts(
    paths: list[str], progress: Progress = lambda fraction: None, names: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The positions of the tensors in several files; see `layout`.

    Args:
        paths: of the files, such as those of open descriptors.
        progress: called with the fraction done.
        names: of the files, for error messages; by default from their paths.
    """
    _names.update(zip(paths, names, strict=False))
    return [
        layout(path, lambda part, number=number: progress((number + part) / len(paths)))  # type: ignore[misc]
        for number, path in enumerate(paths)
    ]


def layout(path: str, progress: Progress = lambda fraction: None) -> dict[str, Any]:
    """The positions of the tensors in a file of weights.

    Args:
        path: of the file.
        progress: called with the fraction done.

    Returns:
        `kind`; `tree`: mappings by name, in which a tensor is a tuple of the number of its storage, dtype, offset in
        it, shape and stride, and a mean or std of images may be a list of numbers; `storages`: of each its position in
        the file and its bytes; `metadata`: of safetensors.

    Raises:
        CheckpointError: if it is anything else, or damaged, or made to deceive; says what it is instead, what it would
            import, and how to convert it.
    """
    name, found = _short(path), kind(path)
    if found == "safetensors" or (found == "other" and _short(path).lower().endswith(".safetensors")):
        return _safetensors(path)
    if found == "exported":
        raise CheckpointError(
            f"expected a state dict, {name} is an exported program, which its reader must trust; "
            "load your own on the command line, by its path with the ending .pt2"
        )
    if found == "torchscript":
        wanted = _listed(tuple(_script_imports(path))) or "code"
        raise CheckpointError(
            f"expected a state dict, {name} is TorchScript, a program of its own that defines {wanted} and is never run"
            f" here; {_HOW}"
        )
    if found in ("torch", "zip"):
        return _torch(path, progress)
    if found == "legacy":
        return _legacy(path, progress)
    if found == "pickle":
        imports = _interpreted(path, read_start(path, MOST_PICKLE_BYTES)).strange
        wanted = _listed(imports) or "nothing, but is no file of torch"
        raise CheckpointError(_runs(name, wanted))
    raise CheckpointError(f"expected a checkpoint, {name} is no file of torch or safetensors, or damaged; check it")


_names: dict[str, str] = {}  # of files that are read by their descriptors


def _short(path: str) -> str:
    return _names.get(path, Path(path).name)[:80]


def _runs(name: str, wanted: str) -> str:
    return (
        f"expected tensors only, {name} is a pickle that may run code and wants to import {wanted}; "
        f"it was not opened; {_HOW}"
    )


def _no_weights(name: str) -> str:
    return (
        f"expected dense weights of real numbers, {name[:80]} has sparse, quantised or complex ones; convert the model "
        "to dense float32 first"
    )


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(each if each.isascii() and each.isprintable() else ascii(each) for each in names[:_LISTED])[:200]
    return f"{shown} and {len(names) - _LISTED} more" if len(names) > _LISTED else shown


def _damaged(path: str, what: str) -> str:
    return f"expected a whole checkpoint, got {_short(path)}: {what}; fetch it or save it again"


def shards(path: str, progress: Progress = lambda fraction: None) -> list[str]:
    """The names of the files in an index of shards, as Hugging Face writes it.

    Args:
        path: of the index.
        progress: not called.

    Returns:
        Sorted names, all of files in the same folder.

    Raises:
        CheckpointError: if it is not an index, or names files elsewhere.
    """
    content = read_start(path, MOST_HEADER_BYTES + 1)
    if len(content) > MOST_HEADER_BYTES:
        raise CheckpointError(f"expected an index of shards, {_short(path)} is too long; name a file of weights")
    try:
        names = set(json.loads(content)["weight_map"].values())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"expected an index of shards, {_short(path)} is none; name a file of weights") from error
    if not names or any(
        not isinstance(name, str) or Path(name).name != name or not name.isprintable() for name in names
    ):
        raise CheckpointError(f"expected shards beside {_short(path)}, it names other places; put them together")
    return sorted(names)


# -- trees ------------------------------------------------------------------------------------------------------------


def _layout(
    path: str, kind: str, value: Any, places: Sequence[StoragePlace], storages: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """The layout of a pickle's tensors by name, at most `DEEPEST` containers deep, with everything else left out.

    Args:
        path: of the file.
        kind: of the file.
        value: what the pickle holds.
        places: its storages.
        storages: position and bytes of each.

    Raises:
        CheckpointError: if it is not a mapping, or repeats itself without end.
    """
    if not isinstance(value, dict):
        what = "tensor" if isinstance(value, TensorPlace) else type(value).__name__.lower()
        raise CheckpointError(f"expected a state dict, {_short(path)} holds a {what}; save `model.state_dict()`")
    left, numbers = MOST_TENSORS, {place: number for number, place in enumerate(places)}

    def pruned(node: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        nonlocal left
        kept: dict[str, Any] = {}
        for name, inner in node.items():
            left -= 1
            if left < 0:
                raise CheckpointError(_damaged(path, f"it has more than {MOST_TENSORS:,} entries"))
            if not isinstance(name, str):
                continue
            if isinstance(inner, TensorPlace):
                if inner.dtype.startswith("complex"):
                    raise CheckpointError(_no_weights(name))
                if inner.storage.length * ITEM_BYTES[inner.storage.dtype] % ITEM_BYTES[inner.dtype]:
                    raise CheckpointError(
                        _damaged(path, f"the data of {name[:80]} is no whole number of {inner.dtype}")
                    )
                number = numbers[inner.storage]
                kept[name] = (number, inner.dtype, inner.offset, list(inner.shape), list(inner.stride))
            elif OF_IMAGES.fullmatch(name) and (isinstance(inner, Stub) or not isinstance(inner, dict)):
                kept[name] = _plain_numbers(inner)
            elif isinstance(inner, dict) and depth < DEEPEST and (found := pruned(inner, depth + 1)):
                kept[name] = found
        return kept

    return {"kind": kind, "tree": pruned(value, 0), "storages": storages, "metadata": {}}


def _plain_numbers(value: Any) -> list[float]:
    """A number, or a list of a few, as floats; [NaN] for anything else, which is then refused if it is asked for."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    plain = 0 < len(values) <= FEW and all(isinstance(each, int | float) and abs(each) < 1e30 for each in values)
    return [float(each) for each in values] if plain else [math.nan]


# -- archives of torch ------------------------------------------------------------------------------------------------

_BROKEN = (
    zipfile.BadZipFile,
    OSError,
    ValueError,
    LookupError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
)


def _kind_of_zip(path: str) -> str:
    try:
        names = [entry.filename for entry in _entries(path)[0]]
    except CheckpointError:
        return "zip"
    inside = {name.partition("/")[2].lower() for name in names}
    if "archive_format" in inside or any(_EXPORTED.search(name.lower()) for name in names):
        return "exported"
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        return "torchscript"
    return "torch" if "data.pkl" in inside else "zip"


def _entries(path: str) -> tuple[list[zipfile.ZipInfo], int]:
    """The entries of an archive in the order of their positions, and the position of their list.

    Raises:
        CheckpointError: if the list cannot be read, or is too long.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        file.seek(max(0, size - _END.size))
        record = file.read(_END.size)
        if len(record) < _END.size or record[:4] != b"PK\x05\x06" or record[-2:] != b"\0\0":
            raise CheckpointError(_damaged(path, "something lies before or behind the archive, or it is cut off"))
        count, listed = _END.unpack(record)[4:6]
        if (count > MOST_ENTRIES and count != 0xFFFF) or (listed > 64 << 20 and listed != _TOO_LARGE):
            raise CheckpointError(_damaged(path, "it lists more than a checkpoint has"))
    try:
        with zipfile.ZipFile(path) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
            begin = archive.start_dir
    except _BROKEN as error:
        raise CheckpointError(_damaged(path, "the archive cannot be read")) from error
    if not 1 <= len(entries) <= MOST_ENTRIES:
        raise CheckpointError(_damaged(path, f"it has {len(entries):,} entries"))
    return entries, begin


def _checked(path: str, file: IO[bytes]) -> dict[str, tuple[int, zipfile.ZipInfo]]:
    """The position of each entry's bytes, by its name inside the one folder; the archive is plain, whole, without gaps.

    Raises:
        CheckpointError: if torch would not write it so: with anything compressed, encrypted, hidden, outside or twice.
    """
    entries, begin = _entries(path)
    names = [entry.filename for entry in entries]
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise CheckpointError(_damaged(path, "its entries are compressed or encrypted, and torch's never are"))
    if any(".." in name.split("/") or name.startswith("/") or "\\" in name for name in names):
        raise CheckpointError(_damaged(path, "an entry points outside of the archive"))
    if len({name.lower() for name in names}) != len(names) or len({name.partition("/")[0] for name in names}) != 1:
        raise CheckpointError(_damaged(path, "an entry is there twice, or outside of the one folder that torch makes"))
    found: dict[str, tuple[int, zipfile.ZipInfo]] = {}
    at = 0
    for entry in entries:
        gap = entry.header_offset - at
        file.seek(max(0, entry.header_offset))
        head = file.read(_LOCAL.size)
        if len(head) < _LOCAL.size or head[:4] != _ZIP or not 0 <= gap <= (_DESCRIPTOR_BYTES if at else 0):
            raise CheckpointError(_damaged(path, "its entries do not lie one behind the other"))
        name_length, extra_length = _LOCAL.unpack(head)[-2:]
        raw = file.read(name_length)
        if raw.decode("utf-8" if entry.flag_bits & 0x800 else "cp437", "replace") != entry.orig_filename:
            raise CheckpointError(_damaged(path, "it calls an entry by two names"))
        start = entry.header_offset + _LOCAL.size + name_length + extra_length
        at = start + entry.file_size
        if entry.file_size != entry.compress_size or at > begin:
            raise CheckpointError(_damaged(path, "its entries claim more bytes than the file has"))
        found[entry.filename.partition("/")[2]] = start, entry
    if not 0 <= begin - at <= _DESCRIPTOR_BYTES or not _ends_the_file(file, begin):
        raise CheckpointError(_damaged(path, "something lies between its entries and its end"))
    return found


def _ends_the_file(file: IO[bytes], begin: int) -> bool:
    """Whether the list of entries that begins here goes on to the records at the end of the file."""
    end = file.seek(-_END.size, 2)
    listed, offset = _END.unpack(file.read(_END.size))[5:7]
    file.seek(max(0, end - _LOCATOR_64 - _END_64))
    large = file.read(_END_64 + _LOCATOR_64)
    if large[:4] == b"PK\x06\x06" and large[_END_64:][:4] == b"PK\x06\x07":
        end -= _END_64 + _LOCATOR_64
        claimed = listed, offset
        listed, offset = int.from_bytes(large[40:48], "little"), int.from_bytes(large[48:56], "little")
        if any(small not in (_TOO_LARGE, true) for small, true in zip(claimed, (listed, offset), strict=True)):
            return False
    return bool(begin == offset and begin + listed == end)


def _check_sums(path: str, file: IO[bytes], places: Mapping[str, tuple[int, zipfile.ZipInfo]], tell: Progress) -> None:
    total, done = sum(entry.file_size for _, entry in places.values()) or 1, 0
    for start, entry in places.values():
        file.seek(start)
        left, checksum = entry.file_size, 0
        while left:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                raise CheckpointError(_damaged(path, "it is cut off"))
            checksum = zlib.crc32(chunk, checksum)
            left -= len(chunk)
            done += len(chunk)
            tell(done / total)
        if checksum != entry.CRC:
            raise CheckpointError(_damaged(path, _NO_CHECKSUM))


def _torch(path: str, tell: Progress) -> dict[str, Any]:
    with Path(path).open("rb") as file:
        places = _checked(path, file)
        start, entry = places.get("data.pkl", (0, None))
        if entry is None or entry.file_size > MOST_PICKLE_BYTES:
            raise CheckpointError(_damaged(path, "it has no single data.pkl of bearable size"))
        _check_sums(path, file, places, tell)
        file.seek(start)
        found = _unpickled(path, file.read(entry.file_size))
        if found.end != entry.file_size:
            raise CheckpointError(_damaged(path, "something lies behind its pickle"))
        if "byteorder" in places:
            begin, order = places["byteorder"]
            file.seek(begin)
            if file.read(min(order.file_size, 16)) != b"little":
                raise CheckpointError(_damaged(path, _BIG_ENDIAN))
    storages: list[tuple[int, int]] = []
    for place in found.storages.values():
        begin, data = places.get(f"data/{place.key}", (0, None))
        claimed = place.length * ITEM_BYTES[place.dtype]
        there = -1 if data is None else data.file_size
        if claimed != there:
            came = "is missing" if data is None else f"has {there} bytes, not {claimed}"
            raise CheckpointError(_damaged(path, f"tensor data {place.key[:20]!a} {came}"))
        storages.append((begin, claimed))
    return _layout(path, "torch", found.value, list(found.storages.values()), storages)


def _unpickled(path: str, content: bytes, start: int = 0) -> Unpickled:
    """The content of a pickle that imports nothing but tensors and plain values.

    Raises:
        CheckpointError: if it is damaged, or imports anything else.
    """
    found = _interpreted(path, content, start)
    if found.strange and set(found.strange) <= _OTHER_TENSORS:
        raise CheckpointError(_no_weights(_short(path)))
    if found.strange:
        raise CheckpointError(_runs(_short(path), _listed(found.strange)))
    return found


def _interpreted(path: str, content: bytes, start: int = 0) -> Unpickled:
    try:
        return unpickle(content, start)
    except PickleError as error:
        raise CheckpointError(_damaged(path, f"the pickle in it cannot be read: {error}")) from error


def _script_imports(path: str) -> tuple[str, ...]:
    """The classes that a TorchScript program defines, as far as they can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next(each for each in archive.infolist() if each.filename.lower().endswith("/data.pkl"))
            if entry.file_size > MOST_PICKLE_BYTES:
                return ()
            return unpickle(archive.read(entry)).strange
    except (*_BROKEN, StopIteration):
        return ()


# -- files of torch before 1.6 ----------------------------------------------------------------------------------------


def _legacy(path: str, tell: Progress) -> dict[str, Any]:
    """Five pickles (magic number, protocol, machine, object, keys), then for each key its count of numbers, and these.

    Raises:
        CheckpointError: if it differs in a single byte.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        content = file.read(MOST_PICKLE_BYTES)
        at, parts = 0, []
        for _ in range(5):
            parts.append(_unpickled(path, content, at))
            at = parts[-1].end
        machine, found, keys = parts[2].value, parts[3], parts[4].value
        if not isinstance(machine, dict) or machine.get("little_endian", True) is not True:
            raise CheckpointError(_damaged(path, _BIG_ENDIAN))
        listed = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        if not listed or sorted(keys) != sorted(found.storages):
            raise CheckpointError(_damaged(path, "it does not list its tensor data, each once"))
        storages: list[tuple[int, int]] = []
        for key in keys:
            place = found.storages[key]
            claimed = place.length * ITEM_BYTES[place.dtype]
            file.seek(at)
            count = file.read(8)
            if len(count) < 8 or int.from_bytes(count, "little") != place.length or at + 8 + claimed > size:
                raise CheckpointError(_damaged(path, f"tensor data {key[:20]!a} is not all there"))
            storages.append((at + 8, claimed))
            at += 8 + claimed
            tell(at / size)
    if at != size:
        raise CheckpointError(_damaged(path, "something lies behind its tensor data"))
    return _layout(path, "legacy", found.value, [found.storages[key] for key in keys], storages)


# -- safetensors ------------------------------------------------------------------------------------------------------


def _safetensors(path: str) -> dict[str, Any]:
    """The header of a safetensors file, whose tensors fill the rest of the file without gap or overlap.

    Raises:
        CheckpointError: if it is anything else.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or not 2 <= length <= min(MOST_HEADER_BYTES, size - 8):
            raise CheckpointError(_no_safetensors(path))
        text = file.read(length)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(_no_safetensors(path)) from error
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise CheckpointError(_no_safetensors(path))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(_no_safetensors(path))
    tensors = []
    for name, entry in header.items():
        match entry:
            case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
                pass
            case _:
                raise CheckpointError(_no_safetensors(path))
        if dtype not in _SAFE:
            raise CheckpointError(_no_weights(f"{name[:60]} ({dtype[:20]})"))
        is_shape = len(shape) <= 32 and all(type(side) is int and 0 <= side < 1 << 60 for side in shape)
        if not is_shape or not 0 <= begin <= end or end - begin != math.prod(shape) * ITEM_BYTES[_SAFE[dtype]]:
            raise CheckpointError(_no_safetensors(path))
        tensors.append((begin, end, name, _SAFE[dtype], shape))
    spans = sorted(each[:2] for each in tensors)
    if [0, *(end for _, end in spans)] != [*(begin for begin, _ in spans), size - 8 - length]:
        raise CheckpointError(_no_safetensors(path))
    tree = {
        name: (number, dtype, 0, shape, _contiguous_strides(shape))
        for number, (_, _, name, dtype, shape) in enumerate(tensors)
    }
    storages = [(8 + length + begin, end - begin) for begin, end, *_ in tensors]
    return {"kind": "safetensors", "tree": tree, "storages": storages, "metadata": metadata}


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("expected every name once")
    return made


def _contiguous_strides(shape: list[int]) -> list[int]:
    stride, step = [], 1
    for side in reversed(shape):
        stride.append(step)
        step *= max(1, side)
    return stride[::-1]


def _no_safetensors(path: str) -> str:
    return f"expected a safetensors file, {_short(path)} is none, or cut off or damaged; fetch it again"
