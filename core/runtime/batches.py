"""How analyses run: device, threads, batch shape, memory, progress and cancellation.

Rows of a batch are independent, so work is cut into batches of one fixed shape: large enough to be fast, small enough
to fit. The shape with the most images per second is measured once per classifier and machine, in about 0.3 s, and kept
on disk: the shape changes the rounding, and a figure made twice must be the same figure.
"""

from __future__ import annotations

import ctypes
import sys
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch

from core.runtime.choices import MeasuredChoices, machine
from core.runtime.cost import count_passes
from core.runtime.progress import OnProgress, _here, batch_begins, part_of, silent

Part = TypeVar("Part")

_MOST_SCRATCH = 64 << 20  # bytes
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device called `name`, or the best one here: CUDA, then Apple's MPS, then the CPU.

    On CUDA, TF32 is switched off for convolutions: its 10 bits would move boundaries. On the CPU, the process keeps up
    to 512 MiB of freed memory.

    Raises:
        ValueError: if there is no such device here.
    """
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(best if name is None else name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA raises the latter
        raise ValueError(f"expected a device that is here, such as {best}, got {str(name)[:40]!r}") from error
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    if device.type == "cpu":
        _keep_freed_memory()
    return device


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Have glibc keep freed blocks of up to 32 MiB.

    By default it returns them, and the kernel hands them out again page by page, cleared: half the time of a backward
    pass of the demo models on 256 images. Other C libraries are not changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for setting, size in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 512 << 20)):
            mallopt(setting, size)


def scratch(count: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A per-thread scratch buffer of `count` values; the next call in this thread reuses it.

    Allocating 38 MB, a matrix of 3072 x 3072, takes a sixth of the time of its eigenvalues: 0.06 s on a system that
    hands out memory page by page. Up to 64 MiB are kept from call to call.

    Args:
        count: number of values.
        dtype: of the values.
        device: of the buffer.

    Returns:
        (count,) uninitialised values.
    """
    kept: torch.Tensor | None = getattr(_here, "scratch", None)
    if kept is None or kept.dtype != dtype or kept.device != device or len(kept) < count:
        kept = torch.empty(count, dtype=dtype, device=device)
        _here.scratch = kept if kept.nbytes <= _MOST_SCRATCH else None
    return kept[:count]


@contextmanager
def engine_mode(device: torch.device) -> Iterator[None]:
    """Compute with ordinary tensors, without graphs or autocast, whatever modes the caller has set.

    Tensors made in inference mode could not be differentiated later, and autocast would round to half precision.

    Args:
        device: where the computation runs.
    """
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def set_threads(count: int | None = None) -> int:
    """Use `count` CPU threads for tensors, all of the machine's when None; return the number in use."""
    if count is not None:
        torch.set_num_threads(max(1, count))
    return torch.get_num_threads()


# -- batch shape ------------------------------------------------------------------------------------------------------

_TUNING_SECONDS = 0.3
_WORTH_DOUBLING = 1.03  # a batch twice as large must be at least 3 % faster per image: below that it is noise


_fixed: ContextVar[int | None] = ContextVar("batch size", default=None)


@contextmanager
def batch_size(count: int) -> Iterator[None]:
    """Run classifiers on `count` images at a time, in this thread, instead of the measured number.

    Results agree with those of other batch sizes up to rounding. Use it where another program needs the memory, or to
    repeat a result that was computed with this number.

    Args:
        count: images per forward pass.

    Raises:
        ValueError: if it is not positive.

    Example:
        >>> with batch_size(8):
        ...     batch_shapes.get("", lambda size: None, torch.device("cpu"))
        8
    """
    if count < 1:
        raise ValueError(f"expected at least one image in a batch, got {count}; choose a larger number")
    before = _fixed.set(count)
    try:
        yield
    finally:
        _fixed.reset(before)


