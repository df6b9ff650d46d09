"""Maps of many images, and paths on them: what a corruption, an attack, a walk or a slice passes by."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.analyses.analysis import PALETTE, Analysis, one_per_model
from core.parameters import Parameter

if TYPE_CHECKING:
    from core.classifier import Classifier
    from core.compute import OnProgress
    from core.figures.chart import Chart
    from core.geometry.map_background import DecisionMap
    from core.geometry.map_paths import MapPaths
    from core.geometry.maps import EmbeddingMap
    from core.images import ImageSet
    from core.result import Result

MOST_ROWS = 60  # images that a map can hand on to the other views


def _prepare_map(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier,
    resolution: int,
    on_progress: OnProgress,
    **settings: Any,
) -> DecisionMap:
    from core.geometry.map_background import decision_map

    def first(fraction: float, partial: Result | None = None) -> None:
        on_progress(0.7 * fraction)

    def then(fraction: float, partial: Result | None = None) -> None:
        on_progress(0.7 + 0.3 * fraction)

    found = _map_of(classifier, images, on_progress=first, **settings)
    on_progress(0.7, found)
    return decision_map(classifier, found, resolution=resolution, on_progress=then)


def _map_of(
    classifier: Classifier, images: ImageSet, *, count: int, on_progress: OnProgress, **settings: Any
) -> EmbeddingMap:
    """The map of a set, or of as many of its images; the last ones made are kept, because paths ask for them too."""
    from core.geometry.maps import embed

    taken = _drawn(len(images), count, settings["seed"])
    chosen = images if len(taken) == len(images) else images[taken]
    key = (classifier.fingerprint, chosen.digest, tuple(chosen.labels.tolist()), *sorted(settings.items()))

    def find() -> EmbeddingMap:
        import numpy as np

        found = embed(classifier, chosen.pixels, labels=chosen.labels, on_progress=on_progress, **settings)
        return replace(found, row=np.array(taken, np.int32))

    return _recent.get(key, find)


def _drawn(size: int, count: int, seed: int) -> list[int]:
    """All rows, or so many of them at random, in their order."""
    import torch

    if size <= count:
        return list(range(size))
    return sorted(torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:count].tolist())


class _Recent:
    """The maps made last; a model without a fingerprint has none kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._maps: OrderedDict[tuple[Any, ...], EmbeddingMap] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[Any, ...], find: Callable[[], EmbeddingMap]) -> EmbeddingMap:
        with self._lock:
            if key in self._maps:
                self._maps.move_to_end(key)
                return self._maps[key]
        found = find()
        with self._lock:
            if key[0]:
                self._maps[key] = found
            while len(self._maps) > self._most:
                self._maps.popitem(last=False)
        return found


_recent = _Recent(4)


def _prepare_path(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier,
    kind: Any,
    steps: int,
    corruption: str,
    length: float,
    slice_plane: Any,
    slice_u: str,
    slice_v: str,
    on_progress: OnProgress,
    **settings: Any,
) -> MapPaths:
    from core.geometry.map_paths import map_paths
    from core.geometry.trails import trails

    def first(fraction: float, partial: Result | None = None) -> None:
        on_progress(0.5 * fraction)

    found = _map_of(classifier, images, on_progress=first, **settings)
    followed = trails(
        classifier,
        reference,
        images,
        rows,
        kind,
        steps=steps,
        corruption=corruption,
        length=length,
        plane=slice_plane,
        u=slice_u,
        v=slice_v,
    )
    on_progress(0.6)
    placed = map_paths(
        classifier,
        found,
        followed.paths,
        names=followed.names,
        kind=kind,
        tick=lambda part: on_progress(0.6 + 0.4 * part),
    )
    spent = placed.forwards + followed.forwards
    return replace(placed, forwards=spent, gradients=followed.gradients)


def _map_chart(
    results: Sequence[EmbeddingMap],
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    rows: tuple[int, ...],
    beside: Sequence[EmbeddingMap],
    **figure: Any,
) -> Chart:
    from core.figures.maps import map_chart

    def draw(found: EmbeddingMap, one: Classifier, title: str) -> Chart:
        return map_chart(found, class_names=one.class_names, marked=rows, beside=beside, title=title, **figure)

    return one_per_model(results, classifiers, draw)


def _path_chart(
    results: Sequence[MapPaths],
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    rows: tuple[int, ...],
    beside: Sequence[MapPaths],
    palette: str,
) -> Chart:
    from core.figures.maps import path_chart

    def draw(found: MapPaths, one: Classifier, title: str) -> Chart:
        return path_chart(found, class_names=one.class_names, marked=rows[:3], palette=palette, title=title)

    return one_per_model(results, classifiers, draw)


