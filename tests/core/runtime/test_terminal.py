"""What a command prints: one line for an error, whatever is in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core.errors import OutputError, RecipeError
from core.runtime.terminal import Bar, say_written, tell, tell_error


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as found:
        return found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RecipeError("expected a row, got none"), "expected a row, got none"),
        (OutputError("expected room"), "expected room"),
        (FileNotFoundError(2, "No such file", "a\x1b[2Jb"), "cannot open a[2Jb: No such file; check it"),
        (ValueError("of somebody else"), "ValueError: of somebody else; add --debug for the traceback"),
        (KeyError("k"), "KeyError: 'k'; add --debug for the traceback"),
        (
            RuntimeError("a\n b\u202ec" + "x" * 999),
            f"RuntimeError: a bc{'x' * 295}...; add --debug for the traceback",
        ),
        (StopIteration(), "StopIteration; add --debug for the traceback"),
    ],
)
def test_an_error_is_one_line_and_an_unexpected_one_has_its_type(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_error(raised(error), debug=False)
    assert capsys.readouterr().err == f"error: {said}\n"
    tell_error(raised(error), debug=True, about="a.json: ")
    *trace, last = capsys.readouterr().err.splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert last == f"error: a.json: {said.removesuffix('; add --debug for the traceback')}"


def test_sentences_of_our_own_code_need_no_type(capsys: pytest.CaptureFixture[str]) -> None:
    from core.figures.drawing.style import class_colour

    with pytest.raises(ValueError, match="expected one of the classes palettes") as found:
        class_colour(1, "vik")
    tell_error(found.value, debug=False)
    assert capsys.readouterr().err.startswith("error: expected one of the classes palettes")


def test_names_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tell("a\x1b]0;b\x07\nc\u202e")
    say_written(Path("a\x1bb\nc.svg"), "of\u2028 d")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Bar("what") as bar:
        bar.update(0.5)
    printed = capsys.readouterr()
    assert printed.err.startswith("error: a]0;b c\n\r\x1b[Kwhat:  50%")
    assert printed.out == "wrote ab c.svg: of d\n"
