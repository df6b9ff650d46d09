"""A process of its own for every file from outside, with limits on memory, time and output, and nothing shared.

Readers of untrusted files run here: a bomb, an endless loop or a crash of a decoder ends that process and not the
program. `isolated` starts it, passes arguments and progress, and returns plain values and arrays, never pickles. Where
the system has limits (Linux, macOS) the child sets them for itself; everywhere a watchdog in the parent checks resident
memory and time.

The child imports only the named module. Readers must not import torch, so that the child starts in a tenth of a second.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import queue
import struct
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from core import errors

CHECKOUT = Path(__file__).resolve().parents[2]
MEMORY = "BOUNDARY_ATLAS_READ_MEMORY"  # most MB for reading one file from outside
SECONDS = "BOUNDARY_ATLAS_READ_SECONDS"  # most seconds of processor time for reading one file from outside
TOGETHER = 4  # files from outside that are read at the same time; others wait

logger = logging.getLogger(__name__)

_TICK = 0.05  # seconds between two checks of a child
_CHUNK = 1 << 20
_STDERR_BYTES = 10_000  # of a child's error output, for the log
_LENGTH = struct.Struct("<Q")
_MOST_HEADER = 256 << 20  # bytes of a value's structure, without arrays


@dataclass(frozen=True)
class Limits:
    """What reading one file may take.

    Attributes:
        memory: bytes, besides what the reader itself takes.
        seconds: of processor time; of the clock four times as many and ten more, since a machine may be busy.
        output: bytes returned.
    """

    memory: int
    seconds: float
    output: int

    @classmethod
    def of(cls, size: int, *, memory: int = 512 << 20, output: int = 64 << 20) -> Limits:
        """Reasonable limits for a file of this size, within this machine's settings.

        Args:
            size: of the file, in bytes.
            memory: bytes it may take.
            output: bytes returned.

        Returns:
            The limits: 10 s and a second for every 10 MB, within the settings `BOUNDARY_ATLAS_READ_MEMORY` (MB) and
            `BOUNDARY_ATLAS_READ_SECONDS`.
        """
        most_memory, most_seconds = _setting(MEMORY, 8192) << 20, float(_setting(SECONDS, 600))
        return cls(min(memory, most_memory), min(10 + size / 10e6, most_seconds), output)


def isolated(
    function: str,
    /,
    *,
    name: str,
    limits: Limits,
    refusal: type[ValueError],
    on_progress: Callable[[float], None] = lambda fraction: None,
    files: Sequence[int] = (),
    **arguments: Any,
) -> Any:
    """Run a reader in a process of its own.

    Args:
        function: `module:function` of `core`; the function takes `progress`, to be called with the fraction done, and
            the arguments.
        name: name of the file in error messages.
        limits: past one of them the reader is ended.
        refusal: the error to raise where a limit is passed, or the reader fails unexpectedly.
        on_progress: called every 50 ms with the fraction done; an exception from it ends the reader.
        files: descriptors to pass to the reader; `by_descriptor` gives their paths.
        **arguments: plain values, bytes, paths and NumPy arrays, by name.

    Returns:
        What the function returns: plain values, bytes and NumPy arrays in lists, tuples and dicts.

    Raises:
        ValueError: of the type `refusal`, or an error of `core.errors` from the reader.
        BaseException: from `on_progress`.
    """
    request = {"function": function, "arguments": arguments, "limits": [limits.memory, limits.seconds]}
    pieces: list[Any] = []
    head = _encoded(request, pieces)
    with _slot(on_progress):
        child = subprocess.Popen(
            [sys.executable, "-m", "core.runtime.sandbox"],
            cwd=CHECKOUT,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(files) if os.name == "posix" else (),
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        try:
            return _conversation(child, head, pieces, name, limits, refusal, on_progress)
        finally:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                with suppress(OSError):  # unwritten bytes for a child that is gone
                    stream.close()  # type: ignore[union-attr]


def by_descriptor(file: int, path: Path) -> str:
    """A path of an open file that stays valid if its own path is replaced; its own where the system has none."""
    place = f"/dev/fd/{file}"
    return place if os.name == "posix" and os.path.exists(place) else str(path.absolute())  # noqa: PTH110


def _setting(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and 0 < len(text) < 8 and int(text) else default


@cache
def _slots() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(TOGETHER)


@contextmanager
def _slot(on_progress: Callable[[float], None]) -> Iterator[None]:
    while not _slots().acquire(timeout=_TICK):
        on_progress(0.0)
    try:
        yield
    finally:
        _slots().release()


def _environment() -> dict[str, str]:
    """This process's environment, with one thread for every library: each thread's stack counts as memory."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
    return {**os.environ, **single, "PYTHONPATH": str(CHECKOUT), "PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8"}


