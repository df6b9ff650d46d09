"""Charts of one image's sparse perturbation: a card, its maps, and the margin as its pixels change in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.names import check_class_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, Chart, Layer, LinesLayer, Panel, PointsLayer, Scale
from core.figures.drawing.curves import largest
from core.figures.drawing.pictures import Picture, map_panel, montage, photograph, picture_field, scaled

if TYPE_CHECKING:
    from core.geometry.planes.slices import Slice
    from core.geometry.sparse.at_image import SparseAtImage

SparseShow = Literal[
    "card", "curve", "adversarial", "support", "change", "reliance", "capacity", "capacity at boundary"
]
SPARSE_SHOWS: tuple[SparseShow, ...] = get_args(SparseShow)

_COUNTED = 8  # pixels: up to this number each has a tick

_MAPS = {
    "card": "Change: of the value, the mean over channels. Order: the place at which a pixel enters. Reliance: the"
    " margin that comes back when this pixel alone is restored. Dense direction: the normal at DeepFool's boundary"
    " point. Capacity: how far the linearised margin falls when this pixel alone moves as far as it may, its slope"
    " taken at the image; at boundary: at that boundary point; difference: at boundary less at the image.",
    "support": "Colour: the place at which a pixel enters, 1 first; grey: unchanged.",
    "change": "Colour: change of the value, the mean over channels.",
    "reliance": "Colour: the margin that comes back when this pixel alone is restored; grey: unchanged.",
    "capacity": "Colour: how far the linearised margin falls when this pixel alone moves as far as it may, at the"
    " image.",
    "capacity at boundary": "Colour: how far the linearised margin falls when this pixel alone moves as far as it may,"
    " its slope taken at the dense boundary point.",
}


def sparse_chart(
    found: SparseAtImage,
    *,
    class_names: Sequence[str],
    show: SparseShow = "card",
    used: int = -1,
    shared_scale: Sequence[SparseAtImage] = (),
    title: str = "",
) -> Chart:
    """One image's sparse perturbation.

    Args:
        found: of one image.
        class_names: one name per class of the classifier.
        show: "card" for all pictures and the curve, "curve" for the margin against the pixels used, or one picture.
        used: the number of changed pixels, in their order, in the adversarial image and at the mark on the curve; -1
            for all.
        shared_scale: all perturbations shown together, whose maps share scales.
        title: of the first panel.

    Returns:
        A chart of one panel, or of two for the card.

    Raises:
        ValueError: if there is not exactly one image, or a name of a class is missing.
    """
    if len(found.found) != 1:
        raise ValueError(f"expected the perturbation of one image, got {len(found.found)}")
    check_class_names(found.num_classes, class_names)
    words = _words(found, class_names)
    seen = shared_scale or (found,)
    if show == "card":
        panels: tuple[Panel, ...] = (_overview(found, seen, class_names, title, used), _curve(found, "", used))
    elif show == "curve":
        panels = (_curve(found, title, used),)
    elif show == "adversarial":
        panels = (Panel(layers=(picture_field(_adversarial(found, used)),), kind="image", title=title),)
    else:
        values, scale = _map(found, show, seen)
        panels = (map_panel(values, scale, title),)
    return Chart(
        panels=panels,
        name="sparse",
        caption=f"{words} {_MAPS.get(show, '')}".strip(),
        alt=f"{_ALT.get(show, f'A map of {show} over the pixels of one image.')} {words}",
    )


_ALT = {
    "card": "Nine small pictures of one image's sparse perturbation (the image, the adversarial image, the change,"
    " the order and the reliance of its pixels, the dense direction, capacities) above the margin against the number"
    " of pixels changed.",
    "curve": "The margin of the source class against the number of pixels changed.",
    "adversarial": "The adversarial image.",
}


def on_plane(chart: Chart, cut: Slice, found: SparseAtImage) -> Chart:
    """Mark a slice with the dense boundary point, the sparse one, and the hyperplane that SparseFool moves to.

    Args:
        chart: of the slice.
        cut: the slice, at the image of the perturbation.
        found: the perturbation of this image.

    Returns:
        The chart with both points, projected onto the plane if they lie off it, and the intersection of the plane with
        the hyperplane through the dense point, orthogonal to the normal there.
    """
    u, v, origin = (each.astype(np.float64) for each in (cut.u, cut.v, cut.origin))
    offsets = [point[0].astype(np.float64) - origin for point in (found.boundary, found.adversarial)]
    positions = np.array([[(offset * u).sum(), (offset * v).sum()] for offset in offsets])
    off = [math.sqrt(max(0.0, (o**2).sum() - (at**2).sum())) for o, at in zip(offsets, positions, strict=True)]
    words = [
        f"{name}, {away:.2g} off the plane" if away >= 0.005 else name
        for name, away in zip(("dense", "sparse"), off, strict=True)
    ]
    normal = np.array([(found.dense[0] * u).sum(), (found.dense[0] * v).sum()], dtype=np.float64)
    level = float((found.dense[0] * offsets[0]).sum())
    line = _line_in_box(normal, level, (cut.x[0], cut.x[-1], cut.y[0], cut.y[-1]))
    marks: tuple[Layer, ...] = (PointsLayer(positions=positions, labels=tuple(words), marker="diamond"),)
    if line is not None:
        marks = (LinesLayer(paths=(line,), role="guide", dash="dashed", name="plane at the dense point"), *marks)
    (panel,) = chart.panels
    return replace(chart, panels=(replace(panel, layers=(*panel.layers, *marks)),))


def _line_in_box(normal: np.ndarray, level: float, box: tuple[float, float, float, float]) -> np.ndarray | None:
    """The part of the line <normal, p> = level inside a box; None if they do not meet."""
    x_low, x_high, y_low, y_high = box
    ends = []
    for axis, other, sides, (low, high) in (
        (0, 1, (x_low, x_high), (y_low, y_high)),
        (1, 0, (y_low, y_high), (x_low, x_high)),
    ):
        if abs(normal[other]) > 1e-12:
            for side in sides:
                across = (level - normal[axis] * side) / normal[other]
                if low <= across <= high:
                    point = np.empty(2)
                    point[axis], point[other] = side, across
                    ends.append(point)
    if len(ends) < 2:
        return None
    far = max(ends[1:], key=lambda end: float(np.abs(end - ends[0]).max()))
    return np.stack([ends[0], far])


def _words(found: SparseAtImage, class_names: Sequence[str]) -> str:
    """The result in one sentence, also if none was found."""
    source = int(found.source_class[0])
    name = class_names[source] if source >= 0 else "undefined"
    if not found.found[0]:
        return f"No sparse perturbation of this image ({name}) was found: {found.status[0]}."
    pixels, entries = int(found.pixels[0]), int(found.entries[0])
    return (
        f"{pixels} of {found.rank[0].size} pixels ({entries} values) take {name} to"
        f" {class_names[int(found.target_class[0])]}; ℓ2 {found.l2[0]:.3g}, ℓ1 {found.l1[0]:.3g}, ℓ∞"
        f" {found.linf[0]:.3g} over pixels in [0, 1]."
    )


def changed(found: SparseAtImage, used: int = -1) -> np.ndarray:
    """The image (c, h, w) with the first `used` pixels of its perturbation changed; all of them for -1."""
    rank = found.rank[0]
    taken = (rank >= 0) & ((rank < used) | (used < 0))
    picture: np.ndarray = np.where(taken, found.adversarial[0], found.image[0])
    return picture


def _overview(
    found: SparseAtImage, seen: Sequence[SparseAtImage], class_names: Sequence[str], title: str, used: int
) -> Panel:
    """Nine pictures: the change, the order of its pixels, and the geometry at them."""
    source, target = int(found.source_class[0]), int(found.target_class[0])
    reached = class_names[target] if found.found[0] else str(found.status[0])
    if found.found[0] and 0 <= used < found.pixels[0]:
        reached = f"after {used} pixels"
    shown = [
        Picture(colours=photograph(found.image[0]), label=class_names[source] if source >= 0 else "undefined"),
        Picture(colours=_adversarial(found, used), label=reached),
    ]
    labels = {
        "change": "mean change ± {high:.2g}",
        "support": "order 1 to {high:.0f}",
        "reliance": "reliance 0 to {high:.2g}",
        "dense": "dense direction",
        "capacity": "capacity 0 to {high:.2g}",
        "capacity at boundary": "at boundary 0 to {high:.2g}",
        "difference": "difference ± {high:.2g}",
    }
    for name, label in labels.items():
        values, scale = _map(found, name, seen)
        shown.append(Picture(colours=scaled(values, scale), label=label.format(high=scale.limits[1])))
    return montage(shown, 3, title)


def _adversarial(found: SparseAtImage, used: int) -> np.ndarray:
    """The adversarial image with its first pixels changed; grey if none was found."""
    if found.found[0]:
        return photograph(changed(found, used))
    return style.scale_colours(np.full(found.rank.shape[1:], math.nan), "cividis", (0.0, 1.0))


def _curve(found: SparseAtImage, title: str, used: int) -> Panel:
    """The margin after each of the pixels, in their order."""
    curve = found.curve[0][np.isfinite(found.curve[0])]
    most = max(1.0, len(curve) - 1.0)
    layers: list[Layer] = [LinesLayer(paths=(np.array([[0.0, 0.0], [most, 0.0]]),), role="reference")]
    if len(curve):
        points = np.stack([np.arange(len(curve), dtype=np.float64), curve], 1)
        here = len(points) - 1 if used < 0 else min(used, len(points) - 1)
        layers += [LinesLayer(paths=(points,), role="curve"), PointsLayer(positions=points[[here]], marker="ring")]
    whole = tuple((float(k), str(k)) for k in range(int(most) + 1)) if most <= _COUNTED else None
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="pixels changed, in order", limits=(0.0, 1.02 * most), ticks=whole),
        y=Axis(label="margin of the source class", unit=found.unit("curve")),
    )


def _map(found: SparseAtImage, name: str, seen: Sequence[SparseAtImage]) -> tuple[np.ndarray, Scale]:
    """A map over the pixels of the image with its scale; maps of the same quantity shown together share the scale."""
    every, unit = [_values(one)[name] for one in seen], found.unit("reliance")
    if name == "support":
        scale = Scale(palette="cividis", limits=(1.0, max(2.0, largest(*every))), label="place in the order")
    elif name in ("change", "dense", "difference"):
        limit = largest(*map(np.abs, every)) or (found.bound if name == "change" else 1.0)
        label, unit = {
            "change": ("mean change of the value", ""),
            "dense": ("dense direction, mean over channels", ""),
            "difference": ("capacity, boundary - image", unit),
        }[name]
        scale = Scale(palette="vik", limits=(-limit, limit), label=label, unit=unit)
    else:
        if name != "reliance":  # both maps of capacity share their scale
            every = [each for one in seen for each in (one.capacity[0], one.capacity_at_boundary[0])]
        scale = Scale(palette="cividis", limits=(0.0, largest(*every) or 1.0), label=name, unit=unit)
    return _values(found)[name], scale


def _values(found: SparseAtImage) -> dict[str, np.ndarray]:
    """The maps over the pixels by name; NaN off the support in those of the support alone."""
    on_support = found.rank[0] >= 0
    return {
        "support": np.where(on_support, found.rank[0] + 1.0, math.nan),
        "change": np.where(on_support, (found.adversarial[0] - found.image[0]).mean(0), math.nan),
        "reliance": found.reliance[0],
        "dense": found.dense[0].mean(0),
        "capacity": found.capacity[0],
        "capacity at boundary": found.capacity_at_boundary[0],
        "difference": found.capacity_at_boundary[0] - found.capacity[0],
    }
