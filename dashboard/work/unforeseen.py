"""Error messages for pages: our own sentences unchanged; for any other error a reference number of the log."""

from __future__ import annotations

import logging
import secrets

from core.errors import CheckpointError, ImageError, RecipeError

logger = logging.getLogger(__name__)

_OURS = (CheckpointError, ImageError, RecipeError)
_BEGINS = "something here failed that nobody foresaw"
_REFERENCE = "boundary_atlas_reference"


def user_message(error: BaseException) -> str:
    """An error as a page shows it.

    A plain ValueError is ours if it says what was expected; libraries raise others.

    Args:
        error: the exception. An unexpected one is logged with its traceback the first time, and keeps its number.

    Returns:
        One sentence.
    """
    sentence = " ".join(str(error).split())
    if isinstance(error, _OURS) or (type(error) is ValueError and sentence.startswith(("expected ", _BEGINS))):
        return sentence
    reference = vars(error).get(_REFERENCE)
    if reference is None:
        drawn = secrets.token_hex(3).upper()
        reference = vars(error)[_REFERENCE] = f"{drawn[:4]}-{drawn[4:]}"
        logger.error("reference %s", reference, exc_info=error)
    return f"{_BEGINS} (reference {reference}); the log has the details under that number"