# -- the parent -------------------------------------------------------------------------------------------------------


class _PastLimitError(Exception):
    """A child has passed a limit; the message says which."""


class _Watch:
    """The output of a child, read in pieces of exact length while its time and memory are checked."""

    def __init__(self, child: subprocess.Popen[bytes], limits: Limits, tick: Callable[[], None]) -> None:
        self._child = child
        self._limits = limits
        self._tick = tick
        self._ends = time.monotonic() + 4 * limits.seconds + 10
        self._chunks: queue.Queue[bytes] = queue.Queue(maxsize=8)
        self._rest = memoryview(b"")
        self.left = limits.output
        assert child.stdout is not None
        threading.Thread(target=self._pump, args=(child.stdout,), daemon=True).start()

    def _pump(self, stream: IO[bytes]) -> None:
        with suppress(OSError, ValueError):  # the parent has closed it
            while chunk := os.read(stream.fileno(), _CHUNK):
                self._chunks.put(chunk)
        self._chunks.put(b"")

    def fill(self, target: memoryview) -> None:
        """Fill memory with the next bytes.

        Raises:
            EOFError: if the child has ended.
            _PastLimitError: if it takes too much time or memory.
        """
        at = 0
        while at < len(target):
            while not len(self._rest):
                self._tick()
                self._look()
                try:
                    chunk = self._chunks.get(timeout=_TICK)
                except queue.Empty:
                    continue
                if not chunk:
                    self._chunks.put(b"")
                    raise EOFError
                self._rest = memoryview(chunk)
            count = min(len(self._rest), len(target) - at)
            target[at : at + count] = self._rest[:count]
            self._rest = self._rest[count:]
            at += count

    def take(self, count: int) -> bytes:
        """The next bytes, which count as output.

        Raises:
            _PastLimitError: if they exceed the limit on output.
        """
        self.spend(count)
        taken = bytearray(count)
        self.fill(memoryview(taken))
        return bytes(taken)

    def spend(self, count: int) -> None:
        """Count output.

        Raises:
            _PastLimitError: if it is more than may come.
        """
        self.left -= count
        if self.left < 0:
            raise _PastLimitError(f"gives more than {_megabytes(self._limits.output)}")

    def _look(self) -> None:
        if time.monotonic() > self._ends:
            raise _PastLimitError(f"takes longer than {4 * self._limits.seconds + 10:.0f} s")
        if resident(self._child.pid) > self._limits.memory + _OWN_MEMORY:
            raise _PastLimitError(f"takes more memory than {_megabytes(self._limits.memory)}")


_OWN_MEMORY = 192 << 20  # resident bytes of Python with NumPy, Pillow, pypdf and onnx


def resident(process: int) -> int:
    """Resident memory of a process in bytes; 0 where it has ended, or the system does not say."""
    try:
        if sys.platform == "linux":
            pages = Path(f"/proc/{process}/statm").read_bytes().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        listed = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, check=False).stdout
        return int(listed or b"0") << 10
    except (OSError, ValueError, IndexError):
        return 0


