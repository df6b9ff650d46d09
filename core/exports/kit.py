"""The paper kit: a figure with everything that a paper states about it, in one ZIP file.

    figure.pdf       the figure
    caption.txt      its caption
    methods.tex      a paragraph on what was computed, for which models and images, and with which settings
    numbers.tex      a table of the numbers, with 95 % intervals where there are samples, and the versions
    references.bib   the works that the paragraph cites
    recipe.json      the recipe, which reproduces the figure

The same recipe, device and versions give the same bytes.
"""

from __future__ import annotations

import io
import platform
import tomllib
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from core.exports.references import entries, references
from core.exports.settings import used_settings
from core.geometry.common.intervals import wilson
from core.result import Context, Number, Result
from core.sources.models import ASSETS
from core.wording import latex

if TYPE_CHECKING:
    from core.recipes.recipe import Recipe
    from core.recipes.run import RecipeRun

_DRAWS = 2000  # of the bootstrap


def kit_bytes(made: RecipeRun) -> bytes:
    """The paper kit of a figure.

    Args:
        made: the recipe with its results.

    Returns:
        A ZIP file, which the dashboard and the command line open like any other export.
    """
    parts = {
        "figure.pdf": made.file(".pdf"),
        "caption.txt": f"{made.chart.caption}\n".encode(),
        "methods.tex": methods(made).encode("ascii"),
        "numbers.tex": numbers(made).encode("ascii"),
        "references.bib": bibliography(made).encode("ascii"),
        "recipe.json": made.file(".json"),
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # dated 1980: the same bytes each time
    return archive.getvalue()


def versions() -> dict[str, str]:
    """The versions of everything that the numbers depend on."""
    project = tomllib.loads((ASSETS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    libraries = {name: version(name) for name in ("torch", "numpy", "scipy")}
    return {"Boundary Atlas": project["version"], "Python": platform.python_version(), **libraries}


def bibliography(made: RecipeRun) -> str:
    """The works that the figure should cite, as BibTeX; the entry of this program has its version."""
    found = [entries()[key] for key in references(made.recipe)]
    found[0] = found[0].replace("\n}", f",\n  version = {{{latex(versions()['Boundary Atlas'])}}}\n}}")
    return "\n\n".join(found) + "\n"


def methods(made: RecipeRun) -> str:
    """A paragraph in LaTeX on the analysis, its models, images and settings."""
    recipe, known = made.recipe, made.recipe.definition
    program, engine, *others = references(recipe)
    used = versions()
    settings = used_settings(recipe, made.results)
    models = [
        f"{one.name} ({', '.join(filter(None, [source, one.fingerprint and f'fingerprint {one.fingerprint[:12]}']))})"
        for source, one in zip(recipe.models, made.classifiers, strict=True)
    ]
    cost = sum(result.forwards for result in made.results), sum(result.gradients for result in made.results)
    cited = f" The analysis follows or tests \\cite{{{','.join(others)}}}." if others else ""
    asked = [
        f"Classifiers: {latex('; '.join(models))}.",
        f"Images: {latex(recipe.images)}, chosen rows {', '.join(map(str, recipe.rows))}; pixels lie in [0, 1], and"
        " normalisation belongs to the classifier.",
    ]
    spent = f"It took {cost[0]} forwards and {cost[1]} gradients, counted in images."
    if not any(cost) and not any(getattr(result, "fingerprint", "") for result in made.results):
        asked, spent = [], "No classifier was asked: what is shown holds whatever the classifier is."
    lines = [
        f"% {latex(known.question)}",
        f"The figure shows the analysis \\emph{{{latex(known.name.replace('_', ' '))}}} (version {known.version}) of"
        f" Boundary Atlas {latex(used['Boundary Atlas'])}~\\cite{{{program}}}, computed with PyTorch"
        f" {latex(used['torch'])}~\\cite{{{engine}}}.{cited}",
        *asked,
        *([f"Settings: {latex('; '.join(settings))}."] if settings else []),
        spent,
    ]
    return "\n".join(lines) + "\n"


def numbers(made: RecipeRun) -> str:
    """A LaTeX table of the numbers, one line per quantity and model; it needs no package."""
    several = len(made.results) > 1
    lines = []
    for result, classifier in zip(made.results, made.classifiers, strict=False):  # a joint result has many classifiers
        name = [classifier.name] if several else []
        lines += [_row([*name, *_cells(each)]) for each in key_numbers(made.recipe, result, classifier.class_names)]
    heads = [*(["model"] if several else []), "quantity", "unit", "$n$", "value or mean", r"95\,\% interval", "median"]
    used = ", ".join(f"{name} {number}" for name, number in versions().items())
    return "\n".join([
        f"% Boundary Atlas; {used}",
        "% A quantity with n is that of n samples: their mean, its percentile bootstrap",
        f"% ({_DRAWS} draws), and their median; a share has Wilson's interval. One without n is a single number, with",
        "% the interval of its analysis where there is one. Intervals say nothing about other models or image sets.",
        rf"\begin{{tabular}}{{{'l' * (len(heads) - 4)}rrrr}}",
        r"\hline",
        " & ".join(heads) + r" \\",
        r"\hline",
        *lines,
        r"\hline",
        r"\end{tabular}",
    ]) + "\n"  # fmt: skip


def key_numbers(recipe: Recipe, result: Result, class_names: Sequence[str]) -> tuple[Number, ...]:
    """The key numbers of one result that are known.

    Args:
        recipe: the recipe, whose figure may mark a place at which a number is read.
        result: of one model, or of all models for a joint analysis.
        class_names: of that model, or of the first.

    Returns:
        Numbers in the order in which a text would state them.
    """
    found = result.key_numbers(Context(class_names=class_names, figure=recipe.figure))
    return tuple(each for each in found if not np.isnan(np.asarray(each.value, float)).all() and np.size(each.value))


def _row(cells: Sequence[str]) -> str:
    r"""A line of the table, guarded so that the preceding `\\` does not read its first character as an argument."""
    line = " & ".join(map(latex, cells))
    return rf"{'{}' if line.startswith(('[', '*')) else ''}{line} \\"


def _cells(each: Number) -> tuple[str, ...]:
    """Name, unit, count, value or mean, interval and median of a number."""
    value = each.value
    if not isinstance(value, np.ndarray) or value.size == 1:
        interval = _between(*each.interval) if each.interval else ""
        return each.name, each.unit, "", _short(np.asarray(value).item()), interval, ""
    if value.dtype == bool:
        hits, n = int(value.sum()), value.size
        within = _between(*map(float, wilson(hits, n))) if n > 1 else ""
        return f"{each.name} (share)", "", str(n), _short(hits / n), within, ""
    finite = value[np.isfinite(value)]
    mean, within = _bootstrap(value)
    return each.name, each.unit, str(finite.size), _short(mean), within, _short(float(np.median(finite)))


def _short(value: float) -> str:
    return f"{float(value):.4g}"


def _between(low: float, high: float) -> str:
    return f"[{_short(low)}, {_short(high)}]" if np.isfinite(low) and np.isfinite(high) else ""


def _bootstrap(value: np.ndarray) -> tuple[float, str]:
    """The mean of finite values, and its 95 % interval; "" for a single value."""
    known = value[np.isfinite(value)].astype(np.float64)
    if len(known) < 2:
        return float(known.mean()), ""
    drawn = np.random.default_rng(0).integers(0, len(known), (_DRAWS, len(known)))
    low, high = np.quantile(known[drawn].mean(1), [0.025, 0.975])
    return float(known.mean()), _between(float(low), float(high))
