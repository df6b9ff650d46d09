"""A report: every analysis of one model and some images in one file, each figure with its caption.

All settings have their defaults. One sentence takes the place of a figure that cannot be computed.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.analyses.table import ALIASES, TABLE
from core.errors import RecipeError, user_message
from core.exports.kit import versions
from core.recipes.recipe import Recipe
from core.recipes.run import RecipeRun, run_recipe
from core.runtime.progress import silent
from core.wording import abbreviated, markup

if TYPE_CHECKING:
    from core.runtime.progress import OnProgress

ENDINGS = (".pdf", ".html")
_WIDTH = 183.0  # mm of each figure


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """The outcome of one analysis: a figure, or a sentence on why there is none."""

    name: str
    question: str
    made: RecipeRun | None
    caption: str


def report(
    model: str,
    images: str,
    rows: Sequence[object],
    ending: str = ".pdf",
    *,
    only: Sequence[str] = (),
    device: str | None = None,
    uploads: Sequence[Path] = (),
    on_progress: OnProgress = silent,
) -> bytes:
    """Run every analysis of the table on one model, and put the figures into one file.

    Args:
        model: its source.
        images: source of the image set.
        rows: the chosen images, as numbers or text; an analysis that takes fewer has the first ones.
        ending: ".pdf" for A4 sheets with the recipes attached, ".html" for a page without scripts.
        only: names of analyses; all of them when there are none.
        device: device of the model; the best available one when not given.
        uploads: the files that sources name as `upload:DIGEST`.
        on_progress: called with the fraction done.

    Returns:
        The bytes of the file.

    Raises:
        RecipeError: if the ending, an analysis or the rows are not known.
        ValueError: if the model or the images cannot be loaded, or they do not fit together.
    """
    if ending not in ENDINGS:
        raise RecipeError(f"expected a report ending in {' or '.join(ENDINGS)}, got {abbreviated(ending)}")
    names = tuple(dict.fromkeys(ALIASES.get(name, name) for name in only)) or tuple(TABLE)
    unknown = next((name for name in names if name not in TABLE), None)
    if unknown is not None:
        raise RecipeError(f"expected lenses out of {', '.join(TABLE)}, got {abbreviated(unknown)}")
    _check(model, images, rows, device, uploads)
    parts = []
    for place, part in enumerate(_parts(names, model, images, rows, device, uploads)):
        parts.append(part)
        on_progress((place + 1) / len(names))
    used = ", ".join(f"{name} {number}" for name, number in versions().items())
    caption = (
        f"{model}, rows {', '.join(map(str, rows))} of {images}. {used}. Settings are the defaults of each analysis."
    )
    return _pdf(model, caption, parts) if ending == ".pdf" else _page(model, caption, parts)


def _check(model: str, images: str, rows: Sequence[object], device: str | None, uploads: Sequence[Path]) -> None:
    """Raise at once any error that would recur in every part."""
    from core.images.load import load_images
    from core.models.load import load_classifier
    from core.models.third_party import by_digest

    if not rows:
        raise RecipeError("expected rows of the image set, got none")
    found = load_images(images)
    for row in rows:
        Recipe.make("overlay", models=[model], images=images, rows=[row, row]).check_rows(found)
    load_classifier(model, device, uploads=by_digest(uploads)).accept(found.pixels[:1])


def _parts(
    names: Sequence[str],
    model: str,
    images: str,
    rows: Sequence[object],
    device: str | None,
    uploads: Sequence[Path],
) -> Iterator[_Part]:
    for name in names:
        known = TABLE[name]
        try:
            plain = {entry.name: entry.parse(entry.default) for entry in known.parameters}
            enough = rows[: known.images(plain)[1]]
            recipe = Recipe.make(name, models=[model], images=images, rows=enough, settings={"width": _WIDTH})
            made = run_recipe(recipe, device=device, uploads=uploads, trust=True)
            caption = made.chart.caption
        except Exception as error:  # noqa: BLE001 - a model's own code raises what it likes
            made, caption = None, f"No picture: {user_message(error)}"
        yield _Part(name=name, question=known.question, made=made, caption=caption)


def _pdf(model: str, caption: str, parts: Sequence[_Part]) -> bytes:
    from pypdf import PdfWriter

    from core.figures.drawing.sheet import sheet

    writer = PdfWriter()
    asked = "\n".join(f"{number}. {part.question}" for number, part in enumerate(parts, 1))
    writer.add_page(sheet(f"Boundary Atlas: {model}", f"{caption}\n\n{asked}"))
    for number, part in enumerate(parts, 1):
        figure = None if part.made is None else part.made.file(".pdf")
        writer.add_page(sheet(f"{number}. {part.question}", part.caption, figure))
        writer.add_outline_item(title=part.question, page_number=number)
        if part.made is not None:
            writer.add_attachment(f"{part.name}.json", part.made.file(".json"))
    writer.add_metadata({"/Title": f"Boundary Atlas: {model}", "/Producer": "Boundary Atlas"})
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


_LOOK = """body { font: 15px/1.5 system-ui, sans-serif; color: #23262d; background: #ffffff; max-width: 760px;
margin: 2rem auto; padding: 0 1rem; } h1, h2 { font-family: Georgia, serif; } h2 { font-size: 1.15rem;
margin-top: 2.2rem; }
img { width: 100%; } p { color: #6d6a61; } pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; }"""


def _page(model: str, caption: str, parts: Sequence[_Part]) -> bytes:
    """A page of SVG pictures, each in its own image element, so that their ids do not clash."""
    title = markup(f"Boundary Atlas: {model}")
    sections = []
    for number, part in enumerate(parts, 1):
        picture = recipe = ""
        if part.made is not None:
            data = base64.b64encode(part.made.file(".svg")).decode()
            alt = markup(part.made.chart.alt)
            picture = f'<img alt="{alt}" src="data:image/svg+xml;base64,{data}">'
            text = html.escape(json.dumps(part.made.recipe.mapping(), sort_keys=True))
            recipe = f"<details><summary>Recipe</summary><pre>{text}</pre></details>"
        question, words = markup(part.question), markup(part.caption)
        sections.append(
            f'<section id="{part.name}"><h2>{number}. {question}</h2>{picture}<p>{words}</p>{recipe}</section>'
        )
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_LOOK}</style>'
    body = f"<h1>{title}</h1><p>{markup(caption)}</p>{''.join(sections)}"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'.encode()
