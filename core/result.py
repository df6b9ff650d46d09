"""What an analysis returns: arrays with their units, their cost, and the recipe that makes them again.

A `Result` is a frozen dataclass of NumPy arrays and plain values on the CPU. Each field is declared with
`quantity(unit, axes)`, so that no figure has to type a unit by hand; `words` label the fields that a text quotes,
and `key_numbers` lists them. `save` and `load` are defined once, here: arrays in NumPy's own format and everything else
as JSON, never pickle.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np

from core.files import write_whole

_HEADER = "result"  # the member of the archive that holds the JSON


def quantity(unit: str, axes: str = "", *, words: str = "", formerly: str = "", default: Any = MISSING) -> Any:
    """Declare a field of a result.

    Args:
        unit: of the value; "" for pure numbers and text.
        axes: names of the array's axes, separated by blanks; "" for a plain value.
        words: what a table calls the number; "" for fields that no text quotes.
        formerly: the field's name in results saved by version 0.1, where it was another.
        default: the value when none is given; without it the field is required.

    Returns:
        A dataclass field with these as metadata.
    """
    metadata = {"unit": unit, "axes": axes, "words": words, "formerly": formerly}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True, eq=False)
class Number:
    """One number that a text about a result quotes.

    Attributes:
        name: what it is, in words.
        unit: "" for pure numbers and shares.
        value: the number; or (n,) one per sample, NaN where there is none; booleans stand for their share.
        interval: its 95 % interval, where the result has one.
    """

    name: str
    value: float | np.ndarray
    unit: str = ""
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the words of a number may need besides the result: class names and settings of the figure."""

    class_names: Sequence[str] = ()
    figure: Mapping[str, Any] = field(default_factory=dict)


