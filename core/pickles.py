"""Pickles: what a file made by `torch.save` holds and wants, found out without running any of it.

A pickle is a program, and reading it means running it. So its instructions are only listed (`pickletools`), and what
they would import is compared with the few names that tensors need; torch's restricted reader comes after that.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from core.errors import CheckpointError

MOST_INSTRUCTIONS_BYTES = 64 << 20  # of the pickle itself, tensors apart: a state dict of 10,000 tensors takes 2 MB
MOST_ENTRIES = 200_000  # of an archive: one per tensor
_ZIP, _LEGACY_MAGIC = b"PK\x03\x04", b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's own number, as a pickled integer
_END = struct.Struct("<4s4H2LH")  # the record at the end of an archive

# Where a pickle may point: containers and tensors, with storages, dtypes and shapes. Less than torch allows itself.
_ALLOWED = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    "torch.device",
    *(
        f"torch.{kind}Storage"
        for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
    ),
    *(
        f"torch.{kind}"
        for kind in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    ),
}
_HOW = "in the program that made it, `torch.save(model.state_dict(), 'weights.pt')` writes the weights alone"


@dataclass(frozen=True)
class Archive:
    """What kind of file it is, with the names that its pickles would import.

    Attributes:
        kind: "torch" (archive), "legacy" (torch before 1.6), "torchscript", "exported" (.pt2), "pickle" or "other".
        imports: sorted.
    """

    kind: str
    imports: tuple[str, ...] = ()

    @property
    def strange(self) -> tuple[str, ...]:
        """What it would import beyond tensors and containers."""
        return tuple(name for name in self.imports if name not in _ALLOWED)


def look(path: Path) -> Archive:
    """Find out what a file holds, without running any of it.

    Args:
        path: any file.

    Returns:
        Its kind and imports.

    Raises:
        CheckpointError: if it is an archive or a pickle that is damaged, or built to deceive or to exhaust its reader.
    """
    with path.open("rb") as file:
        start = file.read(16)
        if start.startswith(_ZIP):
            return _archive(path)
        file.seek(0)
        head = io.BytesIO(
            file.read(MOST_INSTRUCTIONS_BYTES)
        )  # whatever length an instruction claims: no more than that
    if _LEGACY_MAGIC in start:
        return _legacy(path, head)
    if start[:1] == b"\x80" or path.suffix.lower() in (".pkl", ".pickle"):
        return Archive("pickle", _imports(head, path))
    return Archive("other")


def check(path: Path) -> None:
    """Raise unless a file made by `torch.save` holds nothing but tensors in plain containers.

    Raises:
        CheckpointError: with what it is instead, what it wanted to import, and how to convert it.
    """
    name, found = path.name[:80], look(path)
    if found.kind == "torchscript":
        raise CheckpointError(
            f"expected a state dict, {name} is TorchScript, a program of its own that defines "
            f"{_listed(found.strange) or 'code'} and is never run here; {_HOW}"
        )
    if found.kind == "exported":
        raise CheckpointError(
            f"expected a state dict, {name} is an exported program, which its reader must trust; "
            "load your own on the command line, by its path with the ending .pt2"
        )
    if found.kind == "other":
        raise CheckpointError(f"expected a checkpoint, {name} is no file of torch or safetensors, or damaged; check it")
    if found.strange or found.kind == "pickle":
        wanted = _listed(found.strange) or "nothing, but is no file of torch"
        raise CheckpointError(
            f"expected tensors only, {name} is a pickle that may run code and wants to import {wanted}; "
            f"it was not opened; {_HOW}"
        )


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(name if name.isascii() and name.isprintable() else ascii(name) for name in names[:4])[:200]
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


# -- archives ---------------------------------------------------------------------------------------------------------


def _archive(path: Path) -> Archive:
    """Look into a zip archive, which must be plain, whole and free of tricks.

    Raises:
        CheckpointError: if it is not.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            inside = {name.partition("/")[2] for name in names}
            pickles = [entry for entry in entries if entry.filename.partition("/")[2] == "data.pkl"]
            if "archive_format" in inside or any(name.startswith("models/") for name in inside):
                return Archive("exported")
            if len(pickles) != 1 or pickles[0].file_size > MOST_INSTRUCTIONS_BYTES:
                raise CheckpointError(_damaged(path, "it has no single data.pkl of bearable size"))
            if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
                return Archive("torchscript", _imports(io.BytesIO(archive.read(pickles[0])), path))
            _check_plain(path, archive, entries)
            if archive.testzip() is not None:
                raise CheckpointError(_damaged(path, "a part of it does not match its checksum"))
            content = archive.read(pickles[0])
            imports = _imports(io.BytesIO(content), path)
            if not set(imports) <= _ALLOWED:
                return Archive("torch", imports)
            folder = names[0].partition("/")[0]
            for key, claimed in _storages(content):
                there = archive.getinfo(f"{folder}/data/{key}").file_size
                if claimed != there:
                    raise CheckpointError(_damaged(path, f"tensor data {key[:20]!a} has {there} bytes, not {claimed}"))
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, EOFError, RuntimeError, NotImplementedError) as error:
        raise CheckpointError(_damaged(path, "the archive cannot be read")) from error
    return Archive("torch", imports)


