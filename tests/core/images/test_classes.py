"""Classes: numbers keep their numbers however they are written, words are counted, and nothing else passes."""

from __future__ import annotations

import pytest

from core.errors import ImageError
from core.images.classes import is_missing, missing, mixed, number_in, numbered, whole_numbers
from core.sources.images import ImageSource

FILES = ImageSource.parse("a.zip")


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["0.0", "10.0", "2.0"], [0, 10, 2]),
        (["10,0", "2,0", "11,00"], [10, 2, 11]),  # a decimal comma
        (["1 000", "1\u00a0000", "1'000", "1\u2019000 000"], [1000, 1000, 1000, 1_000_000]),
        (["'10", "\u20192"], [10, 2]),  # as spreadsheets mark text
        (["\u0661\u0660", "\u0968", "\uff11\uff10", "\u22121"], [10, 2, 10, -1]),
        (["1e1", " 3 ", "+4", "007", "5."], [10, 3, 4, 7, 5]),
        (["1", "nan", "", "<NA>", "None"], [1, None, None, None, None]),
        (["-1", "-1.0", "2"], [-1, -1, 2]),
    ],
)
def test_whole_numbers_in_any_notation_are_read(texts: list[str], numbers: list[int | None]) -> None:
    found = whole_numbers(texts)
    assert found is not None
    assert [found[text] for text in texts] == numbers


@pytest.mark.parametrize("texts", ["0.5 1", "cat 1", "nan", "", "1_0", "1,000", "1e400", "inf", "0x1"])
def test_other_texts_are_not_whole_numbers(texts: str) -> None:
    assert whole_numbers(texts.split(" ")) is None


def test_missing_values_are_recognised() -> None:
    assert is_missing(" NaN ")
    assert not is_missing("0")
    assert number_in("1" * 50) is None


@pytest.mark.parametrize(
    ("labels", "own", "source", "rows", "names"),
    [
        (["10.0", "2.0", ""], (), "a", [10, 2, -1], [f"class {number}" for number in range(11)]),
        (["10", "2"], (), "a?labels=none", [-1, -1], []),
        (["dog", "cat", ""], (), "a", [1, 0, -1], ["cat", "dog"]),
        (["dog", "cat"], (), "a?classes=dog/cow/cat", [0, 2], ["dog", "cow", "cat"]),
        (["2", "1.0"], (), "a", [2, 1], ["class 0", "class 1", "class 2"]),
        (["1.0", "cat"], (), "a", [0, 1], ["1.0", "cat"]),
        (["0", "1"], ("dog", "cat"), "a", [0, 1], ["dog", "cat"]),
        (["0", "1"], ("dog", "cat"), "a?classes=cat/dog", [1, 0], ["cat", "dog"]),  # in the model's order
        (["0", "1"], ("0 - zero", "1 - one"), "a?classes=zero/one", [0, 1], ["zero", "one"]),  # called otherwise
        (["9", "7"], (), "a?classes=9/8/7", [0, 2], ["9", "8", "7"]),
        (["1", "0"], (), "a?classes=cat/dog", [1, 0], ["cat", "dog"]),
        (["café"], (), "a?classes=cafe%CC%81", [0], ["café"]),
        (["\uff43at", "d\u200bog"], (), "a?classes=dog/cat", [1, 0], ["dog", "cat"]),  # as they will be called
        (["\u200b", "cat"], (), "a", [1, 0], ["cat", "class 1"]),
        (["x²", "x2", "x²"], (), "a", [1, 0, 1], ["x2", "x2 (class 1)"]),  # which only their signs tell apart
        (["x2", "x²"], ("x²", "x2"), "a", [1, 0], ["x2", "x2 (class 1)"]),
        (["10,0", "2,0"], (), "a", [10, 2], [f"class {number}" for number in range(11)]),
        (["0.5", "10.5", "2.5"], (), "a", [0, 2, 1], ["0.5", "2.5", "10.5"]),  # by size, not by the alphabet
        (["2", "0"], ("0", "1", "10"), "a?classes=0/1/10", [2, 0], ["0", "1", "10"]),  # rows of the own names
    ],
)
def test_classes_are_numbered(labels: list[str], own: tuple[str, ...], source: str, rows: list[int], names: list[str]):
    assert numbered(labels, own, ImageSource.parse(source)) == (rows, tuple(names))


@pytest.mark.parametrize(
    ("labels", "own", "source", "message"),
    [
        (["1,000", "2"], (), "a", "got 1,000, which may be two numbers; write plain digits"),
        (["123456"], (), "a", "expected classes from 0 on and below 100,000, got 123,456"),
        (["1e300"], (), "a", "got 1,000,000,000,000,00; name each"),
        (["-5"], (), "a", "got -5; name each, or mend them"),
        (["2"], ("no", "yes"), "a", "below 2, got 2"),
        (["2"], (), "a?classes=no/yes", "below 2, got 2"),
        (["ant", "cat"], (), "a?classes=cat", "expected classes out of cat, got 'ant'; name it too"),
        (["x" * 256], (), "a", "expected class names of at most 255 letters, got one of 256"),
    ],
)
def test_invalid_classes_are_refused(labels: list[str], own: tuple[str, ...], source: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        numbered(labels, own, ImageSource.parse(source))


@pytest.mark.parametrize(
    ("labels", "listed", "none", "told"),
    [
        ("none mild none mild severe", (), "", 1),  # as often as another class
        ("None mild mild severe", (), "None", 0),
        ("none mild mild", ("none", "mild"), "", 0),  # a class on the list
        ("nan mild nan mild", (), "nan", 0),  # as pandas writes it
        ("nan naan nan naan", ("nan", "naan"), "", 0),
        ("none 1 none 2", (), "none", 0),
        ("1 ? 2 ?", (), "?", 0),
        ("a ? b ?", (), "?", 0),
        ("1 - 2 --", (), "- --", 0),
        ("+ - + -", (), "", 0),
        ("NA EU NA AS", (), "", 1),
        ("null null", (), "null", 0),
    ],
)
def test_a_word_for_none_is_a_class_among_classes(labels: str, listed: tuple[str, ...], none: str, told: int) -> None:
    found, sentences = missing(labels.split(), "row", listed)
    assert (found, len(sentences)) == (set(none.split()), told)
    assert all("is taken for one; leave it empty if it is none" in each for each in sentences)


@pytest.mark.parametrize(
    ("labels", "listed", "told"),
    [
        ("0 1 unknown", (), True),
        ("3 x", (), True),
        ("0 1 2", (), False),
        ("cat dog 7", (), False),
        ("7 8 cat", ("7", "8", "cat"), False),
    ],
)
def test_a_word_among_numbers_is_reported(labels: str, listed: tuple[str, ...], told: bool) -> None:
    assert bool(mixed(labels.split(), listed)) == told