class BatchShapes:
    """The batch shape of each classifier on this machine, measured once and remembered on disk."""

    def __init__(self, path: Path | None = None) -> None:
        self._choices = MeasuredChoices("batch-shapes.json", path)

    def get(self, key: str, forward: Callable[[int], object], device: torch.device) -> int:
        """The best number of images per forward.

        Args:
            key: names the classifier and its dtype; "" without a fingerprint: measured, but not remembered.
            forward: runs the classifier on that many images.
            device: where it runs.

        Returns:
            The number set by `batch_size`; else a power of two from 16 to 1024 on the CPU, from 64 to 16384 on a GPU.
        """
        fixed = _fixed.get()
        if fixed is not None:
            return fixed
        name = f"{key}/{machine(device)}"
        known = self._choices.read().get(name) if key else None
        if isinstance(known, int) and known > 0:
            return known
        size = _tune(forward, device)
        if key:
            self._choices.put(name, size)
        return size

    def halve(self, key: str, device: torch.device, size: int) -> int:
        """Remember that a measured `size` did not fit, and return half of it."""
        if key and _fixed.get() is None:
            self._choices.put(f"{key}/{machine(device)}", size // 2)
        return size // 2


batch_shapes = BatchShapes()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _tune(forward: Callable[[int], object], device: torch.device) -> int:
    """Double the batch while an image gets cheaper, the batch fits, and time is left."""

    def run(size: int) -> None:
        forward(size)
        _synchronize(device)

    def seconds(size: int, repeats: int) -> float:
        return min(timeit.repeat(lambda: run(size), lambda: _synchronize(device), repeat=repeats, number=1))

    smallest, largest = (16, 1024) if device.type == "cpu" else (64, 16384)
    seconds(smallest, 1)  # warm-up: the first call chooses kernels and allocates memory
    deadline = time.perf_counter() + _TUNING_SECONDS
    best, best_rate, size = smallest, 0.0, smallest
    while size <= largest and time.perf_counter() < deadline:
        try:
            rate = size / seconds(size, 3)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            break
        if rate > best_rate * _WORTH_DOUBLING:
            best, best_rate = size, rate
        elif size >= 4 * best:
            break
        size *= 2
    return best


# -- batches ----------------------------------------------------------------------------------------------------------


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that memory ran out, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


class Chunks:
    """Runs a function over consecutive slices of rows; slices are halved where memory runs out.

    Args:
        size: size of a slice, in any unit of memory.
        each: size of one row, in the same unit.
        on_halve: maps a size that did not fit to the next one.

    Attributes:
        size: the current size of a slice.
    """

    def __init__(self, size: int, each: int = 1, on_halve: Callable[[int], int] = lambda size: size // 2) -> None:
        self.size = max(1, size)
        self._each, self._on_halve = each, on_halve

    def __call__(
        self, count: int, run: Callable[[slice, OnProgress], Part], on_progress: Callable[[float], None] = silent
    ) -> list[Part]:
        """Run over `count` rows.

        Args:
            count: number of rows.
            run: computes the rows of a slice; its `on_progress` takes the fraction of the slice done.
            on_progress: called before each slice, and by `run`, with the fraction of rows done.

        Returns:
            What `run` returned for each slice.

        Raises:
            RuntimeError: from `run`, also when memory runs out at size 1.
        """
        parts, start = [], 0
        while start < count:
            rows = slice(start, min(start + max(1, self.size // self._each), count))
            tell = part_of(on_progress, start / count, rows.stop / count)
            tell(0.0)
            try:
                parts.append(run(rows, tell))
            except RuntimeError as error:
                if not out_of_memory(error) or self.size == 1:
                    raise
                self.size = self._on_halve(self.size)
                torch.cuda.empty_cache()  # does nothing on a machine without CUDA
                continue
            start = rows.stop
        return parts


class Batches:
    """Runs a row-wise function over many rows in batches of one fixed shape.

    The tail is padded by repeating its last row, since another shape would round differently; when memory runs out the
    batch is halved and the same rows are tried again. `rows` counts the computed rows, padding included.

    Args:
        size: rows in a batch.
        on_halve: maps a size that did not fit to the next one.
        counts: whether a row counts as a forward pass.
    """

    def __init__(
        self, size: int, on_halve: Callable[[int], int] = lambda size: size // 2, *, counts: bool = False
    ) -> None:
        self._counts = counts
        self._chunks = Chunks(size, on_halve=on_halve)
        self.rows = 0

    @property
    def size(self) -> int:
        """Rows in a batch."""
        return self._chunks.size

    def __call__(
        self,
        function: Callable[[torch.Tensor], torch.Tensor],
        inputs: torch.Tensor,
        on_progress: Callable[[float], None] = silent,
    ) -> torch.Tensor:
        """Apply `function` to the rows of `inputs`.

        Args:
            function: maps (size, ...) to (size, ...), row by row.
            inputs: (n, ...), n >= 1.
            on_progress: called before each batch with the fraction of rows done; may raise `Cancelled`.

        Returns:
            The n rows of output, on the device of `function`'s output.

        Raises:
            ValueError: if there are no rows.
            RuntimeError: from `function`, also when memory runs out for a single row.
        """
        if not len(inputs):
            raise ValueError("expected at least one row to compute, got none")
        outputs: torch.Tensor | None = None

        def run(part: slice, tick: OnProgress) -> None:
            nonlocal outputs
            batch_begins()
            rows = inputs[part]
            given = len(rows)
            if given < self.size:
                rows = torch.cat([rows, rows[-1:].expand(self.size - given, *rows.shape[1:])])
            values = function(rows)
            self.rows += self.size
            if self._counts:
                count_passes(forwards=self.size)
            if outputs is None:
                outputs = values.new_empty((len(inputs), *values.shape[1:]))
            outputs[part] = values[:given]

        self._chunks(len(inputs), run, on_progress)
        assert outputs is not None
        return outputs
