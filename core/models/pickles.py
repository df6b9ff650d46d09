"""Pickles written by `torch.save`, read into plain values and positions of tensors without running any of them.

A pickle is a program. Python's own reader, and torch's restricted one, run it; this one interprets its instructions,
which Python's `pickletools` only lists, and makes nothing but numbers, text, containers and `TensorPlace`s. A name
that the pickle would import becomes an inert `Stub`, and is listed: `core.models.tensor_files`
refuses a pickle with such names.

Nothing here imports torch: it runs in `core.runtime.sandbox`.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NoReturn

MOST_OPERATIONS = 3_000_000  # a state dict of 10,000 tensors takes 400,000
_MOST_BITS = 256  # of one whole number; a longer one cannot be a size
_MOST_DIMENSIONS = 32

# dtype of each storage, by the older and the newer names of torch's classes
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
    "storage.UntypedStorage": "uint8",  # bytes of tensors that state their own dtype
}
ITEM_BYTES = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "float8_e4m3fn", "float8_e5m2"), 1),
    **dict.fromkeys(("float8_e4m3fnuz", "float8_e5m2fnuz"), 1),
    "complex128": 16,
}

# Names that a pickle of tensors and plain values may refer to. None of these is ever imported: `_CALLS` interprets some
# of them, and the others become stubs.
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
    """A pickle that cannot be read; the message says why."""


@dataclass(frozen=True)
class Name:
    """Something that a pickle would import."""

    text: str


class Stub(dict[Hashable, Any]):
    """An object that a pickle would make, not made; holds its named state."""


@dataclass(frozen=True)
class StoragePlace:
    """Numbers in one contiguous piece.

    Attributes:
        key: their name in the file.
        dtype: of the numbers, such as "float32".
        length: number of numbers.
    """

    key: str
    dtype: str
    length: int


@dataclass(frozen=True)
class TensorPlace:
    """A tensor, as a part of a storage.

    Attributes:
        storage: holds its numbers.
        dtype: of the numbers, such as "float32".
        offset: of the first number.
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
    """The content of a pickle.

    Attributes:
        value: plain values, containers, `TensorPlace` and `Stub`.
        end: position after its last byte.
        imports: every name that it would import, in order.
        storages: by key.
    """

    value: Any = None
    end: int = 0
    imports: dict[str, None] = field(default_factory=dict)
    storages: dict[str, StoragePlace] = field(default_factory=dict)

    @property
    def strange(self) -> tuple[str, ...]:
        """Names that it would import besides those of tensors, containers and plain values."""
        return tuple(sorted(name for name in self.imports if name not in _PLAIN))


def unpickle(content: bytes, start: int = 0, progress: Callable[[float], None] = lambda fraction: None) -> Unpickled:
    """Interpret a pickle to its end.

    Args:
        content: bytes with a pickle in them.
        start: position of the pickle.
        progress: called from time to time with the fraction done.

    Raises:
        PickleError: if it is not a whole pickle, is too long, or does what `torch.save` never writes.
    """
    machine = _Machine(content, start, progress)
    try:
        return machine.run()
    except (IndexError, struct.error, UnicodeDecodeError, OverflowError, ValueError, TypeError, LookupError) as error:
        raise error if isinstance(error, PickleError) else PickleError("it is damaged") from error


_MARK = object()