def _any_rows(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Chosen images are only marked: a link keeps all of them, where an analysis of one image keeps the first."""
    return 2, MOST_ROWS


def _followed(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """How many images a path needs."""
    if parameters["kind"] in ("line", "walk"):
        return 2, 2
    return (3, 3) if parameters["kind"] == "slice" and parameters["slice_plane"] == "images" else (1, 3)


def _whole_set(parameters: Mapping[str, Any]) -> bool:
    """The map is of the whole set."""
    return True


def _direction(text: str) -> object:
    from core.geometry.directions import parse_direction

    return parse_direction(text)


def _corruption(text: str) -> None:
    from core.geometry.corruptions import CORRUPTIONS

    if text not in CORRUPTIONS:
        raise ValueError(f"expected a corruption out of {', '.join(CORRUPTIONS)}, got {text[:40]!r}")


OF_THE_MAP = (
    Parameter(
        name="space",
        kind="choice",
        default="features",
        choices=("features", "pixels", "logits", "probabilities", "divergence"),
        help="What images are compared in: features of a layer, pixels, logits, probabilities, or the divergence of"
        " what the model says along the line between two images.",
    ),
    Parameter(
        name="layer",
        kind="text",
        default="",
        help="Path of the module whose output is compared, such as 8; empty for what goes into the last layer.",
    ),
    Parameter(
        name="neighbours",
        kind="integer",
        default=15,
        limits=(3, 200),
        unit="images",
        help="Of each image, itself included: few show detail, many the whole.",
    ),
    Parameter(
        name="min_dist",
        kind="number",
        default=0.4,
        limits=(0.0, 1.0),
        unit="map",
        help="How near images may lie on the map: 0 for tight groups, 1 for an even spread.",
    ),
    Parameter(
        name="count",
        kind="integer",
        default=2000,
        limits=(4, 5000),
        unit="images at most",
        help="Of larger sets so many images are drawn at random.",
    ),
    Parameter(
        name="seeds",
        kind="integer",
        default=3,
        limits=(1, 10),
        unit="maps",
        help="How many maps are made from different seeds, to see what depends on the seed; the first is shown.",
    ),
    Parameter(
        name="seed",
        kind="integer",
        default=0,
        limits=(0, 1e9),
        help="Another seed lays the map out anew.",
    ),
)

MAP = Analysis(
    name="map",
    version=1,
    question="Which images does the model find alike, and what would it say between them?",
    view="map",
    parameters=(
        *OF_THE_MAP,
        Parameter(
            name="resolution",
            kind="integer",
            default=64,
            limits=(2, 256),
            unit="places per side",
            help="Places at which the model is asked between the images.",
        ),
    ),
    figure=(
        Parameter(
            name="colour",
            kind="choice",
            default="label",
            choices=("label", "prediction", "margin", "confidence", "spread"),
            help="What the colour of a point shows: the true class, the predicted one, the margin in logits, its"
            " probability, or how far the point lies elsewhere on maps of other seeds.",
        ),
        Parameter(
            name="background",
            kind="choice",
            default="shown",
            choices=("shown", "hidden"),
            help="What the model would say between the images; it fades where going there and back misses.",
        ),
        PALETTE,
    ),
    images=_any_rows,
    prepare=_prepare_map,
    chart=_map_chart,
    shared=_whole_set,
)

MAP_PATH = Analysis(
    name="map_path",
    version=1,
    question="Which images does a corruption, an attack, a walk or a slice come near?",
    view="map",
    parameters=(
        Parameter(
            name="kind",
            kind="choice",
            default="corruption",
            choices=("corruption", "slice", "attack", "line", "walk"),
            help="The first image through a corruption or an attack; the plane of a slice as a net; the straight line,"
            " or a level set walk, from the first image to the second.",
        ),
        Parameter(
            name="steps",
            kind="integer",
            default=20,
            limits=(2, 100),
            unit="images",
            help="Along each path; walks keep their own.",
        ),
        Parameter(
            name="corruption",
            kind="text",
            default="gaussian_blur",
            check=_corruption,
            help="Name of the corruption, which grows from severity 0 to 5.",
        ),
        Parameter(
            name="length",
            kind="number",
            default=2.0,
            limits=(1e-3, 1e3),
            unit="ℓ2 pixel",
            help="Length of the attack: steps down the margin of the image's class.",
        ),
        Parameter(
            name="slice_plane",
            kind="choice",
            default="images",
            choices=("images", "directions"),
            help="The plane of the slice: through three images, or at the first image along two directions.",
        ),
        Parameter(
            name="slice_u",
            kind="text",
            default="gradient",
            check=_direction,
            help="First direction of a plane of directions, as in Slices.",
        ),
        Parameter(
            name="slice_v",
            kind="text",
            default="random:0",
            check=_direction,
            help="Second direction of a plane of directions, as in Slices.",
        ),
        *OF_THE_MAP,
    ),
    figure=(PALETTE,),
    images=_followed,
    prepare=_prepare_path,
    chart=_path_chart,
    shared=_whole_set,
)
