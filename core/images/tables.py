"""Tables of classes among pictures: which column names pictures and which one holds classes, judged by their content.

A row names a picture as `core.images.picture_names` says. A table that names no picture, or whose classes are
ambiguous, is left out with a sentence: classes are never guessed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import NamedTuple
from unicodedata import normalize

from core.errors import ImageError
from core.images.archives import Entry, Refused
from core.images.classes import check_numbers, is_missing, missing, number_in
from core.images.files import SUFFIXES, ending_of, short_name
from core.images.picture_names import Match, PictureNames
from core.sources.models import MOST_CLASSES

TABLES = (".csv", ".tsv")
_BYTES = 16 << 20  # of all tables of a set
_CELLS = 1_000_000  # of all tables of a set
_PREFERRED = ("labels", "classes")  # names of tables that take precedence
_CLASS_TITLES = ("class", "label", "classes", "labels", "class_name", "classname", "class_id", "category", "target",
                 "class_label", "label_name", "label_id", "category_name", "category_id", "true_class", "true_label",
                 "ground_truth", "gt")  # fmt: skip
_MORE_CLASS_TITLES = ("targets", "categories", "species", "breed", "diagnosis", "dx", "grade", "type", "kind", "y")
_NO_NAMES = (*_CLASS_TITLES, *_MORE_CLASS_TITLES)
_LEGENDS = ("classes", "class_names", "classnames", "names", "label_names", "legend", "categories", "label_map",
            "labelmap", "class_map", "synsets")  # fmt: skip
_NAME_TITLES = ("name", "file", "filename", "file_name", "image", "image_id", "img", "picture", "path", "id",
                "file_path", "filepath", "image_name", "image_path", "img_name", "img_path", "file_id")  # fmt: skip
_INDEX_TITLES = ("", "index", "unnamed:_0", "row", "nr", "no", "number", "#")
_PART_TITLES = {"train", "test", "val", "valid", "validation"}  # columns of 0 and 1 that are not classes
_NO_CLASSES = ("pred", "score", "prob", "conf", "author", "split")  # beginnings of titles of other columns
_WORD_TITLES = (*_CLASS_TITLES, "name", "names", "called", "title", "description", "word", "words", "english")
_CODE = re.compile(r"[A-Za-z]{0,4}[_:/-]?\d{2,}")  # such as n01440764 of WordNet; not /m/0abc1
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?\b.*|\d\d?[./]\d\d?[./]\d{2,4}")


class Said(NamedTuple):
    """The content of the tables of a set of pictures.

    Attributes:
        labels: the class of each picture, "" if it has none; None if no table is used.
        refused: tables that are left out.
        left: ignored parts of the others.
        class_names: names of numbered classes, where a table lists them.
    """

    labels: list[str] | None
    refused: list[Refused]
    left: list[Refused]
    class_names: tuple[str, ...] = ()


def read_table(content: bytes, name: str, most: int = _CELLS) -> list[list[str]]:
    """The rows of a table, without empty ones.

    Args:
        content: text in UTF-8 or UTF-16, with commas, semicolons, tabs or `|` between columns.
        name: of the table.
        most: cells allowed.

    Returns:
        Rows of stripped cells, all of the same length.

    Raises:
        ImageError: if it is not such a table, or has too many cells.
    """
    short = short_name(name)
    rows: list[list[str]] = []
    cells = 0
    written = _text(content, short)
    text = re.sub(r"\Asep=.?\s*\n", "", written)  # a first line of spreadsheets
    sign, lines = _delimiter(text), list(io.StringIO(text, newline=""))
    reader, first, before = csv.reader(lines, delimiter=sign), 0, int(text != written)
    try:
        for row in reader:
            if reader.line_num > first + 1:  # a cell of several lines, or an open quote
                list(csv.reader(lines[first : reader.line_num], delimiter=sign, strict=True))
            first = reader.line_num
            cells += len(row)
            if cells > most:
                break
            plain = [cell.strip() for cell in row]
            if any(plain):
                rows.append(plain)
    except csv.Error as error:
        raise ImageError(
            f"expected closed quotes, and cells of at most {csv.field_size_limit():,} characters in {short}, got others"
            f" from line {first + before + 1:,} on; close its quotes, or keep only names and classes"
        ) from error
    width = max(map(len, rows), default=0)
    if cells > most or len(rows) * width > most:
        raise ImageError(f"expected tables of at most {_CELLS:,} cells, got more by {short}; keep names and classes")
    if width < 2:
        raise ImageError(
            f"expected two columns in {short}, a name and a class, with commas, semicolons, tabs or | between them, got"
            f" {'one column' if width else 'nothing'}; save it as CSV"
        )
    return [row + [""] * (width - len(row)) for row in rows]


def _text(content: bytes, name: str) -> str:
    """The text of a table: UTF-8, or UTF-16, which zero bytes in every other place give away.

    Raises:
        ImageError: if it is in another encoding.
    """
    high, low = content[::2].count(0), content[1::2].count(0)
    encoding = "utf-8-sig"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif max(high, low) > max(3 * min(high, low), len(content) // 16):
        encoding = "utf-16-be" if high > low else "utf-16-le"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ImageError(f'expected a table in UTF-8, {name} has another encoding; save it as "CSV UTF-8"')
    return text


def _delimiter(text: str) -> str:
    """The delimiter of the columns: the character that most of the first lines have as often as the first line.

    Of several, the one that separates names of pictures; a comma last, since numbers and names may contain it.
    """
    lines = [line for line in text[:20_000].splitlines()[:20] if line.strip()]

    def alike(sign: str) -> tuple[int, int]:
        same = sum(line.count(sign) == lines[0].count(sign) > 0 for line in lines)
        return same, sum(_has_ending(cell.strip(' "')) for line in lines for cell in line.split(sign))

    return max(";\t|,", key=alike) if lines else ","


def classes_in_tables(
    tables: Sequence[Entry], pictures: Sequence[str], *, folders: bool, classes: Sequence[str] = ()
) -> Said:
    """The classes of pictures in tables; a table called `labels` takes precedence.

    Args:
        tables: the tables.
        pictures: names of the pictures.
        folders: whether the folders of the pictures are classes, so that only a column called class counts.
        classes: names that the source gives to the classes.
    """
    finder = PictureNames(pictures)
    read, refused = _read(tables)
    legends = {name: words for name, rows in read if (words := _legend(rows, finder, asked=_is_legend(name)))}
    listed = [*classes, *(word for words in legends.values() for word in words)]
    labels: list[str] | None = None
    left: list[Refused] = []
    class_names: tuple[str, ...] = ()
    for name, rows in sorted(read, key=lambda each: (each[0] in legends, _preferred(each[0]), each[0])):
        short, names = short_name(name), legends.get(name, ())
        if names and _is_legend(name):
            left.append(Refused(name, _AS_CLASSES.format(short) if not class_names else _SECOND.format(short)))
            class_names = class_names or names
            continue
        try:
            found, remarks, titles = _classes(
                rows,
                finder,
                short,
                listed,
                asked=_preferred(name) < len(_PREFERRED),
                alone=labels is None and not folders,
            )
            labels = found if labels is None else _together(labels, found, short)
            class_names = class_names or titles
        except _NoPictureError as error:
            refused.append(Refused(name, _NO_LEGEND.format(short) if _is_legend(name) else str(error)))
        except ImageError as error:
            refused.append(Refused(name, str(error)))
        else:
            left += [Refused(name, remark) for remark in [*remarks, *([_AS_PICTURES.format(short)] if names else [])]]
    if labels is not None and "" in labels:
        none = [name for name, label in zip(pictures, labels, strict=True) if not label]
        reason = f"expected a class for every picture, the tables name none for {len(none):,}, such as this one"
        left.append(Refused(none[0], reason))
    return Said(labels, refused, left, class_names)


class _NoPictureError(ImageError):
    """No row of a table names a picture."""


_NO_LEGEND = (
    "expected a list of what numbers of classes are called in {}, or a table that names pictures, it is neither; write"
    " each number once, from 0 on, and beside it one word"
)
_AS_CLASSES = (
    "expected a table that names pictures, {} is taken for a list of what numbers of classes are called; where its"
    " numbers are pictures, write them with their endings"
)
_SECOND = "expected one list of what classes are called, {} is another one and is left aside; keep one"
_AS_PICTURES = (
    "expected names with endings where pictures are meant, the numbers in {} are taken for pictures; if it lists what"
    " classes are called, name it classes.csv"
)


def _read(tables: Sequence[Entry]) -> tuple[list[tuple[str, list[list[str]]]], list[Refused]]:
    found, refused = [], []
    size = cells = 0
    for table in sorted(tables, key=lambda each: (_preferred(each.name), each.name)):
        try:
            content = table.read() if size <= _BYTES else b""
            size += len(content)
            if size > _BYTES:
                raise ImageError(f"expected at most {_BYTES >> 20} MB of tables, got more; keep only names and classes")
            rows = read_table(content, table.name, _CELLS - cells)
            cells += len(rows) * len(rows[0])
            found.append((table.name, rows))
        except ImageError as error:
            refused.append(Refused(table.name, str(error)))
    return found, refused


def _is_legend(name: str) -> bool:
    return _stem_of(name) in _LEGENDS


def _legend(rows: list[list[str]], finder: PictureNames, *, asked: bool) -> tuple[str, ...]:
    """Names of numbered classes, if a table lists each number with a word; "" for missing numbers.

    Args:
        rows: of the table.
        finder: the pictures, none of which it may name.
        asked: whether its name says that it is such a list; other tables must count from 0 or 1, with distinct words.
    """
    if any(_has_ending(cell) or (number_in(cell) is None and finder.find(cell)) for row in rows for cell in row):
        return ()
    titled = not any(number_in(cell) is not None for cell in rows[0])
    titles = _titles(rows[0]) if titled else [""] * len(rows[0])
    columns = list(zip(titles, zip(*rows[titled:], strict=True), strict=False))
    numbers = [(title, column) for title, column in columns if (_are_classes if asked else _counts_rows)(column)]
    words = [(title, column) for title, column in columns if (_are_words if asked else _tells_apart)(column)]
    if not numbers or not words:
        return ()
    _, wanted = min(numbers, key=lambda each: each[0] in _INDEX_TITLES)
    _, called = min(words, key=lambda each: (all(map(_CODE.fullmatch, each[1])), each[0] not in _WORD_TITLES))
    if len(set(called)) < len(called) and all(finder.find(cell) for cell in wanted):  # classes of pictures 1, 2, ...
        return ()
    names = dict(zip([int(number_in(cell) or 0) for cell in wanted], called, strict=True))
    return tuple(names.get(number, "") for number in range(max(names) + 1))


def _are_classes(column: Sequence[str]) -> bool:
    """Whether a column lists class numbers, each once."""
    numbers = {number_in(cell) for cell in column}
    return len(numbers) == len(column) > 1 and all(
        number is not None and number.is_integer() and 0 <= number < MOST_CLASSES for number in numbers
    )


def _are_words(column: Sequence[str]) -> bool:
    """Whether a column has a word in every row, most of them different."""
    return all(cell and number_in(cell) is None for cell in column) and 2 * len(set(column)) > len(column)


def _tells_apart(column: Sequence[str]) -> bool:
    """Whether a column has a different word in every row."""
    return _are_words(column) and len(set(column)) == len(column) > 1


def _preferred(name: str) -> int:
    """Order of tables by their names: those that are named after classes come first."""
    stem = _stem_of(name)
    return _PREFERRED.index(stem) if stem in _PREFERRED else len(_PREFERRED)


def _stem_of(name: str) -> str:
    """The last part of a path, without its ending, in lower case."""
    return name.rpartition("/")[2].lower().removesuffix(ending_of(name))


def _together(labels: Sequence[str], others: Sequence[str], name: str) -> list[str]:
    pairs = list(zip(labels, others, strict=True))
    unlike = sum(bool(mine and theirs) and mine != theirs for mine, theirs in pairs)
    if unlike:
        raise ImageError(
            f"expected one class for each picture, {name} has others than another table for {unlike:,}; keep one table"
        )
    return [mine or theirs for mine, theirs in pairs]


# -- which column holds what ------------------------------------------------------------------------------------------


def _classes(
    rows: list[list[str]], finder: PictureNames, name: str, listed: Sequence[str], *, asked: bool, alone: bool
) -> tuple[list[str], list[str], tuple[str, ...]]:
    """The class of each picture by one table, sentences about ignored rows, and the titles of one-hot columns.

    Raises:
        _NoPictureError: if no column names pictures.
        ImageError: if the columns of names or of classes are ambiguous.
    """
    columns = list(zip(*rows, strict=True))
    found = [[finder.find(cell) for cell in column] for column in columns]
    naming = _name_column(columns, found, name)
    named = [cell for match, cell in zip(found[naming], columns[naming], strict=True) if match and match.row >= 0]
    titled = found[naming][0] is None and not _has_ending(columns[naming][0])
    titles = _titles(rows[0]) if titled else []
    legend = titled and titles[naming] in _NO_NAMES and not any(map(_has_ending, named))
    sure = asked or (titled and titles[naming] in _NAME_TITLES) or any(number_in(cell) is None for cell in named)
    if not named or legend or not sure:  # 1 may be picture 1.png, or any other number
        raise _NoPictureError(
            f"expected a column that names the pictures in {name}, no row of it names one; where it should, write the"
            " names as the files have them"
        )
    below = [each[titled:] for each in columns]
    labels, one_hot = _class_column(below, rows[0] if titled else [], naming, name, asked=asked, alone=alone)
    lacks, told = [], list[str]()
    if not one_hot:
        check_numbers(set(labels), name)
        none, told = missing(labels, f"row of {name}", listed)
        lacks = [label for label in labels if label and label in none]
        labels = ["" if label in none else label for label in labels]
    matched = list(zip(found[naming][titled:], below[naming], labels, strict=True))
    by_row, remarks = _by_row(matched, finder.count, name)
    if lacks:
        came = f"{lacks[0]} for {len(lacks):,}"
        told.append(f"expected a class in every row of {name}, got {came}; call the class otherwise if it is one")
    return by_row, [*remarks, *told], one_hot


def _titles(row: Sequence[str]) -> list[str]:
    return [cell.lower().replace(" ", "_") for cell in row]


def _name_column(columns: Sequence[Sequence[str]], found: Sequence[Sequence[Match | None]], name: str) -> int:
    """The column that names most pictures; if several do so without endings, titles decide.

    Raises:
        ImageError: if two columns qualify.
    """
    counts = [_names(*each) for each in zip(found, columns, strict=True)]
    rows = [[match and match.row for match in matches] for matches in found]
    some = [at for at, count in enumerate(counts) if count[1]]
    best = max(counts)
    if best[0] or not some:
        return counts.index(best)
    titled = all(rows[at][0] is None for at in some)
    titles = _titles([column[0] if titled else "" for column in columns])
    likely = [at for at in some if titles[at] not in _NO_NAMES] or some
    called = [at for at in likely if titles[at] in _NAME_TITLES]
    most = [at for at in likely if counts[at] == max(counts[at] for at in likely)]
    likely = [at for at in most if at in called] or [*most, *called]
    if any(rows[at] != rows[likely[0]] for at in likely):
        both = " and ".join(str(at + 1) for at in sorted(likely)[:2])
        raise ImageError(
            f"expected one column that names the pictures in {name}, columns {both} may both do; write the names with"
            " their endings, or call the columns image and class"
        )
    return likely[0]


def _names(found: Sequence[Match | None], column: Sequence[str]) -> tuple[int, int]:
    """The number of pictures that a column names: with their endings, and in all."""
    whole = {each.row for each, cell in zip(found, column, strict=True) if each is not None and _has_ending(cell)}
    return len(whole), len({each.row for each in found if each is not None})


def _has_ending(cell: str) -> bool:
    return ending_of(cell) in SUFFIXES


def _class_column(
    columns: Sequence[Sequence[str]], head: Sequence[str], naming: int, name: str, *, asked: bool, alone: bool
) -> tuple[Sequence[str], tuple[str, ...]]:
    """The classes: the column with such a title, or one-hot columns, or, without titles, the only other column.

    The titles of one-hot columns come with them: they name the classes in order, also those without a picture.

    Args:
        columns: of cells, without titles.
        head: their titles, if there are any.
        naming: the column that names pictures.
        name: of the table.
        asked: whether the table's name says that it holds classes.
        alone: whether there is no other source of classes.

    Raises:
        ImageError: if there is no such column, or several qualify.
    """
    titles = _titles(head) or [""] * len(columns)
    others = [at for at in range(len(columns)) if at != naming and _may_be_classes(columns[at])]
    for title in _CLASS_TITLES:
        if same := [at for at in others if titles[at] == title]:
            if len({columns[at] for at in same}) > 1:
                raise ImageError(f"expected one column called {title} in {name}, got {len(same)} that differ; keep one")
            return columns[same[0]], ()
    others = [at for at in others if not titles[at].startswith(_NO_CLASSES)]
    if len(others) > 1:
        others = [at for at in others if not (titles[at] in _INDEX_TITLES and _counts_rows(columns[at]))]
    called = [at for at in others if titles[at] in _MORE_CLASS_TITLES and not (titles[at] == "y" and "x" in titles)]
    if not (asked or alone):  # where folders are classes, a kind or a grade of the pictures is not
        called = []
    flags = [at for at in others if {number_in(cell) for cell in columns[at]} <= {0, 1}]
    if head and not called and (asked or alone) and len({columns[at] for at in flags}) > 1:
        return _one_hot(columns, head, flags, others, name)
    likely = called if head else others
    # without a title, several pictures share a class, unlike a hash or a size
    if len(likely) == 1 and (head or asked or not 3 <= len(columns[likely[0]]) == len(set(columns[likely[0]]))):
        return columns[likely[0]], ()
    words = "/".join((head[at] if head else f"column {at + 1}")[:30] for at in others[:6])
    raise ImageError(
        f"expected one column of classes in {name}, got {words or 'none'}; call it class, with whole numbers or words"
    )


def _one_hot(
    columns: Sequence[Sequence[str]], head: Sequence[str], flags: Sequence[int], others: Sequence[int], name: str
) -> tuple[list[str], tuple[str, ...]]:
    """The title of the column that has the 1, for each row; and all titles.

    Args:
        columns: all columns.
        head: their titles.
        flags: columns of 0 and 1.
        others: all columns that may hold classes.
        name: of the table.

    Raises:
        ImageError: if another column may hold the classes too, or a row has no 1 or several.
    """
    words = "/".join(head[at][:30] for at in others[:6])
    rows = [[at for at, cell in zip(flags, row, strict=True) if number_in(cell) == 1]
            for row in zip(*(columns[at] for at in flags), strict=True)]  # fmt: skip
    unlike = sum(len(row) != 1 for row in rows)
    if len(flags) < len(others) or unlike or set(_titles([head[at] for at in flags])) <= _PART_TITLES:
        came = f"{words} with none or several in {unlike:,} rows" if unlike else words
        raise ImageError(
            f"expected one column of classes in {name}, or one for each class with a single 1 in every row, got {came};"
            " write the class of each picture into one column and call it class"
        )
    titles = tuple(head[at] for at in flags)
    if len(set(titles)) < len(titles):
        raise ImageError(f"expected a title of its own for each class in {name}, got one twice; rename the columns")
    return [head[row[0]] for row in rows], titles


def _may_be_classes(column: Sequence[str]) -> bool:
    """Whether a column may hold classes, and not measurements, dates or names of pictures."""
    some = [cell for cell in set(column) if not is_missing(cell)]
    numbers = [number for cell in some if (number := number_in(cell)) is not None]
    measured = len(numbers) == len(some) and not all(number.is_integer() for number in numbers)
    dates = all(_DATE.fullmatch(cell) for cell in some)
    named = sum(map(_has_ending, some))
    return bool(some) and not measured and not dates and 2 * named < len(some)


def _counts_rows(column: Sequence[str]) -> bool:
    """Whether a column only counts the rows, as an index of pandas."""
    numbers = [number_in(cell) for cell in column]
    return any(numbers == list(range(first, first + len(column))) for first in (0, 1))


def _by_row(rows: Sequence[tuple[Match | None, str, str]], count: int, name: str) -> tuple[list[str], list[str]]:
    """The class of each picture, by the row that names it most fully; "" if such rows contradict each other."""
    best: dict[int, tuple[int, set[str]]] = {}
    lost = [cell for match, cell, _ in rows if match is None]
    unclear = [cell for match, cell, _ in rows if match is not None and match.row < 0]
    for match, _, label in rows:
        if match is not None and match.row >= 0:
            parts, known = best.get(match.row, (0, set()))
            if match.parts >= parts:
                best[match.row] = match.parts, (known if match.parts == parts else set()) | {normalize("NFC", label)}
    labels = [""] * count
    for row, (_, known) in best.items():
        labels[row] = next(iter(known)) if len(known) == 1 else ""
    twice = sum(len(known) > 1 for _, known in best.values())
    remarks = []
    if lost:
        remarks.append(f"expected a picture for every row of {name}, {_some(lost)} name none here; they are left aside")
    if unclear:
        several = f"{_some(unclear)} name several"
        remarks.append(f"expected one picture for every row of {name}, {several}; write their folders")
    if twice:
        remarks.append(f"expected one class for every picture in {name}, {twice:,} have several; these have none")
    return labels, remarks


def _some(cells: Sequence[str]) -> str:
    return f"{len(cells):,} such as {short_name(cells[0])[:40]!a}"