def _check_plain(path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Raise unless an archive is what torch writes: nothing compressed, overlapping, encrypted, outside or twice.

    Raises:
        CheckpointError: if it is not.
    """
    size = path.stat().st_size
    names = [entry.filename for entry in entries]
    with path.open("rb") as file:
        file.seek(size - _END.size)
        mark, *_, comment = _END.unpack(file.read(_END.size))
    if not 1 <= len(entries) <= MOST_ENTRIES:
        raise CheckpointError(_damaged(path, f"it has {len(entries)} entries"))
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise CheckpointError(_damaged(path, "its entries are compressed or encrypted, and torch's never are"))
    if sum(entry.file_size for entry in entries) > size:
        raise CheckpointError(_damaged(path, "its entries claim more bytes than the file has"))
    if any(".." in name.split("/") or name.startswith("/") or "\\" in name for name in names):
        raise CheckpointError(_damaged(path, "an entry points outside of the archive"))
    if len(set(names)) != len(names) or len({name.partition("/")[0] for name in names}) != 1:
        raise CheckpointError(_damaged(path, "an entry is there twice, or outside of the one folder that torch makes"))
    if mark != b"PK\x05\x06" or comment or archive.comment or min(entry.header_offset for entry in entries) != 0:
        raise CheckpointError(_damaged(path, "something lies before or behind the archive"))


def _legacy(path: Path, head: io.BytesIO) -> Archive:
    """Look into a file of torch before 1.6: five pickles (number, protocol, machine, object, keys), then raw numbers.

    Raises:
        CheckpointError: if it claims more than it holds.
    """
    imports = set[str]()
    for place in range(5):
        begin = head.tell()
        imports.update(_imports(head, path))
        if place == 3:
            content = head.getvalue()[begin : head.tell()]
    found = Archive("legacy", tuple(sorted(imports)))
    try:
        if not found.strange and sum(dict(_storages(content)).values()) > path.stat().st_size:
            raise CheckpointError(_damaged(path, "its tensors claim more bytes than the file has"))
    except CheckpointError:
        raise
    except (ValueError, LookupError, TypeError) as error:
        raise CheckpointError(_damaged(path, "its tensors cannot be counted")) from error
    return found


def _damaged(path: Path, what: str) -> str:
    return f"expected a whole checkpoint, got {path.name[:80]}: {what}; fetch it or save it again"


# -- instructions -----------------------------------------------------------------------------------------------------


class _Values:
    """The values that a pickle pushed last, and those it keeps under a number."""

    def __init__(self) -> None:
        self.recent: list[object] = []
        self._memo: dict[int, object] = {}

    def follow(self, opcode: str, argument: object) -> None:
        """Take one instruction into account."""
        match opcode, argument:
            case (("PUT" | "BINPUT" | "LONG_BINPUT"), int(number)):
                self._memo[number] = self.recent[-1] if self.recent else None
            case "MEMOIZE", _:
                self._memo[len(self._memo)] = self.recent[-1] if self.recent else None
            case (("GET" | "BINGET" | "LONG_BINGET"), int(number)):
                self.recent.append(self._memo.get(number))
            case (("PROTO" | "FRAME" | "MARK" | "TUPLE"), _):
                pass
            case _:
                self.recent.append(argument)
        del self.recent[:-8]


def _imports(file: io.BytesIO, path: Path) -> tuple[str, ...]:
    """The names that the pickle at this place of a file would import, sorted; moves to its end.

    Raises:
        CheckpointError: if its instructions cannot be listed in full.
    """
    wanted: set[str] = set()
    values = _Values()
    try:
        for opcode, argument, _ in pickletools.genops(file):
            match opcode.name:
                case "GLOBAL" | "INST":
                    wanted.add(str(argument).replace(" ", ".", 1))
                case "STACK_GLOBAL":
                    texts = [text for text in values.recent[-2:] if isinstance(text, str)]
                    wanted.add(".".join(texts) if len(texts) == 2 else "a name that it makes up while it runs")
                case "EXT1" | "EXT2" | "EXT4":
                    wanted.add("a name out of the extension registry")
            values.follow(opcode.name, argument)
    except (ValueError, LookupError, EOFError, OverflowError, MemoryError, struct.error) as error:
        raise CheckpointError(_damaged(path, "the pickle in it is damaged")) from error
    return tuple(sorted(wanted))


_ITEM_BYTES = {"Double": 8, "Long": 8, "Float": 4, "Int": 4, "Half": 2, "BFloat16": 2, "Short": 2}
_NEVER_WRITTEN = {"POP", "POP_MARK", "DUP", "PERSID", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "STACK_GLOBAL", "MEMOIZE"}


def _storages(content: bytes) -> list[tuple[str, int]]:
    """Key and bytes of every storage that a pickle names.

    One is named by "storage", its type, its key, its device and its length (in old files also by a view, None): the
    last values that were pushed before BINPERSID, because torch writes no instruction that takes one away.

    Raises:
        ValueError: if one cannot be told.
    """
    found: list[tuple[str, int]] = []
    values = _Values()
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in _NEVER_WRITTEN or (opcode.name == "PROTO" and argument != 2):
            raise ValueError(f"torch writes no {opcode.name} {argument}")
        if opcode.name == "BINPERSID":
            recent = values.recent[:-1] if values.recent[-1:] == [None] else values.recent
            match recent[-5:]:
                case ["storage", str(kind), str(key), str(), int(length)] if length >= 0:
                    word = kind.removeprefix("torch ").removesuffix("Storage")
                    found.append((key, length * _ITEM_BYTES.get(word, 1)))
                case _:
                    raise ValueError("no storage")
        values.follow(opcode.name, argument)
    return found
