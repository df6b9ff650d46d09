"""Errors that a person reads: one sentence each, with what was expected, what came and what to do.

    ValueError
      CheckpointError   a model cannot be used
      ImageError        an image or a set of images cannot be used
      RecipeError       a recipe, a link or a setting cannot be followed
    OSError
      OutputError       a file cannot be written

A page shows exactly that sentence; the command line prints it behind `error:`. `user_message` makes one of any other
error, such as those of a model's own code.
"""

from __future__ import annotations

_REASON = 300  # signs of somebody else's message


class CheckpointError(ValueError):
    """A checkpoint cannot be used: one sentence says what was expected, what came and what to do."""


class ImageError(ValueError):
    """An image cannot be used: one sentence says what was expected, what came and what to do."""


class RecipeError(ValueError):
    """A recipe cannot be followed: one sentence says what was expected, what came and what to do."""


class OutputError(OSError):
    """A file cannot be written: one sentence says what was expected, what came and what to do."""


def one_line(text: object) -> str:
    """The text of an error or value without line breaks and repeated spaces."""
    return " ".join(str(text).split())


def user_message(error: BaseException) -> str:
    """An error in one sentence: ours unchanged, the system's with the file, others with their type and reason.

    Args:
        error: the error that was raised.

    Returns:
        One line.
    """
    try:
        text = one_line(error)
    except Exception:  # noqa: BLE001 - of somebody else's error, which cannot say what it is
        text = ""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"cannot open {error.filename}: {error.strerror}; check it"
    if foreseen(error):
        return text
    short = text if len(text) <= _REASON else f"{text[:_REASON]}..."
    return f"{type(error).__name__}: {short}" if short else type(error).__name__


def foreseen(error: BaseException) -> bool:
    """Whether an error is a sentence for people: raised by our own code as a `ValueError`, or by the system."""
    if isinstance(error, OSError | CheckpointError | ImageError | RecipeError):
        return True
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    ours = place is None or str(place.tb_frame.f_globals.get("__name__")).startswith(("core.", "dashboard."))
    return isinstance(error, ValueError) and ours
