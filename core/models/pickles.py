"""Pickles: what `torch.save` wrote, read into plain values and places of tensors without running any of it.

A pickle is a program. Python's own reader, and torch's restricted one, run it; this one follows its instructions and
makes numbers, words, containers and `TensorPlace`s, whatever it asks for. A name that it would import becomes an inert
`Stub`, and is listed for the refusal.

Nothing here imports torch: it runs in a process of its own (`core.runtime.sandbox`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NoReturn

MOST_OPERATIONS = 3_000_000  # a state dict of 10,000 tensors takes 400,000
_MOST_NUMBER = 32  # bytes of one whole number
_MOST_DIMENSIONS = 32
_LONGEST_LINE = 2000  # bytes; only pickles of protocol 0 have lines

# dtype of each kind of storage, as the older and the newer names of torch's classes say it
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    **{
        "QInt8Storage": "int8",
        "QUInt8Storage": "uint8",
        "QInt32Storage": "int32",
    },  # quantised: refused
    **dict.fromkeys(("QUInt4x2Storage", "QUInt2x4Storage"), "uint8"),
    "storage.UntypedStorage": "uint8",  # bytes, of tensors that say their dtype themselves
}
ITEM_BYTES = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "float8_e4m3fn", "float8_e5m2"), 1),
    **dict.fromkeys(("float8_e4m3fnuz", "float8_e5m2fnuz"), 1),
    "complex128": 16,
}

# Where a pickle may point and still hold tensors and plain values only. None of these is ever imported: what is made of
# them here stands in `_CALLS`, and of the others a stub.
_PLAIN = {
    *(f"torch.{kind}" for kind in STORAGES),
    *(f"torch.{dtype}" for dtype in ITEM_BYTES),
    "torch.Size",
    "torch.device",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.Buffer",
    "torch.strided",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "collections.deque",
    "argparse.Namespace",
    "datetime.datetime",
    "datetime.timedelta",
    "datetime.date",
    "datetime.timezone",
    *(f"pathlib.{kind}" for kind in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(f"pathlib._local.{kind}" for kind in ("Path", "PosixPath", "WindowsPath")),
    *(f"{home}.{kind}" for home in ("__builtin__", "builtins") for kind in ("set", "frozenset", "complex", "slice")),
    *(f"{home}.{kind}" for home in ("__builtin__", "builtins") for kind in ("int", "float", "dict", "list", "str")),
    *(f"{home}.Ellipsis" for home in ("__builtin__", "builtins")),
    "_codecs.encode",
    *(f"numpy.{kind}" for kind in ("dtype", "ndarray", "float64", "float32", "int64", "int32", "bool_")),
    *(f"numpy.{core}.multiarray.{kind}" for core in ("core", "_core") for kind in ("scalar", "_reconstruct")),
}


class PickleError(ValueError):
    """A pickle that cannot be followed: says what of it."""


@dataclass(frozen=True)
class Name:
    """Something that a pickle would import."""

    text: str


class Stub(dict[Hashable, Any]):
    """What a pickle would make of a name, not made; what it was given by name is kept."""


@dataclass(frozen=True)
class StoragePlace:
    """Numbers that lie in one piece.

    Attributes:
        key: what the file calls them.
        dtype: of the numbers, such as "float32".
        length: how many they are.
    """

    key: str
    dtype: str
    length: int


@dataclass(frozen=True)
class TensorPlace:
    """A tensor: which numbers of a storage it is made of.

    Attributes:
        storage: where they lie.
        dtype: of the numbers, such as "float32".
        offset: of the first one.
        shape: of the tensor.
        stride: numbers from one entry to the next, by axis.
    """

    storage: StoragePlace
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass
class Unpickled:
    """What a pickle holds.

    Attributes:
        value: plain values, containers, `TensorPlace` and `Stub`.
        end: where in the bytes it stops.
        imports: every name that it would import, in the order of their coming.
        storages: by key.
    """

    value: Any = None
    end: int = 0
    imports: dict[str, None] = field(default_factory=dict)
    storages: dict[str, StoragePlace] = field(default_factory=dict)

    @property
    def strange(self) -> tuple[str, ...]:
        """What it would import beyond tensors, containers and plain values."""
        return tuple(sorted(name for name in self.imports if name not in _PLAIN))


def unpickle(content: bytes, start: int = 0, progress: Callable[[float], None] = lambda fraction: None) -> Unpickled:
    """Follow a pickle to its end.

    Args:
        content: bytes with a pickle in them.
        start: where it begins.
        progress: called now and then with the fraction done.

    Returns:
        What it holds.

    Raises:
        PickleError: if it is no whole pickle, is too long, or does what `torch.save` never writes.
    """
    machine = _Machine(content, start, progress)
    try:
        return machine.run()
    except (IndexError, struct.error, UnicodeDecodeError, OverflowError, ValueError, TypeError, LookupError) as error:
        raise error if isinstance(error, PickleError) else PickleError("it is damaged") from error


_MARK = object()


class _Machine:
    """A stack, a memo and a place in the bytes."""

    def __init__(self, content: bytes, start: int, progress: Callable[[float], None]) -> None:
        self.content = content
        self.at = start
        self.progress = progress
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.found = Unpickled()

    def run(self) -> Unpickled:
        """Follow the instructions until STOP."""
        content, steps = self.content, _STEPS
        for operation in range(MOST_OPERATIONS):
            if operation % 65536 == 0:
                self.progress(self.at / max(1, len(content)))
            code = content[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                self.found.value, self.found.end = self.stack.pop(), self.at
                return self.found
            step = steps.get(code)
            if step is None:
                _refuse(f"it has an instruction {code:#04x} that torch never writes")
            step(self)
        return _refuse(f"it has more than {MOST_OPERATIONS:,} instructions")

    # -- bytes

    def bytes(self, count: int) -> bytes:
        """The next bytes."""
        if not 0 <= count <= len(self.content) - self.at:
            _refuse("it claims more than it holds")
        taken = self.content[self.at : self.at + count]
        self.at += count
        return taken

    def number(self, count: int) -> int:
        """An unsigned integer of `count` bytes."""
        return int.from_bytes(self.bytes(count), "little")

    def signed(self, count: int) -> int:
        """A signed integer of `count` bytes; 0 for one longer than any size."""
        if count > _MOST_NUMBER:
            self.bytes(count)
            return 0
        return int.from_bytes(self.bytes(count), "little", signed=True)

    def line(self, encoding: str = "utf-8") -> str:
        """The rest of a line."""
        end = self.content.index(b"\n", self.at, self.at + _LONGEST_LINE)
        taken = self.content[self.at : end]
        self.at = end + 1
        return taken.decode(encoding)

    # -- stack

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def above_mark(self) -> list[Any]:
        """Take everything above the topmost mark, and the mark."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                _refuse("it is damaged")
        taken = self.stack[place + 1 :]
        del self.stack[place:]
        return taken

    def keep(self, number: int) -> None:
        """Remember the topmost value under a number."""
        self.memo[number] = self.stack[-1]

    # -- meaning

    def set_items(self, pairs: list[Any]) -> None:
        """Put names and values into the dict below."""
        target = self.stack[-1]
        if not isinstance(target, dict) or len(pairs) % 2:
            _refuse("it sets items of something that has none")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if isinstance(key, str | int | float | bytes | None):  # a tuple may be as deep as it likes
                target[key] = value

    def extend(self, values: list[Any]) -> None:
        """Put values into the list below; a stub takes none."""
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def name(self, module: str, text: str) -> None:
        """Push a name that would be imported."""
        name = f"{module}.{text}"
        self.found.imports[name] = None
        self.push(Name(name))

    def name_of_two(self) -> None:
        """Push a name out of two words on the stack."""
        text, module = self.stack.pop(), self.stack.pop()
        if isinstance(text, str) and isinstance(module, str):
            self.name(module, text)
        else:
            self.name("a name that it makes up", "while it runs")

    def call(self, function: Any, arguments: Any) -> None:
        """Push what a call stands for."""
        arguments = arguments if isinstance(arguments, tuple) else ()
        made = _CALLS.get(function.text) if isinstance(function, Name) else None
        self.push(made(arguments) if made is not None else Stub())

    def state(self) -> None:
        """Give the object below its state: attributes, which for containers of tensors mean nothing."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Stub) and isinstance(state, dict):
            self.stack[-1].update(state)

    def persistent(self, said: Any) -> None:
        """Push the storage that an identifier of torch names."""
        match said:
            case ("storage", Name(text=text), str(key), str(), int(length)) | (
                "storage",
                Name(text=text),
                str(key),
                str(),
                int(length),
                None,
            ) if text.removeprefix("torch.") in STORAGES and 0 <= length < 1 << 60:
                place = StoragePlace(key, STORAGES[text.removeprefix("torch.")], length)
            case _:
                _refuse("it names tensor data in a way that torch never writes")
        if self.found.storages.setdefault(key, place) != place:
            _refuse(f"it says two things of tensor data {key[:20]!a}")
        self.push(place)


def _refuse(what: str) -> NoReturn:
    raise PickleError(what)


def _tensor(arguments: tuple[Any, ...], dtype: str = "") -> TensorPlace:
    """A tensor of a storage, all of whose entries lie in it.

    Raises:
        PickleError: if they do not.
    """
    match arguments:
        case (StoragePlace() as storage, int(offset), tuple(shape), tuple(stride), *more):
            pass
        case _:
            _refuse("it makes a tensor of something else than numbers")
    if any(isinstance(each, dict) and (each.get("neg") or each.get("conj")) for each in more):
        _refuse("it has a tensor that is kept as the negative or conjugate of its numbers; call .resolve_neg() first")
    whole = all(type(size) is int and 0 <= size < 1 << 60 for size in (*shape, *stride))
    if not whole or len(shape) != len(stride) or len(shape) > _MOST_DIMENSIONS or not 0 <= offset < 1 << 60:
        _refuse("it has a tensor of no shape that there is")
    dtype = dtype or storage.dtype
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if 0 not in shape and (last + 1) * ITEM_BYTES[dtype] > storage.length * ITEM_BYTES[storage.dtype]:
        _refuse(f"a tensor reaches beyond tensor data {storage.key[:20]!a}")
    return TensorPlace(storage, dtype, offset, shape, stride)


def _of_dtype(arguments: tuple[Any, ...]) -> TensorPlace:
    """A tensor whose dtype stands beside its bytes, as those of newer dtypes."""
    match arguments:
        case (*before, Name(text=text), dict() | None) | (*before, Name(text=text)):
            dtype = text.removeprefix("torch.")
            if len(before) >= 4 and dtype in ITEM_BYTES:
                return _tensor(tuple(before), dtype)
    return _refuse("it has a tensor of a dtype that is not known here")


def _from_type(arguments: tuple[Any, ...]) -> Any:
    """A tensor of a class of torch's, or with attributes: the tensor itself."""
    match arguments:
        case (Name(text="torch._utils._rebuild_tensor_v3"), Name(), tuple(inner), *_):
            return _of_dtype(inner)
        case (Name(text=text), Name(), tuple(inner), *_) if text.startswith("torch._utils._rebuild_tensor"):
            return _tensor(inner)
    return Stub()


