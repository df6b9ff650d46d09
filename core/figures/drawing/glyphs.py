"""Letters that fonts have: which families a page needs, and what stands for a letter that no font here has.

A page is set in the families of `style.FONTS`. A sign that none of them has is taken from another font of this
machine; where none has it, all renderers write its code point, so that PDF, SVG, PNG and pages show the same words,
and the caption says what they stand for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from core.figures.drawing import style
from core.wording import coded, plain

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

    from core.figures.drawing.chart import Chart

_LATIN = 0x250  # below, all signs are in the fonts that come along: no font has to be opened to know that
_OWN = frozenset("ℓ×−–…⁻⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂‖≤≥√∞±·σαλ°ηεδκπ→≈")  # and these of our own words
_SAID_APART = ("caption", "alt", "recipe")  # of a chart: text beside the picture, in the reader's own fonts
_MOST_TOLD = 8  # runs of letters in a caption
_LAST_RESORT = "Last Resort"  # draws a box for every sign there is


def readable(words: str) -> str:
    """Words as every renderer writes them, lines kept.

    Args:
        words: anything.

    Returns:
        Words without control signs; signs that no font here has are code points in brackets.
    """
    if words.isascii() and words.isprintable():
        return words
    lines = [_line(line) for line in words.split("\n")]
    there = known_in("".join(lines))
    return "\n".join(coded(line, there.__contains__) for line in lines)


def _line(words: str) -> str:
    """A line without control signs, as long as it was: blanks at its ends may keep it in place."""
    start, end = len(words) - len(words.lstrip(" ")), len(words) - len(words.rstrip(" "))
    text = plain(words)
    return " " * start + text + " " * end if text else " " * bool(words)


def with_known_letters(chart: Chart) -> Chart:
    """A chart whose words can be drawn by every renderer, and whose caption says what stands for other letters.

    Args:
        chart: with words from anywhere.

    Returns:
        The chart itself where there is nothing to change, as in one that went through here before.
    """
    text = "".join(words_in(chart))
    if text.isascii() and text.replace("\n", "").isprintable():
        return chart
    known_in(text)  # one look for all of them
    if all(readable(words) == words for words in words_in(chart)):
        return chart
    runs = dict.fromkeys(run for words in words_in(chart) for run in _unknown(words))
    letters = [f"{run} as {coded(run, known)}" for run in list(runs)[:_MOST_TOLD]]
    if len(runs) > _MOST_TOLD:
        letters.append(f"{len(runs) - _MOST_TOLD} more alike")
    note = (
        f"No font here has these letters, drawn as their code points: {', '.join(letters)}; install one that has them."
    )
    changed: Chart = _mapped(chart, readable)
    return replace(changed, caption=" ".join(filter(None, [chart.caption, note if runs else ""])))


def words_in(part: Any) -> Iterator[str]:
    """All words that are drawn of a chart or a part of it.

    Args:
        part: a chart, a panel, a layer, or what they hold.

    Yields:
        Each piece of text; names of colours and roles too, which are ASCII.
    """
    if isinstance(part, str):
        yield part
    elif isinstance(part, tuple | list):
        for each in part:
            yield from words_in(each)
    elif is_dataclass(part):
        for entry in fields(part):
            if entry.name not in _SAID_APART:
                yield from words_in(getattr(part, entry.name))


def _mapped(part: Any, change: Callable[[str], str]) -> Any:
    """A part of a chart with all words changed that `words_in` gives."""
    if isinstance(part, str):
        return change(part)
    if isinstance(part, tuple):
        return tuple(_mapped(each, change) for each in part)
    if is_dataclass(part) and not isinstance(part, type):
        names = [entry.name for entry in fields(part) if entry.name not in _SAID_APART]
        return replace(part, **{name: _mapped(getattr(part, name), change) for name in names})
    return part


def _unknown(words: str) -> list[str]:
    """The runs of signs in words that no font here has."""
    return "".join(sign if not known(sign) else "\n" for sign in plain(words)).split()


def known(sign: str) -> bool:
    """Whether a font of this machine has a sign, so that it can be drawn."""
    return sign in known_in(sign)


def known_in(words: str) -> Set[str]:
    """The signs in words that a font of this machine has.

    Args:
        words: anything; all of it at once is one look at all fonts, sign by sign is many.

    Returns:
        Single signs.
    """
    strange = {sign for sign in set(words) if not ordinary(sign)}
    if not strange:
        return set(words)  # matplotlib, which pages do without, is not even imported
    strange -= {sign for sign in strange if all(sign in _signs(font, _state()) for font in style.FONTS)}
    found = _lenders(strange)
    return {sign for sign in set(words) if sign not in strange or found[sign]}


def families(font: str, words: str = "") -> tuple[str, ...]:
    """Families that set words: those of the page first, then what lends the signs that these lack.

    Args:
        font: "sans" or "serif".
        words: what will be set.

    Returns:
        Names of installed families; the same on one machine for the same words.
    """
    strange = sorted({sign for sign in set(words) if not ordinary(sign) and sign not in _signs(font, _state())})
    found = _lenders(set(strange))
    lent = (found[sign] for sign in strange)
    return tuple(dict.fromkeys([*_installed(font, _state()), *filter(None, lent)]))


def outlined_by_curves(names: Sequence[str]) -> bool:
    """Whether a family is of PostScript outlines, which a PDF cannot hold as TrueType."""
    from fontTools.ttLib import TTFont

    for name in names:
        place = _place(name)
        with TTFont(place.path, fontNumber=place.face_index, lazy=True) as font:
            if font.sfntVersion == "OTTO":
                return True
    return False


@contextmanager
def quiet() -> Iterator[None]:
    """Without matplotlib's remarks on fonts of another weight: what lends a letter need not be of the page's own."""
    log = logging.getLogger("matplotlib.font_manager")
    log.addFilter(_nothing)
    try:
        yield
    finally:
        log.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def ordinary(words: str) -> bool:
    """Whether the fonts of pages have all signs of words in every weight, so that none has to be opened."""
    return all(ord(sign) < _LATIN or sign in _OWN or sign.isspace() for sign in words)


def _state() -> tuple[object, ...]:
    """What tells which fonts matplotlib knows: who adds one gets its letters."""
    from matplotlib import font_manager

    there = font_manager.fontManager.ttflist
    return len(there), there[-1].fname


@cache
def _installed(font: str, state: tuple[object, ...]) -> tuple[str, ...]:
    from matplotlib import font_manager

    there = set(font_manager.get_font_names())
    return tuple(family for family in style.FONTS[font] if family in there)


def _place(family: str) -> Any:
    """Where the file is that matplotlib takes for the upright letters of a family."""
    from matplotlib import font_manager

    with quiet():
        return font_manager.findfont(font_manager.FontProperties(family=[family]))


@cache
def _signs(font: str, state: tuple[object, ...]) -> frozenset[str]:
    """What the page's own families can draw."""
    from matplotlib import font_manager

    codes = (font_manager.get_font(_place(family)).get_charmap() for family in _installed(font, state))
    return frozenset(chr(code) for each in codes for code in each)


