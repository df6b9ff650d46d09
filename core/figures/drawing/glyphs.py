"""Glyphs: which font families a text needs, and what replaces a character that no installed font has.

A page is set in the families of `style.FONTS`. A character that they lack is taken from another installed font; if none
has it, all renderers write its code point, so that PDF, SVG, PNG and HTML show the same text, and the caption explains
it.
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

_LATIN = 0x250  # the fonts in use have all characters below it: none has to be opened to check
_OWN = frozenset("ℓ×−–…⁻⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂‖≤≥√∞±·σαλ°ηεδκπ→≈")  # and these, which our own texts contain
_NOT_DRAWN = ("caption", "alt", "recipe")  # of a chart: text outside the picture, in the reader's own fonts
_MOST_LISTED = 8  # runs of unknown characters in a caption
_LAST_RESORT = "Last Resort"  # draws a box for every character there is


def readable(words: str) -> str:
    """Text as every renderer writes it, with its line breaks.

    Args:
        words: any text.

    Returns:
        The text without control characters; characters that no installed font has are code points in brackets.
    """
    if words.isascii() and words.isprintable():
        return words
    lines = [_line(line) for line in words.split("\n")]
    there = known_in("".join(lines))
    return "\n".join(coded(line, there.__contains__) for line in lines)


def _line(words: str) -> str:
    """A line without control characters, but with the blanks at its ends, which may keep it in place."""
    start, end = len(words) - len(words.lstrip(" ")), len(words) - len(words.rstrip(" "))
    cleaned = plain(words)
    return " " * start + cleaned + " " * end if cleaned else " " * bool(words)


def with_known_letters(chart: Chart) -> Chart:
    """A chart whose text every renderer can draw, and whose caption explains replaced characters.

    Args:
        chart: with text from anywhere.

    Returns:
        The chart itself where nothing has to change, as on a second call.
    """
    text = "".join(words_in(chart))
    if text.isascii() and text.replace("\n", "").isprintable():
        return chart
    known_in(text)  # opens the fonts once for all texts
    if all(readable(words) == words for words in words_in(chart)):
        return chart
    unknown = ("".join("\n" if known(sign) else sign for sign in plain(words)) for words in words_in(chart))
    runs = list(dict.fromkeys(run for words in unknown for run in words.split()))
    spelled = [f"{run} as {coded(run, known)}" for run in runs[:_MOST_LISTED]]
    if len(runs) > _MOST_LISTED:
        spelled.append(f"{len(runs) - _MOST_LISTED} more alike")
    listed = ", ".join(spelled)
    note = f"No font here has these letters, drawn as their code points: {listed}; install one that has them."
    changed: Chart = _mapped(chart, readable)
    return replace(changed, caption=" ".join(filter(None, [chart.caption, note if runs else ""])))


def words_in(part: Any) -> Iterator[str]:
    """All texts that are drawn of a chart or a part of it.

    Args:
        part: a chart, a panel, a layer, or what they hold.

    Yields:
        Each text; also the names of colours and roles, which are ASCII.
    """
    if isinstance(part, str):
        yield part
    elif isinstance(part, tuple | list):
        for each in part:
            yield from words_in(each)
    elif is_dataclass(part):
        for entry in fields(part):
            if entry.name not in _NOT_DRAWN:
                yield from words_in(getattr(part, entry.name))


def _mapped(part: Any, change: Callable[[str], str]) -> Any:
    """A part of a chart with all texts changed that `words_in` yields."""
    if isinstance(part, str):
        return change(part)
    if isinstance(part, tuple):
        return tuple(_mapped(each, change) for each in part)
    if is_dataclass(part) and not isinstance(part, type):
        names = [entry.name for entry in fields(part) if entry.name not in _NOT_DRAWN]
        return replace(part, **{name: _mapped(getattr(part, name), change) for name in names})
    return part


def known(sign: str) -> bool:
    """Whether an installed font has a character, so that it can be drawn."""
    return sign in known_in(sign)


def known_in(words: str) -> Set[str]:
    """The characters of a text that an installed font has.

    Args:
        words: any text; a call for a whole text opens each font once.

    Returns:
        Single characters.
    """
    strange = {sign for sign in set(words) if not ordinary(sign)}
    if not strange:
        return set(words)  # without importing matplotlib, which pages do not need
    strange -= {sign for sign in strange if all(sign in _signs(font, _state()) for font in style.FONTS)}
    found = _lenders(strange)
    return {sign for sign in set(words) if sign not in strange or found[sign]}


def families(font: str, words: str = "") -> tuple[str, ...]:
    """The families that set a text: those of the page, then those that supply the characters these lack.

    Args:
        font: "sans" or "serif".
        words: the text to set.

    Returns:
        Names of installed families; the same on one machine for the same text.
    """
    strange = sorted({sign for sign in set(words) if not ordinary(sign) and sign not in _signs(font, _state())})
    found = _lenders(set(strange))
    lent = (found[sign] for sign in strange)
    return tuple(dict.fromkeys([*_installed(font, _state()), *filter(None, lent)]))


def outlined_by_curves(names: Sequence[str]) -> bool:
    """Whether a family has PostScript outlines, which a PDF cannot embed as TrueType."""
    from fontTools.ttLib import TTFont

    for name in names:
        place = _place(name)
        with TTFont(place.path, fontNumber=place.face_index, lazy=True) as font:
            if font.sfntVersion == "OTTO":
                return True
    return False


@contextmanager
def quiet() -> Iterator[None]:
    """Silence matplotlib's warnings about fonts of another weight: a substitute need not have the page's weight."""
    log = logging.getLogger("matplotlib.font_manager")
    log.addFilter(_nothing)
    try:
        yield
    finally:
        log.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def ordinary(words: str) -> bool:
    """Whether the fonts of pages have all characters of a text in every weight, so that none has to be opened."""
    return all(ord(sign) < _LATIN or sign in _OWN or sign.isspace() for sign in words)


def _state() -> tuple[object, ...]:
    """Identifies the fonts that matplotlib knows, so that caches notice a new one."""
    there = _matplotlib().fontManager.ttflist
    return len(there), there[-1].fname


def _matplotlib() -> Any:
    """Matplotlib's module of fonts, imported only when a font has to be opened."""
    from matplotlib import font_manager

    return font_manager


