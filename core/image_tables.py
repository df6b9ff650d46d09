"""Tables of classes beside pictures: which column names pictures and which one holds classes, by what is in them.

A row names a picture by its path, its last parts, or the same without its ending; slashes, drives, case and Unicode's
normal forms do not matter. A table that names no picture, or in which the classes are not clear, is left out with a
sentence: classes are never guessed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from unicodedata import normalize

from core.errors import ImageError
from core.image_archives import Entry, Refused
from core.image_classes import is_missing, number_in
from core.image_files import SUFFIXES, ending_of, short_name

TABLES = (".csv", ".tsv")
_BYTES = 16 << 20  # of all tables of a set
_CELLS = 1_000_000  # of all tables of a set
_DEPTH = 8  # last parts of a path that are compared
_PREFERRED = ("labels", "classes")  # names of tables that go before others
_CLASS_TITLES = ("class", "label", "classes", "labels", "class_name", "classname", "class_id", "category", "target")
_NAME_TITLES = ("name", "file", "filename", "file_name", "image", "image_id", "img", "picture", "path", "id")
_NO_CLASSES = ("pred", "score", "prob", "conf", "author", "split")  # what titles of other columns begin with
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?\b.*|\d\d?[./]\d\d?[./]\d{2,4}")


class Said(NamedTuple):
    """What tables say of pictures.

    Attributes:
        labels: the class of each picture, "" where it has none; None where no table counts.
        refused: tables that are left out.
        left: what of the others is left aside.
    """

    labels: list[str] | None
    refused: list[Refused]
    left: list[Refused]


def read_table(content: bytes, name: str, most: int = _CELLS) -> list[list[str]]:
    """The rows of a table, without empty ones.

    Args:
        content: text in UTF-8, or UTF-16 that says so, with commas, semicolons or tabs between columns.
        name: of the table.
        most: cells.

    Returns:
        Rows of cells, as many in each, without spaces around.

    Raises:
        ImageError: if it is no such table, or has too many cells.
    """
    short = short_name(name)
    rows: list[list[str]] = []
    cells = 0
    try:
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16" if wide else "utf-8-sig")
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)):
            cells += len(row)
            if cells > most:
                break
            plain = [cell.strip() for cell in row]
            if any(plain):
                rows.append(plain)
    except (ValueError, csv.Error) as error:
        raise ImageError(
            f"expected a table of names and classes in {short}, could not read it; save it as CSV"
        ) from error
    width = max(map(len, rows), default=0)
    if cells > most or len(rows) * width > most:
        raise ImageError(f"expected tables of at most {_CELLS:,} cells, got more by {short}; keep names and classes")
    if width < 2:
        raise ImageError(f"expected two columns in {short}, a name and a class, got another table; save it as CSV")
    return [row + [""] * (width - len(row)) for row in rows]


def _delimiter(text: str) -> str:
    """What parts the columns: the sign that most of the first lines have as often as the first one."""
    lines = [line for line in text[:20_000].splitlines()[:20] if line.strip()]

    def alike(sign: str) -> int:
        return sum(line.count(sign) == lines[0].count(sign) > 0 for line in lines)

    return max(",;\t", key=alike)


def classes_in_tables(tables: Sequence[Entry], pictures: Sequence[str], *, folders: bool) -> Said:
    """What tables say of the classes of pictures; one called `labels` goes before others.

    Args:
        tables: the tables.
        pictures: names of the pictures.
        folders: whether the pictures have classes by the folders that they lie in, so that a column that is not called
            a class does not count.

    Returns:
        The classes.
    """
    places = _Places(pictures)
    refused, left = [], []
    labels: list[str] | None = None
    size = cells = 0
    for table in sorted(tables, key=lambda each: (not _preferred(each.name), each.name)):
        short, asked = short_name(table.name), _preferred(table.name)
        try:
            _check_size(size)
            content = table.read()
            size += len(content)
            _check_size(size)
            rows = read_table(content, table.name, _CELLS - cells)
            cells += len(rows) * len(rows[0])
            alone = labels is None and not folders
            found, told = _classes(rows, places, short, asked=asked, alone=alone)
            labels = found if labels is None else _together(labels, found, short)
        except ImageError as error:
            refused.append(Refused(table.name, str(error)))
        else:
            left += [Refused(table.name, sentence) for sentence in told]
    if labels is not None and "" in labels:
        none = [name for name, label in zip(pictures, labels, strict=True) if not label]
        reason = f"expected a class for every picture, the tables name none for {len(none):,}, such as this one"
        left.append(Refused(none[0], reason))
    return Said(labels, refused, left)


def _preferred(name: str) -> bool:
    return name.rpartition("/")[2].lower().removesuffix(ending_of(name)) in _PREFERRED


def _check_size(size: int) -> None:
    """Enforce that tables are small.

    Raises:
        ImageError: if they are not.
    """
    if size > _BYTES:
        raise ImageError(f"expected at most {_BYTES >> 20} MB of tables, got more; keep only names and classes")


def _together(labels: Sequence[str], others: Sequence[str], name: str) -> list[str]:
    """The classes of two tables.

    Raises:
        ImageError: if they contradict each other.
    """
    pairs = list(zip(labels, others, strict=True))
    unlike = sum(bool(mine and theirs) and mine != theirs for mine, theirs in pairs)
    if unlike:
        raise ImageError(
            f"expected one class for each picture, {name} has others than another table for {unlike:,}; keep one table"
        )
    return [mine or theirs for mine, theirs in pairs]


# -- which column holds what ------------------------------------------------------------------------------------------


def _classes(
    rows: list[list[str]], places: _Places, name: str, *, asked: bool, alone: bool
) -> tuple[list[str], list[str]]:
    """The class of each picture by one table, and sentences about rows that do not count.

    Raises:
        ImageError: if no column names pictures, or it is not clear which one holds their classes.
    """
    columns = list(zip(*rows, strict=True))
    found = [[places.find(cell) for cell in column] for column in columns]
    naming = max(range(len(columns)), key=lambda at: _names(found[at], columns[at]))
    named = [cell for place, cell in zip(found[naming], columns[naming], strict=True) if place and place.row >= 0]
    titled = found[naming][0] is None and not _has_ending(columns[naming][0])
    titles = [cell.lower().replace(" ", "_") for cell in rows[0]] if titled else []
    sure = asked or (titled and titles[naming] in _NAME_TITLES) or any(number_in(cell) is None for cell in named)
    if not named or not sure:  # 1 may be picture 1.png, or any other number
        raise ImageError(
            f"expected a column that names the pictures in {name}, no row of it names one; where it should, write the"
            " names as the files have them"
        )
    column = _class_column([each[titled:] for each in columns], titles, naming, name, asked=asked or alone)
    matched = list(zip(found[naming], columns[naming], columns[column], strict=True))[titled:]
    return _by_row(matched, places.count, name)


def _names(found: Sequence[_Place | None], column: Sequence[str]) -> tuple[int, int]:
    """How many pictures a column names: by names with endings, and at all."""
    whole = {each.row for each, cell in zip(found, column, strict=True) if each is not None and _has_ending(cell)}
    return len(whole), len({each.row for each in found if each is not None})


def _has_ending(cell: str) -> bool:
    return ending_of(cell) in SUFFIXES


def _class_column(
    columns: Sequence[Sequence[str]], titles: Sequence[str], naming: int, name: str, *, asked: bool
) -> int:
    """The column of classes: the one that is called so, or the only one that may hold classes.

    Raises:
        ImageError: if there is none, or it is not clear which one it is.
    """
    others = [at for at in range(len(columns)) if at != naming and _may_be_classes(columns[at])]
    for title in _CLASS_TITLES if titles else ():
        if (at := next((at for at in others if titles[at] == title), None)) is not None:
            return at
    others = [at for at in others if not titles or not titles[at].startswith(_NO_CLASSES)]
    if len({columns[at] for at in others}) > 1:
        others = [at for at in others if not _counts_rows(columns[at])] or others
    if len({columns[at] for at in others}) == 1 and (asked or not titles):
        return others[0]
    words = "/".join((titles[at] if titles else f"column {at + 1}")[:30] for at in others[:6])
    raise ImageError(
        f"expected one column of classes in {name}, got {words or 'none'}; call it class, with whole numbers or words"
    )


def _may_be_classes(column: Sequence[str]) -> bool:
    """Whether a column may hold classes: no measurements, dates or names of pictures."""
    some = [cell for cell in set(column) if not is_missing(cell)]
    numbers = [number for cell in some if (number := number_in(cell)) is not None]
    measured = len(numbers) == len(some) and not all(number.is_integer() for number in numbers)
    dates = all(_DATE.fullmatch(cell) for cell in some)
    named = sum(map(_has_ending, some))
    return bool(some) and not measured and not dates and 2 * named < len(some)


def _counts_rows(column: Sequence[str]) -> bool:
    """Whether a column only counts the rows, as pandas writes an index."""
    numbers = [number_in(cell) for cell in column]
    return any(numbers == list(range(first, first + len(column))) for first in (0, 1))


def _by_row(rows: Sequence[tuple[_Place | None, str, str]], count: int, name: str) -> tuple[list[str], list[str]]:
    """The class of each picture, by the row that names it most fully; none where such rows contradict each other."""
    best: dict[int, tuple[int, set[str]]] = {}
    lost = [cell for place, cell, _ in rows if place is None]
    unclear = [cell for place, cell, _ in rows if place is not None and place.row < 0]
    for place, _, label in rows:
        if place is not None and place.row >= 0:
            parts, known = best.get(place.row, (0, set()))
            if place.parts >= parts:
                best[place.row] = place.parts, (known if place.parts == parts else set()) | {normalize("NFC", label)}
    labels = [""] * count
    for row, (_, known) in best.items():
        labels[row] = next(iter(known)) if len(known) == 1 else ""
    twice = sum(len(known) > 1 for _, known in best.values())
    told = []
    if lost:
        told.append(f"expected a picture for every row of {name}, {_some(lost)} name none here; they are left aside")
    if unclear:
        told.append(f"expected one picture for every row of {name}, {_some(unclear)} name several; write their folders")
    if twice:
        told.append(f"expected one class for every picture in {name}, {twice:,} have several; these have none")
    return labels, told


def _some(cells: Sequence[str]) -> str:
    return f"{len(cells):,} such as {short_name(cells[0])[:40]!a}"


# -- how pictures are named -------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """The picture that a text names: its row, or -1 where it names several; and by how many parts of its path."""

    row: int
    parts: int


class _Places:
    """Pictures by the ways to write their names: as they are or without case, with their ending or without."""

    def __init__(self, pictures: Sequence[str]) -> None:
        self.count = len(pictures)
        kinds: tuple[Callable[[str], str], ...] = (str, str.casefold)
        self._ways = [(kind, stem) for stem in (False, True) for kind in kinds]
        self._whole: list[dict[str, int]] = [{} for _ in self._ways]
        self._ends: list[dict[str, int]] = [{} for _ in self._ways]
        self._known: dict[str, _Place | None] = {}
        self._last = {each for name in pictures for each in _last(name)}
        for row, name in enumerate(pictures):
            parts = _parts(name)
            for number, (kind, stem) in enumerate(self._ways):
                path = "/".join(parts)
                written = kind(_stem(path) if stem else path)
                _put(self._whole[number], written, row)
                for end in _ends(written):
                    _put(self._ends[number], end, row)

    def find(self, text: str) -> _Place | None:
        """The picture that a text names best; None where it names none."""
        if text not in self._known:
            self._known[text] = self._found(text) if _last(text)[0] in self._last else None  # most cells of a table
        return self._known[text]

    def _found(self, text: str) -> _Place | None:
        written = [kind("/".join(_parts(text))) for kind, _ in self._ways]
        for where, name in zip(self._whole, written, strict=True):
            if where.get(name, -1) >= 0:
                return _Place(where[name], _DEPTH + 1)
        ends = [list(_ends(name)) for name in written]
        for at in reversed(range(len(ends[0]))):
            for where, mine in zip(self._ends, ends, strict=True):
                if mine[at] in where:
                    return _Place(where[mine[at]], at + 1)
        return None


def _put(where: dict[str, int], name: str, row: int) -> None:
    where[name] = row if where.get(name, row) == row else -1


def _ends(path: str) -> Iterator[str]:
    """The last part of a path, its last two, and so on."""
    parts = path.split("/")[-_DEPTH:]
    return ("/".join(parts[-count:]) for count in range(1, len(parts) + 1))


def _last(name: str) -> tuple[str, str]:
    """The last part of a path, with and without its ending, where case does not matter."""
    last = normalize("NFC", name.strip()[-1000:]).replace("\\", "/").rstrip("/").rpartition("/")[2]
    return last.casefold(), _stem(last).casefold()


def _stem(path: str) -> str:
    """A path without its ending."""
    ending = ending_of(path)
    return path[: -len(ending)] if ending else path


def _parts(name: str) -> list[str]:
    """The parts of a path, however it is written."""
    plain = normalize("NFC", name.strip()[-1000:]).replace("\\", "/")
    return [part for part in plain.split("/") if part not in ("", ".") and not part.endswith(":")] or [""]
