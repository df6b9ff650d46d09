"""A4 sheets of words around a figure: a heading, the figure's own page at true size, its caption below."""

from __future__ import annotations

import io
import textwrap

from matplotlib.figure import Figure
from pypdf import PageObject, PdfReader, PdfWriter, Transformation

from core.figures.drawing import style
from core.figures.drawing.glyphs import ordinary, readable
from core.figures.drawing.paper import page_settings

WIDTH_MM, HEIGHT_MM, MARGIN_MM = 210.0, 297.0, 13.5  # 183 mm of width for a figure
_POINTS = 72 / 25.4
_METADATA = {"Creator": "Boundary Atlas", "Producer": None, "CreationDate": None}
_LINE_MM, _SIGNS = 4.6, 104  # of words at 9 points


def sheet(title: str, words: str, figure: bytes | None = None) -> PageObject:
    """One sheet.

    Args:
        title: the heading.
        words: below the figure; lines are wrapped.
        figure: a PDF of one page, made smaller only where it is larger than the sheet; None for words alone.

    Returns:
        The page.
    """
    heading = textwrap.wrap(readable(title), 72)
    lines = [line for part in readable(words).split("\n") for line in (textwrap.wrap(part, _SIGNS) or [""])]
    top = HEIGHT_MM - MARGIN_MM - 7 * len(heading)
    room = top - MARGIN_MM - 6 - _LINE_MM * len(lines)
    drawn = None if figure is None else PdfReader(io.BytesIO(figure)).pages[0]
    below = top - 4
    if drawn is not None:
        wide, tall = float(drawn.mediabox.width), float(drawn.mediabox.height)
        scale = min(1.0, (WIDTH_MM - 2 * MARGIN_MM) * _POINTS / wide, max(20.0, room) * _POINTS / tall)
        below = top - tall * scale / _POINTS - 6
    page = PdfReader(io.BytesIO(_words(heading, lines, below))).pages[0]
    if drawn is not None:
        place = Transformation().scale(scale).translate(MARGIN_MM * _POINTS, (below + 6) * _POINTS)
        writer = PdfWriter()
        writer.add_page(page)
        writer.pages[0].merge_transformed_page(drawn, place)
        page = writer.pages[0]
    return page


def _words(heading: list[str], lines: list[str], below: float) -> bytes:
    with page_settings("sans", 9.0, "".join([*heading, *lines])):
        figure = Figure(figsize=(WIDTH_MM / 25.4, HEIGHT_MM / 25.4))
        left = MARGIN_MM / WIDTH_MM
        for number, line in enumerate(heading):
            height = (HEIGHT_MM - MARGIN_MM - 7 * number) / HEIGHT_MM
            weight = "bold" if ordinary(line) else "normal"  # what lends a letter need not have a bold one
            figure.text(left, height, line, size=13, weight=weight, va="top", color=style.PRINT.ink)
        for number, line in enumerate(lines):
            height = (below - _LINE_MM * number) / HEIGHT_MM
            figure.text(left, height, line, size=9, va="top", color=style.PRINT.ink)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="pdf", metadata=_METADATA)
    return buffer.getvalue()
