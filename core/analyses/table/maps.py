"""Maps of many images: by class, by number or by the curvature near them, with what the model says between them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.analyses.analysis import PALETTE, Analysis, one_per_model, whole_set
from core.analyses.parameters import Parameter

if TYPE_CHECKING:
    from core.figures.drawing.chart import Chart
    from core.geometry.maps.background import DecisionMap
    from core.geometry.maps.maps import EmbeddingMap
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier
    from core.runtime.progress import OnProgress

MOST_ROWS = 60  # images that a map can hand on to the other views


def _prepare_map(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier,
    resolution: int,
    curved: int,
    on_progress: OnProgress,
    **settings: Any,
) -> DecisionMap:
    from core.geometry.maps.background import decision_map

    laid, drawn = (0.2, 0.3) if curved else (0.7, 1.0)  # parts of the whole, at its usual settings

    def part(start: float, end: float) -> OnProgress:
        return lambda fraction, partial=None: on_progress(start + (end - start) * fraction)

    found = map_of(classifier, images, on_progress=part(0.0, laid), **settings)
    on_progress(laid, found)
    made = decision_map(classifier, found, resolution=resolution, on_progress=part(laid, drawn))
    if not curved:
        return made
    from core.geometry.maps.curvature import curved_map

    on_progress(drawn, made)
    pixels = images[found.row.tolist()].pixels
    return curved_map(classifier, made, pixels, count=curved, seed=settings["seed"], on_progress=part(drawn, 1.0))


def map_of(
    classifier: Classifier, images: ImageSet, *, count: int, on_progress: OnProgress, **settings: Any
) -> EmbeddingMap:
    """The map of a set, or of as many of its images; the last ones made are kept, because paths ask for them too."""
    from core.geometry.maps.maps import embed

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


def _map_chart(
    results: Sequence[EmbeddingMap],
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    rows: tuple[int, ...],
    beside: Sequence[EmbeddingMap],
    **figure: Any,
) -> Chart:
    from core.figures.charts.maps import map_chart

    def draw(found: EmbeddingMap, one: Classifier, title: str) -> Chart:
        return map_chart(found, class_names=one.class_names, marked=rows, beside=beside, title=title, **figure)

    return one_per_model(results, classifiers, draw)


def _any_rows(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Chosen images are only marked: a link keeps all of them, where an analysis of one image keeps the first."""
    return 2, MOST_ROWS


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
        only_if=("space", "features"),
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
    papers=("mcinnes2018umap", "schulz2020deepview"),
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
        Parameter(
            name="curved",
            kind="integer",
            default=0,
            limits=(0, 5000),
            unit="images",
            help="Near how many of them the curvature of the boundary is measured, drawn evenly from the classes; each"
            " takes 60 to 330 forwards and 25 to 140 gradients.",
        ),
    ),
    figure=(
        Parameter(
            name="colour",
            kind="choice",
            default="label",
            choices=("label", "prediction", "margin", "confidence", "spread", "curvature"),
            help="What the colour of a point shows: the true class, the predicted one, the margin in logits, its"
            " probability, how far the point lies elsewhere on maps of other seeds, or the bend of the boundary near,"
            " where that was measured.",
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
    shared=whole_set,
)
