"""Settings as a methods paragraph states them: those that had an effect, with the values that defaults resolved to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.analyses.parameters import Parameter

if TYPE_CHECKING:
    from core.recipes.recipe import Recipe
    from core.result import Result

_OWN = (None, "", 0, "auto")  # values that leave the choice to the analysis; its result holds the chosen value
_RESOLVED = ("extent", "side", "channels", "layers", "layer", "method", "scale")
_NORMS = {"0": "ℓ0", "1": "ℓ1", "2": "ℓ2", "inf": "ℓ∞"}


def used_settings(recipe: Recipe, results: Sequence[Result]) -> tuple[str, ...]:
    """Name, value and unit of each setting that affected the computation.

    Args:
        recipe: the recipe.
        results: its results, which hold the values that defaults resolved to.

    Returns:
        One text per setting, in the order of the analysis.
    """
    values = {name: _came_to(name, value, results) for name, value in recipe.parameters.items()}
    words = []
    for entry in recipe.definition.parameters:
        value = values[entry.name]
        if _enters(entry, recipe, values) and value is not None and value != "":
            unit = f" ({entry.unit})" if entry.unit else ""
            words.append(f"{entry.name.replace('_', ' ')} {_text(entry, value)}{unit}")
    return tuple(words)


def _enters(entry: Parameter, recipe: Recipe, values: Mapping[str, Any]) -> bool:
    """Whether a setting has an effect, given the values of the others."""
    if entry.name in ("plane", "u", "v") and "at" in values and values["at"] is None:
        return False  # the first image itself, in any plane
    other, needed = entry.only_if or ("", "")
    if other not in values:  # no condition, or one on a setting that the analysis lacks
        return True
    return bool(values[other] == needed) and _enters(recipe.definition.setting(other), recipe, values)


def _came_to(name: str, value: Any, results: Sequence[Result]) -> Any:
    """The value of a setting, or the one that its default resolved to; None if it had no effect."""
    if name == "share" and value == 0:
        return "the worst up to one half"
    if name == "spectrum" and value == "auto":
        return "all" if getattr(results[0], "whole", False) else "ends"
    found = getattr(results[0], name, value) if name in _RESOLVED and value in _OWN else value
    if isinstance(found, float) and math.isnan(found):
        return None  # second derivatives were exact
    return found


def _text(entry: Parameter, value: Any) -> str:
    if entry.name == "norm":
        return _NORMS.get(value, str(value))
    if entry.name == "of_class" and value == -1:
        return "that of the first chosen image"
    if isinstance(value, tuple | list):
        return ", ".join(f"{each:.6g}" if isinstance(each, float) else str(each) for each in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
