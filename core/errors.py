"""Errors that a person reads: one sentence each, with what was expected, what came and what to do.

    ValueError
      CheckpointError   a model cannot be used
      ImageError        an image or a set of images cannot be used
      RecipeError       a recipe, a link or a setting cannot be followed
    OSError
      OutputError       a file cannot be written

A page shows exactly that sentence; the command line prints it behind `error:`.
"""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint cannot be used: one sentence says what was expected, what came and what to do."""


class ImageError(ValueError):
    """An image cannot be used: one sentence says what was expected, what came and what to do."""


class RecipeError(ValueError):
    """A recipe cannot be followed: one sentence says what was expected, what came and what to do."""


class OutputError(OSError):
    """A file cannot be written: one sentence says what was expected, what came and what to do."""
