"""Tiny fonts with square letters, for signs that no font of a test machine has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager


def write_font(path: Path, signs: str, *, curves: bool = False, empty: bool = False) -> None:
    """A font of one family named after its file.

    Args:
        path: the file, .ttf or .otf.
        signs: what it has.
        curves: PostScript outlines instead of TrueType ones.
        empty: letters without an outline.
    """
    names = [".notdef", *(f"u{ord(sign):X}" for sign in signs)]
    font = FontBuilder(1000, isTTF=not curves)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(sign): name for sign, name in zip(signs, names[1:], strict=True)})
    pens = [T2CharStringPen(800, None) if curves else TTGlyphPen(None) for _ in names]
    for pen in pens if not empty else []:
        pen.moveTo((100, 0))
        for corner in ((100, 700), (700, 700), (700, 0)):
            pen.lineTo(corner)
        pen.closePath()
    if curves:
        letters = {name: pen.getCharString() for name, pen in zip(names, pens, strict=True)}
        font.setupCFF(path.stem, {"FullName": path.stem}, letters, {})
    else:
        font.setupGlyf({name: pen.glyph() for name, pen in zip(names, pens, strict=True)})
    font.setupHorizontalMetrics(dict.fromkeys(names, (800, 100)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": path.stem, "styleName": "Regular", "psName": path.stem})
    font.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    font.setupPost()
    font.save(path)


@contextmanager
def installed(path: Path) -> Iterator[None]:
    """A font file as one of matplotlib's fonts for a while."""
    known = font_manager.fontManager
    before = list(known.ttflist)
    known.addfont(path)
    try:
        yield
    finally:
        known.ttflist[:] = before
        known._findfont_cached.cache_clear()
