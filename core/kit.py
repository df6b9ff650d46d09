"""The paper kit: a figure with all that a paper says about it, in one ZIP file.

    figure.pdf       the figure
    caption.txt      its caption
    methods.tex      a paragraph that says what was computed, of what, and with which settings
    numbers.tex      a table of the numbers, with 95 % intervals where there are samples, and the versions
    references.bib   what the paragraph cites
    recipe.json      the recipe, which makes the figure again

The same recipe, device and versions give the same bytes.
"""

from __future__ import annotations

import io
import platform
import re
import tomllib
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from core.geometry.proportions import wilson
from core.images import ASSETS
from core.references import entries, references

if TYPE_CHECKING:
    from core.followed import Followed
    from core.result import Result

_SAMPLES = ("n", "image", "source", "plane")  # axes along which values are samples, so that a mean has an interval
_DRAWS = 2000  # of the bootstrap
_MEANT = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "ℓ": r"$\ell$", "×": r"$\times$", "²": r"$^2$",
    "³": r"$^3$", "‖": r"$\|$", "≤": r"$\le$", "≥": r"$\ge$", "√": r"$\sqrt{}$", "∞": r"$\infty$", "±": r"$\pm$",
    "−": "$-$", "–": "--", "·": r"$\cdot$", "σ": r"$\sigma$", "α": r"$\alpha$", "λ": r"$\lambda$", "°": r"$^\circ$",
    "η": r"$\eta$", "ε": r"$\varepsilon$", "δ": r"$\delta$", "κ": r"$\kappa$", "π": r"$\pi$", "₀": "$_0$", "₁": "$_1$",
    "₂": "$_2$", "¹": "$^1$", "⁻": "$^-$", "…": r"\dots{}", "<": "$<$", ">": "$>$", "|": "$|$",
}  # fmt: skip