def per_sample(value: np.ndarray) -> np.ndarray:
    """(n,) the mean of the finite values of each sample, NaN where there is none; (n,) booleans are unchanged."""
    if value.dtype == bool and value.ndim == 1:
        return value
    rows = value.reshape(len(value), -1).astype(np.float64)
    counts = np.isfinite(rows).sum(1)
    sums = np.where(np.isfinite(rows), rows, 0.0).sum(1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """The base of every result: its cost, and the recipe that makes it again."""

    forwards: int = quantity("images")
    gradients: int = quantity("images")
    seconds: float = quantity("s")
    recipe: Mapping[str, Any] | None = quantity("", default=None)

    timed: ClassVar[tuple[str, ...]] = ("seconds",)  # not exported: files must not differ between runs

    @classmethod
    def unit(cls, name: str) -> str:
        """The unit of the field called `name`."""
        return cast(str, cls._field(name).metadata["unit"])

    @classmethod
    def axes(cls, name: str) -> tuple[str, ...]:
        """The names of the axes of the field called `name`."""
        return tuple(cls._field(name).metadata["axes"].split())

    @classmethod
    def _field(cls, name: str) -> Field[Any]:
        return next(entry for entry in fields(cls) if entry.name == name)

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """The numbers that a text about this result quotes: few, with units, never a mean of axes or of bases.

        By default these are the fields with `words`, in their order.

        Args:
            context: what the words may need besides the result.

        Yields:
            Numbers in the order in which a text quotes them; NaN where a number is not known.
        """
        yield from self.quoted(*(entry.name for entry in fields(self) if entry.metadata.get("words")))

    def quoted(self, *specs: str, columns: Sequence[str] = ()) -> Iterator[Number]:
        """Numbers by name, with the words and units of their fields.

        The first axis of an array counts samples; the value of a sample is the mean of its entries.

        Args:
            specs: names of fields, or `property:words:unit` for properties.
            columns: labels of an array's columns, where each column is a number.

        Yields:
            One number per name, or one per column.
        """
        declared: dict[str, Mapping[str, Any]] = {entry.name: entry.metadata for entry in fields(self)}
        for spec in specs:
            name, words, unit = (*spec.split(":"), "", "")[:3]
            value, known = getattr(self, name), declared.get(name, {})
            words, unit = words or known["words"], unit or known.get("unit", "")
            if columns:
                for label, column in zip(columns, value.T, strict=True):
                    yield Number(name=f"{words}, {label}", value=per_sample(column), unit=unit)
            else:
                yield Number(name=words, value=per_sample(value) if np.ndim(value) else float(value), unit=unit)

    @classmethod
    def extended(cls, found: Result, **values: Any) -> Self:
        """A result of this class with the fields that it shares with another one, and with these values."""
        names = {entry.name for entry in fields(cls)} & {entry.name for entry in fields(found)}
        return cls(**{name: getattr(found, name) for name in names} | values)

    @property
    def nbytes(self) -> int:
        """The bytes held by the arrays."""
        return sum(value.nbytes for value in self.by_name().values() if isinstance(value, np.ndarray))

    def by_name(self) -> dict[str, Any]:
        """The fields with their values, such as those that a derived class takes over."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def to_bytes(self, *, timings: bool = True, compress: bool = False) -> bytes:
        """The result as the bytes of an `.npz` archive, the same bytes for the same result.

        Args:
            timings: keep the fields that differ from run to run; False for exported files.
            compress: deflate the arrays.

        Returns:
            An archive that `numpy.load(..., allow_pickle=False)` reads: one member per array, and one with the JSON.
        """
        arrays: dict[str, np.ndarray] = {}
        plain: dict[str, Any] = {}
        for name, value in self.by_name().items():
            if isinstance(value, np.ndarray):
                arrays[name] = value
            elif timings or name not in self.timed:
                plain[name] = value
        units = {entry.name: entry.metadata["unit"] for entry in fields(self) if entry.metadata.get("unit")}
        header = json.dumps({"kind": type(self).__name__, "fields": plain, "units": units}, sort_keys=True)
        buffer = io.BytesIO()
        write = np.savez_compressed if compress else np.savez
        write(buffer, allow_pickle=False, **{_HEADER: np.array(header), **arrays})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Args:
            data: the archive.

        Returns:
            A result of the class that was written: `cls` or a subclass.

        Raises:
            ValueError: if the archive holds no result of this kind.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                header = json.loads(str(archive[_HEADER]))
                arrays = {name: archive[name] for name in archive.files if name != _HEADER}
        except (OSError, KeyError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError("expected an .npz file written by Boundary Atlas, got something else") from error
        if not isinstance(header, dict) or not isinstance(header.get("kind"), str) or "fields" not in header:
            raise ValueError("expected an .npz file written by Boundary Atlas, got one with another header")
        kind = _class_named(header["kind"])
        if not issubclass(kind, cls):
            raise ValueError(f"expected a saved {cls.__name__}, got a {kind.__name__}")
        entries = fields(kind)
        known = {e.metadata.get("formerly"): e.name for e in entries} | {e.name: e.name for e in entries}
        plain = {known[name]: _frozen(value) for name, value in header["fields"].items() if name in known}
        missing: dict[str, Any] = {name: float("nan") for name in kind.timed if name not in plain}
        try:
            return kind(**missing, **plain, **{known[name]: value for name, value in arrays.items() if name in known})
        except TypeError as error:
            raise ValueError(f"expected a {kind.__name__} with all its fields, got one of another version") from error

    def save(self, path: Path | str) -> None:
        """Write the result, without timings, to an `.npz` file, whole or not at all: the same bytes each time.

        Raises:
            OutputError: if the file cannot be written.
        """
        write_whole(path, self.to_bytes(timings=False, compress=True))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a result that `save` wrote; `seconds` is NaN, because saved files hold no timings.

        Raises:
            ValueError: if the file holds no result of this kind.
        """
        return cls.from_bytes(Path(path).read_bytes())


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassifierResult(Result):
    """The base of results about one classifier: its number of classes, and its fingerprint where there is one."""

    num_classes: int = quantity("")
    fingerprint: str = quantity("", default="")


def _class_named(kind: str) -> type[Any]:
    """The result class of this kind; only names that `core` knows are looked up.

    A kind is the name of the class. Version 0.1 also wrote its module, `core.geometry.slices.Slice`; such files are
    still read.

    Raises:
        ValueError: if there is no such class.
    """
    name = kind.rpartition(".")[2] if kind.startswith("core.") else kind
    public = import_module("core")
    name = public.RENAMED.get(name, name)
    found = getattr(public, name, None)
    if not (isinstance(found, type) and issubclass(found, Result)):
        raise ValueError(f"expected a result of Boundary Atlas, got one called {kind!r}")
    return found


def _frozen(value: Any) -> Any:
    """A JSON value with tuples for lists, so that a loaded result equals the saved one."""
    return tuple(_frozen(entry) for entry in value) if isinstance(value, list) else value
