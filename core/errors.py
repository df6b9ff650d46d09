"""Errors for people to read: one sentence each, with what was expected, what came and what to do.

    ValueError
      CheckpointError   a model cannot be used
      ImageError        an image or a set of images cannot be used
      RecipeError       a recipe, a link or a setting cannot be followed
    OSError
      OutputError       a file cannot be written

A page shows exactly that sentence; the command line prints it after `error:`. `user_message` turns any other error,
such as one from a model's own code, into a sentence.
"""

from __future__ import annotations

import traceback

_REASON = 300  # characters kept of a message that is not ours


class CheckpointError(ValueError):
    """A checkpoint cannot be used: one sentence says what was expected, what came and what to do."""


class ImageError(ValueError):
    """An image cannot be used: one sentence says what was expected, what came and what to do."""


class RecipeError(ValueError):
    """A recipe cannot be followed: one sentence says what was expected, what came and what to do."""


class OutputError(OSError):
    """A file cannot be written: one sentence says what was expected, what came and what to do."""


def one_line(text: object) -> str:
    """The text of an error or value, without line breaks or repeated spaces."""
    return " ".join(str(text).split())


def user_message(error: BaseException) -> str:
    """One sentence for an error: ours unchanged, the system's with the file, others with type and reason."""
    try:
        text = one_line(error)
    except Exception:  # noqa: BLE001 - the error is not ours, and its text cannot be computed
        text = ""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"cannot open {error.filename}: {error.strerror}; check it"
    if foreseen(error):
        return text
    short = text if len(text) <= _REASON else f"{text[:_REASON]}..."
    return f"{type(error).__name__}: {short}" if short else type(error).__name__


def foreseen(error: BaseException) -> bool:
    """Whether an error is a sentence for people: a `ValueError` that our own code raised, or one of the system."""
    if isinstance(error, OSError | CheckpointError | ImageError | RecipeError):
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = not frames or str(frames[-1].f_globals.get("__name__")).startswith(("core.", "dashboard."))
    return isinstance(error, ValueError) and ours
