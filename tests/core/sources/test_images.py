"""Sources of images as one line of text: options out and back, and one sentence for what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ImageError
from core.sources.images import Fit, ImageSource

VALUES = {
    "size": st.sampled_from(["8", "224", "224x160"]),
    "fit": st.sampled_from(["crop", "stretch"]),
    "channels": st.sampled_from(["1", "3"]),
    "classes": st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5), unique=True, max_size=3)
    .filter(bool)
    .map("/".join),
    "labels": st.just("none"),
    "most": st.integers(1, 10**6).map(str),
}


@given(kind=st.sampled_from(["demo", "upload", "torchvision"]), options=st.fixed_dictionaries({}, optional=VALUES))
def test_a_source_survives_its_text(kind: str, options: dict[str, str]) -> None:
    made = ImageSource(kind, "ab12", options)
    assert ImageSource.parse(made.text()) == made


@given(text=st.text(max_size=60))
def test_any_text_is_a_source_or_a_sentence(text: str) -> None:
    said = ""
    try:
        ImageSource.parse(text)
    except ImageError as error:
        said = str(error)
    assert "\n" not in said
    assert not said or "expected" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.zip?size=0", "expected a size such as 224"),
        ("a.zip?size=4x4x4", "expected a size such as 224"),
        ("a.zip?fit=wide", "expected fit=crop or fit=stretch"),
        ("a.zip?channels=4", "channels=1 or 3"),
        ("a.zip?most=none", "expected most=500"),
        ("a.zip?classes=cat/cat", "expected every class once"),
        ("a.zip?size=8&size=9", "each once"),
        ("a.zip?colour=red&size=8", "expected options out of"),
    ],
)
def test_values_out_of_range_are_refused_at_once(text: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        ImageSource.parse(text)


def test_options_have_their_documented_meaning() -> None:
    said = ImageSource.parse("pictures/?size=224x160&fit=stretch&channels=1&most=5&labels=none")
    assert said.fit == Fit(224, 160, "stretch", 1)
    assert (said.most, said.labelled, said.place) == (5, False, "pictures/")
    assert said.changed(size="32", fit=None, most=None).text() == "pictures/?size=32&channels=1&labels=none"
    assert ImageSource.parse("why?.png").place == "why?.png"
