"""The table of analyses: what can be asked of a classifier, and with which settings.

A setting is declared once, here, with its values, unit and one line of help; the command line, links and the controls
of the dashboard are all made from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.recipe import RecipeError, shown

if TYPE_CHECKING:
    from core.classifier import Classifier
    from core.figures.chart import Chart
    from core.geometry.slices import Slice
    from core.images import ImageSet
    from core.result import Result


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One setting, as the command line, the link and the controls know it.

    Attributes:
        name: in recipes, links and, with dashes, on the command line.
        kind: what its values are; "numbers" are a tuple of floats, or None for the analysis's own choice.
        default: the value when none is given.
        help: one line that explains it.
        unit: of its values.
        choices: all values of a "choice".
        limits: smallest and largest value of an "integer", "number" or each of the "numbers".
        count: how many "numbers" there must be; None for any.
    """

    name: str
    kind: Literal["choice", "integer", "number", "numbers", "text"]
    default: Any
    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    count: int | None = None
    check: Callable[[str], object] | None = field(default=None, compare=False)  # of a "text": raises ValueError

    def parse(self, value: Any) -> Any:
        """The value that JSON, a link or the command line stands for.

        Raises:
            RecipeError: if it is none of this parameter's values.
        """
        match self.kind:
            case "choice":
                if value not in self.choices:
                    raise self._error(f"one of {', '.join(self.choices)}", value)
                return value
            case "integer":
                number = self._number(value)
                if number != int(number):
                    raise self._error("a whole number", value)
                return int(number)
            case "number":
                return self._number(value)
            case "numbers":
                return self._numbers(value)
            case "text":
                return self._text(value)

    def _numbers(self, value: Any) -> tuple[float, ...] | None:
        if value is None or value == "":
            return None if self.default is None else ()
        entries = value.split(",") if isinstance(value, str) else value
        if not isinstance(entries, list | tuple) or (self.count is not None and len(entries) != self.count):
            raise self._error(f"{self.count or 'some'} numbers", value)
        return tuple(self._number(entry) for entry in entries)

    def _text(self, value: Any) -> str:
        if not isinstance(value, str) or len(value) > 200:
            raise self._error("a short text", value)
        if self.check is not None:
            try:
                self.check(value)
            except ValueError as error:
                raise RecipeError(f"{self.name}: {error}") from error
        return value

    def _number(self, value: Any) -> float:
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        low, high = self.limits or (-math.inf, math.inf)
        if not math.isfinite(number) or not low <= number <= high:
            where = f" from {low:g} to {high:g}" if self.limits else ""
            raise self._error(f"a number{where}", value)
        return number

    def _error(self, expected: str, value: Any) -> RecipeError:
        return RecipeError(f"{self.name}: expected {expected}, got {shown(value)}")

    @staticmethod
    def text(value: Any) -> str:
        """The value as it stands in a link or on the command line; `parse` reads it back exactly."""
        if value is None:
            return ""
        if isinstance(value, tuple):
            return ",".join(Parameter.text(entry) for entry in value)
        return repr(value) if isinstance(value, float) else str(value)


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One question that can be asked of a classifier.

    Attributes:
        name: its word everywhere, also on the command line.
        version: raised when the same recipe gives other numbers; results of older versions are never shown.
        question: what it answers, in one sentence.
        parameters: what enters the computation and the store's key.
        figure: what changes only the picture.
        images: how many images are chosen, at least and at most.
        prepare: (classifier, images, rows=, reference=, on_progress=, **parameters) -> result. `images` is the whole
            set and `rows` the chosen ones; `reference` is the recipe's first model, which fixes what all models share.
        chart: (results, classifiers, images, rows=, **figure) -> chart; results and classifiers one per model.
        shared: whether, at these parameters, the reference and the whole set of images enter the result.
    """

    name: str
    version: int
    question: str
    parameters: tuple[Parameter, ...]
    figure: tuple[Parameter, ...]
    images: tuple[int, int]
    prepare: Callable[..., Result]
    chart: Callable[..., Chart]
    shared: Callable[[Mapping[str, Any]], bool] = field(default=lambda parameters: False)

    @property
    def figure_settings(self) -> tuple[Parameter, ...]:
        """What changes only the picture, on the screen and on paper."""
        return self.figure + PAPER


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


# -- slice ------------------------------------------------------------------------------------------------------------


def _prepare_slice(*args: Any, **settings: Any) -> Slice:
    from core.geometry.cuts import prepare

    return prepare(*args, **settings)


def _slice_chart(
    results: Sequence[Slice],
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    rows: tuple[int, ...],
    **figure: Any,
) -> Chart:
    from core.figures.chart import side_by_side
    from core.figures.planes import slice_chart

    anchors = images[list(rows)]
    charts = []
    for result, classifier in zip(results, classifiers, strict=True):
        plane = result.plane
        chart = slice_chart(
            result,
            class_names=classifier.class_names,
            anchors=thumbnails(anchors),
            anchor_positions=plane.to_plane(anchors.pixels).numpy(),
            anchor_labels=tuple(images.class_names[k] if k >= 0 else "" for k in anchors.labels.tolist()),
            anchor_residuals=tuple(plane.residual(anchors.pixels).tolist()),
            title=classifier.name if len(results) > 1 else "",
            **figure,
        )
        charts.append(chart)
    return side_by_side(charts)


SLICE = Analysis(
    name="slice",
    version=1,
    question="What does the model say everywhere on the plane through these three images?",
    parameters=(
        Parameter(
            name="extent",
            kind="numbers",
            default=None,
            count=4,
            limits=(-1e6, 1e6),
            unit="ℓ2 pixel",
            help="x_min, x_max, y_min, y_max of the square that is cut; by default 1.5 times the anchors' spread.",
        ),
        Parameter(
            name="resolution",
            kind="integer",
            default=512,
            limits=(16, 2048),
            unit="points per side",
            help="Grid points along each side of the square.",
        ),
        Parameter(
            name="method",
            kind="choice",
            default="adaptive",
            choices=("adaptive", "careful", "full"),
            help="full asks the model at every point; adaptive follows boundaries and can miss regions thinner than"
            " 16 grid steps, careful those thinner than 8.",
        ),
    ),
    figure=(
        Parameter(
            name="shading",
            kind="choice",
            default="confidence",
            choices=("class", "confidence", "margin", "entropy"),
            help="What the colours show: the class alone, the class paled where confidence is low, the margin in"
            " logits, or the entropy of the probabilities.",
        ),
        Parameter(
            name="levels",
            kind="numbers",
            default=(),
            limits=(0, 1e6),
            help="Values of the shaded field to draw contour lines at.",
        ),
        Parameter(
            name="palette",
            kind="choice",
            default="muted",
            choices=("muted", "okabe-ito"),
            help="Colours of the classes; both are told apart by colour-blind readers.",
        ),
    ),
    images=(3, 3),
    prepare=_prepare_slice,
    chart=_slice_chart,
)

TABLE = {analysis.name: analysis for analysis in (SLICE,)}
