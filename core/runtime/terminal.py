"""What a command prints at a terminal: errors, the files it wrote, its progress; nothing moves the cursor."""

from __future__ import annotations

import io
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from core.errors import foreseen, user_message
from core.wording import plain


def take_every_word() -> None:
    """Let signs that the terminal lacks be written as escapes, and not be an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def stop_writing() -> None:
    """Write no more to a reader that has gone, so that Python does not complain when it ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(sentence: str, error: BaseException | None = None) -> None:
    """Print an error in one line.

    Args:
        sentence: what went wrong.
        error: whose traceback is printed before it, if any.
    """
    if error is not None:
        traceback.print_exception(error)
    print(f"error: {plain(sentence)}", file=sys.stderr)


def warn(sentence: str) -> None:
    """Print a warning in one line."""
    print(f"warning: {plain(sentence)}", file=sys.stderr)


def tell_error(error: BaseException, debug: bool, about: str = "") -> None:
    """Print an error in one line, and how to see more of one that nobody foresaw.

    Args:
        error: that was raised.
        debug: whether to print its traceback.
        about: what it is about, before the sentence.
    """
    more = "" if debug or foreseen(error) else "; add --debug for the traceback"
    tell(f"{about}{user_message(error)}{more}", error if debug else None)


def say_written(out: Path, *words: str) -> None:
    """Print which file was written, and remarks about it."""
    print(plain(": ".join((f"wrote {out}", *words))))


class Bar:
    """A progress line on standard error, if a person is watching."""

    def __init__(self, what: str) -> None:
        self._what, self._begin, self._shown = what, time.monotonic(), sys.stderr.isatty()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away, so that something can be printed in its place."""
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def update(self, fraction: float, partial: object = None) -> None:
        """Draw the fraction done and the time that remains."""
        if self._shown and fraction > 0:
            spent = time.monotonic() - self._begin
            left = spent / fraction - spent
            sys.stderr.write(f"\r\033[K{self._what}: {fraction:4.0%}, about {left:.0f} s left")
            sys.stderr.flush()
