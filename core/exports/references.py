"""What a figure should cite: the entries of `assets/references.bib`, by analysis and by the libraries that it used."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from core.sources.models import ASSETS

if TYPE_CHECKING:
    from core.recipes.recipe import Recipe

_ENTRY = re.compile(r"^@\w+\{(?P<key>[^,]+),.*?^\}$", re.MULTILINE | re.DOTALL)
_PLANES, _SPARSE = ("somepalli2022reproducibility",), ("modas2019sparsefool", "modas2022thesis")
_LEVELS, _LOCAL, _LIMITS = ("balasubramanian2023blindspots",), ("aghdam2017local",), ("dai2023limits",)
_CURVED, _REGIONS = ("fawzi2018empirical",), ("fawzi2017regions", "fawzi2018empirical")
_MARGINS = ("ortiz2020hold", "modas2022thesis")

# The papers whose method or question an analysis takes; an own construction names none.
METHODS: dict[str, tuple[str, ...]] = {
    "slice": _PLANES,
    "profile": (),
    "fragmentation": _PLANES,
    "margins": _MARGINS,
    "margin_curve": _MARGINS,
    "level_set": _LEVELS,
    "level_triangle": _LEVELS,
    "level_star": _LEVELS,
    "sparse": _SPARSE,
    "pixel": (),
    "supports": _SPARSE,
    "race": (*_SPARSE, "cina2025sigmazero"),
    "transfer": _SPARSE,
    "severity": ("moosavi2016deepfool", "hendrycks2019corruptions"),
    "corruption": ("moosavi2016deepfool", "hendrycks2019corruptions"),
    "noise": ("fawzi2016noise",),
    "augmentation": ("modas2022prime",),
    "local": _LOCAL,
    "local_layers": _LOCAL,
    "local_sweep": _LOCAL,
    "local_kinds": (*_LOCAL, "madry2018towards"),
    "path": _REGIONS,
    "region_graph": _REGIONS,
    "curvature": _CURVED,
    "curvature_section": _CURVED,
    "curvature_walk": _CURVED,
    "curvature_scale": ("jetley2018friends", *_CURVED),
    "shared_directions": ("moosavi2018universal", *_CURVED),
    "direction_sensitivity": ("moosavi2018universal", *_CURVED),
    "direction_overlap": ("moosavi2018universal",),
    "detector": _CURVED,
    "detector_attacks": (*_CURVED, "madry2018towards", "rony2019decoupling"),
    "limits": _LIMITS,
    "survival": _LIMITS,
    "painting": _LIMITS,
    "enumeration": _LIMITS,
    "overlay": _LIMITS,
    "map": ("mcinnes2018umap", "schulz2020deepview"),
    "map_path": ("mcinnes2018umap", "schulz2020deepview"),
}


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
    return ("boundaryatlas", "paszke2019pytorch", *used, *METHODS[recipe.analysis])
