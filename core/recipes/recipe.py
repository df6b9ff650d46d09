"""Recipes: a few plain values that specify a figure completely.

A recipe names an analysis, models, images, parameters and figure settings. It is what a page's link holds, what an
exported file carries inside, what the command line runs and what the store is keyed by. Everything in it is checked
against the table of analyses, because links and files may come from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.errors import RecipeError
from core.wording import abbreviated

if TYPE_CHECKING:
    from core.analyses.analysis import Analysis
    from core.figures.drawing.chart import Chart
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier
    from core.result import Result
    from core.runtime.progress import OnProgress

FORMAT = 1  # of the mapping; raised when its shape changes


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One figure, specified; always valid: `make` and `read` check it.

    Attributes:
        analysis: a name of the table.
        models: sources of classifiers; the first is the reference.
        images: the source of the image set.
        rows: the chosen images.
        parameters: all of the analysis's parameters.
        figure: all of its figure settings, and those of the paper.
    """

    analysis: str
    models: tuple[str, ...]
    images: str
    rows: tuple[int, ...]
    parameters: Mapping[str, Any]
    figure: Mapping[str, Any]

    @classmethod
    def make(
        cls,
        analysis: str,
        *,
        models: object,
        images: object,
        rows: object,
        settings: Mapping[str, Any] | None = None,
    ) -> Recipe:
        """A recipe with the defaults filled in.

        Args:
            analysis: a name of the table, or an alias of one.
            models: one source or more.
            images: source of the image set.
            rows: the chosen images, as numbers or as text.
            settings: parameters and figure settings by name, as values or as text.

        Returns:
            The recipe.

        Raises:
            RecipeError: if anything in it is not known or out of range.
        """
        known = _analysis(analysis)
        settings = known.by_current_names(settings or {})
        parameters = {entry.name: entry.parse(settings.pop(entry.name, entry.default)) for entry in known.parameters}
        figure = {entry.name: entry.parse(settings.pop(entry.name, entry.default)) for entry in known.figure_settings}
        if settings:
            names = ", ".join([*parameters, *figure])
            raise RecipeError(f"expected settings of {known.name} ({names}), got {abbreviated(next(iter(settings)))}")
        return cls(
            analysis=known.name,
            models=_sources(models),
            images=source_in(images),
            rows=_rows(rows, known, parameters),
            parameters=parameters,
            figure=figure,
        )

    @classmethod
    def read(cls, mapping: Any) -> Recipe:
        """The recipe that a mapping (from JSON) stands for.

        Raises:
            RecipeError: if it is no recipe, of another version, or anything in it is not known or out of range.
        """
        if not isinstance(mapping, Mapping) or "recipe" not in mapping or "analysis" not in mapping:
            raise RecipeError(f"expected a recipe of Boundary Atlas, got {abbreviated(mapping)}")
        if mapping["recipe"] != FORMAT:
            raise RecipeError(
                f"expected a recipe of format {FORMAT}, got {abbreviated(mapping['recipe'])}; it was made by another"
                " version"
            )
        name = mapping["analysis"]
        known = _analysis(name)
        if mapping.get("version", known.version) != known.version:
            raise RecipeError(
                f"expected version {known.version} of {name}, got {abbreviated(mapping['version'])}: the numbers would"
                " differ from those of the file; make the figure anew from its settings"
            )
        images = mapping.get("images")
        if not isinstance(images, Mapping):
            raise RecipeError(f"expected images with source and rows, got {abbreviated(images)}")
        settings: dict[str, Any] = {}
        for part in ("parameters", "figure"):
            values = mapping.get(part, {})
            if not isinstance(values, Mapping):
                raise RecipeError(f"expected {part} by name, got {abbreviated(values)}")
            settings.update(values)
        return cls.make(
            name,
            models=mapping.get("models", ()),
            images=images.get("source", ""),
            rows=images.get("rows", ()),
            settings=settings,
        )

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """The recipe in a piece of JSON.

        Raises:
            RecipeError: if it is no JSON, or no recipe.
        """
        try:
            mapping = json.loads(text)
        except (ValueError, RecursionError) as error:  # also a number of more digits than Python reads
            raise RecipeError("expected a recipe as JSON, got text that is none") from error
        return cls.read(mapping)

    @property
    def definition(self) -> Analysis:
        """The entry of the table that this recipe is for."""
        return _analysis(self.analysis)

    def mapping(self) -> dict[str, Any]:
        """The recipe as plain values for JSON; complete, so that later defaults cannot change it."""
        return {
            "recipe": FORMAT,
            "analysis": self.analysis,
            "version": self.definition.version,
            "models": list(self.models),
            "images": {"source": self.images, "rows": list(self.rows)},
            "parameters": _plain(self.parameters),
            "figure": _plain(self.figure),
        }

    def json(self) -> str:
        """The recipe as canonical ASCII JSON on one line."""
        return json.dumps(self.mapping(), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)

    def query(self) -> dict[str, str]:
        """The recipe flattened for a link: models, images, rows, and every setting that is not the default."""
        known = self.definition
        settings = {**self.parameters, **self.figure}
        changed = {
            entry.name: entry.text(settings[entry.name])
            for entry in (*known.parameters, *known.figure_settings)
            if settings[entry.name] != entry.parse(entry.default)
        }
        rows = ",".join(map(str, self.rows))
        return {"models": ",".join(self.models), "images": self.images, "rows": rows, **changed}

    @classmethod
    def from_query(cls, analysis: str, query: Mapping[str, str]) -> Recipe:
        """The recipe that a link stands for; strict, where a page leaves out what it cannot follow.

        Raises:
            RecipeError: if anything in it is not known or out of range.
        """
        settings = dict(query)
        models = settings.pop("models", "").split(",")
        images = settings.pop("images", "")
        rows = settings.pop("rows", "").split(",")
        return cls.make(analysis, models=models, images=images, rows=rows, settings=settings)

    def with_settings(self, **settings: Any) -> Recipe:
        """The same recipe with other parameters or figure settings.

        Raises:
            RecipeError: if one is not known or out of range.
        """
        merged = {**self.parameters, **self.figure, **settings}
        return Recipe.make(self.analysis, models=self.models, images=self.images, rows=self.rows, settings=merged)

    def parts(self) -> tuple[Recipe, ...]:
        """The recipes whose results are computed separately, one per model: the reference first, the model last.

        A joint analysis has one part, the recipe itself.
        """
        if self.definition.joint:
            return (self,)
        return tuple(replace(self, models=tuple(dict.fromkeys((self.models[0], model)))) for model in self.models)

    def run(self, classifiers: Sequence[Classifier], images: ImageSet, on_progress: OnProgress) -> Result:
        """Compute the result of a part; asks no store.

        Args:
            classifiers: the part's models, loaded.
            images: the recipe's image set, loaded whole.
            on_progress: called with the fraction done and coarser results.

        Returns:
            The result, with this recipe attached.

        Raises:
            RecipeError: if a chosen row is not in the set.
        """
        self.check_rows(images)
        result = self.definition.run(classifiers, images, self.rows, on_progress, **self.parameters)
        return replace(result, recipe=self.mapping())

    def check_rows(self, images: ImageSet) -> None:
        """Raise unless every chosen row is in the set.

        Raises:
            RecipeError: if one is not.
        """
        beyond = [row for row in self.rows if row >= len(images)]
        if beyond:
            raise RecipeError(f"expected rows below {len(images)}, the size of {self.images}, got {beyond[0]}")

    def chart(
        self,
        results: Sequence[Result],
        classifiers: Sequence[Classifier],
        images: ImageSet,
        shared_scale: Sequence[Result] = (),
    ) -> Chart:
        """The chart of the results of all models, with this recipe inside.

        Args:
            results: one per part, in the recipe's order.
            classifiers: the models, for their names and those of their classes.
            images: the recipe's image set, loaded whole.
            shared_scale: all results that are shown together, where each has a chart of its own.

        Returns:
            The chart. Its caption ends with the reason why a model has no boundary, where there is one.
        """
        from core.analyses.analysis import ChartInputs
        from core.models.inspection import doubts

        figure = {entry.name: self.figure[entry.name] for entry in self.definition.figure}
        inputs = ChartInputs(
            results=results,
            classifiers=classifiers,
            images=images,
            rows=self.rows,
            shared_scale=shared_scale or results,
        )
        chart = self.definition.chart(inputs, **figure)
        how = self.figure.get("joined", "none")
        if how != "none" and len(results) > 1:
            from core.figures.drawing.seeds import seeds_in_one_line

            names = [one.name for one in classifiers]
            chart = seeds_in_one_line(chart, names, _seeds(self.models, how), "models" if how == "all" else "seeds")
        from core.figures.drawing.glyphs import with_known_letters

        caption = " ".join([chart.caption, *doubts(classifiers)]).strip()
        return with_known_letters(replace(chart, caption=caption, recipe=self.mapping()))

    def paper(self) -> dict[str, Any]:
        """The settings of the paper renderer."""
        figure = self.figure
        return {
            "width_mm": figure["width"],
            "font_size": figure["font_size"],
            "font": figure["font"],
            "dpi": figure["dpi"],
        }


