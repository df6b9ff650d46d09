"""Progress of a computation, and how to pause or cancel it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from core.result import Result


class Cancelled(BaseException):
    """Raised inside an analysis when its result is no longer wanted; `except Exception` does not catch it."""


@runtime_checkable
class OnProgress(Protocol):
    """Called once per chunk of work with the fraction done and, at times, a coarser result to show meanwhile."""

    def __call__(self, fraction: float, partial: Result | None = None) -> None:
        """Report the fraction done (0 to 1) and a coarser result, if there is one; may raise `Cancelled`."""


def silent(fraction: float, partial: Result | None = None) -> None:
    """Ignore the progress."""


def part_of(
    on_progress: Callable[..., object], start: float, end: float, shown: Callable[[Any], Result | None] | None = None
) -> OnProgress:
    """The progress callback of a part of the work, from the fraction `start` to `end` of the whole.

    `shown` converts a coarser result of the part into one to report; without it, none is reported.
    """

    def tell(fraction: float, partial: Result | None = None) -> None:
        done = start + (end - start) * fraction
        if shown is None or partial is None:
            on_progress(done)
        else:
            on_progress(done, shown(partial))

    return silent if on_progress is silent else tell


_here = threading.local()


@contextmanager
def before_each_batch(call: Callable[[], None]) -> Iterator[None]:
    """Call `call` in this thread before every forward pass of a classifier.

    It may wait, or raise `Cancelled`, even in an analysis that reports no progress.
    """
    before = getattr(_here, "call", None)
    _here.call = call
    try:
        yield
    finally:
        _here.call = before


def batch_begins() -> None:
    """Call before every forward pass: lets `before_each_batch` pause or cancel the work."""
    call = getattr(_here, "call", None)
    if call is not None:
        call()
