"""Planes of images: slices, the distance to the boundary all round, and the regions on many planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, of_all, of_each, thumbnails, whole_set
from core.analyses.parameters import Parameter
from core.analyses.start import PLANE, plane_shared
from core.figures.charts.planes.boundary_profile import boundary_profile_chart, fragmentation_chart
from core.figures.charts.planes.slices import colour_limit, slice_chart, walk_ends
from core.figures.drawing.chart import Chart, side_by_side
from core.figures.drawing.exact import with_exact_boundary

if TYPE_CHECKING:
    from core.geometry.planes.planes import Plane
    from core.images.image_set import ImageSet


def _slice_chart(inputs: ChartInputs, *, shading: Any, levels: Sequence[float], **figure: Any) -> Chart:
    from core.geometry.planes.boundary_profile import linearised_distance
    from core.geometry.planes.exact import exact_boundary

    ends, leads = walk_ends(inputs.results[0]), inputs.results[0].targets
    anchors = inputs.images[list(dict.fromkeys((*(row for row in inputs.rows if row not in ends), *leads)))]
    far = {
        id(one): linearised_distance(one) if shading == "distance" else None
        for one in (*inputs.results, *inputs.shared_scale)
    }
    limit = max(colour_limit(one, far[id(one)]) for one in inputs.shared_scale or inputs.results)
    if shading in ("margin", "distance"):  # 0 is the boundary, which is drawn already
        levels = [level for level in levels if level > 0]
    charts = []
    for result, classifier in zip(inputs.results, inputs.classifiers, strict=True):
        plane = result.plane
        shown = _with_ends(anchors, plane, {inputs.images.words[row]: end for row, end in ends.items()})
        chart = slice_chart(
            result,
            class_names=classifier.class_names,
            anchors=thumbnails(shown),
            anchor_positions=plane.to_plane(shown.pixels).numpy(),
            anchor_labels=shown.words,
            anchor_residuals=tuple(plane.residual(shown.pixels).tolist()),
            title=classifier.name if len(inputs.results) > 1 else "",
            shading=shading,
            distance=far[id(result)],
            limit=limit,
            levels=levels,
            **figure,
        )
        exact = exact_boundary(classifier, plane, result.extent)
        charts.append(chart if exact is None else with_exact_boundary(chart, exact))
    return side_by_side(charts)


def _with_ends(images: ImageSet, plane: Plane, ends: Mapping[str, np.ndarray]) -> ImageSet:
    """A set with the ends of walks, where there are any; what leaves [0, 1] by rounding is put back."""
    import torch

    if not ends:
        return images
    more = plane.to_pixels(np.stack(list(ends.values()))).to(images.pixels).clamp(0, 1)
    return replace(
        images,
        pixels=torch.cat([images.pixels, more]),
        labels=torch.cat([images.labels, images.labels.new_full((len(more),), -1)]),
        names=(*images.names, *(f"walk towards {word}" for word in ends)),
    )


def _profile_chart(inputs: ChartInputs, *, palette: str) -> Chart:
    chart = of_each(boundary_profile_chart)(inputs, palette=palette)
    if len(inputs.results) == 1:
        return chart
    return replace(chart, panels=tuple(replace(panel, y=replace(panel.y, label="distance")) for panel in chart.panels))


def square(extent: tuple[float, ...]) -> None:
    """Check that an extent is a square.

    Args:
        extent: x_min, x_max, y_min, y_max.

    Raises:
        ValueError: if it is none.
    """
    x_min, x_max, y_min, y_max = extent
    width, height = x_max - x_min, y_max - y_min
    if width < 1e-9 * max(1.0, *map(abs, extent)) or abs(width - height) > 1e-6 * width:
        raise ValueError("expected x_min, x_max, y_min, y_max of a square, each minimum below its maximum")


def _anchors(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Three images span a plane; at directions the first is the origin and more are only shown."""
    return (3, 3) if parameters["plane"] == "images" else (1, 3)


SLICE = Analysis(
    name="slice",
    version=1,
    question="What does the model say everywhere on a plane of images?",
    papers=("somepalli2022reproducibility",),
    view="slices",
    parameters=(
        *PLANE,
        Parameter(
            name="extent",
            kind="numbers",
            default=None,
            count=4,
            limits=(-1e6, 1e6),
            check=square,
            unit="ℓ2 pixel",
            help="x_min, x_max, y_min, y_max of the square that is cut; empty for the plane's own default.",
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
            choices=("class", "confidence", "margin", "entropy", "distance"),
            help="What the colours show: the class, the class paled where confidence is low, the margin in logits, the"
            " entropy of the probabilities, or the distance to the boundary to first order.",
        ),
        Parameter(
            name="levels",
            kind="numbers",
            default=(),
            limits=(0, 1e6),
            help="Values to draw contour lines at, such as 0.5, 0.9, in the unit of the shading: probability, logits,"
            " share of the largest entropy, or ℓ2.",
        ),
        PALETTE,
    ),
    images=_anchors,
    prepare="core.analyses.prepare.plane:slice_image_plane",
    chart=_slice_chart,
    shared=plane_shared,
)

PROFILE = Analysis(
    name="profile",
    version=1,
    question="How far is the boundary in every direction of this plane?",
    view="slices",
    parameters=(
        *PLANE,
        Parameter(
            name="at",
            kind="numbers",
            default=(0.0, 0.0),
            count=2,
            limits=(-1e6, 1e6),
            unit="ℓ2 pixel",
            help="Where the rays start, x and y in the plane; 0, 0 is the first image.",
        ),
        Parameter(
            name="rays",
            kind="integer",
            default=120,
            limits=(8, 1440),
            help="Directions around the start, evenly spaced.",
        ),
    ),
    figure=(PALETTE,),
    images=_anchors,
    prepare="core.analyses.prepare.plane:profile_in_plane",
    chart=_profile_chart,
    shared=plane_shared,
)

FRAGMENTATION = Analysis(
    name="fragmentation",
    version=1,
    question="Into how many regions do random planes of images fall?",
    papers=("somepalli2022reproducibility",),
    view="slices",
    parameters=(
        Parameter(
            name="planes",
            kind="integer",
            default=20,
            limits=(1, 2000),
            help="Planes, each through three images drawn from the whole set; those chosen do not matter.",
        ),
        Parameter(
            name="resolution",
            kind="integer",
            default=48,
            limits=(4, 512),
            unit="points per side",
            help="Grid points along each side of a plane's square.",
        ),
        Parameter(name="seed", kind="integer", default=0, limits=(0, 2**31 - 1), help="Another seed, other planes."),
        Parameter(
            name="finer",
            kind="choice",
            default="no",
            choices=("no", "yes"),
            help="Count at twice the resolution too, for five times the forwards: far from 1, trust neither count.",
        ),
    ),
    figure=(),
    images=lambda parameters: (1, 1),
    lines=True,
    prepare="core.analyses.prepare.plane:fragmentation_of_set",
    chart=of_all(fragmentation_chart),
    shared=whole_set,
)
