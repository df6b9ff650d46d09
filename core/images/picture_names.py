"""The picture that a row of a table names: by its path, its last parts, or the same without the ending.

Slashes, drives, case and Unicode's normal forms do not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from unicodedata import normalize

from core.images.files import ending_of

_DEPTH = 8  # last parts of a path that are compared


class Match(NamedTuple):
    """The picture that a text names.

    Attributes:
        row: of the picture; -1 if the text names several.
        parts: number of parts of the path that agree.
    """

    row: int
    parts: int


class PictureNames:
    """Finds pictures by spellings of their names: with case or without, with the ending or without.

    >>> names = PictureNames(["cat/1.png", "dog/2.png"])
    >>> names.find("CAT/1"), names.find("2.png"), names.find("3.png")
    (Match(row=0, parts=9), Match(row=1, parts=1), None)

    Args:
        pictures: names of the pictures.
    """

    def __init__(self, pictures: Sequence[str]) -> None:
        self.count = len(pictures)
        kinds: tuple[Callable[[str], str], ...] = (str, str.casefold)
        self._spellings = [(kind, stem) for stem in (False, True) for kind in kinds]
        self._whole: list[dict[str, int]] = [{} for _ in self._spellings]
        self._ends: list[dict[str, int]] = [{} for _ in self._spellings]
        self._known: dict[str, Match | None] = {}
        self._last = {each for name in pictures for each in _last(name)}
        for row, name in enumerate(pictures):
            path = _path(name)
            for (kind, stem), whole, ends in zip(self._spellings, self._whole, self._ends, strict=True):
                written = kind(_stem(path) if stem else path)
                _put(whole, written, row)
                for end in _ends(written):
                    _put(ends, end, row)

    def find(self, text: str) -> Match | None:
        """The picture that a text names best; None if it names none."""
        if text not in self._known:
            self._known[text] = self._found(text) if _last(text)[0] in self._last else None  # most cells of a table
        return self._known[text]

    def _found(self, text: str) -> Match | None:
        written = [kind(_path(text)) for kind, _ in self._spellings]
        for where, name in zip(self._whole, written, strict=True):
            if where.get(name, -1) >= 0:
                return Match(where[name], _DEPTH + 1)
        ends = list(map(_ends, written))
        for at in reversed(range(len(ends[0]))):
            for where, mine in zip(self._ends, ends, strict=True):
                if mine[at] in where:
                    return Match(where[mine[at]], at + 1)
        return None


def _put(where: dict[str, int], name: str, row: int) -> None:
    where[name] = row if where.get(name, row) == row else -1


def _ends(path: str) -> list[str]:
    """The last part of a path, its last two, and so on."""
    parts = path.split("/")[-_DEPTH:]
    return ["/".join(parts[-count:]) for count in range(1, len(parts) + 1)]


def _last(name: str) -> tuple[str, str]:
    """The last part of a path without case, with and without its ending."""
    last = normalize("NFC", name.strip()[-1000:]).replace("\\", "/").rstrip("/").rpartition("/")[2]
    return last.casefold(), _stem(last).casefold()


def _stem(path: str) -> str:
    ending = ending_of(path)
    return path[: -len(ending)] if ending else path


def _path(name: str) -> str:
    """A path in one spelling: slashes, no drive, no empty parts."""
    plain = normalize("NFC", name.strip()[-1000:]).replace("\\", "/")
    return "/".join(part for part in plain.split("/") if part not in ("", ".") and not part.endswith(":"))
