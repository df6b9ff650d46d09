"""Options of a source are read back as they were written, and what is none is told in one sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sources.options import NamedSource, is_there, read_options

NAMES = ("arch", "size", "names")


@given(st.dictionaries(st.sampled_from(NAMES), st.text(st.characters(exclude_categories=("Cs",)), min_size=1)))
def test_options_are_read_back(options: dict[str, str]) -> None:
    place, mark, said = NamedSource("file", "net.pt", options).text().partition("?")
    assert (place, bool(mark)) == ("net.pt", bool(options))
    assert "," not in said
    assert read_options(said, NAMES, ValueError) == options


@pytest.mark.parametrize("said", ["colour=red", "size=3&size=4", "size=", "size"])
def test_invalid_options_are_refused(said: str) -> None:
    with pytest.raises(KeyError, match="expected options out of arch, size, names, each once, got"):
        read_options(said, NAMES, type("Refused", (KeyError, ValueError), {}))


def test_a_text_that_cannot_be_a_path_does_not_exist() -> None:
    assert is_there(__file__)
    assert not is_there("a" * 5000)
    assert not is_there("a\0b")