class _Machine:
    """A stack, a memo and the instructions, which Python's `pickletools` lists without running them."""

    def __init__(self, content: bytes, start: int, progress: Callable[[float], None]) -> None:
        self.content = io.BytesIO(content)
        self.content.seek(start)
        self.size = max(1, len(content))
        self.progress = progress
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.found = Unpickled()

    def run(self) -> Unpickled:
        for number, (operation, argument, at) in enumerate(pickletools.genops(self.content)):
            if number >= MOST_OPERATIONS:
                _refuse(f"it has more than {MOST_OPERATIONS:,} instructions")
            if number % 65536 == 0:
                self.progress((at or 0) / self.size)
            step = _STEPS.get(operation.name)
            if step is None:
                _refuse(f"it has an instruction {operation.name} that torch never writes")
            step(self, argument)
        self.found.value, self.found.end = self.stack.pop(), self.content.tell()
        return self.found

    def above_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                _refuse("it is damaged")
        taken = self.stack[place + 1 :]
        del self.stack[place:]
        return taken

    def memoize(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def set_items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(pairs) % 2:
            _refuse("it sets items of something that has none")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if isinstance(key, str | int | float | bytes | None):  # a tuple may be as deep as it likes
                target[key] = value

    def extend(self, values: list[Any]) -> None:
        """Put values into the list below them; a stub takes none."""
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def name(self, module: str, text: str) -> None:
        name = f"{module}.{text}"
        self.found.imports[name] = None
        self.stack.append(Name(name))

    def name_of_two(self) -> None:
        """Push a name that is given by two texts on the stack."""
        text, module = self.stack.pop(), self.stack.pop()
        if isinstance(text, str) and isinstance(module, str):
            self.name(module, text)
        else:
            self.name("a name that it makes up", "while it runs")

    def call(self, function: Any, arguments: Any) -> None:
        arguments = arguments if isinstance(arguments, tuple) else ()
        made = _CALLS.get(function.text) if isinstance(function, Name) else None
        self.stack.append(made(arguments) if made is not None else Stub())

    def state(self) -> None:
        """Give the object below its state: attributes, which are ignored for containers of tensors."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Stub) and isinstance(state, dict):
            self.stack[-1].update(state)

    def persistent(self, said: Any) -> None:
        """Push the storage that an identifier of torch names."""
        match said:
            case ("storage", Name(text=text), str(key), str(), int(length), *rest) if (
                rest in ([], [None]) and text.removeprefix("torch.") in STORAGES and 0 <= length < 1 << 60
            ):
                place = StoragePlace(key, STORAGES[text.removeprefix("torch.")], length)
            case _:
                _refuse("it names tensor data in a way that torch never writes")
        if self.found.storages.setdefault(key, place) != place:
            _refuse(f"it says two things of tensor data {key[:20]!a}")
        self.stack.append(place)


def _refuse(what: str) -> NoReturn:
    raise PickleError(what)


def _tensor(arguments: tuple[Any, ...], dtype: str = "") -> TensorPlace:
    """A tensor whose entries are all inside its storage.

    Raises:
        PickleError: if they are not.
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
    """A tensor with an explicit dtype, as those of newer dtypes."""
    match arguments:
        case (*before, Name(text=text), dict() | None) | (*before, Name(text=text)):
            dtype = text.removeprefix("torch.")
            if len(before) >= 4 and dtype in ITEM_BYTES:
                return _tensor(tuple(before), dtype)
    return _refuse("it has a tensor of a dtype that is not known here")


def _from_type(arguments: tuple[Any, ...]) -> Any:
    """The plain tensor in a tensor of a torch class or with attributes."""
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


def _pushes(value: Callable[[_Machine, Any], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, argument: machine.stack.append(value(machine, argument))


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, argument: Any) -> None:
        taken = tuple(machine.stack[len(machine.stack) - count :])
        if len(taken) != count or _MARK in taken:
            _refuse("it is damaged")
        del machine.stack[len(machine.stack) - count :]
        machine.stack.append(taken)

    return step


def _reduce(machine: _Machine, argument: Any) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    machine.call(function, arguments)


def _new_with_names(machine: _Machine, argument: Any) -> None:
    """NEWOBJ_EX: a class with its arguments, some of them by name."""
    machine.stack.pop()
    _reduce(machine, argument)


def _global(machine: _Machine, argument: str) -> None:
    module, _, text = argument.partition(" ")
    machine.name(module, text)


def _inst(machine: _Machine, argument: str) -> None:
    arguments = tuple(machine.above_mark())
    _global(machine, argument)
    machine.call(machine.stack.pop(), arguments)


def _obj(machine: _Machine, argument: Any) -> None:
    taken = machine.above_mark()
    machine.call(taken[0], tuple(taken[1:]))


_ITSELF = _pushes(lambda _, argument: argument)
_ITSELF_IF_SHORT = _pushes(lambda _, argument: argument if argument.bit_length() <= _MOST_BITS else 0)
_LIST = _pushes(lambda machine, _: machine.above_mark())

# By the name of the instruction; the module `pickletools` of Python's library describes them.
_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(("FLOAT", "BINFLOAT", "STRING", "UNICODE", "BINSTRING", "SHORT_BINSTRING"), _ITSELF),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _ITSELF),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _ITSELF),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), _ITSELF_IF_SHORT),
    "BYTEARRAY8": _pushes(lambda _, argument: bytes(argument)),
    "NONE": _pushes(lambda *_: None),
    "NEWTRUE": _pushes(lambda *_: True),
    "NEWFALSE": _pushes(lambda *_: False),
    "EMPTY_TUPLE": _pushes(lambda *_: ()),
    "EMPTY_LIST": _pushes(lambda *_: []),
    "EMPTY_DICT": _pushes(lambda *_: {}),
    "EMPTY_SET": _pushes(lambda *_: []),
    "LIST": _LIST,
    "TUPLE": _pushes(lambda machine, _: tuple(machine.above_mark())),
    "FROZENSET": _LIST,
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "DICT": _pushes(lambda machine, _: _ordered(([*zip(*[iter(machine.above_mark())] * 2, strict=True)],))),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.above_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.above_mark()),
    "SETITEM": lambda machine, _: machine.set_items([*reversed((machine.stack.pop(), machine.stack.pop()))]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.above_mark()),
    "MARK": _pushes(lambda *_: _MARK),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.above_mark(),
    "DUP": _pushes(lambda machine, _: machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, number: machine.memoize(number)),
    "MEMOIZE": lambda machine, _: machine.memoize(len(machine.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _pushes(lambda machine, number: machine.memo[number])),
    "GLOBAL": _global,
    "STACK_GLOBAL": lambda machine, _: machine.name_of_two(),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda machine, _: machine.name("a name", "of the extension registry")),
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_with_names,
    "INST": _inst,
    "OBJ": _obj,
    "BUILD": lambda machine, _: machine.state(),
    "PERSID": lambda machine, identifier: machine.persistent(identifier),
    "BINPERSID": lambda machine, _: machine.persistent(machine.stack.pop()),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
}
