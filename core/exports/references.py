"""What a figure should cite: the entries of `assets/references.bib`, by analysis and by the libraries that it used."""

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
    """Every entry as BibTeX, by its key."""
    text = (ASSETS / "references.bib").read_text(encoding="utf-8")
    return {found["key"]: found.group() for found in _ENTRY.finditer(text)}


def references(recipe: Recipe) -> tuple[str, ...]:
    """The keys of what a recipe's figure should cite.

    Args:
        recipe: the recipe.

    Returns:
        This program, PyTorch, the libraries that its models come from, and the papers of its analysis.
    """
    from core.sources.models import Source

    words = []
    for source in recipe.models:
        said = Source.parse(source).trained
        words += [said.kind, said.options.get("arch", "").partition(":")[0]]
        words += ["timm"] if said.kind == "hf-hub" or said.text() == "demo:photos/vit" else []
    libraries = {"torchvision": "torchvision", "timm": "wightman2019timm"}
    used = [key for word, key in libraries.items() if word in words]
    return ("boundaryatlas", "paszke2019pytorch", *used, *recipe.definition.papers)
