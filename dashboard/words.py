"""Words that come from outside, on their way to a page."""

from __future__ import annotations

import re


def literal(words: str) -> str:
    """Words as they are, without what Markdown would make of them."""
    return re.sub(r"([\\`*_\[\]()|<>$])", r"\\\1", words)
