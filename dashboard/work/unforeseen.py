"""Errors in words: our own sentences as they are, of all others a reference number under which the log has more."""

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

    A plain ValueError is ours where it says what was expected; libraries raise some, too.

    Args:
        error: as it was caught. One that nobody foresaw is logged with its traceback when first asked about, and has
            the same number ever after.

    Returns:
        One sentence.
    """
    said = " ".join(str(error).split())
    if isinstance(error, _OURS) or (type(error) is ValueError and said.startswith(("expected ", _BEGINS))):
        return said
    reference = vars(error).get(_REFERENCE)
    if reference is None:
        drawn = secrets.token_hex(3).upper()
        reference = vars(error)[_REFERENCE] = f"{drawn[:4]}-{drawn[4:]}"
        logger.error("reference %s", reference, exc_info=error)
    return f"{_BEGINS} (reference {reference}); the log has the details under that number"
