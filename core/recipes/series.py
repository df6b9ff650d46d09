"""A series: one recipe run on several checkpoints in turn, such as the epochs of a training run.

All frames use the same settings and images. Where a figure needs a plane, or anything else that depends on a model, all
frames take it from one checkpoint: the last one unless another is named. Only the most recently used checkpoints stay
in memory, so a folder may be larger than the memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import wording
from core.errors import CheckpointError, RecipeError, user_message
from core.recipes.recipe import Recipe
from core.sources.models import Source
from core.wording import abbreviated

if TYPE_CHECKING:
    from core.figures.drawing.chart import Chart
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier
    from core.recipes.store import Store
    from core.result import Result
    from core.runtime.progress import OnProgress

MOST = 500  # checkpoints of one series
_LOADED = 4  # kept in memory at once
_DOUBTS = 2  # quoted in full
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """The results of a recipe at several checkpoints.

    Attributes:
        recipe: the recipe, at the checkpoint that model-dependent planes are taken from.
        sources: the checkpoints of the frames, in their order.
        charts: the frames, all on one scale.
        left_out: a sentence for each checkpoint that could not be used.
        doubts: why no boundary of a checkpoint is defined, where that is so; at the end of its caption too.
    """

    recipe: Recipe
    sources: tuple[str, ...]
    charts: tuple[Chart, ...]
    left_out: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each checkpoint: its file."""
        return tuple(map(label_of, self.sources))

    @property
    def words(self) -> str:
        """What the frames share, in one or two sentences, with doubts about some of them."""
        from core.figures.drawing.series import own_colours

        many = f"{len(self.charts)} checkpoint{'s' if len(self.charts) > 1 else ''} from {self.labels[0]}"
        words = f"{many} to {self.labels[-1]}, all on one scale."
        if own_colours(self.charts):
            words = f"{many} to {self.labels[-1]}; the bars beside the colours say which scale each frame has."
        if self.recipe.parameters.get("plane") == "directions":
            words += f" Their plane follows {label_of(self.recipe.models[0])}."
        more = len(self.doubts) - _DOUBTS
        return " ".join([words, *self.doubts[:_DOUBTS], *([f"And {more} more like it."] if more > 0 else [])])

    def gif(self, milliseconds: int = 500) -> bytes:
        """All frames as one GIF, each under the name of its file; the recipe is inside.

        Args:
            milliseconds: how long a frame stands.

        Returns:
            The bytes of the file.

        Raises:
            ValueError: if a frame stands too short or too long.
        """
        from core.figures.drawing.series import gif_bytes

        kept = {**self.recipe.mapping(), "series": list(self.sources), "milliseconds": milliseconds}
        return gif_bytes(self.charts, self.labels, milliseconds=milliseconds, recipe=kept, **self.recipe.paper())

    def file(self, milliseconds: int = 500) -> SeriesFile:
        """The GIF with its description, without the frames, which may be large."""
        return SeriesFile(
            self.gif(milliseconds), self.sources, f"{self.words} {milliseconds} ms per frame.", self.left_out
        )

    def frame(self, number: int, ending: str) -> bytes:
        """One frame as a figure for paper.

        Args:
            number: of the frame, from 0.
            ending: .pdf, .svg or .png.

        Returns:
            The bytes of the file, which holds the recipe of this checkpoint.
        """
        from core.figures.drawing.paper import figure_bytes

        chart = replace(self.charts[number], title=self.labels[number])
        return figure_bytes(chart, ending.removeprefix("."), **self.recipe.paper())  # type: ignore[arg-type]


@dataclass(frozen=True)
class SeriesFile:
    """A series as a GIF: its bytes, its checkpoints, what its frames share, and a sentence for each one left out."""

    gif: bytes
    sources: tuple[str, ...]
    words: str
    left_out: tuple[str, ...]


def checkpoints(text: str) -> tuple[str, ...]:
    """The checkpoints that a line of text names.

    Args:
        text: a folder, with options for all of its files behind a question mark where they need some, such as
            `runs/?arch=torchvision:resnet18&size=32`; or sources with commas between them, in their order.

    Returns:
        Sources; those of a folder by name, numbers in them by size: epoch-2 stands before epoch-10.

    Raises:
        CheckpointError: if there is no checkpoint in the folder, or they are too many.
    """
    parsed = Source.parse(text)
    if parsed.kind == "file" and Path(parsed.place).is_dir():
        from core.models.state_dicts import SUFFIXES

        files = [each for each in Path(parsed.place).iterdir() if each.is_file() and each.suffix.lower() in SUFFIXES]
        found = [
            replace(parsed, place=str(file)).text() for file in sorted(files, key=lambda file: in_order(file.name))
        ]
        if not found:
            raise CheckpointError(
                f"expected checkpoints ({', '.join(SUFFIXES)}) in {Path(parsed.place).name[:80]!a}, found none"
            )
    else:
        found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not 1 <= len(found) <= MOST:
        raise CheckpointError(f"expected 1 to {MOST} checkpoints, got {len(found)}; choose some of them")
    return tuple(found)


def in_order(name: str) -> tuple[object, ...]:
    """Sort key of names: words as words, numbers as numbers.

    >>> sorted(["epoch-10", "epoch-2", "Epoch-1"], key=in_order)
    ['Epoch-1', 'epoch-2', 'epoch-10']
    """
    return tuple(int(part) if part.isdecimal() else part.casefold() for part in _DIGITS.split(name))