def _conversation(
    child: subprocess.Popen[bytes],
    head: bytes,
    pieces: list[Any],
    name: str,
    limits: Limits,
    refusal: type[ValueError],
    on_progress: Callable[[float], None],
) -> Any:
    fraction = 0.0
    watch = _Watch(child, limits, lambda: on_progress(fraction))
    output: list[bytes] = []
    threading.Thread(target=_listen, args=(child.stderr, output), daemon=True).start()
    threading.Thread(target=_send, args=(child.stdin, head, pieces), daemon=True).start()
    try:
        while True:
            kind = bytearray(1)
            watch.fill(memoryview(kind))
            if kind == b"P":
                packed = bytearray(8)
                watch.fill(memoryview(packed))
                fraction = min(1.0, max(0.0, struct.unpack("<d", packed)[0]))
                on_progress(fraction)
                continue
            value = _received(watch)
            if kind == b"R":
                return value
            break
    except _PastLimitError as error:
        raise refusal(_past(name, str(error), limits)) from None
    except (EOFError, ValueError, struct.error, RecursionError):
        raise _ended(child, name, limits, refusal, b"".join(output)) from None
    kind_of_error, sentence, trace = (str(each) for each in value)
    if kind_of_error == "limit":
        raise refusal(_past(name, sentence, limits))
    if kind_of_error == "refused":
        raise refusal(f"expected a file that can be read, cannot open {name}: {sentence[:80]}; check it")
    known = getattr(errors, kind_of_error, None)
    if isinstance(known, type) and issubclass(known, ValueError):
        raise known(sentence)
    raise _unforeseen(name, sentence, trace, refusal)


def _past(name: str, what: str, limits: Limits) -> str:
    return (
        f"expected a file that is read within {_megabytes(limits.memory)} and {limits.seconds:.0f} s of processor time,"
        f" {name} {what}; it was closed: save it smaller, or raise {MEMORY} or {SECONDS} where you start this"
    )


def _ended(
    child: subprocess.Popen[bytes], name: str, limits: Limits, refusal: type[ValueError], output: bytes
) -> ValueError:
    """Why a child ended without an answer: the system ended it at a limit, or its decoder crashed."""
    with suppress(subprocess.TimeoutExpired):
        child.wait(5)
    code = child.returncode
    if code in (-24, -9):  # SIGXCPU, SIGKILL: the limit on processor time, or a system out of memory
        what = f"takes longer than {limits.seconds:.0f} s" if code == -24 else "was ended by the system"
        return refusal(_past(name, what, limits))
    return _unforeseen(name, f"the reader ended with status {code}", output.decode("utf-8", "replace"), refusal)


def _unforeseen(name: str, what: str, trace: str, refusal: type[ValueError]) -> ValueError:
    reference = uuid.uuid4().hex[:8].upper()
    logger.error("reference %s: reading %s: %s\n%s", reference, name, what, trace)
    return refusal(
        f"expected a file that its reader understands, {name} made it fail ({what[:80]}); save it anew, or report it "
        f"with the reference {reference}, under which the log has the details"
    )


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MB"


def _listen(stream: IO[bytes] | None, output: list[bytes]) -> None:
    with suppress(OSError, ValueError):  # the parent has closed it
        while stream is not None and (chunk := os.read(stream.fileno(), _CHUNK)):
            if sum(map(len, output)) < _STDERR_BYTES:
                output.append(chunk[:_STDERR_BYTES])


def _send(stream: IO[bytes] | None, head: bytes, pieces: list[Any]) -> None:
    assert stream is not None
    with suppress(OSError, ValueError):  # the child has ended, which the reading side reports
        stream.write(head)
        for piece in pieces:
            stream.write(piece)
        stream.flush()


# -- encoding of values -----------------------------------------------------------------------------------------------
#
# A value is the length of a JSON text, that text, and the bytes of its arrays one after the other. Containers are
# tagged in the text, so that no key from a file can be taken for a tag.


def _encoded(value: Any, pieces: list[Any]) -> bytes:
    text = json.dumps(_tagged(value, pieces), separators=(",", ":")).encode()
    return _LENGTH.pack(len(text)) + text


