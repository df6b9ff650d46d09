"""Draw a `Chart` on paper: PDF, SVG or PNG of a given width in mm, the same bytes each time, with the recipe inside.

It uses matplotlib without pyplot, and needs neither a browser nor a display. The panels take all the width that ticks,
titles and colour bars leave, an isometric panel keeps its shape, and the height of the page follows.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from matplotlib import rc_context, rcParamsDefault
from matplotlib.figure import Figure

from core.figures.drawing import style
from core.figures.drawing.chart import Chart
from core.figures.drawing.glyphs import families, outlined_by_curves, quiet, readable, with_known_letters, words_in
from core.figures.drawing.page import Page
from core.figures.drawing.provenance import read_recipe as read_recipe
from core.figures.drawing.provenance import recipe_text
from core.files import write_whole

Format = Literal["pdf", "svg", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
Font = Literal["sans", "serif"]

# rcParams are global to the process: figures are drawn and saved one at a time, each with our settings, and those of
# the caller are restored. A second thread waits; it would otherwise draw with a mixture of settings.
_LOCK = threading.RLock()
# our settings start from matplotlib's defaults, not from the caller's; a backend is neither needed nor touched
_DEFAULTS: dict[Any, Any] = {
    name: value for name, value in rcParamsDefault.items() if not name.startswith(("backend", "interactive", "toolbar"))
}


def draw(
    chart: Chart, *, width_mm: float = 89.0, font_size: float = 8.0, font: Font = "sans", dpi: int = 300
) -> Figure:
    """Draw a chart on a page.

    Args:
        chart: what to draw.
        width_mm: width of the page; `style.WIDTHS` holds those of journals. The height follows from the content.
        font_size: of axis titles in points; ticks, legend and labels have 7/8 of it.
        font: "sans" or "serif".
        dpi: resolution that fields are resampled to; lines and text are vectors.

    Returns:
        A figure without pyplot. To write a file, use `figure_bytes` or `write_figure`, whose bytes are repeatable.

    Raises:
        ValueError: if a size or the font is not one of those above, or a polar panel holds a field or thumbnails.
    """
    chart = with_known_letters(chart)
    with page_settings(font, font_size, "".join(words_in(chart))):
        figure = _page(chart, width_mm, font_size, dpi).figure
        figure.draw_without_rendering()  # makes the last ticks with these settings, not with those when saved
    return figure


def figure_bytes(
    chart: Chart,
    format: Format,
    *,
    width_mm: float = 89.0,
    font_size: float = 8.0,
    font: Font = "sans",
    dpi: int = 300,
) -> bytes:
    """A chart as a file: the same bytes for the same chart, fonts embedded, the recipe inside.

    Args:
        chart: what to draw.
        format: "pdf", "svg" or "png".
        width_mm: as for `draw`.
        font_size: as for `draw`.
        font: as for `draw`.
        dpi: as for `draw`; the resolution of a PNG.

    Returns:
        The bytes of the file; `read_recipe` finds the recipe in them.

    Raises:
        ValueError: as for `draw`, or if the format is not one of those above.
    """
    if format not in FORMATS:
        raise ValueError(f"expected one of the formats {', '.join(FORMATS)}, got {format!r}")
    chart = with_known_letters(chart)
    with page_settings(font, font_size, "".join(words_in(chart))):
        page = _page(chart, width_mm, font_size, dpi)
        buffer = io.BytesIO()
        page.figure.savefig(buffer, format=format, dpi=dpi, metadata=_metadata(chart, format))
    return buffer.getvalue()


def write_figure(
    chart: Chart,
    path: Path | str,
    *,
    width_mm: float = 89.0,
    font_size: float = 8.0,
    font: Font = "sans",
    dpi: int = 300,
) -> None:
    """Write a chart to a file, in the format of the name's ending: .pdf, .svg or .png.

    Args:
        chart: what to draw.
        path: of the file; an existing one is replaced, completely or not at all.
        width_mm: as for `draw`.
        font_size: as for `draw`.
        font: as for `draw`.
        dpi: as for `draw`.

    Raises:
        ValueError: as for `draw`, or if the name ends in something else.
        OutputError: if the file cannot be written.
    """
    ending = Path(path).suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        raise ValueError(f"expected a name ending in .pdf, .svg or .png, got {Path(path).name!r}")
    write_whole(path, figure_bytes(chart, ending, width_mm=width_mm, font_size=font_size, font=font, dpi=dpi))


def _metadata(chart: Chart, format: Format) -> dict[str, str | None]:
    """Title, recipe and program, without dates: the same in every run."""
    title = readable(chart.title or chart.name)
    recipe = None if chart.recipe is None else recipe_text(chart.recipe)
    program = "Boundary Atlas"
    if format == "pdf":
        return {"Title": title, "Subject": recipe, "Creator": program, "Producer": None, "CreationDate": None}
    named = {"Title": title} | ({} if recipe is None else {"Description": recipe})
    return {**named, "Creator": program, "Date": None} if format == "svg" else {**named, "Software": program}


@contextmanager
def page_settings(font: str, font_size: float, words: str = "") -> Iterator[None]:
    """Matplotlib's settings for a page, while one figure at a time is drawn and saved; the caller's are restored.

    Args:
        font: "sans" or "serif".
        font_size: in points.
        words: all text that will be set; other fonts supply letters that those of pages lack.

    Yields:
        Nothing.

    Raises:
        ValueError: if the font is neither, or the size not from 3 to 72.
    """
    if font not in style.FONTS:
        raise ValueError(f"expected one of the fonts {', '.join(style.FONTS)}, got {font!r}")
    if not 3 <= font_size <= 72:
        raise ValueError(f"expected a font size of 3 to 72 points, got {font_size}")
    used = families(font, words)
    settings: dict[Any, Any] = _DEFAULTS | style.paper_settings(font_size, used)
    if outlined_by_curves([family for family in used if family not in style.FONTS[font]]):
        settings["pdf.fonttype"] = 3
    with _LOCK, rc_context(settings), quiet():
        yield


def _page(chart: Chart, width_mm: float, font_size: float, dpi: int) -> Page:
    if not 20 <= width_mm <= 1000:
        raise ValueError(f"expected a width of 20 to 1000 mm, got {width_mm}")
    if not 30 <= dpi <= 2400:
        raise ValueError(f"expected a resolution of 30 to 2400 dpi, got {dpi}")
    return Page(chart, width_mm / 25.4, font_size, dpi)
