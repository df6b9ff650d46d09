"""Distances to the boundary inside subspaces: over frequencies or patches, and along an ordered family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analyses.analysis import PALETTE, Analysis, one_to_three, whole_set
from core.analyses.parameters import Parameter

if TYPE_CHECKING:
    from core.figures.drawing.chart import Chart
    from core.geometry.subspaces.subspace_distances import SubspaceMargins
    from core.geometry.subspaces.subspaces import Subspaces
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier
    from core.result import Result
    from core.runtime.progress import OnProgress


def _prepare_map(
    classifier: Classifier, images: ImageSet, *, over: str, block: int, reference: Classifier, **settings: Any
) -> SubspaceMargins:
    from core.geometry.subspaces.subspaces import frequency_blocks, patches

    cut = patches if over == "patches" else frequency_blocks
    return _measure(classifier, images, cut(classifier.input_shape, block), **settings)


def _prepare_curve(
    classifier: Classifier,
    images: ImageSet,
    *,
    along: str,
    block: int,
    stride: int,
    reference: Classifier,
    **settings: Any,
) -> SubspaceMargins:
    from core.geometry.subspaces.subspaces import colour_axes, frequency_windows, principal_components

    if along == "frequencies":
        family = frequency_windows(classifier.input_shape, block, stride)
    else:
        family = principal_components(images.pixels) if along == "components" else colour_axes(classifier.input_shape)
    return _measure(classifier, images, family, **settings)


def _measure(
    classifier: Classifier,
    images: ImageSet,
    family: Subspaces,
    *,
    rows: Sequence[int],
    count: int,
    slides: int,
    seed: int,
    on_progress: OnProgress,
) -> SubspaceMargins:
    """The distances of the chosen images, then of others of the set; the perturbations of the chosen ones."""
    from core.geometry.subspaces.subspace_distances import SubspaceMargins, subspace_margins

    taken = _drawn(rows, len(images), count, seed)
    chosen = images[taken]

    def named(result: SubspaceMargins) -> SubspaceMargins:
        known = len(result.distance)
        label, row = chosen.labels.numpy().astype(np.int32), np.array(taken, np.int32)
        return replace(result, label=label[:known], row=row[:known])

    def tell(fraction: float, partial: Result | None = None) -> None:
        on_progress(fraction, named(partial) if isinstance(partial, SubspaceMargins) else None)

    found = subspace_margins(
        classifier, chosen.pixels, subspaces=family, slides=slides, keep=len(rows), on_progress=tell
    )
    return named(found)


def _drawn(rows: Sequence[int], size: int, count: int, seed: int) -> list[int]:
    """The chosen rows, then so many others at random: the same ones for every model."""
    import torch

    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()
    known = list(dict.fromkeys(rows))
    return [*known, *[row for row in order if row not in known][:count]]


def _alike(results: Sequence[SubspaceMargins]) -> list[SubspaceMargins]:
    """The images that all results hold: one of them may still be on its way."""
    known = min(len(result.distance) for result in results)
    return [
        replace(
            result,
            **{
                entry.name: getattr(result, entry.name)[:known]
                for entry in fields(result)
                if result.axes(entry.name)[:1] == ("image",)
            },
        )
        for result in results
    ]


def _used(results: Sequence[SubspaceMargins]) -> np.ndarray:
    """The images that every model shown classifies correctly; where there is none, all that have a class."""
    right: np.ndarray = np.logical_and.reduce([result.right for result in results])
    if right.any():
        return right
    defined: np.ndarray = np.logical_and.reduce([result.source_class >= 0 for result in results])
    return defined


def _map_chart(
    results: Sequence[SubspaceMargins],
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    rows: tuple[int, ...],
    beside: Sequence[SubspaceMargins],
    colour: Any,
    marked: int,
) -> Chart:
    from core.figures.charts.subspace_distances import margins_map_chart
    from core.figures.drawing.chart import side_by_side

    if colour == "ratio" and len(beside) < 2:
        raise ValueError("expected two models or more for their ratio, got one; compare with another one")
    alike, ratio = _alike([*results, *beside]), colour == "ratio"
    shown, seen = alike[: len(results)], alike[len(results) :]
    charts = [
        margins_map_chart(
            result,
            used=_used(seen),
            colour=colour,
            against=seen[0] if ratio else None,
            against_name=classifiers[0].name if len(results) > 1 else "the first model",
            beside=seen,
            marked=marked,
            title=one.name if len(results) > 1 else "",
        )
        for result, one in zip(shown, classifiers, strict=True)
    ]
    return side_by_side(charts[1:] if ratio and len(charts) > 1 else charts)


def _curve_chart(
    results: Sequence[SubspaceMargins],
    classifiers: Sequence[Classifier],
    images: ImageSet,
    *,
    rows: tuple[int, ...],
    beside: Sequence[SubspaceMargins],
    palette: str,
) -> Chart:
    from core.figures.charts.subspace_distances import class_words, margin_curve_chart
    from core.figures.drawing.chart import side_by_side

    alike = _alike([*results, *beside])
    shown, seen = alike[: len(results)], alike[len(results) :]
    return side_by_side(
        [
            margin_curve_chart(
                result,
                used=_used(seen),
                image_name=f"row {rows[0]} ({class_words(images[[rows[0]]].words[0])})",
                class_names=one.class_names,
                beside=seen,
                palette=palette,
                title=one.name if len(results) > 1 else "",
            )
            for result, one in zip(shown, classifiers, strict=True)
        ]
    )


_BLOCK = Parameter(
    name="block",
    kind="integer",
    default=8,
    limits=(1, 256),
    unit="per side",
    help="Frequencies, or pixels, along each side of a block.",
)
_SAMPLE = (
    Parameter(
        name="count",
        kind="integer",
        default=16,
        limits=(0, 1000),
        unit="images",
        help="Images of the set, drawn at random, beside the chosen ones.",
    ),
    Parameter(
        name="slides",
        kind="integer",
        default=6,
        limits=(0, 200),
        unit="at most",
        help="Steps along the boundary towards its nearest point in a subspace; 0 for DeepFool's point, as published,"
        " 50 for a distance that more steps would not change.",
    ),
    Parameter(
        name="seed",
        kind="integer",
        default=0,
        limits=(0, 1e9),
        help="Another seed draws other images of the set.",
    ),
)

MARGINS = Analysis(
    name="margins",
    version=1,
    question="In which frequencies, or parts of the picture, is the boundary near?",
    papers=("ortiz2020hold", "modas2022thesis"),
    view="margins",
    parameters=(
        Parameter(
            name="over",
            kind="choice",
            default="frequencies",
            choices=("frequencies", "patches"),
            help="The subspaces: blocks of spatial frequencies, or square patches of pixels.",
        ),
        _BLOCK,
        *_SAMPLE,
    ),
    figure=(
        Parameter(
            name="colour",
            kind="choice",
            default="distance",
            choices=("distance", "chance", "share", "ratio"),
            help="The median distance; that over what no preferred direction would give; the share of the sensitivity;"
            " or, of two models or more, the ratio to the first.",
        ),
        Parameter(
            name="marked",
            kind="integer",
            default=-1,
            limits=(-1, 1e6),
            help="The number of a block to outline, row by row from 0; -1 for none.",
        ),
    ),
    images=one_to_three,
    prepare=_prepare_map,
    chart=_map_chart,
    shared=whole_set,
)

MARGIN_CURVE = Analysis(
    name="margin_curve",
    version=1,
    question="How does the distance to the boundary change from low to high frequencies?",
    papers=("ortiz2020hold", "modas2022thesis"),
    view="margins",
    parameters=(
        Parameter(
            name="along",
            kind="choice",
            default="frequencies",
            choices=("frequencies", "components", "colours"),
            help="Windows of frequencies from low to high, octaves of the set's principal components, or colour axes.",
        ),
        _BLOCK,
        Parameter(
            name="stride",
            kind="integer",
            default=4,
            limits=(1, 256),
            unit="half waves",
            help="From one window of frequencies to the next.",
        ),
        *_SAMPLE,
    ),
    figure=(PALETTE,),
    images=one_to_three,
    lines=True,
    prepare=_prepare_curve,
    chart=_curve_chart,
    shared=whole_set,
)
