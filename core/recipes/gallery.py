"""The gallery: the recipes that ship with the atlas, grouped by paper, each with a small picture.

    assets/gallery/index.json    papers in order, each with its recipes: name, title, one line
    assets/recipes/NAME.json     the recipe
    assets/gallery/NAME.png      its picture, drawn by the renderer of figures for paper

`python -m core.recipes.gallery` draws all pictures again, or those of the recipes named after it.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.errors import RecipeError
from core.files import write_whole
from core.recipes.recipe import Recipe
from core.runtime.threads import wait_briefly
from core.sources.models import ASSETS, nearest
from core.wording import abbreviated

RECIPES, PICTURES = ASSETS / "recipes", ASSETS / "gallery"
SIZE = (640, 420)  # of a picture, in pixels
_COLOURS = 128  # of a picture's palette: a third of the bytes, with smooth lines


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One recipe of the gallery.

    Attributes:
        name: its word on the command line, and the stem of its files.
        title: in a few words.
        line: what it shows, in one line.
        paper: title of the paper.
        key: of the paper: its number on arXiv, or where it was published.
        authors: of the paper, with its year.
    """

    name: str
    title: str
    line: str
    paper: str
    key: str
    authors: str

    @property
    def recipe(self) -> Recipe:
        """Its recipe.

        Raises:
            RecipeError: if its file is of another version.
        """
        return Recipe.parse((RECIPES / f"{self.name}.json").read_text(encoding="utf-8"))

    @property
    def picture(self) -> Path:
        """Its picture, a PNG of `SIZE`."""
        return PICTURES / f"{self.name}.png"


@cache
def gallery() -> tuple[Exhibit, ...]:
    """All exhibits, those of one paper together."""
    papers = json.loads((PICTURES / "index.json").read_text(encoding="utf-8"))
    return tuple(
        Exhibit(**entry, paper=paper["title"], key=paper["key"], authors=paper["authors"])
        for paper in papers
        for entry in paper["recipes"]
    )


def exhibit(name: str) -> Exhibit:
    """The exhibit of a name.

    Raises:
        RecipeError: if there is none.

    Example:
        >>> exhibit("blind_spot").key, exhibit("blind_spot").recipe.analysis
        ('2310.19889', 'level_set')
    """
    found = {each.name: each for each in gallery()}
    if name not in found:
        raise RecipeError(f"expected a file or one of {nearest(name, found)}, got {abbreviated(name)}")
    return found[name]


def on_models(recipe: Recipe, models: Sequence[str], images: str) -> Recipe:
    """A recipe with other models.

    Args:
        recipe: the recipe.
        models: their sources.
        images: an image set that fits them.

    Returns:
        The recipe with these models, without the picked point and the zoom, which belong to its old plane.

    Raises:
        RecipeError: if there are too many models.
    """
    settings = {**recipe.parameters, **recipe.figure}
    settings |= {name: None for name in ("at", "extent") if name in settings}
    return Recipe.make(recipe.analysis, models=models, images=images, rows=recipe.rows, settings=settings)


def picture(recipe: Recipe, *, device: str | None = None) -> bytes:
    """The small picture of a recipe.

    Args:
        recipe: the recipe.
        device: device of its models; the best available one when not given.

    Returns:
        A PNG of `SIZE`: the whole figure for paper on white.

    Raises:
        ValueError: if the recipe cannot be run.
    """
    from PIL import Image

    from core.recipes.run import run_recipe

    sharp = round(2 * SIZE[0] / (recipe.figure["width"] / 25.4))
    figure = run_recipe(recipe, device=device).with_figure(dpi=sharp).file(".png")
    with Image.open(io.BytesIO(figure), formats=["PNG"]) as drawn:
        whole = drawn.convert("RGB")
    whole.thumbnail(SIZE, Image.Resampling.LANCZOS)
    page = Image.new("RGB", SIZE, "white")
    page.paste(whole, ((SIZE[0] - whole.width) // 2, (SIZE[1] - whole.height) // 2))
    file = io.BytesIO()
    page.quantize(_COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def main(names: Sequence[str]) -> None:
    """Draw pictures again.

    Args:
        names: of exhibits; all of them when there are none.
    """
    wait_briefly()
    for each in [exhibit(name) for name in names] or gallery():
        data = picture(each.recipe)
        write_whole(each.picture, data)
        print(f"wrote {each.picture.name}: {len(data) / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
