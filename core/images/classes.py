"""Classes of pictures: text labels become class numbers and class names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from unicodedata import decimal, normalize

from core import wording
from core.errors import ImageError
from core.sources.images import ImageSource
from core.sources.models import MOST_CLASSES

UNKNOWN = -1  # the class number of a picture without a known class
MOST_LETTERS = 255  # of a class name: the longest name of a folder

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
# Can only be a number, in any script: with a spreadsheet's text mark, groups of digits, or a decimal comma
_LIKE_A_NUMBER = re.compile(r"['\u2019]?[+\-\u2212]?\d[\d.,'\u2019\u066b\u066c\s]*(?:[eE][+-]?\d{1,3})?")
_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(?:[ '][0-9]{3})+")
_DECIMAL_COMMA = re.compile(r"([+-]?[0-9]+),([0-9]{1,2}|[0-9]{4,})")  # not three digits, which may be thousands
_SIGNS = str.maketrans({"\u2019": "'", "\u066c": "'", "\u066b": ",", "\u2212": "-"})
# How tables, spreadsheets and programs write a missing value; some of these words are also names of classes
_WORDS = ("none", "null", "na")
_MISSING = ("", "nan", "n/a", "<na>", "nat", "#n/a", "?", "-", "--", *_WORDS)


def number_in(text: str) -> float | None:
    """The number that a text is, in the digits of any script; None if it is not a number, or ambiguous as 1,000.

    >>> number_in(" 1e1 "), number_in("0.0"), number_in("nan"), number_in("1_0")
    (10.0, 0.0, None, None)
    >>> number_in("10,0"), number_in("1 000"), number_in("'10"), number_in("1,000")
    (10.0, 1000.0, 10.0, None)
    """
    text = text.strip()
    if len(text) < 40 and not _NUMBER.fullmatch(text) and _LIKE_A_NUMBER.fullmatch(text):
        plain = normalize("NFKC", text).translate(_SIGNS).removeprefix("'").strip()
        plain = "".join(str(decimal(sign)) if sign.isdecimal() else sign for sign in plain)
        plain = re.sub("[ ']", "", plain) if _GROUPS.fullmatch(plain) else plain
        text = _DECIMAL_COMMA.sub(r"\1.\2", plain) if _DECIMAL_COMMA.fullmatch(plain) else plain
    return float(text) if len(text) < 40 and _NUMBER.fullmatch(text) else None


def check_numbers(texts: Iterable[str], where: str) -> None:
    """Check that classes that look like numbers can be read as numbers: they must not be sorted as words.

    Args:
        texts: the labels.
        where: the file or place that holds them.

    Raises:
        ImageError: if all look like numbers, and one is ambiguous.
    """
    known = [text for text in texts if not is_missing(text)]
    unclear = next((text for text in known if number_in(text) is None), None)
    if unclear is not None and all(_LIKE_A_NUMBER.fullmatch(text.strip()) for text in known):
        raise ImageError(
            f"expected whole numbers or words as classes in {where}, got {unclear[:40]}, which may be two numbers;"
            " write plain digits, such as 1000"
        )


def named_rows(class_names: Sequence[str]) -> dict[str, int]:
    """The row of each class name, as it is written and by `key`; for a repeated name, the first."""
    rows = list(reversed(list(enumerate(class_names))))
    return {key(name): row for row, name in rows} | {name: row for row, name in rows}


def key(text: str) -> str:
    """A form in which spellings of the same class are equal: 10 and 10.0, or words after cleaning.

    >>> key("10.0"), key(" cat ")
    ('10', 'cat')
    """
    number = number_in(text)
    return str(int(number)) if number is not None and number.is_integer() else wording.name(text.strip())


def is_missing(text: str) -> bool:
    """Whether a text stands for a missing value."""
    return text.strip().lower() in _MISSING


def missing(labels: Sequence[str], where: str, listed: Sequence[str] = ()) -> tuple[set[str], list[str]]:
    """The labels that mean that a picture has no class, and sentences about words that are taken for a class.

    A word such as `none` is a class if a list of classes contains it, or if it stands among words and as often as one
    of them; `-` is a class if `+` is one.

    >>> missing(["mild", "none", "none", "mild"], "row")[0], missing(["1", "none", "none"], "row")[0]
    (set(), {'none'})

    Args:
        labels: the label of each picture.
        where: what a label belongs to, for the sentences.
        listed: names of the classes, where there is a list.

    Returns:
        The labels, as they are written, and sentences.
    """
    known, counts = {key(name) for name in listed}, Counter(labels)
    none = {label for label in counts if is_missing(label) and (not label.strip() or key(label) not in known)}
    others = {label: count for label, count in counts.items() if label not in none}
    if any(label.strip() == "+" for label in others):
        none = {label for label in none if label.strip() != "-"}
    told = []
    if others and all(number_in(label) is None for label in others):
        often = max(2, min(others.values()))
        for label in sorted(none):
            if label.strip().lower() in _WORDS and counts[label] >= often:
                none.discard(label)
                came = f"{label!a} for {counts[label]:,} is taken for one; leave it empty if it is none"
                told.append(f"expected a class in every {where}, {came}")
    return none, told


def mixed(labels: Iterable[str], listed: Sequence[str] = ()) -> str:
    """A sentence if a few classes are words among numbers, so that the numbers count as words too; else "".

    >>> mixed(["0", "2", "10", "unclear"])[:68]
    "expected numbers or words as classes, got 'unclear' among 3 numbers;"

    Args:
        labels: the classes.
        listed: names of the classes, where there is a list.
    """
    known = sorted({label for label in labels if label})
    words = [label for label in known if number_in(label) is None]
    if not 0 < 2 * len(words) <= len(known) or {key(label) for label in known} <= {key(name) for name in listed}:
        return ""
    came = f"{words[0][:40]!a} among {len(known) - len(words):,} numbers"
    return f"expected numbers or words as classes, got {came}; all are counted as words: write -1 where none is known"


def whole_numbers(texts: Iterable[str]) -> dict[str, int | None] | None:
    """The numbers of texts, if each is a whole number in any notation, or a missing value.

    >>> whole_numbers(["0.0", "1e1", " 3 ", "nan"]), whole_numbers(["0.5", "1"]), whole_numbers(["cat", "1"])
    ({'0.0': 0, '1e1': 10, ' 3 ': 3, 'nan': None}, None, None)

    Args:
        texts: the labels.

    Returns:
        The number of each text, None for a missing value; None if one is not a whole number, or none is a number.
    """
    found: dict[str, int | None] = {}
    for text in texts:
        value = None if is_missing(text) else number_in(text)
        if not is_missing(text) and (value is None or not value.is_integer()):
            return None
        found[text] = None if value is None else int(value)
    return found if any(value is not None for value in found.values()) else None


def numbered(labels: Sequence[str], own: Sequence[str], source: ImageSource) -> tuple[list[int], tuple[str, ...]]:
    """The class number of each picture, and the names of the classes.

    Classes that are all whole numbers keep their numbers; words are numbered in the order of `classes`, or
    alphabetically.

    Args:
        labels: the label of each picture, "" without one.
        own: names of the classes, where the pictures come with a list.
        source: the source, which may name the classes or leave them out.

    Returns:
        Numbers, -1 for an unknown class, and names.

    Raises:
        ImageError: if a picture has a class that `classes` does not name, or a number that is not a class.
    """
    known = {label for label in labels if label}
    if not source.labelled or not known:
        return [UNKNOWN] * len(labels), ()
    longest = max(known, key=len)
    if len(longest) > MOST_LETTERS:
        came = f"one of {len(longest):,}, {longest[:40]!a}"
        raise ImageError(
            f"expected class names of at most {MOST_LETTERS} letters, got {came}; shorten it, or add labels=none"
        )
    listed, own, given = (*own, *source.classes), wording.names(own, "class"), wording.names(source.classes, "class")
    names = {"": "", **dict(zip(listed, (*own, *given), strict=True))}
    names |= {text: wording.name(text) for text in known - names.keys() if number_in(text) is not None}
    free = sorted(known - names.keys())  # words that differ stay apart, as in the set
    names |= dict(zip(free, wording.names(free, "class"), strict=True))
    labels = [names[label] for label in labels]
    known = set(labels) - {""}
    numbers = None if known <= set(given) and not own else whole_numbers(known)
    if numbers is not None:
        listed = own if set(own) & set(given) else given or own  # entirely other names replace its own
        most = len(listed) or MOST_CLASSES
        wrong = next((each for each in numbers.values() if each is not None and not UNKNOWN <= each < most), None)
        if wrong is not None:
            raise ImageError(
                f"expected classes from 0 on and below {most:,}, got {f'{wrong:,}'[:20]}; name each, or mend them"
            )
        rows = [UNKNOWN if (number := numbers.get(label)) is None else number for label in labels]
        if not given or listed is given:
            return rows, tuple(listed) or tuple(f"class {number}" for number in range(max(rows) + 1))
        labels = [own[row] if row >= 0 else "" for row in rows]
        known = set(labels) - {""}
    if not given and not own:
        check_numbers(known, "the names of folders or the table")
    order = given or tuple(own) or tuple(sorted(known, key=_sort_key))
    index = {word: number for number, word in enumerate(order)}
    missing = next((label for label in sorted(known) if label not in index), None)
    if missing is not None:
        raise ImageError(f"expected classes out of {'/'.join(order)[:200]}, got {missing[:40]!a}; name it too")
    return [index.get(label, UNKNOWN) for label in labels], order


def _sort_key(word: str) -> tuple[float, str]:
    number = number_in(word)
    return (float("inf") if number is None else number), word