def _tagged(value: Any, pieces: list[Any]) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else ["f", repr(value)]
        case Path():
            return str(value.absolute())  # a child has another working directory
        case bytes():
            pieces.append(value)
            return ["b", len(value)]
        case list() | tuple():
            return ["l" if isinstance(value, list) else "t", [_tagged(each, pieces) for each in value]]
        case Mapping():
            return ["d", [[_tagged(key, pieces), _tagged(each, pieces)] for key, each in value.items()]]
    import numpy as np

    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufU":
        raise TypeError(f"expected plain values and arrays of numbers or words, got a {type(value).__name__}")
    pieces.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return ["a", value.dtype.str, list(value.shape)]


def _received(source: _Watch | _Stdin) -> Any:
    (length,) = _LENGTH.unpack(source.take(_LENGTH.size))
    if length > _MOST_HEADER:
        raise _PastLimitError("gives more than may come")
    return _untagged(json.loads(source.take(length)), source)


def _untagged(tagged: Any, source: _Watch | _Stdin) -> Any:
    if not isinstance(tagged, list):
        return tagged
    match tagged:
        case ["f", str(text)]:
            return float(text)
        case ["b", int(count)]:
            return source.take(count)
        case ["l", list(entries)]:
            return [_untagged(each, source) for each in entries]
        case ["t", list(entries)]:
            return tuple(_untagged(each, source) for each in entries)
        case ["d", list(entries)]:
            return {_untagged(key, source): _untagged(each, source) for key, each in entries}
        case ["a", str(kind), list(shape)]:
            import numpy as np

            dtype = np.dtype(kind)
            source.spend(math.prod(shape) * dtype.itemsize)
            made = np.empty(shape, dtype)
            if made.nbytes:
                source.fill(made.reshape(-1).view(np.uint8).data)
            return made
    raise ValueError("expected a value, got something else")


# -- the child --------------------------------------------------------------------------------------------------------


class _Stdin:
    """The request, from the parent, which is trusted."""

    def take(self, count: int) -> bytes:
        taken = sys.stdin.buffer.read(count)
        if len(taken) != count:
            raise EOFError
        return taken

    def spend(self, count: int) -> None:
        """Do nothing: requests are not limited."""

    def fill(self, target: memoryview) -> None:
        target[:] = self.take(len(target))


def _child() -> None:
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints goes to standard error

    def answer(kind: bytes, value: Any) -> None:
        pieces: list[Any] = []
        output.write(kind + _encoded(value, pieces))
        for piece in pieces:
            output.write(piece)
        output.flush()

    def progress(fraction: float) -> None:
        output.write(b"P" + struct.pack("<d", fraction))
        output.flush()

    request = _received(_Stdin())
    module, _, function = request["function"].partition(":")
    try:
        reader = importlib.import_module(module)
        getattr(reader, "prepare", lambda: None)()  # imports that the reader makes on demand
        read = getattr(reader, function)
        _limit(*request["limits"])
        answer(b"R", read(progress=progress, **request["arguments"]))
    except MemoryError:
        answer(b"E", ["limit", "takes more memory", ""])
    except OSError as error:
        answer(b"E", ["refused", error.strerror or str(error), ""])
    except Exception as error:  # noqa: BLE001 - sent to the parent, which logs what is unexpected
        known = type(error).__name__ if type(error).__module__ == errors.__name__ else "other"
        words = str(error) if known != "other" else f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        answer(b"E", [known, words, traceback.format_exc()[-4000:]])


def _limit(memory: int, seconds: float) -> None:
    """Have the system end this process, or refuse it memory, past these limits, where it supports that."""
    try:
        import resource
    except ImportError:  # Windows: the parent watches
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime + seconds)
    limits = {resource.RLIMIT_CPU: (most, most + 2), resource.RLIMIT_CORE: (0, 0), resource.RLIMIT_FSIZE: (0, 0)}
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
        limits[resource.RLIMIT_AS] = (pages * os.sysconf("SC_PAGE_SIZE") + memory,) * 2
    for kind, (soft, hard) in limits.items():
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        with suppress(ValueError, OSError):  # a limit that this system does not have
            resource.setrlimit(kind, (soft, hard))


if __name__ == "__main__":
    _child()
