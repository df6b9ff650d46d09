"""Charts of the boundary's distance by direction in a plane, and of the number of regions by their size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.figures.charts.names import LISTED, check_class_names, check_model_names, share_legend
from core.figures.drawing import style
from core.figures.drawing.chart import (
    Axis,
    BandLayer,
    Chart,
    Layer,
    LegendEntry,
    LinesLayer,
    Panel,
    PointsLayer,
    percent,
)

if TYPE_CHECKING:
    from core.geometry.planes.boundary_profile import BoundaryProfile
    from core.geometry.planes.fragmentation import Fragmentation

_FAR = 3.0  # medians: longer rays end at the rim
_ROOM = 1.08  # radius of the picture over the largest distance shown


def boundary_profile_chart(
    profile: BoundaryProfile,
    *,
    class_names: Sequence[str],
    palette: str = "muted",
    title: str = "",
) -> Chart:
    """The distance to the boundary in every direction of a plane.

    Args:
        profile: what was computed.
        class_names: one name per class of the classifier.
        palette: class palette of `style.PALETTES`.
        title: of the panel.

    Returns:
        A chart of one polar panel: distances in the colour of the class reached, the end of the pixel range dashed.

    Raises:
        ValueError: if names of classes are missing.
    """
    check_class_names(profile.num_classes, class_names)
    unit = profile.unit("distance").removesuffix(" pixel")
    farthest = profile.largest if profile.found.any() else float(profile.reach.max())
    if profile.found.any():
        farthest = min(farthest, _FAR * profile.median)  # a few long rays would make all others tiny
    top = farthest * _ROOM or 1.0  # the boundary fills the picture, though the pixel range may reach far beyond
    layers: list[Layer] = []
    limits, _ = _runs(profile.limit <= top, profile.angle, profile.limit)
    if limits:
        layers.append(LinesLayer(paths=limits, role="reference", dash="dashed", name="edge of the pixel range"))
    classes, counts = np.unique(profile.reached_class[profile.reached_class >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shares = {int(classes[place]): float(counts[place] / len(profile.angle)) for place in order}
    for k in shares:
        paths, dots = _runs(profile.reached_class == k, profile.angle, profile.distance)
        colour = style.class_colour(k, palette)
        if paths:
            layers.append(LinesLayer(paths=paths, role="curve", colour=colour))
        if len(dots):
            layers.append(PointsLayer(positions=dots, colours=(colour,), size=2.0))
    nearest = profile.nearest_boundary
    if math.isfinite(nearest.distance):
        words = (f"{nearest.distance:.3g}",)
        position = np.array([[nearest.angle, nearest.distance]])
        layers.append(PointsLayer(positions=position, labels=words, marker="ring", name="nearest boundary"))
    towards = ((0.0, profile.x_label), (math.pi / 2, profile.y_label), (math.pi, ""), (3 * math.pi / 2, ""))
    legend = share_legend(class_names, shares, palette)
    if not profile.found.all():
        missed = float((~profile.found).mean())
        legend.append(LegendEntry(colour="", label="no boundary within reach", share=missed))
    panel = Panel(
        layers=tuple(layers),
        kind="polar",
        x=Axis(label="direction in the plane", ticks=towards if profile.x_label or profile.y_label else None),
        y=Axis(label="distance to the boundary", unit=unit, limits=(0.0, top)),
        title=title,
    )
    return Chart(
        panels=(panel,),
        name="profile",
        caption=_profile_caption(profile, class_names, unit),
        alt=_profile_alt(profile, class_names, shares, unit),
        legend=tuple(legend),
    )


def _runs(member: np.ndarray, angle: np.ndarray, radius: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Unbroken runs of rays, also across the end of the turn, and single rays.

    Returns:
        Paths (points, 2) of angle and radius, closed if they are a whole circle; positions of single rays (m, 2).
    """
    rays = len(angle)
    if member.all():
        index = np.arange(rays + 1)
        starts, ends = np.array([0]), np.array([rays + 1])
    else:
        index = np.arange(2 * rays)
        twice = np.tile(member, 2)
        starts = np.flatnonzero(member & ~np.roll(member, 1))
        ends = np.array([start + np.argmin(twice[start:]) for start in starts], np.int64)
    points = np.stack([angle[index % rays] + 2 * math.pi * (index // rays), radius[index % rays]], 1)
    runs = [points[start:end] for start, end in zip(starts, ends, strict=True)]
    lone = [run for run in runs if len(run) == 1]
    return tuple(run for run in runs if len(run) > 1), np.concatenate(lone) if lone else np.empty((0, 2))


def _profile_caption(profile: BoundaryProfile, class_names: Sequence[str], unit: str) -> str:
    words = [
        f"Distance from the start, {class_names[profile.source_class]}, to the first change of class along each"
        " direction of the plane.",
        "Colour: the class that is reached.",
    ]
    if profile.found.any():
        words.append(
            f"Smallest {profile.smallest:.3g}, median {profile.median:.3g}, largest {profile.largest:.3g} ({unit});"
            f" anisotropy, largest over smallest, {profile.anisotropy:.3g}."
        )
        if profile.largest > _FAR * profile.median:
            words.append(f"Rays that leave the picture are longer than {_FAR:g} medians.")
    words.append(f"Distances are {unit} over pixels in [0, 1].")
    return " ".join(words)


def _profile_alt(profile: BoundaryProfile, class_names: Sequence[str], shares: Mapping[int, float], unit: str) -> str:
    start = f"A polar plot of the distance from an image of predicted class {class_names[profile.source_class]}"
    if not shares:
        return f"{start}: no change of class within reach in any of {len(profile.angle)} directions."
    reached = ", ".join(
        f"{class_names[k]} in {percent(share)} of directions" for k, share in list(shares.items())[:LISTED]
    )
    nearest = profile.nearest_boundary
    return (
        f"{start} to the first change of class, by direction: {profile.smallest:.3g} to {profile.largest:.3g} {unit}, "
        f"nearest at {math.degrees(nearest.angle):.0f} degrees. Classes reached: {reached}."
    )


def fragmentation_chart(
    found: Sequence[Fragmentation],
    *,
    names: Sequence[str],
    title: str = "",
) -> Chart:
    """The mean number of regions on random planes against the smallest share of the picture that counts as one.

    Args:
        found: one per model, on the same planes.
        names: of the models.
        title: of the chart.

    Returns:
        A chart of one panel: a falling curve with its interval per model, and a dashed line at the smallest size that
        the grid resolves.

    Raises:
        ValueError: if names of models are missing.
    """
    check_model_names(names, found)
    layers: list[Layer] = []
    entries = []
    for number, (one, name) in enumerate(zip(found, names, strict=True)):
        colour = style.class_colour(number) if len(found) > 1 else style.PRINT.quiet
        mean, low, high = one.persistence()
        layers += [
            BandLayer(x=one.share, low=low, high=high, colour=colour),
            LinesLayer(paths=(np.stack([one.share, mean], 1),), role="curve", colour=colour),
        ]
        label = f"{name}: {one.mean:.1f} regions ({one.low:.1f} to {one.high:.1f})"
        entries.append(LegendEntry(colour=colour, label=label))
    first = found[0]
    top = _ROOM * max(float(one.persistence()[2].max()) for one in found)
    resolved = np.array([[4 / first.resolution**2, 0.0], [4 / first.resolution**2, top]])
    layers.append(LinesLayer(paths=(resolved,), role="reference", dash="dashed", name="4 grid cells"))
    panel = Panel(
        layers=tuple(layers),
        x=Axis(label="smallest share of the picture that counts", scale="log", limits=(float(first.share[0]), 1.0)),
        y=Axis(label="regions per plane", limits=(0.0, top)),
    )
    ratios = [one.finer_ratio for one in found if not math.isnan(one.finer_ratio)]
    finer = f" At twice the resolution the count is {', '.join(f'{ratio:.2f}' for ratio in ratios)} times as large."
    return Chart(
        panels=(panel,),
        name="fragmentation",
        title=title,
        caption=(
            f"Connected regions of one predicted class on {len(first.regions)} planes through three random images,"
            f" {first.resolution} x {first.resolution} grid points each: mean and the interval of 95 % of planes drawn"
            f" again. Regions below 4 cells (dashed) may be parts of thinner ones.{finer if ratios else ''}"
        ),
        alt=(
            "Falling curves of the mean number of regions per plane against the smallest share of the picture that"
            f" counts. All regions: {'; '.join(entry.label for entry in entries)}."
        ),
        legend=tuple(entries),
    )