@cache
def _installed(font: str, state: tuple[object, ...]) -> tuple[str, ...]:
    there = set(_matplotlib().get_font_names())
    return tuple(family for family in style.FONTS[font] if family in there)


def _place(family: str) -> Any:
    """The path of the file that matplotlib uses for the upright letters of a family."""
    manager = _matplotlib()
    with quiet():
        return manager.findfont(manager.FontProperties(family=[family]))


@cache
def _signs(font: str, state: tuple[object, ...]) -> frozenset[str]:
    """The characters that the page's own families can draw."""
    codes = (_matplotlib().get_font(_place(family)).get_charmap() for family in _installed(font, state))
    return frozenset(chr(code) for each in codes for code in each)


_found: dict[tuple[object, ...], dict[str, str]] = {}  # by `_state`: the family for each character, "" for none


def _lenders(signs: Set[str]) -> Mapping[str, str]:
    """The family that supplies each character, the first by name that draws it; "" where none does."""
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
    """The family that draws each character; every font is opened once."""
    found: dict[str, str] = {}
    for entry in sorted(_matplotlib().fontManager.ttflist, key=_first):
        if len(found) == len(wanted):
            break
        if entry.name.startswith(_LAST_RESORT):
            continue
        for sign in _drawn(entry.fname, entry.index, wanted - found.keys()):
            place = _place(entry.name)  # the file of the family that will be used
            if _drawn(place.path, place.face_index, {sign}):
                found[sign] = entry.name
    return found


def _first(entry: FontEntry) -> tuple[object, ...]:
    """Sort key: upright letters of regular weight first, then by name."""
    weight = entry.weight if isinstance(entry.weight, int) else _matplotlib().weight_dict.get(entry.weight, 400)
    return entry.style != "normal", abs(weight - 400), entry.name, entry.fname, entry.index


def _drawn(path: str, index: int, signs: Set[str]) -> list[str]:
    """The characters that a font has an outline for; some fonts have an empty one, or a bitmap, for every character."""
    from matplotlib.ft2font import FT2Font, LoadFlags

    found = []
    try:
        font = FT2Font(path, face_index=index)
        for sign in sorted(signs):
            if font.get_char_index(ord(sign)):
                font.load_char(ord(sign), flags=LoadFlags.NO_SCALE)
                found += [sign] if len(font.get_path()[0]) else []
    except (OSError, RuntimeError, ValueError):  # a font that cannot be read supplies nothing
        return []
    return found


@cache
def _new_fonts() -> bool:
    """Add fonts installed since matplotlib wrote its list, once; whether there are any."""
    before, manager = _state(), _matplotlib()
    listed = {entry.fname for entry in manager.fontManager.ttflist}
    for path in sorted(set(manager.findSystemFonts()) - listed):
        with suppress(OSError, RuntimeError, ValueError):  # bitmap fonts and damaged ones
            manager.fontManager.addfont(path)
    return _state() != before