def _analysis(name: Any) -> Analysis:
    from core.analyses.table import ALIASES, TABLE

    known = TABLE.get(ALIASES.get(name, name)) if isinstance(name, str) else None
    if known is None:
        raise RecipeError(f"expected an analysis out of {', '.join(TABLE)}, got {abbreviated(name)}")
    return known


def source_in(value: Any) -> str:
    """The name of a source, as recipes hold them.

    Raises:
        RecipeError: if it is none, or too long for a recipe or a link.
    """
    if not isinstance(value, str) or not value or len(value) > 500 or not value.isprintable():
        raise RecipeError(f"expected the name of a source, such as demo:photos, got {abbreviated(value)}")
    return value


def _sources(values: Any) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise RecipeError(f"expected a list of models, got {abbreviated(values)}")
    sources = tuple(source_in(value) for value in values)
    if not 1 <= len(sources) <= 16:
        raise RecipeError(f"expected 1 to 16 models, got {len(sources)}")
    return sources


def _rows(values: Any, analysis: Analysis, parameters: Mapping[str, Any]) -> tuple[int, ...]:
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise RecipeError(f"expected a list of rows, got {abbreviated(values)}")
    from core.analyses.parameters import Parameter

    values = tuple(values)
    fewest, most = analysis.images(parameters)
    if not fewest <= len(values) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise RecipeError(f"expected {wanted} images for {analysis.name}, got {len(values)}")
    row = Parameter(name="rows", kind="integer", default=0, limits=(0, 1e9), help="")
    return tuple(row.parse(value) for value in values)


def _seeds(models: Sequence[str], how: str) -> list[list[int]]:
    """Numbers of the models that are seeds of one training, by group; with "all", one group of all models."""
    from core.sources.models import Source

    groups: dict[str, list[int]] = {}
    for number, model in enumerate(models):
        groups.setdefault("" if how == "all" else Source.parse(model).seedless, []).append(number)
    return list(groups.values())


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