def kit_bytes(made: Followed) -> bytes:
    """The paper kit of a figure.

    Args:
        made: what came of its recipe.

    Returns:
        A ZIP file; the dashboard and the command line open it again like any other export.
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
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # of 1980: the same bytes each time
    return archive.getvalue()


def latex(text: str) -> str:
    r"""Text as LaTeX sets it, in ASCII.

    >>> latex("50 % of ℓ2_max")
    '50 \\% of $\\ell$2\\_max'
    """
    plain = "".join(_MEANT.get(sign, sign) for sign in text)
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()


def versions() -> dict[str, str]:
    """What the numbers were computed with."""
    project = tomllib.loads((ASSETS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    libraries = {name: version(name) for name in ("torch", "numpy", "scipy")}
    return {"Boundary Atlas": project["version"], "Python": platform.python_version(), **libraries}


def bibliography(made: Followed) -> str:
    """What the figure should cite, as BibTeX; this program with the version that was used."""
    known = entries()
    said = versions()["Boundary Atlas"]
    found = [known[key] for key in references(made.recipe)]
    found[0] = found[0].replace("\n}", f",\n  version = {{{said}}}\n}}")
    return "\n\n".join(found) + "\n"


def methods(made: Followed) -> str:
    """A paragraph in LaTeX that says what was computed, of what, and with which settings."""
    recipe, known = made.recipe, made.recipe.definition
    program, engine, *others = references(recipe)
    used = versions()
    settings = []
    for entry in known.parameters:
        value = recipe.parameters[entry.name]
        text = "the default" if value is None or value == "" else entry.text(value).replace(",", ", ")
        settings.append(f"{entry.name.replace('_', ' ')} {text}{f' ({entry.unit})' if entry.unit else ''}")
    models = [
        f"{one.name} ({', '.join(filter(None, [source, one.fingerprint and f'fingerprint {one.fingerprint[:12]}']))})"
        for source, one in zip(recipe.models, made.classifiers, strict=True)
    ]
    rows = ", ".join(map(str, recipe.rows))
    cost = sum(result.forwards for result in made.results), sum(result.gradients for result in made.results)
    cited = f" The analysis follows or tests \\cite{{{','.join(others)}}}." if others else ""
    lines = [
        f"We asked: {latex(known.question)} The figure is the analysis {latex(known.name)} (version {known.version}) of"
        f" Boundary Atlas {latex(used['Boundary Atlas'])}~\\cite{{{program}}}, with PyTorch"
        f" {latex(used['torch'])}~\\cite{{{engine}}}.{cited}",
        f"Classifiers: {latex('; '.join(models))}.",
        f"Images: {latex(recipe.images)}, chosen rows {rows}; pixels lie in [0, 1], and normalisation belongs to the"
        " classifier.",
        *([f"Settings: {latex('; '.join(settings))}."] if settings else []),
        f"It took {cost[0]} forwards and {cost[1]} gradients, counted in images.",
    ]
    return "\n".join(lines) + "\n"


def numbers(made: Followed) -> str:
    """A table in LaTeX of the numbers, a line per quantity and model; needs no package."""
    several = len(made.results) > 1
    lines = []
    for place, result in enumerate(made.results):
        name = made.classifiers[place].name if several else ""
        lines += [
            " & ".join(([latex(name)] if several else []) + [latex(cell) for cell in cells]) + r" \\"
            for cells in _rows(result)
        ]
    heads = [*(["model"] if several else []), "quantity", "unit", "$n$", "value or mean", r"95\,\% interval", "median"]
    said = ", ".join(f"{name} {number}" for name, number in versions().items())
    return "\n".join([
        f"% Boundary Atlas; {said}",
        "% A quantity with n finite values is given by their mean and median. Where the first axis holds samples, it",
        f"% is the mean over samples with a percentile bootstrap ({_DRAWS} draws) as interval; a share has Wilson's.",
        "% Intervals say nothing about other models or image sets.",
        rf"\begin{{tabular}}{{{'l' * (len(heads) - 4)}rrrr}}",
        r"\hline",
        " & ".join(heads) + r" \\",
        r"\hline",
        *lines,
        r"\hline",
        r"\end{tabular}",
    ]) + "\n"  # fmt: skip


def _rows(result: Result) -> Iterator[tuple[str, ...]]:
    """Name, unit, count, value or mean, interval and median of each quantity; labels and indices have none."""
    for entry in fields(result):
        value, unit, axes = getattr(result, entry.name), result.unit(entry.name), result.axes(entry.name)
        name = re.sub("_+", " ", entry.name).strip()
        if entry.name in result.timed or isinstance(value, bool):
            continue
        if isinstance(value, int | float) and (unit or isinstance(value, float)):
            yield name, unit, "", _short(value), "", ""
        if not isinstance(value, np.ndarray) or not value.size or value.ndim != len(axes):
            continue
        samples = axes[0] in _SAMPLES
        if value.dtype == bool:
            hits, n = int(value.sum()), value.size
            interval = _between(*map(float, wilson(hits, n))) if samples and value.ndim == 1 else ""
            yield f"share {name}", unit, str(n), _short(hits / n), interval, ""
        elif value.dtype.kind == "f" or (value.dtype.kind in "iu" and unit):
            finite = value[np.isfinite(value)]
            if finite.size:
                mean, interval = _bootstrap(value) if samples else (float(finite.mean()), "")
                yield name, unit, str(finite.size), _short(mean), interval, _short(float(np.median(finite)))


def _short(value: float) -> str:
    return f"{float(value):.4g}"


def _between(low: float, high: float) -> str:
    return f"[{_short(low)}, {_short(high)}]" if np.isfinite(low) and np.isfinite(high) else ""


def _bootstrap(value: np.ndarray) -> tuple[float, str]:
    """The mean over samples, each the mean of its finite values, and its 95 % interval; none for a single sample."""
    flat = value.reshape(len(value), -1).astype(np.float64)
    finite = np.isfinite(flat)
    kept = finite.any(1)
    means = np.where(finite, flat, 0.0).sum(1)[kept] / finite.sum(1)[kept]
    if len(means) < 2:
        return float(means.mean()), ""
    drawn = np.random.default_rng(0).integers(0, len(means), (_DRAWS, len(means)))
    low, high = np.quantile(means[drawn].mean(1), [0.025, 0.975])
    return float(means.mean()), _between(float(low), float(high))
