"""Limits on any classifier: the bounds, what is found for a model, and the pixels between two images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, of_each, one_to_three, whole_set
from core.analyses.parameters import Parameter
from core.figures.charts.limits.bounds import limits_chart, survival_chart
from core.figures.charts.limits.enumeration import enumeration_chart, painting_chart
from core.figures.charts.limits.overlay import overlay_chart
from core.figures.drawing.chart import Chart

if TYPE_CHECKING:
    from core.geometry.limits.enumeration import EveryImage
    from core.geometry.limits.survival import Survival
    from core.models.classifier import Classifier

NAMED = ("majority", "ball", "pixel", "parity")  # of `core.geometry.limits.painting`, without the import of torch
_POINTS = 300  # of curves of survival


def _limits_chart(inputs: ChartInputs, *, marked: float) -> Chart:
    from core.geometry.limits.extremal import EXTREMAL, extremal_survival

    bound = inputs.results[0]  # a format is asked about, and all models shown have the same
    extremal: dict[str, np.ndarray] = {}
    if bound.share[1] == 0.5:
        extremal = {
            kind: np.exp(extremal_survival(kind, bound.values, bound.bits, bound.norm, bound.size)) for kind in EXTREMAL
        }
    return limits_chart(bound, extremal, marked=marked)


def _survival_chart(inputs: ChartInputs, *, norm: str) -> Chart:
    p = float(norm)
    far = max(_end(found, p) for found in inputs.shared_scale)
    at = np.arange(far + 1) if p == 0 and far < 2 * _POINTS else np.linspace(0.0, far, _POINTS)
    at = np.unique(np.rint(at)) if p == 0 else at
    return inputs.each(lambda found, one, title: _survival_of(found, one, p, at, title))


def _end(found: Survival, norm: float) -> float:
    """How far the axis of sizes reaches: to the limit at one in a thousand, and nearly all of what was found."""
    from core.geometry.limits.bounds import size_at

    side = math.sqrt(found.values)  # only the number of values counts
    share = tuple(found.share.tolist()) if np.isfinite(found.share).all() else 0.5
    limit = size_at(1, round(side**2), found.bits, norm, share, survivors=1e-3)
    sizes = np.concatenate([found.least(norm), found.exhibit_size[0, :, found.norms.index(norm)]])
    finite = sizes[np.isfinite(sizes)]
    reach = float(np.quantile(finite, 0.98)) if len(finite) else 0.0
    return max(1.02 * limit, min(1.1 * reach, 3 * limit))


def _survival_of(found: Survival, one: Classifier, norm: float, at: np.ndarray, title: str) -> Chart:
    from core.geometry.limits.bounds import robustness_bound
    from core.geometry.limits.extremal import EXTREMAL
    from core.geometry.limits.survival import clopper_pearson, survivors

    best, place = found.least(norm), found.norms.index(norm)
    share = survivors(best, at)
    hits = np.nan_to_num(share) * len(best)
    low, high = clopper_pearson(hits, max(1, len(best)))
    limit = np.full(len(at), np.nan)
    if np.isfinite(found.share).all():
        ends = (float(found.share[0]), float(found.share[1]))
        limit = robustness_bound(1, found.values, found.bits, norm, ends, sizes=at).fraction
    walk = np.nan_to_num(found.size[0, :, place], nan=np.inf)
    names = one.class_names if found.partition == "labels" else ("above the median", "below")
    return survival_chart(
        found,
        norm=norm,
        at=at,
        limit=limit,
        best=(share, low, high),
        walk=survivors(walk, at),
        of_set=survivors(found.least(norm, of_set=True), at),
        exhibits={kind: survivors(found.exhibit_size[k, :, place], at) for k, kind in enumerate(EXTREMAL)},
        class_names=names,
        title=title,
    )


def _enumeration_chart(inputs: ChartInputs, *, palette: str) -> Chart:
    def draw(found: EveryImage, one: Classifier, title: str) -> Chart:
        counts = found.counts
        held = [int(k) for k in np.flatnonzero(counts) if 2 * counts[k] <= len(found.label)]
        limits = {k: found.limit(k) for k in held}
        return enumeration_chart(found, limits=limits, class_names=one.class_names, palette=palette, title=title)

    return inputs.each(draw)


def _painted(painted: str) -> None:
    """Raise unless a text can stand for a painted class.

    Raises:
        ValueError: if it is neither a name nor hexadecimal digits.
    """
    if painted not in NAMED and not (len(painted) in (4, 128) and set(painted) <= set("0123456789abcdef")):
        raise ValueError(
            f"expected {', '.join(NAMED)}, or 4 (2 x 2) or 128 (3 x 3) hexadecimal digits, got {painted[:20]!r}"
        )


_BITS = Parameter(
    name="bits",
    kind="integer",
    default=8,
    limits=(1, 16),
    unit="bits per value",
    help="Bit depth: every value is one of 2^bits evenly spaced levels.",
)
_NORM = Parameter(
    name="norm",
    kind="choice",
    default="0",
    choices=("0", "1", "2", "inf"),
    help="How changes are measured: 0 counts changed values, 1, 2 and inf are lengths over pixels in [0, 1].",
)
_SEED = Parameter(
    name="seed", kind="integer", default=0, limits=(0, 1e9), help="Another seed draws other images and other orders."
)

LIMITS = Analysis(
    name="limits",
    version=1,
    question="How robust can any classifier be on images of this format?",
    papers=("dai2023limits",),
    view="limits",
    parameters=(
        Parameter(
            name="side",
            kind="integer",
            default=0,
            limits=(0, 1024),
            unit="pixels",
            help="Resolution: pixels per side; 0 for the model's own.",
        ),
        Parameter(
            name="channels",
            kind="integer",
            default=0,
            limits=(0, 16),
            unit="values per pixel",
            help="Colour channels; 0 for the model's own.",
        ),
        _BITS,
        _NORM,
        Parameter(
            name="share",
            kind="number",
            default=0.5,
            limits=(0.0, 0.5),
            unit="of all images",
            help="The share of all images that the class holds; 0 for the worst over all shares up to one half.",
        ),
    ),
    figure=(
        Parameter(
            name="marked",
            kind="number",
            default=0.01,
            limits=(1e-6, 0.99),
            unit="of the class",
            help="A share at which the size is read off.",
        ),
    ),
    images=one_to_three,
    prepare="core.analyses.prepare.limits:bound",
    chart=_limits_chart,
)

SURVIVAL = Analysis(
    name="survival",
    version=1,
    question="How robust is the model on images drawn uniformly, beside the limit?",
    papers=("dai2023limits",),
    view="limits",
    parameters=(
        _BITS,
        Parameter(
            name="partition",
            kind="choice",
            default="halved",
            choices=("labels", "halved"),
            help="The classes: the model's labels, or, since most models give all noise one label, the lead of that"
            " label's logit above and below its median.",
        ),
        Parameter(
            name="count",
            kind="integer",
            default=100,
            limits=(5, 2000),
            unit="images",
            help="Images searched, drawn uniformly; as many of the set.",
        ),
        Parameter(
            name="draws",
            kind="integer",
            default=2000,
            limits=(20, 100_000),
            unit="images",
            help="Images drawn for the histogram of labels.",
        ),
        Parameter(
            name="walks",
            kind="integer",
            default=2,
            limits=(1, 20),
            unit="per image",
            help="Random walks towards images of another label.",
        ),
        _SEED,
    ),
    figure=(_NORM,),
    images=one_to_three,
    lines=True,
    prepare="core.analyses.prepare.limits:survival_of_sample",
    chart=_survival_chart,
    shared=whole_set,
)

PAINTING = Analysis(
    name="painting",
    version=1,
    question="Which images of a class that you paint keep it against changed pixels?",
    papers=("dai2023limits",),
    view="limits",
    parameters=(
        Parameter(
            name="side",
            kind="choice",
            default="2",
            choices=("2", "3"),
            help="Pixels per side: 16 images of 2 x 2 pixels, or 512 of 3 x 3.",
        ),
        Parameter(
            name="painted",
            kind="text",
            default="majority",
            check=_painted,
            help="The class: majority, ball, pixel, parity, or its members as hexadecimal digits, image 0 last.",
        ),
    ),
    figure=(
        Parameter(
            name="radius",
            kind="integer",
            default=1,
            limits=(0, 9),
            unit="pixels",
            help="How many pixels may change: images that this can take out of the class are peeled off.",
        ),
        Parameter(
            name="show",
            kind="choice",
            default="both",
            choices=("both", "board", "curve"),
            help="The board of all images, the curve of survivors, or both.",
        ),
    ),
    images=one_to_three,
    prepare="core.analyses.prepare.limits:painting",
    chart=lambda inputs, **figure: painting_chart(inputs.results[0], **figure),
)

ENUMERATION = Analysis(
    name="enumeration",
    version=1,
    question="What does the model say about every image of a tiny format?",
    papers=("dai2023limits",),
    view="limits",
    parameters=(
        Parameter(
            name="pixels",
            kind="integer",
            default=4,
            limits=(2, 4),
            unit="per side",
            help="Side of the small black-and-white images, enlarged to the model's: 4 gives 65,536 of them.",
        ),
    ),
    figure=(PALETTE,),
    images=one_to_three,
    prepare="core.analyses.prepare.limits:enumeration",
    chart=_enumeration_chart,
)

OVERLAY = Analysis(
    name="overlay",
    version=1,
    question="How few pixels lead from one image to another, for the model and for you?",
    papers=("dai2023limits",),
    view="limits",
    parameters=(
        Parameter(
            name="orders",
            kind="integer",
            default=8,
            limits=(0, 100),
            unit="orders",
            help="Random orders of the pixels, drawn beside that by difference.",
        ),
        _SEED,
    ),
    figure=(
        Parameter(
            name="times",
            kind="number",
            default=2.0,
            limits=(0.0, 1024.0),
            unit="sides",
            help="Pixels of the overlay, in sides of the image.",
        ),
    ),
    images=lambda parameters: (2, 2),
    prepare="core.analyses.prepare.limits:overlay_of_two",
    chart=of_each(overlay_chart),
)
