"""Whether curvature tells perturbed images from clean ones: an exhibit, never a defence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.analyses.analysis import Analysis, any_image, whole_set
from core.analyses.parameters import Parameter
from core.analyses.table.shared_directions import SCALE, SEED

if TYPE_CHECKING:
    from core.figures.drawing.chart import Chart
    from core.geometry.detector.evaluation import Attack, DetectionExhibit
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier
    from core.runtime.progress import OnProgress

_FIRST_PROBES = 8  # of the picture that comes first
_COSTS = ("forwards", "gradients", "products", "seconds")


def _prepare(
    classifier: Classifier,
    images: ImageSet,
    attacks: Sequence[Attack],
    *,
    count: int,
    seed: int,
    scale: float,
    on_progress: OnProgress,
    **settings: Any,
) -> DetectionExhibit:
    """The scores of the nearest boundary first, which cost a tenth, then those of all."""
    import numpy as np

    from core.geometry.common.sampling import stratified
    from core.geometry.detector.evaluation import detection_exhibit

    clean, adversarial = images.pairs
    if not attacks and not len(clean):
        raise ValueError(
            f"expected pairs of clean and adversarial images, {images.source[:60]} holds none; bring an NPZ with the"
            " arrays clean and adversarial, or let steps across the boundary perturb the images"
        )
    whole = clean if len(clean) else np.arange(len(images))  # an adversarial image is no clean one
    rows = stratified(np.maximum(images.labels.numpy()[whole], 0), count, seed)
    chosen = images.pixels[whole[rows]]
    shared: dict[str, Any] = {"attacks": attacks, "seed": seed, "scale": scale or None}
    if not attacks:
        shared["perturbed"] = images.pixels[adversarial[rows]]
    start, quick = 0.0, None
    if settings["classes"]:
        start = 0.2
        first = {**settings, "classes": 0, "probes": min(_FIRST_PROBES, settings["probes"])}
        quick = detection_exhibit(
            classifier, chosen, **shared, **first, on_progress=lambda part, partial=None: on_progress(start * part)
        )
        on_progress(start, quick)
    found = detection_exhibit(
        classifier,
        chosen,
        **shared,
        **settings,
        on_progress=lambda part, partial=None: on_progress(start + (1 - start) * part),
    )
    spent = {name: getattr(found, name) + getattr(quick, name) for name in _COSTS} if quick else {}
    return replace(found, **spent)


def _prepare_overshoots(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    perturbed_by: str,
    reference: Classifier | None = None,
    **settings: Any,
) -> DetectionExhibit:
    return _prepare(classifier, images, () if perturbed_by == "pairs" else ("overshoot",), **settings)


def _prepare_attacks(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier | None = None,
    **settings: Any,
) -> DetectionExhibit:
    return _prepare(classifier, images, ("projected gradient", "shortest"), **settings)


def _chart(
    results: Sequence[DetectionExhibit],
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    rows: tuple[int, ...],
    beside: Sequence[DetectionExhibit],
    **figure: Any,
) -> Chart:
    from core.figures.charts.curvature.detector import detector_chart

    return detector_chart(
        results,
        class_counts=[one.num_classes for one in classifiers],
        names=[one.name for one in classifiers],
        beside=beside,
        **figure,
    )


def _attacks_chart(*args: Any, **figure: Any) -> Chart:
    return replace(_chart(*args, **figure), name="detector_attacks")


def _beyond(lengths: tuple[float, ...]) -> None:
    if not lengths or not all(length > 1 for length in lengths):
        raise ValueError("expected lengths above 1, which cross the boundary; got others, or none")


def _count(default: int) -> Parameter:
    return Parameter(
        name="count",
        kind="integer",
        default=default,
        limits=(2, 5000),
        unit="images",
        help="Images of the set, drawn evenly from the classes; of pairs the clean ones.",
    )


def _overshoots(default: tuple[float, ...]) -> Parameter:
    return Parameter(
        name="overshoots",
        kind="numbers",
        default=default,
        limits=(1, 100),
        unit="distances",
        help="Lengths of the perturbations over the distance to the boundary, above 1.",
        only_if=("perturbed_by", "steps"),
        check=_beyond,
    )


_SETTINGS = (
    Parameter(
        name="probes",
        kind="integer",
        default=16,
        limits=(1, 1000),
        unit="directions",
        help="Random directions whose curvatures are averaged at each boundary point.",
    ),
    Parameter(
        name="classes",
        kind="integer",
        default=9,
        limits=(0, 1000),
        unit="classes",
        help="Over how many other classes the second score averages, those with the largest logits; 0 leaves it out.",
    ),
    SCALE,
    SEED,
)
_FIGURE = (
    Parameter(
        name="show",
        kind="choice",
        default="all",
        choices=("all", "scores", "roc", "auc", "recovery"),
        help="Scores before and after one perturbation, true against false positives, the area under that curve and the"
        " share of recovered classes for every perturbation, or all four.",
    ),
    Parameter(
        name="score",
        kind="choice",
        default="nearest",
        choices=("nearest", "all"),
        help="Whose scores are drawn: of the nearest boundary, or the mean over the boundaries to other classes.",
    ),
    Parameter(
        name="perturbation",
        kind="integer",
        default=0,
        limits=(0, 200),
        help="The number of the perturbation, from 0, whose scores and curve are drawn.",
    ),
)

_PERTURBED_BY = Parameter(
    name="perturbed_by",
    kind="choice",
    default="steps",
    choices=("steps", "pairs"),
    help="What perturbed the images: steps across their nearest boundary; or, where the set holds pairs of clean and"
    " adversarial images, the attack that they come from.",
)

DETECTOR = Analysis(
    name="detector",
    version=1,
    question="Does the curvature beside an image give away that it was pushed across a boundary?",
    papers=("fawzi2018empirical",),
    view="detector",
    parameters=(_PERTURBED_BY, _count(18), _overshoots((1.1, 1.5, 2.0, 3.0)), *_SETTINGS),
    figure=_FIGURE,
    images=any_image,
    prepare=_prepare_overshoots,
    chart=_chart,
    shared=whole_set,
)

DETECTOR_ATTACKS = Analysis(
    name="detector_attacks",
    version=1,
    question="Does it give away images that another search perturbed?",
    papers=("fawzi2018empirical", "madry2018towards", "rony2019decoupling"),
    view="detector",
    parameters=(_count(18), _overshoots((1.1, 1.5, 2.0)), *_SETTINGS),
    figure=_FIGURE,
    images=any_image,
    prepare=_prepare_attacks,
    chart=_attacks_chart,
    shared=whole_set,
)
