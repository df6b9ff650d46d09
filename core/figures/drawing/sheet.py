"""A4 sheets for a figure: a heading, the figure's own page at true size, and text below it."""

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
_LINE_MM, _SIGNS = 4.6, 104  # height and characters of a line of text at 9 points


def sheet(title: str, words: str, figure: bytes | None = None) -> PageObject:
    """One sheet.

    Args:
        title: the heading.
        words: the text below the figure; lines are wrapped.
        figure: a PDF of one page, shrunk only if larger than the sheet; None for text alone.

    Returns:
        The page.
    """
    heading = textwrap.wrap(readable(title), 72)
    lines = [line for part in readable(words).split("\n") for line in (textwrap.wrap(part, _SIGNS) or [""])]
    top = HEIGHT_MM - MARGIN_MM - 7 * len(heading)
    room = top - MARGIN_MM - 6 - _LINE_MM * len(lines)
    if figure is None:
        return _text(heading, lines, top - 4)
    drawn = PdfReader(io.BytesIO(figure)).pages[0]
    wide, tall = float(drawn.mediabox.width), float(drawn.mediabox.height)
    scale = min(1.0, (WIDTH_MM - 2 * MARGIN_MM) * _POINTS / wide, max(20.0, room) * _POINTS / tall)
    below = top - tall * scale / _POINTS - 6
    writer = PdfWriter()
    page = writer.add_page(_text(heading, lines, below))
    place = Transformation().scale(scale).translate(MARGIN_MM * _POINTS, (below + 6) * _POINTS)
    page.merge_transformed_page(drawn, place)
    return page


def _text(heading: list[str], lines: list[str], below: float) -> PageObject:
    """A page with the heading at its top, and the lines from a height in mm downwards."""
    with page_settings("sans", 9.0, "".join([*heading, *lines])):
        figure = Figure(figsize=(WIDTH_MM / 25.4, HEIGHT_MM / 25.4))
        left = MARGIN_MM / WIDTH_MM
        for number, line in enumerate(heading):
            height = (HEIGHT_MM - MARGIN_MM - 7 * number) / HEIGHT_MM
            weight = "bold" if ordinary(line) else "normal"  # a substitute font need not have bold letters
            figure.text(left, height, line, size=13, weight=weight, va="top", color=style.PRINT.ink)
        for number, line in enumerate(lines):
            height = (below - _LINE_MM * number) / HEIGHT_MM
            figure.text(left, height, line, size=9, va="top", color=style.PRINT.ink)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="pdf", metadata=_METADATA)
    return PdfReader(buffer).pages[0]
