"""What views are called, and words that come from outside, on their way to a page."""

from __future__ import annotations

import re

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


def literal(words: str) -> str:
    """Words as they are, without what Markdown would make of them."""
    return re.sub(r"([\\`*_\[\]()|<>$])", r"\\\1", words)
