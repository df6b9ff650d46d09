"""Run a recipe: compute the results of all its models, its figure, and every kind of file.

The ending of a file's name decides what is in it: .pdf, .svg and .png are figures for paper, .html one for the screen,
.npz and .csv the numbers, .json the recipe, .zip a paper kit (`core.exports.kit`). All of them hold the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import RecipeError
from core.recipes.recipe import Recipe

if TYPE_CHECKING:
    from core.figures.drawing.chart import Chart
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier
    from core.result import Result
    from core.runtime.progress import OnProgress

ENDINGS = (".pdf", ".svg", ".png", ".html", ".npz", ".csv", ".json", ".zip")


@dataclass(frozen=True, kw_only=True, eq=False)
class RecipeRun:
    """A recipe with its results.

    Attributes:
        recipe: the recipe.
        results: one per part of it, in its order.
        classifiers: its models, loaded.
        images: its image set, loaded whole.
    """

    recipe: Recipe
    results: Sequence[Result]
    classifiers: Sequence[Classifier]
    images: ImageSet

    @cached_property
    def chart(self) -> Chart:
        """The picture of all results, with the recipe inside."""
        return self.recipe.chart(self.results, self.classifiers, self.images)

    def with_figure(self, **settings: object) -> RecipeRun:
        """The same numbers in another figure.

        Args:
            **settings: settings of the figure by name.

        Returns:
            The run with these figure settings.

        Raises:
            RecipeError: if one is not a setting of the figure, or out of range.
        """
        names = [entry.name for entry in self.recipe.definition.figure_settings]
        other = next((name for name in settings if name not in names), None)
        if other is not None:
            raise RecipeError(f"expected settings of the figure ({', '.join(names)}), got {other}")
        return replace(self, recipe=self.recipe.with_settings(**settings))

    def file(self, ending: str) -> bytes:
        """One file.

        Args:
            ending: one of `ENDINGS`.

        Returns:
            The bytes of the file: the same for the same recipe, device and versions.

        Raises:
            ValueError: if the ending is another one, or the results have no table for .csv.
        """
        if ending not in ENDINGS:
            raise ValueError(f"expected an ending out of {', '.join(ENDINGS)}, got {ending!r}")
        if ending == ".json":
            return f"{self.recipe.json()}\n".encode()
        if ending in (".npz", ".csv"):
            from core.exports.tables import numbers_bytes

            return numbers_bytes(self.results, self.recipe.models, self.recipe.mapping(), ending)
        if ending == ".zip":
            from core.exports.kit import kit_bytes

            return kit_bytes(self)
        if ending == ".html":
            from core.figures.drawing.screen import page_bytes

            return page_bytes(self.chart)
        from core.figures.drawing.paper import figure_bytes

        return figure_bytes(self.chart, ending.removeprefix("."), **self.recipe.paper())  # type: ignore[arg-type]


def run_recipe(
    recipe: Recipe,
    *,
    device: str | None = None,
    uploads: Sequence[Path] = (),
    trust: bool = False,
    progress: Callable[[str], OnProgress] | None = None,
) -> RecipeRun:
    """Load the models and images of a recipe, and compute every result that the store does not hold.

    Args:
        recipe: the recipe.
        device: cuda, mps or cpu; the best available one when not given.
        uploads: the files that sources name as `upload:DIGEST`.
        trust: whether its models may run code; see `core.models.trust`.
        progress: called with the name of each computation; returns the function that receives its fraction done.

    Returns:
        The results, with the models and images that its files need.

    Raises:
        RecipeError: if a chosen row is not in the set.
        ValueError: if a model or the images cannot be loaded, or they do not fit together.

    Example:
        >>> limits = Recipe.make("limits", models=["demo:digits/standard"], images="demo:digits", rows=[3])
        >>> made = run_recipe(limits, device="cpu")
        >>> made.results[0].forwards, made.file(".svg")[:5]
        (0, b'<?xml')
    """
    from core.images.load import load_images
    from core.models.load import load_classifier
    from core.models.third_party import by_digest
    from core.models.trust import require_trusted_images
    from core.recipes.store import Store
    from core.runtime.progress import silent

    if not trust:
        require_trusted_images(recipe.images)
    found = by_digest(uploads)
    loaded = {source: load_classifier(source, device, uploads=found, trust=trust) for source in recipe.models}
    images = load_images(recipe.images, uploads=found)
    store = Store()
    results = []
    for part in recipe.parts():
        report = silent if progress is None else progress(f"{recipe.analysis} of {part.models[-1]}")
        results.append(store.fetch(part, [loaded[source] for source in part.models], images, report))
    classifiers = [loaded[source] for source in recipe.models]
    return RecipeRun(recipe=recipe, results=results, classifiers=classifiers, images=images)


def read(file: Path) -> Recipe:
    """The recipe in a file, which may come from anyone: reading it loads nothing that it names.

    Args:
        file: a figure, numbers or a recipe.

    Returns:
        The recipe.

    Raises:
        RecipeError: if no recipe is inside, or it is of another version.
        OSError: if the file cannot be read.
    """
    from core.figures.drawing.provenance import read_recipe

    return Recipe.read(read_recipe(file))
