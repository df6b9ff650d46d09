"""Titles of the views, and the escape of text from outside for a page."""

from __future__ import annotations

import re

from core.sources.models import ANALYTIC_KINDS, KINDS

LENSES = {  # views and their titles, in the order of the sidebar
    "slices": "Slices",
    "sparse": "Sparse",
    "margins": "Margins",
    "corruptions": "Corruptions",
    "curvature": "Curvature",
    "directions": "Shared directions",
    "detector": "Detector",
    "regions": "Regions",
    "level_sets": "Level sets",
    "local": "Local",
    "limits": "Limits",
    "map": "Map",
}
PAGES = ("", "gallery", "model", "images", *LENSES)  # what stands behind the server's name


_OF_SOURCES = "|".join((*KINDS, *ANALYTIC_KINDS, r"\d+"))  # the words between colons in sources
_MARKS = re.compile(r"([\\`*_\[\](){}|<>$~&])|(?m:^([-+=#]))|(?m:^(\d+)[.])")
_JOINED = re.compile(
    r"(?i)(?<=http)(?=:)|(?<=https)(?=:)|(?<=www)(?=\.)|(?<=@)(?=[-\w]+\.[-\w.]*[a-z])"  # addresses
    rf"|(?<=:)(?!(?:{_OF_SOURCES}):)(?=[a-z0-9_+/-]+(?::|\\?[\[{{]))"  # :material/home:, :red[x]
    r"|(?<=-)(?=\\?[->])|(?<=<)(?=[-=])|(?<=[>~])(?==)"  # arrows and dashes
)


def escape_markdown(words: str) -> str:
    """Escape text so that Markdown shows it literally.

    Backslashes do not keep addresses from becoming links, names between colons icons, or two hyphens a dash; an
    invisible word joiner between their characters does.
    """
    escaped = _MARKS.sub(lambda mark: f"{mark[3]}\\." if mark[3] else f"\\{mark[0]}", words)
    return _JOINED.sub("\u2060", escaped)
