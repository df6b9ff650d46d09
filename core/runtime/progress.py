"""Progress of a computation, and how it is paused or cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from core.result import Result


class Cancelled(BaseException):
    """Raised inside an analysis when nobody waits for it any more; no `except Exception` swallows it."""


@runtime_checkable
class OnProgress(Protocol):
    """Called once per chunk of work with the fraction done and, now and then, a coarser result to show meanwhile."""

    def __call__(self, fraction: float, partial: Result | None = None) -> None:
        """Report `fraction` (0..1) and, where there is one, a coarser result; may raise `Cancelled`."""


def silent(fraction: float, partial: Result | None = None) -> None:
    """Ignore the progress."""


def part_of(
    on_progress: Callable[..., object], start: float, end: float, shown: Callable[[Any], Result | None] | None = None
) -> OnProgress:
    """The progress report of a part of the work, which lies between the fractions `start` and `end` of the whole.

    A coarser result of the part is reported as what `shown` makes of it; without `shown`, none is reported.
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

    It may wait, or raise `Cancelled`, also where an analysis has no progress to report.
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