def _ordered(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    match arguments:
        case (list(pairs),):
            return {pair[0]: pair[1] for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2}
    return {}


_CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _of_dtype,
    "torch._utils._rebuild_parameter": lambda arguments: arguments[0],
    "torch._utils._rebuild_parameter_with_state": lambda arguments: arguments[0],
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": lambda arguments: tuple(arguments[0]),
    "collections.OrderedDict": _ordered,
}


def _tuple_of(count: int) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        taken = tuple(machine.stack[len(machine.stack) - count :])
        if len(taken) != count or _MARK in taken:
            _refuse("it is damaged")
        del machine.stack[len(machine.stack) - count :]
        machine.push(taken)

    return step


def _pushes(value: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(value(machine))


def _reduce(machine: _Machine) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    machine.call(function, arguments)


def _new_with_names(machine: _Machine) -> None:
    """NEWOBJ_EX: a class with its arguments, some of them by name."""
    machine.stack.pop()
    _reduce(machine)


def _inst(machine: _Machine) -> None:
    module, text = machine.line(), machine.line()
    arguments = tuple(machine.above_mark())
    machine.name(module, text)
    machine.call(machine.stack.pop(), arguments)


def _obj(machine: _Machine) -> None:
    taken = machine.above_mark()
    machine.call(taken[0], tuple(taken[1:]))


def _extension(machine: _Machine, count: int) -> None:
    machine.bytes(count)
    machine.name("a name", "of the extension registry")


def _global(machine: _Machine) -> None:
    machine.name(machine.line(), machine.line())


def _put(machine: _Machine) -> None:
    machine.keep(int(machine.line()))


def _get(machine: _Machine) -> None:
    machine.push(machine.memo[int(machine.line())])


def _quoted(machine: _Machine) -> str:
    return machine.line().strip("'\"")


def _int(machine: _Machine) -> int | bool:
    text = machine.line()
    return {"00": False, "01": True}[text] if text in ("00", "01") else int(text)


# By instruction: see the module `pickletools` of Python's library for their meaning.
_STEPS: dict[int, Callable[[_Machine], Any]] = {
    ord(code): step
    for code, step in {
        "(": lambda machine: machine.push(_MARK),
        "0": lambda machine: machine.stack.pop(),
        "1": lambda machine: machine.above_mark(),
        "2": lambda machine: machine.push(machine.stack[-1]),
        "F": _pushes(lambda machine: float(machine.line())),
        "I": _pushes(_int),
        "L": _pushes(lambda machine: int(machine.line().rstrip("L"))),
        "J": _pushes(lambda machine: machine.signed(4)),
        "K": _pushes(lambda machine: machine.number(1)),
        "M": _pushes(lambda machine: machine.number(2)),
        "\x8a": _pushes(lambda machine: machine.signed(machine.number(1))),
        "\x8b": _pushes(lambda machine: machine.signed(machine.number(4))),
        "G": _pushes(lambda machine: struct.unpack(">d", machine.bytes(8))[0]),
        "N": _pushes(lambda machine: None),
        "\x88": _pushes(lambda machine: True),
        "\x89": _pushes(lambda machine: False),
        "S": _pushes(_quoted),
        "V": _pushes(lambda machine: machine.line("raw-unicode-escape")),
        "T": _pushes(lambda machine: machine.bytes(machine.number(4)).decode("latin-1")),
        "U": _pushes(lambda machine: machine.bytes(machine.number(1)).decode("latin-1")),
        "X": _pushes(lambda machine: machine.bytes(machine.number(4)).decode("utf-8", "surrogatepass")),
        "\x8c": _pushes(lambda machine: machine.bytes(machine.number(1)).decode("utf-8", "surrogatepass")),
        "\x8d": _pushes(lambda machine: machine.bytes(machine.number(8)).decode("utf-8", "surrogatepass")),
        "B": _pushes(lambda machine: machine.bytes(machine.number(4))),
        "C": _pushes(lambda machine: machine.bytes(machine.number(1))),
        "\x8e": _pushes(lambda machine: machine.bytes(machine.number(8))),
        "\x96": _pushes(lambda machine: machine.bytes(machine.number(8))),
        ")": _pushes(lambda machine: ()),
        "]": _pushes(lambda machine: []),
        "}": _pushes(lambda machine: {}),
        "\x8f": _pushes(lambda machine: []),
        "l": _pushes(lambda machine: machine.above_mark()),
        "t": _pushes(lambda machine: tuple(machine.above_mark())),
        "\x91": _pushes(lambda machine: machine.above_mark()),
        "\x85": _tuple_of(1),
        "\x86": _tuple_of(2),
        "\x87": _tuple_of(3),
        "a": lambda machine: machine.extend([machine.stack.pop()]),
        "e": lambda machine: machine.extend(machine.above_mark()),
        "\x90": lambda machine: machine.extend(machine.above_mark()),
        "s": lambda machine: machine.set_items([*reversed((machine.stack.pop(), machine.stack.pop()))]),
        "u": lambda machine: machine.set_items(machine.above_mark()),
        "d": _pushes(lambda machine: _ordered(([*zip(*[iter(machine.above_mark())] * 2, strict=True)],))),
        "p": _put,
        "q": lambda machine: machine.keep(machine.number(1)),
        "r": lambda machine: machine.keep(machine.number(4)),
        "\x94": lambda machine: machine.keep(len(machine.memo)),
        "g": _get,
        "h": lambda machine: machine.push(machine.memo[machine.number(1)]),
        "j": lambda machine: machine.push(machine.memo[machine.number(4)]),
        "c": _global,
        "\x93": lambda machine: machine.name_of_two(),
        "\x82": lambda machine: _extension(machine, 1),
        "\x83": lambda machine: _extension(machine, 2),
        "\x84": lambda machine: _extension(machine, 4),
        "R": _reduce,
        "\x81": _reduce,
        "\x92": _new_with_names,
        "i": _inst,
        "o": _obj,
        "b": lambda machine: machine.state(),
        "P": lambda machine: machine.persistent(machine.line()),
        "Q": lambda machine: machine.persistent(machine.stack.pop()),
        "\x80": lambda machine: machine.bytes(1),
        "\x95": lambda machine: machine.bytes(8),
    }.items()
}