def label_of(source: str) -> str:
    """The name of a checkpoint in a frame: its file, or the name that the source gives.

    >>> label_of("runs/epoch-2.pt?arch=timm:resnet18"), label_of("demo:photos/standard")
    ('epoch-2.pt', 'photos/standard')
    """
    parsed = Source.parse(source)
    own = Path(parsed.place).name if parsed.kind == "file" else parsed.place
    return wording.name(parsed.options.get("name", own), "checkpoint")


def series(
    recipe: Recipe,
    sources: Sequence[str],
    load: Callable[[str], Classifier],
    images: ImageSet,
    store: Store,
    *,
    reference: str = "",
    on_progress: OnProgress | None = None,
) -> Series:
    """Run a recipe on each checkpoint, and draw all results on one scale; stored results are not computed again.

    Args:
        recipe: the recipe; its own models are ignored.
        sources: the checkpoints, in their order.
        load: loads the classifier of a source.
        images: the recipe's image set, loaded whole.
        store: where results are kept.
        reference: the checkpoint that a plane follows where it follows a model; the last one when not given.
        on_progress: called with the fraction done.

    Returns:
        The frames. Checkpoints that cannot be loaded or measured are left out, each with a sentence.

    Raises:
        RecipeError: if there are no sources, or none can be used.
    """
    from core.figures.drawing.series import on_one_scale
    from core.models.inspection import doubts

    if not sources:
        raise RecipeError("expected at least one checkpoint, got none; name a folder or several sources")
    loaded = lru_cache(maxsize=_LOADED)(load)
    joint = recipe.definition.joint
    failed: dict[str, str] = {}
    wanted = [each for each in (reference, *reversed(sources)) if each]
    first = next((each for each in wanted if _loads(loaded, each, failed)), "")
    results: dict[str, Result] = {}
    for number, source in enumerate(sources):
        if source in failed:
            continue
        part = replace(recipe, models=(source,) if joint or source == first else (first, source))

        def tell(fraction: float, partial: Any = None, done: int = number) -> None:
            if on_progress is not None:
                on_progress((done + fraction) / len(sources))

        try:
            results[source] = store.fetch(part, [loaded(each) for each in part.models], images, tell)
        except Exception as error:  # noqa: BLE001 - a checkpoint's own code raises what it likes
            failed[source] = user_message(error)
    charts: dict[str, Chart] = {}
    unsteady: list[str] = []
    for source, result in results.items():
        alone = replace(recipe, models=(source,))
        try:
            charts[source] = alone.chart([result], [loaded(source)], images, list(results.values()))
            unsteady.extend(doubts([loaded(source)]))
        except Exception as error:  # noqa: BLE001 - a checkpoint's own code raises what it likes
            failed[source] = user_message(error)
    left_out = tuple(f"{label_of(source)}: {failed[source]}" for source in sources if source in failed)
    if not charts:
        raise RecipeError(f"expected a checkpoint that can be asked, got none: {left_out[-1]}")
    return Series(
        recipe=replace(recipe, models=(first,)),
        sources=tuple(charts),
        charts=on_one_scale(list(charts.values())),
        left_out=left_out,
        doubts=tuple(unsteady),
    )


def _loads(loaded: Callable[[str], Classifier], source: str, failed: dict[str, str]) -> bool:
    try:
        loaded(source)
    except Exception as error:  # noqa: BLE001 - a checkpoint's own code raises what it likes
        failed[source] = user_message(error)
        return False
    return True


def run_series(
    recipe: Recipe,
    text: str,
    *,
    device: str | None = None,
    uploads: Sequence[Path] = (),
    trust: bool = False,
    named: bool = False,
    on_progress: OnProgress | None = None,
) -> Series:
    """Load the images of a recipe and the checkpoints that a text names, and make the series.

    Args:
        recipe: the recipe; its own models are ignored.
        text: the checkpoints, see `checkpoints`.
        device: cuda, mps or cpu; the best available one when not given.
        uploads: the files that sources name as `upload:DIGEST`.
        trust: whether all that is loaded may run code; see `core.models.trust`.
        named: whether the checkpoints alone may, since the user named them; not what the recipe names.
        on_progress: called with the fraction done.

    Returns:
        The series.

    Raises:
        ValueError: if no checkpoint or the images cannot be loaded, or they do not fit together.
    """
    from core.images.load import load_images
    from core.models.load import load_classifier
    from core.models.third_party import by_digest
    from core.models.trust import require_trusted_images
    from core.recipes.store import Store

    if not trust:
        require_trusted_images(recipe.images)
    found, sources = by_digest(uploads), checkpoints(text)
    images = load_images(recipe.images, uploads=found)
    recipe.check_rows(images)
    return series(
        recipe,
        sources,
        lambda source: load_classifier(source, device, uploads=found, trust=trust or (named and source in sources)),
        images,
        Store(),
        on_progress=on_progress,
    )


def sources_in(file: Path) -> str:
    """The checkpoints that a GIF of a series was made of, as `checkpoints` reads them.

    Raises:
        RecipeError: if the file holds none.
        ValueError: if no recipe is inside.
        OSError: if it cannot be read.
    """
    from core.figures.drawing.provenance import read_recipe

    sources = read_recipe(file).get("series") if file.is_file() else None
    if not isinstance(sources, list) or not sources or not all(isinstance(each, str) for each in sources):
        raise RecipeError(f"expected --models FOLDER or SOURCE,SOURCE,..., got none beside {abbreviated(file.name)}")
    return ",".join(sources)
