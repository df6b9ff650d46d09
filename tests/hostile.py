"""Checkpoints that mean harm or were harmed, made here: each must be refused in one sentence, and run nothing."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

MARK = "a checkpoint ran this"  # what every hostile pickle would write into a file named TRIPPED
TRIPPED = "tripped.txt"


def net() -> dict[str, Tensor]:
    """Weights of a small network."""
    generator = torch.Generator().manual_seed(0)
    return {
        "conv1.weight": torch.rand(4, 3, 3, 3, generator=generator),
        "fc.weight": torch.rand(5, 4, generator=generator),
        "fc.bias": torch.rand(5, generator=generator),
    }


class Calls:
    """Pickles as a call: what the file would do to whoever opened it as Python does."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def saved(thing: Any, *, old: bool = False) -> bytes:
    """As `torch.save` writes it."""
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def archive(entries: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """A zip of these entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        made.comment = comment
        for name, content in entries.items():
            made.writestr(name, content)
    return buffer.getvalue()


def entries_of(content: bytes) -> dict[str, bytes]:
    """The entries of a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as read:
        return {name: read.read(name) for name in read.namelist()}


def with_pickle(content: bytes) -> bytes:
    """A torch archive whose pickle is replaced."""
    entries = entries_of(saved(net()))
    return archive({**entries, "archive/data.pkl": content})


def header(said: Any, data: bytes = b"") -> bytes:
    """A safetensors file with this header."""
    text = json.dumps(said).encode() if not isinstance(said, bytes) else said
    return struct.pack("<Q", len(text)) + text + data


def hostile(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file; `folder` is where they would leave a trace if one of them ran."""
    yield from _running(folder / TRIPPED)
    yield from _programs()
    yield from _archives()
    yield from _old(folder / TRIPPED)
    yield from _headers()
    yield from _damaged()
    yield from _weights()
    yield from _smuggled(folder / TRIPPED)
    yield from _amplified()
    yield from _strangers()


def _running(trace: Path) -> Iterator[tuple[str, bytes]]:
    """Pickles that would run code: by every protocol, every kind of call, hidden in every place."""
    write = f"__import__('pathlib').Path({str(trace)!r}).write_text({MARK!r})"
    calls: dict[str, Calls] = {
        "exec": Calls(exec, write),
        "eval": Calls(eval, write),
        "system": Calls(__import__("os").system, f"echo x > {trace}"),
        "popen": Calls(__import__("subprocess").Popen, ["touch", str(trace)]),
        "open": Calls(open, str(trace), "w"),
        "touch": Calls(Path(trace).touch),
        "import": Calls(__import__, "antigravity"),
        "getattr": Calls(getattr, "", "join"),
        "bytearray": Calls(bytearray, 10**12),
        "loads": Calls(pickle.loads, pickle.dumps(Calls(exec, write))),
        "load": Calls(torch.load, "/etc/hostname"),
    }
    for name, call in calls.items():
        for protocol in range(6):
            yield f"bare_{name}_{protocol}.pkl", pickle.dumps(call, protocol)
        yield f"torch_{name}.pt", saved({"state_dict": call})
        yield f"old_{name}.pth", saved({"state_dict": call}, old=True)
        yield f"renamed_{name}.safetensors", saved(call)
        yield f"beside_{name}.ckpt", saved({**net(), "hyper_parameters": call})
    raw = b"cos\nsystem\n(S'touch " + str(trace).encode() + b"'\ntR."
    yield "raw_protocol_0.bin", raw
    yield "raw_in_archive.pt", with_pickle(raw)
    yield (
        "stack_global_from_memo.pt",
        with_pickle(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93(\x8c\x04true\x94tR."),
    )
    yield "stack_global_of_nothing.pt", with_pickle(b"\x80\x04K\x01K\x02\x93.")
    yield "inst.pt", with_pickle(b"\x80\x02(S'true'\nios\nsystem\n.")
    yield "extension.pt", with_pickle(b"\x80\x02\x82\x01.")
    yield (
        "untyped_storage.pt",
        with_pickle(b"\x80\x02ctorch.storage\nUntypedStorage\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R."),
    )
    yield "meta_tensor.pt", with_pickle(b"\x80\x02ctorch._utils\n_rebuild_meta_tensor_no_storage\n.")


def _programs() -> Iterator[tuple[str, bytes]]:
    """Whole modules and TorchScript."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    yield "module.pt", saved(module)
    yield "module_old.pth", saved(module, old=True)
    yield "module_in_dict.ckpt", saved({"model": module, "epoch": 3})
    script = {"code/__torch__.py": b"op_version_set = 1\n", "constants.pkl": pickle.dumps((), 2), "version": b"3\n"}
    script |= {"data.pkl": b"\x80\x02c__torch__.Net\nNet\n)\x81."}
    yield "script.pt", archive({f"net/{name}": content for name, content in script.items()})
    yield (
        "script_compressed.pt",
        archive({f"net/{name}": content for name, content in script.items()}, compression=zipfile.ZIP_DEFLATED),
    )
    yield "exported.pt", archive({"net/archive_format": b"pt2", "net/models/model.json": b"{}"})


def _archives() -> Iterator[tuple[str, bytes]]:
    """Bombs, polyglots and other archives that torch never writes."""
    good, whole = entries_of(saved(net())), saved(net())
    yield "compressed.pt", archive(good, compression=zipfile.ZIP_DEFLATED)
    yield "bomb.pt", archive({**good, "archive/data/9": bytes(64 << 20)}, compression=zipfile.ZIP_DEFLATED)
    yield "bomb_lzma.pt", archive({**good, "archive/data/9": bytes(1 << 20)}, compression=zipfile.ZIP_LZMA)
    yield "comment.pt", archive(good, comment=b"MZ something else")
    yield "outside.pt", archive({**good, "archive/../../outside": b"x"})
    yield "absolute.pt", archive({**good, "/etc/outside": b"x"})
    yield "backslash.pt", archive({**good, "archive\\..\\outside": b"x"})
    yield "two_folders.pt", archive({**good, "other/data.pkl": good["archive/data.pkl"]})
    yield "no_pickle.pt", archive({name: content for name, content in good.items() if not name.endswith("pkl")})
    yield "empty.pt", archive({})
    yield "prefix.pt", b"#!/bin/sh\ntrue\n" + whole
    yield "suffix.pt", whole + b"\n<script></script>"
    yield "image_and_archive.pt", b"\x89PNG\r\n\x1a\n" + whole
    yield "image_and_archive.safetensors", b"\x89PNG\r\n\x1a\n" + whole
    yield "tensors_and_archive.safetensors", safetensors_bytes(net()) + whole
    yield "pickle_and_archive.pt", pickle.dumps(Calls(exec, "1"), 2) + whole
    buffer = io.BytesIO(whole)
    with zipfile.ZipFile(buffer, "a") as twice:
        twice._filelist = None  # type: ignore[attr-defined]
        twice.NameToInfo.pop("archive/data.pkl")
        twice.writestr("archive/data.pkl", good["archive/data.pkl"])
    yield "twice.pt", buffer.getvalue()
    for name, longer in {"longer": b"M\xff\x7f", "huge": b"\x8a\x05\x00\x00\x00\x00\x01"}.items():
        changed = good["archive/data.pkl"].replace(b"Klt", longer + b"t", 1)
        assert changed != good["archive/data.pkl"]
        yield f"storage_{name}.pt", with_pickle(changed)
    yield (
        "missing_storage.pt",
        archive({name: content for name, content in good.items() if not name.endswith("data/0")}),
    )
    yield "protocol_4.pt", with_pickle(pickle.dumps({"epoch": 3}, 4))
    yield "endless_text.pt", with_pickle(b"\x80\x02X\xff\xff\xff\x7fabc.")
    yield "endless_number.pt", with_pickle(b"\x80\x02\x8b\xff\xff\xff\x7f.")
    yield "no_stop.pt", with_pickle(b"\x80\x02}q\x00")
    yield "nonsense.pt", with_pickle(b"\xff\xfe\xfd")


def _old(trace: Path) -> Iterator[tuple[str, bytes]]:
    """Files in the format of torch before 1.6."""
    whole = saved(net(), old=True)
    yield "old_cut.pt", whole[: len(whole) // 2]
    yield "old_head.pt", whole[:30]
    yield "old_claims.pt", whole.replace(b"Kl", b"J\xff\xff\xff\x7f", 1)
    yield "old_endless.pt", whole[:20] + b"X\xff\xff\xff\x7f" + whole[20:]
    yield "old_twice.pt", whole[:14] + pickle.dumps(Calls(exec, f"open({str(trace)!r}, 'w')"), 2) + whole[14:]


def _headers() -> Iterator[tuple[str, bytes]]:
    """Safetensors with absurd headers."""
    entry: dict[str, Any] = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    changes: dict[str, dict[str, Any]] = {
        "dtype": {"dtype": "PICKLE"},
        "negative_shape": {"shape": [-2]},
        "huge_shape": {"shape": [2**62, 4]},
        "shape_of_words": {"shape": ["2"]},
        "backwards": {"data_offsets": [8, 0]},
        "beyond": {"data_offsets": [0, 2**40]},
        "short": {"data_offsets": [0, 4]},
        "no_offsets": {"data_offsets": None},
        "gap": {"data_offsets": [4, 12]},
        "half": {"dtype": "F16"},
        "infinite": {"shape": [1e400]},
    }
    for name, change in changes.items():
        yield f"header_{name}.safetensors", header({"w": {**entry, **change}}, bytes(8))
    yield "header_overlap.safetensors", header({"a": entry, "b": entry}, bytes(8))
    yield "header_list.safetensors", header([], bytes(8))
    yield "header_empty.safetensors", header({})
    yield "header_text.safetensors", header(b"{" + b"[" * 5000, bytes(8))
    yield "header_not_utf8.safetensors", header(b'{"\xff\xfe": 1}', bytes(8))
    yield "header_twice.safetensors", header(b'{"w":' + json.dumps(entry).encode() + b',"w":1}', bytes(8))
    yield "header_trailing.safetensors", header({"w": entry}, bytes(16))
    for size in (0, 1, 2**31, 2**40, 2**63, 2**64 - 1):
        yield f"header_size_{size}.safetensors", struct.pack("<Q", size) + b'{"w":{}}' + bytes(8)


def _smuggled(trace: Path) -> Iterator[tuple[str, bytes]]:
    """Files in which one reader finds something else than another."""
    good, whole = entries_of(saved(net())), saved(net())
    evil = pickle.dumps(Calls(exec, f"open({str(trace)!r}, 'w')"), 2)
    for other in ("DATA.PKL", "Data.pkl", "data.PKL"):
        yield f"case_{other}.zip.pt", archive({f"archive/{other}": evil, **good})
        yield f"case_behind_{other}.zip.pt", archive({**good, f"archive/{other}": evil})
    yield "case_of_folder.pt", archive({**good, "ARCHIVE/data.pkl": evil})
    yield "case_of_data.pt", archive({**good, "archive/DATA/0": good["archive/data/0"]})
    yield "two_directories.pt", archive({"archive/data.pkl": evil}) + whole
    yield "two_directories_behind.pt", whole + archive({"archive/data.pkl": evil})
    inner = archive({"archive/data.pkl": evil})
    yield "directory_in_an_entry.pt", archive({**good, "archive/data/9": inner})[:-2] + b"\0\0" + inner
    end = whole.rindex(b"PK\x05\x06")
    yield "two_ends.pt", whole[:end] + whole[end:] + whole[end:]
    yield "gap.pt", whole[:end] + bytes(100) + whole[end:]
    further = (
        int.from_bytes(whole[end + 16 : end + 20], "little") + 10_000
    )  # where the list of entries is said to begin
    yield "negative_offsets.pt", whole[: end + 16] + further.to_bytes(4, "little") + whole[end + 20 :]
    moved = archive(good)
    end = moved.rindex(b"PK\x05\x06")
    yield "negative_offsets_of_zip.pt", moved[: end + 16] + further.to_bytes(4, "little") + moved[end + 20 :]
    renamed = whole.replace(b"archive/data.pkl", b"archive/evil.pkl", 1)  # in the entry's own header, not in the list
    assert renamed != whole
    yield "two_names.pt", renamed
    old = saved(net(), old=True)
    keys = old.rindex(b"]q\x00(X")
    yield "old_no_keys.pt", old[:keys] + b"]q\x00."
    yield "old_one_key.pt", old[:keys] + pickle.dumps(["0"], 2) + bytes(8)
    yield "old_tail.pt", old + bytes(100)
    huge = pickle.dumps({}, 2)[:-1]
    say = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%bNtQ"
    make = b"ctorch._utils\n_rebuild_tensor_v2\n(%bK\x00K\x04\x85K\x01\x85\x89}tR"
    for name, lengths in {"twice": (b"K\x04", b"J\x00\x00\x00\x10"), "huge": (b"\x8a\x06\0\0\0\0\0\1",)}.items():
        content = huge + b"".join(
            b"X\x01\x00\x00\x00" + bytes([97 + place]) + make % (say % length) + b"s"
            for place, length in enumerate(lengths)
        )
        head = old[: old.index(b"}", 40)]
        yield f"key_{name}.pt", with_pickle(content + b".")
        yield (
            f"old_key_{name}.pt",
            head + content + b"." + pickle.dumps(["0"], 2) + (4).to_bytes(8, "little") + bytes(16),
        )
    start = good["archive/data.pkl"]
    for name, (before, after) in {
        "offset": (b"K\x00(K\x04K\x03", b"K\x01(K\x04K\x03"),
        "size": (b"(K\x04K\x03K\x03K\x03t", b"(K\x05K\x03K\x03K\x03t"),
        "stride": (b"(K\x1bK\tK\x03K\x01t", b"(K\xffK\tK\x03K\x01t"),
        "negative": (b"(K\x04K\x03K\x03K\x03t", b"(J\xff\xff\xff\xffK\x03K\x03K\x03t"),
    }.items():
        assert before in start, name
        yield f"bounds_{name}.pt", with_pickle(start.replace(before, after, 1))
    yield "behind_the_pickle.pt", with_pickle(start + evil)
    yield "big_endian.pt", archive({**good, "archive/byteorder": b"big"})


def _amplified() -> Iterator[tuple[str, bytes]]:
    """Small files that stand for much work or memory."""
    yield "opcodes.pt", with_pickle(b"\x80\x02" + b"N0" * 10_000_000 + b"}.")
    yield "marks.pt", with_pickle(b"\x80\x02" + b"(" * 20_000_000 + b"}.")
    yield "deep_list.pt", with_pickle(b"\x80\x02" + b"]" * 2_000_000 + b"a" * 1_999_999 + b".")
    yield "deep_tuple_key.pt", with_pickle(b"\x80\x02})" + b"\x85" * 2_000_000 + b"Ns.")
    double = b"".join(b"h\x00h\x00\x86q\x00" for _ in range(64))
    yield "laughs.pt", with_pickle(b"\x80\x02]q\x00" + double + b".")
    inside = b"".join(
        b"}q" + bytes([n + 1]) + b"(X\x01\0\0\0ah" + bytes([n]) + b"X\x01\0\0\0bh" + bytes([n]) + b"u"
        for n in range(60)
    )
    yield "laughing_dicts.pt", with_pickle(b"\x80\x02}q\x00" + inside + b".")
    repeated = b"".join(b"X\x08\0\0\0%08dh\x01s" % number for number in range(300_000))
    yield "names.pt", with_pickle(b"\x80\x02}N" + b"q\x01" + b"0" + repeated + b".")
    collisions = b"".join(
        b"\x8a\x10" + (number * ((1 << 61) - 1)).to_bytes(16, "little") + b"Ns" for number in range(2000)
    )
    yield "collisions.pt", with_pickle(b"\x80\x02}" + collisions + b".")
    yield "long_number.pt", with_pickle(b"\x80\x02\x8b\x00\x00\x10\x00" + b"\xff" * (1 << 20) + b".")
    yield "long_line.pt", with_pickle(b"\x80\x02I" + b"9" * (1 << 20) + b"\n.")
    base = torch.zeros(100_000)
    views = {f"w{number}": base[number : number + 90_000].view(300, 300).T for number in range(200)}
    yield "overlapping_views.pt", saved(views)
    half = torch.zeros(100_000, dtype=torch.float16)
    yield "overlapping_halves.pt", saved({f"w{number}": half[number : number + 90_000] for number in range(200)})


def _damaged() -> Iterator[tuple[str, bytes]]:
    """Whole files cut off, and with one bit flipped where a reader can notice."""
    tensors, torch_file = safetensors_bytes(net()), saved(net())
    length = 8 + struct.unpack("<Q", tensors[:8])[0]
    for kept in (0, 1, 7, 8, 9, 100, length, length + 40, len(tensors) - 1):
        yield f"cut_{kept}.safetensors", tensors[:kept]
    for kept in (4, 30, 100, len(torch_file) // 2, len(torch_file) - 30, len(torch_file) - 1):
        yield f"cut_{kept}.pt", torch_file[:kept]
    for place in (0, 3, 6, 8):  # of the header's length and its first brace
        yield f"flipped_{place}.safetensors", _flipped(tensors, place, 6)
    start = entries_of(torch_file)["archive/data/0"]
    at = torch_file.index(start[:64])
    for place in (at, at + 17, at + 100, torch_file.index(b"}q\x00(") + 5, len(torch_file) - 8):
        yield f"flipped_{place}.pt", _flipped(torch_file, place, 3)


def _flipped(content: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def _weights() -> Iterator[tuple[str, bytes]]:
    """Weights that no model can be made of."""
    changes: dict[str, Callable[[dict[str, Tensor]], dict[str, Any]]] = {
        "nan": lambda w: {**w, "fc.bias": torch.full((5,), torch.nan)},
        "infinite": lambda w: {**w, "conv1.weight": torch.full((4, 3, 3, 3), torch.inf)},
        "one_nan": lambda w: {**w, "fc.weight": w["fc.weight"].index_fill(1, torch.tensor([2]), torch.nan)},
        "shape": lambda w: {**w, "conv1.weight": torch.zeros(7, 3, 3, 3)},
        "order": lambda w: {"layers": [*w.values()]},
        "flat": lambda w: {**w, "fc.weight": w["fc.weight"].flatten()},
        "missing": lambda w: {"fc.bias": w["fc.bias"]},
        "whole_numbers": lambda w: {name: tensor.long() for name, tensor in w.items()},
        "nothing": lambda w: {},
        "complex": lambda w: {name: tensor.cfloat() for name, tensor in w.items()},
        "scalars": lambda w: {name: tensor.sum() for name, tensor in w.items()},
    }
    for name, change in changes.items():
        changed = change(net())
        yield f"weights_{name}.pt", saved(changed)
        if all(isinstance(value, Tensor) for value in changed.values()):
            yield f"weights_{name}.safetensors", safetensors_bytes(changed)
    yield "expanded.pt", saved({"fc.weight": torch.zeros(1).expand(10**9), "fc.bias": torch.zeros(5)})
    yield "sparse.pt", saved({"fc.weight": torch.eye(5).to_sparse(), "fc.bias": torch.zeros(5)})
    yield "a_list.pt", saved([torch.zeros(3)])
    yield "a_tensor.pt", saved(torch.zeros(3))
    yield "numbers.pt", saved({"epoch": 3})


def _strangers() -> Iterator[tuple[str, bytes]]:
    """Files of other kinds under a checkpoint's name."""
    others = {
        "text": b"hello\n" * 100,
        "zeros": bytes(1000),
        "html": b"<!doctype html><title>404</title>",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "gzip": b"\x1f\x8b\x08" + bytes(100),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "elf": b"\x7fELF" + bytes(100),
        "tar": b"sys_info" + bytes(504),
    }
    for name, content in others.items():
        yield f"stranger_{name}.pt", content
        yield f"stranger_{name}.safetensors", content
