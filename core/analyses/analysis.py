"""What an analysis is to the rest: a question with settings, a computation and a chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analyses.inputs import Inputs
from core.analyses.parameters import Parameter
from core.analyses.start import START
from core.figures.drawing.chart import Chart, side_by_side
from core.runtime.cost import counting
from core.runtime.progress import OnProgress, silent

if TYPE_CHECKING:
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier
    from core.result import Result


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One question that can be asked of a classifier.

    Attributes:
        name: its word everywhere, also on the command line.
        version: raised when the same recipe gives other numbers; results of older versions are never shown.
        question: what it answers, in one sentence.
        parameters: what enters the computation and the store's key.
        figure: what changes only the picture.
        view: the file of the view that shows it.
        papers: keys of `assets/references.bib`: whose method or question it takes; an own construction names none.
        images: how many images are chosen at these parameters, at least and at most.
        prepare: "module:function"; called with `Inputs` and the parameters other than those of `START`, it returns
            the result. Loaded on first use: the modules that compute import torch.
        chart: called with `ChartInputs` and the figure's own settings; see `of_all` and `of_each`.
        shared: whether, at these parameters, the reference and the whole set of images enter the result.
        joint: whether one result is about all models, instead of one about each.
        aliases: former names, which recipes, links and the command line may still use.
        lines: whether its picture is made of lines, so that several seeds can be drawn as one with a band.
    """

    name: str
    version: int
    question: str
    parameters: tuple[Parameter, ...]
    figure: tuple[Parameter, ...]
    view: str
    images: Callable[[Mapping[str, Any]], tuple[int, int]]
    prepare: str
    chart: Callable[..., Chart]
    shared: Callable[[Mapping[str, Any]], bool] = field(default=lambda parameters: False)
    joint: bool = False
    lines: bool = False
    papers: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def setting(self, name: str) -> Parameter:
        """The setting of a name, of the computation or of the figure."""
        return next(entry for entry in (*self.parameters, *self.figure_settings) if entry.name == name)

    def by_current_names(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings by the names that they have now, where some may have an alias."""
        now = {alias: entry.name for entry in (*self.parameters, *self.figure_settings) for alias in entry.aliases}
        return {now.get(name, name): value for name, value in settings.items()}

    def run(
        self,
        classifiers: Sequence[Classifier],
        images: ImageSet,
        rows: Sequence[int],
        on_progress: OnProgress = silent,
        **settings: Any,
    ) -> Result:
        """Compute the result of one model, or of all models of a joint analysis.

        Args:
            classifiers: as in `Inputs`.
            images: the whole set.
            rows: the chosen images.
            on_progress: called with the fraction done and, now and then, a coarser result.
            **settings: parameters by name; the others have their defaults.

        Returns:
            The result, which says what all of it cost: finding the image and the plane, too.
        """
        from core.analyses.prepare.plane import resolve_image

        values = {entry.name: settings.pop(entry.name, entry.default) for entry in self.parameters}
        starts = all(entry in self.parameters for entry in START)
        choice = {entry.name: values.pop(entry.name) for entry in START} if starts else {}
        with counting() as cost:
            start = resolve_image(classifiers[0], images, rows, **choice)
            inputs = Inputs(classifiers=classifiers, images=images, rows=rows, start=start, on_progress=on_progress)
            result: Result = loaded(self.prepare)(inputs, **values, **settings)
        return replace(result, **cost.so_far(products=hasattr(result, "products")))

    @property
    def figure_settings(self) -> tuple[Parameter, ...]:
        """What changes only the picture, on the screen and on paper."""
        return self.figure + ((JOINED,) if self.lines else ()) + PAPER


def loaded(name: str) -> Callable[..., Any]:
    """The function that "module:function" names."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class ChartInputs:
    """What a chart is made from.

    Attributes:
        results: one per model, or one for all models.
        classifiers: the models.
        images: the whole set.
        rows: the chosen images.
        shared_scale: all results that are shown together, so that they share their scales.
    """

    results: Sequence[Any]
    classifiers: Sequence[Classifier]
    images: ImageSet
    rows: tuple[int, ...]
    shared_scale: Sequence[Any]

    @property
    def names(self) -> list[str]:
        """The names of the models."""
        return [one.name for one in self.classifiers]

    @property
    def class_names(self) -> Sequence[str]:
        """The names of the classes, of the first model."""
        return self.classifiers[0].class_names

    def each(self, draw: Callable[[Any, Classifier, str], Chart]) -> Chart:
        """The charts of all models side by side, under their names where there are several.

        Args:
            draw: the chart of a result, its classifier and the title above it.

        Returns:
            One chart.
        """
        return side_by_side(self.charts(draw))

    def charts(self, draw: Callable[[Any, Classifier, str], Chart]) -> list[Chart]:
        """The chart of each model, see `each`."""
        pairs = zip(self.results, self.classifiers, strict=True)
        return [draw(found, one, one.name if len(self.results) > 1 else "") for found, one in pairs]


def of_all(draw: Callable[..., Chart]) -> Callable[..., Chart]:
    """An analysis's `chart` that draws the results of all models together.

    Args:
        draw: called with all results and the settings of the figure, and, where it has parameters of these names, with
            `names` (or `models`) of the models, `class_names` and `shared_scale`.
    """

    def chart(inputs: ChartInputs, **figure: Any) -> Chart:
        names = {"names": inputs.names, "models": inputs.names}
        known = {**names, "class_names": inputs.class_names, "shared_scale": inputs.shared_scale}
        return draw(inputs.results, **_accepted(draw, known), **figure)

    return chart


def of_each(draw: Callable[..., Chart]) -> Callable[..., Chart]:
    """An analysis's `chart` that draws the result of each model on its own, side by side.

    Args:
        draw: called with one result, its title and the settings of the figure, and, where it has parameters of these
            names, with `class_names` and `shared_scale`.
    """

    def chart(inputs: ChartInputs, **figure: Any) -> Chart:
        def one(found: Any, classifier: Classifier, title: str) -> Chart:
            known = {"class_names": classifier.class_names, "shared_scale": inputs.shared_scale}
            return draw(found, title=title, **_accepted(draw, known), **figure)

        return inputs.each(one)

    return chart


def _accepted(draw: Callable[..., Chart], known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in known.items() if name in signature(draw).parameters}


def one_to_three(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """The first one is looked at; the others are chosen for other views."""
    return 1, 3


def any_image(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """What is chosen does not matter: the images are drawn from the whole set."""
    return (1, 3)


def whole_set(parameters: Mapping[str, Any]) -> bool:
    """The whole set enters, whatever is chosen: other images are drawn from it, or all of it is asked about."""
    return True


JOINED = Parameter(
    name="joined",
    kind="choice",
    default="none",
    choices=("none", "seeds", "all"),
    help="Several models as one line: their mean, with the band from the least to the greatest. seeds: demo models"
    " called alike but for the number at the end, and untrained ones of one model; all: all that are shown.",
)
PAPER = (
    Parameter(
        name="width",
        kind="number",
        default=89.0,
        limits=(20, 400),
        unit="mm",
        help="Width of the exported figure; 89 mm is a single column of many journals.",
    ),
    Parameter(
        name="font_size",
        kind="number",
        default=8.0,
        limits=(4, 24),
        unit="pt",
        help="Size of the words in the exported figure.",
    ),
    Parameter(
        name="font",
        kind="choice",
        default="sans",
        choices=("sans", "serif"),
        help="Typeface of the words in the exported figure.",
    ),
    Parameter(
        name="dpi",
        kind="integer",
        default=300,
        limits=(50, 1200),
        unit="dots per inch",
        help="Sharpness of an exported PNG.",
    ),
)


def thumbnails(images: ImageSet) -> np.ndarray:
    """Images as (n, height, width, 3) uint8, for a figure."""
    pixels = (images.pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels


PALETTE = Parameter(
    name="palette",
    kind="choice",
    default="muted",
    choices=("muted", "okabe-ito"),
    help="Colours of the classes; both are told apart by colour-blind readers.",
)
