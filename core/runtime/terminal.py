"""What a command prints on a terminal: errors, the files it wrote, its progress."""

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
    """Print characters that the terminal lacks as escapes instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def stop_writing() -> None:
    """Discard further output after its reader is gone, so that Python reports no error when it ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(sentence: str, error: BaseException | None = None) -> None:
    """Print an error in one line.

    Args:
        sentence: what went wrong.
        error: an error whose traceback is printed first.
    """
    if error is not None:
        traceback.print_exception(error)
    print(f"error: {plain(sentence)}", file=sys.stderr)


def warn(sentence: str) -> None:
    """Print a warning in one line."""
    print(f"warning: {plain(sentence)}", file=sys.stderr)


def tell_error(error: BaseException, debug: bool, about: str = "") -> None:
    """Print an error in one line; for an unexpected one, also how to see its traceback.

    Args:
        error: the error that was raised.
        debug: whether to print its traceback.
        about: a prefix of the sentence.
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
        """Erase the line, so that something else can be printed."""
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
