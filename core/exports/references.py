"""The works that a figure should cite: entries of `assets/references.bib`, by its analysis and libraries."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from core.sources.models import ASSETS

if TYPE_CHECKING:
    from core.recipes.recipe import Recipe

_ENTRY = re.compile(r"^@\w+\{(?P<key>[^,]+),.*?^\}$", re.MULTILINE | re.DOTALL)


@cache
def entries() -> dict[str, str]:
    """All entries as BibTeX, by key."""
    text = (ASSETS / "references.bib").read_text(encoding="utf-8")
    return {found["key"]: found.group() for found in _ENTRY.finditer(text)}


def references(recipe: Recipe) -> tuple[str, ...]:
    """The keys of the works that a recipe's figure should cite.

    Args:
        recipe: the recipe.

    Returns:
        This program, PyTorch, the libraries of its models, and the papers of its analysis.
    """
    from core.sources.models import Source

    words = []
    for source in recipe.models:
        parsed = Source.parse(source).trained
        words += [parsed.kind, parsed.options.get("arch", "").partition(":")[0]]
        words += ["timm"] if parsed.kind == "hf-hub" or parsed.text() == "demo:photos/vit" else []
    libraries = {"torchvision": "torchvision", "timm": "wightman2019timm"}
    used = [key for word, key in libraries.items() if word in words]
    return ("boundaryatlas", "paszke2019pytorch", *used, *recipe.definition.papers)
