"""Errors become one sentence: ours unchanged, others with their type."""

from __future__ import annotations

import pytest

from core.errors import RecipeError, foreseen, user_message
from core.result import Result


class _SpeechlessError(RuntimeError):
    def __str__(self) -> str:
        raise TypeError


@pytest.mark.parametrize(
    ("error", "sentence", "ours"),
    [
        (RecipeError("expected a row,\n got none"), "expected a row, got none", True),
        (FileNotFoundError(2, "No such file", "a.json"), "cannot open a.json: No such file; check it", True),
        (ValueError("of a library"), "ValueError: of a library", False),
        (RuntimeError("x" * 999), f"RuntimeError: {'x' * 300}...", False),
        (StopIteration(), "StopIteration", False),
        (_SpeechlessError(), "_SpeechlessError", False),
    ],
)
def test_an_error_is_one_sentence(error: Exception, sentence: str, ours: bool) -> None:
    with pytest.raises(type(error)) as caught:
        raise error
    assert user_message(caught.value) == sentence
    assert foreseen(caught.value) == ours


def test_a_value_error_of_our_own_code_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="expected an .npz file") as caught:
        Result.from_bytes(b"")
    assert foreseen(caught.value)
    assert user_message(caught.value) == str(caught.value)
