"""The slice along a principal direction with the boundary's tangent, osculating circle and parabola."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from core.figures.charts.planes.slices import slice_chart
from core.figures.drawing.chart import Chart, Layer, LinesLayer, PointsLayer
from core.figures.drawing.pictures import photograph

if TYPE_CHECKING:
    from core.geometry.curvature.section import CurvatureSection

_ARC = 361  # points of a circle
_FARTHEST = 1.5  # half sides of the picture to which curves extend


def curvature_section_chart(
    cut: CurvatureSection,
    *,
    class_names: Sequence[str],
    palette: str = "muted",
    title: str = "",
) -> Chart:
    """The true boundary on the plane of a principal direction, with its tangent, osculating circle and parabola.

    Args:
        cut: the section.
        class_names: one name per class.
        palette: class palette of `style.PALETTES`.
        title: above the picture.

    Returns:
        A chart of one isometric panel; x along the direction, y towards the image's class.

    Raises:
        ValueError: if names of classes are missing.
    """
    residual = float(np.linalg.norm(cut.image[0] - cut.plane.to_pixels(cut.position[None])[0].numpy()))
    chart = slice_chart(
        cut,
        class_names=class_names,
        anchors=photograph(cut.image[0])[None],
        anchor_positions=cut.position[None],
        anchor_labels=(cut.words or "image",),
        anchor_residuals=(residual,),
        palette=palette,
        title=title,
    )
    (panel,) = chart.panels
    half = float(cut.x[-1])
    lines: list[Layer] = [
        LinesLayer(paths=(np.array([[-half, 0.0], [half, 0.0]]),), role="contour", name="tangent"),
        LinesLayer(paths=(_parabola(cut, half),), role="boundary", dash="dashed", name="parabola"),
    ]
    if math.isfinite(cut.radius) and np.isfinite(cut.centre).all():
        lines.append(LinesLayer(paths=(_circle(cut, half),), role="boundary", dash="dotted", name="osculating circle"))
    point = PointsLayer(positions=np.zeros((1, 2)), marker="diamond", labels=("boundary point",))
    layers = (*panel.layers[:-1], *lines, point, panel.layers[-1])  # the thumbnail stays on top
    return replace(
        chart,
        panels=(replace(panel, layers=layers),),
        name="curvature_section",
        caption=_caption(cut, class_names),
        alt=f"{_caption(cut, class_names)} {chart.alt}",
    )


def _parabola(cut: CurvatureSection, half: float) -> np.ndarray:
    """The curve y = -k x² / 2 within the picture."""
    x = np.linspace(-half, half, _ARC)
    y = -cut.curve_curvature * x**2 / 2
    return np.stack([x, y], 1)[np.abs(y) <= _FARTHEST * half]


def _circle(cut: CurvatureSection, half: float) -> np.ndarray:
    """The osculating circle, or the part of it near the picture."""
    radius = cut.radius
    reach = math.pi if radius <= half else min(math.pi, 2 * _FARTHEST * half / radius)
    angle = np.linspace(-reach, reach, _ARC)
    to_point = -cut.centre / np.linalg.norm(cut.centre)  # from the centre to the boundary point
    aside = np.array([-to_point[1], to_point[0]])
    points: np.ndarray = cut.centre + radius * (np.cos(angle)[:, None] * to_point + np.sin(angle)[:, None] * aside)
    return points


def _caption(cut: CurvatureSection, class_names: Sequence[str]) -> str:
    source, target = class_names[cut.source_class], class_names[cut.target_class]
    who = source if cut.normal_curvature < 0 else target
    what = "a random tangent direction" if cut.number == 0 else f"principal direction {cut.number}"
    words = [
        f"The boundary between {source} (above) and {target} (below), {cut.distance:.3g} ℓ2 from"
        f" {cut.words or 'the image'}, cut along {what}: curvature {cut.normal_curvature:.3g} 1/ℓ2, convex: {who}.",
        f"Thin: tangent, dashed: parabola, dotted: osculating circle of radius {cut.radius:.3g} ℓ2.",
    ]
    if cut.tilt:
        words.append(
            f"The plane leans {cut.tilt:g}° away from the normal: its curve bends 1 / cos {cut.tilt:g}° ="
            f" {cut.factor:.3g} times as much, by {cut.curve_curvature:.3g} 1/ℓ2 (Meusnier)."
        )
    if math.isfinite(cut.scale):
        words.append(f"Measured by differences over h = {cut.scale:.3g} ℓ2.")
    return " ".join(words)