_found: dict[tuple[object, ...], dict[str, str]] = {}  # by the fonts there are: what lends each sign, "" for nothing


def _lenders(signs: Set[str]) -> Mapping[str, str]:
    """The family that lends each sign, the first by name that draws it; "" where none does."""
    found = _found.setdefault(_state(), {})
    wanted = signs - found.keys()
    if wanted:
        lent = _lent(wanted)
        if len(lent) < len(wanted) and _new_fonts():
            lent = _lent(wanted)
            found = _found.setdefault(_state(), {})
        found.update({sign: lent.get(sign, "") for sign in wanted})
    return found


def _lent(wanted: Set[str]) -> dict[str, str]:
    """Which family draws which sign, every font opened once."""
    from matplotlib import font_manager

    found: dict[str, str] = {}
    for entry in sorted(font_manager.fontManager.ttflist, key=_first):
        if len(found) == len(wanted):
            break
        if entry.name.startswith(_LAST_RESORT):
            continue
        for sign in _drawn(entry.fname, entry.index, wanted - found.keys()):
            place = _place(entry.name)  # of all files of the family, the one that will be used
            if _drawn(place.path, place.face_index, {sign}):
                found[sign] = entry.name
    return found


def _first(entry: FontEntry) -> tuple[object, ...]:
    """Upright letters of usual weight first, then by name."""
    from matplotlib import font_manager

    weight = entry.weight if isinstance(entry.weight, int) else font_manager.weight_dict.get(entry.weight, 400)
    return entry.style != "normal", abs(weight - 400), entry.name, entry.fname, entry.index


def _drawn(path: str, index: int, signs: Set[str]) -> list[str]:
    """The signs that a font has an outline for; some have an empty one, or a bitmap, for every sign there is."""
    from matplotlib.ft2font import FT2Font, LoadFlags

    found = []
    try:
        font = FT2Font(path, face_index=index)
        for sign in sorted(signs):
            if font.get_char_index(ord(sign)):
                font.load_char(ord(sign), flags=LoadFlags.NO_SCALE)
                found += [sign] if len(font.get_path()[0]) else []
    except (OSError, RuntimeError, ValueError):  # a font that cannot be read lends nothing
        return []
    return found


@cache
def _new_fonts() -> bool:
    """Tell matplotlib once of fonts that were installed since it wrote its list; whether there are any."""
    from matplotlib import font_manager

    before = _state()
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - known):
        with suppress(OSError, RuntimeError, ValueError):  # bitmaps, and what is damaged
            font_manager.fontManager.addfont(path)
    return _state() != before
