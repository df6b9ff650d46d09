"""Classes of pictures: the text about each becomes the number of a class, with the names of the classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from core import wording
from core.errors import ImageError
from core.sources.images import ImageSource
from core.sources.models import MOST_CLASSES

UNKNOWN = -1  # the class of a picture of which none is known
MOST_LETTERS = 255  # of a class name: the longest name of a folder

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_MISSING = ("", "nan", "none", "null", "na", "n/a", "<na>", "nat")  # as tables and pandas write that there is no number


def number_in(text: str) -> float | None:
    """The number that a text is; None where it is none.

    >>> number_in(" 1e1 "), number_in("0.0"), number_in("nan"), number_in("1_0")
    (10.0, 0.0, None, None)
    """
    text = text.strip()
    return float(text) if len(text) < 40 and _NUMBER.fullmatch(text) else None


def is_missing(text: str) -> bool:
    """Whether a text says that there is no number."""
    return text.strip().lower() in _MISSING


def whole_numbers(texts: Iterable[str]) -> dict[str, int | None] | None:
    """What texts say where all of them are whole numbers, however they are written, or say that there is none.

    >>> whole_numbers(["0.0", "1e1", " 3 ", "nan"]), whole_numbers(["0.5", "1"]), whole_numbers(["cat", "1"])
    ({'0.0': 0, '1e1': 10, ' 3 ': 3, 'nan': None}, None, None)

    Args:
        texts: what is written.

    Returns:
        The number of each, None for none; None where one is no whole number, or there is no number at all.
    """
    found: dict[str, int | None] = {}
    for text in texts:
        value = None if is_missing(text) else number_in(text)
        if not is_missing(text) and (value is None or not value.is_integer()):
            return None
        found[text] = None if value is None else int(value)
    return found if any(value is not None for value in found.values()) else None


def numbered(labels: Sequence[str], own: Sequence[str], source: ImageSource) -> tuple[list[int], tuple[str, ...]]:
    """The number of each picture's class, and what the classes are called.

    Classes that are all whole numbers keep their numbers; words are counted in the order of `classes`, or of the
    alphabet.

    Args:
        labels: what is written about each picture, "" where nothing is.
        own: what the classes are called, where the pictures come with a list of names.
        source: the source, which may name the classes or leave them out.

    Returns:
        Numbers, -1 where the class is not known, and names.

    Raises:
        ImageError: if a picture has a class that `classes` does not name, or a number that is none of a class.
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
    labels = [wording.name(label, "unnamed") if label else "" for label in labels]  # as the set will call them
    known, own, given = set(labels) - {""}, wording.names(own, "class"), wording.names(source.classes, "class")
    numbers = None if known <= set(given) else whole_numbers(known)
    if numbers is not None:
        listed = own if set(own) & set(given) else given or own  # other names for the same numbers replace its own
        most = len(listed) or MOST_CLASSES
        wrong = next((each for each in numbers.values() if each is not None and not UNKNOWN <= each < most), None)
        if wrong is not None:
            raise ImageError(
                f"expected classes from 0 on and below {most:,}, got {wrong:,}; name every class, or mend the numbers"
            )
        rows = [UNKNOWN if (number := numbers.get(label)) is None else number for label in labels]
        if not given or listed is given:
            return rows, tuple(listed) or tuple(f"class {number}" for number in range(max(rows) + 1))
        labels = [own[row] if row >= 0 else "" for row in rows]
        known = set(labels) - {""}
    order = given or tuple(own) or tuple(sorted(known))
    index = {word: number for number, word in enumerate(order)}
    missing = next((label for label in sorted(known) if label not in index), None)
    if missing is not None:
        raise ImageError(f"expected classes out of {'/'.join(order)[:200]}, got {missing[:40]!a}; name it too")
    return [index.get(label, UNKNOWN) for label in labels], order
