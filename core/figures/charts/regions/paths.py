"""The chart of a path inside a region: a film strip, the margin along it, and its projection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from core.figures.charts.names import check_class_names
from core.figures.drawing import style
from core.figures.drawing.chart import Axis, Chart, Layer, LinesLayer, Panel, PointsLayer
from core.figures.drawing.pictures import Picture, montage, photograph

if TYPE_CHECKING:
    from core.geometry.regions.at_image import PathAtImage

PathShow = Literal["card", "strip", "margin", "projection"]
PATH_SHOWS: tuple[PathShow, ...] = get_args(PathShow)
_Curve = tuple[np.ndarray, ...]  # x and y

_ROOM = 0.06  # of the distance, around the projection
_FLATTEST = 0.16  # of the distance: the least extent of the projection across, so that a straight path looks straight


def path_chart(
    found: PathAtImage,
    *,
    class_names: Sequence[str],
    show: PathShow = "card",
    projected: bool = True,
    title: str = "",
) -> Chart:
    """One path inside the region of its class, with the straight segment between the same images.

    Args:
        found: of one pair.
        class_names: one name per class of the classifier.
        show: "card" for everything, or one of its three pictures.
        projected: whether the card includes the projection, which is of no use without a path.
        title: of the first panel.

    Returns:
        A chart of one panel, of two or three for the card.

    Raises:
        ValueError: if there is not exactly one pair, or a name of a class is missing.
    """
    if len(found.status) != 1:
        raise ValueError(f"expected the path of one pair, got {len(found.status)}")
    check_class_names(found.num_classes, class_names)
    pictures = {
        "strip": lambda words: _strip(found, class_names, words),
        "margin": lambda words: _margin(found, class_names, words),
        "projection": lambda words: _projection(found, words),
    }
    shown = _shown(show, projected)
    words = f"{path_words(found, class_names)} {_limits(found)}".strip()
    return Chart(
        panels=tuple(pictures[name](title if place == 0 else "") for place, name in enumerate(shown)),
        name="path",
        caption=f"{words} {path_meaning(show, projected)}",
        alt=f"{' '.join(_ALT[name] for name in shown)} {words}",
    )


_MEANING = {
    "strip": "Frames: equal steps along the path, where there is one, with the margin there in logits; below it along"
    " the straight segment, with the class where it is another.",
    "margin": "Solid: along the path, a mark at each corner; dashed: along the straight segment, where the path is"
    " another. Margin: the logit of the class minus the largest other one, each model on a scale of its own; below 0,"
    " dotted, the model says another class.",
    "projection": "Projection: onto the plane through the straight segment in which corners spread most.",
}
_ALT = {
    "strip": "A film strip of frames along a path between two images, above frames along the straight segment.",
    "margin": "The margin of the class against the distance along the path, and along the straight segment.",
    "projection": "The path as a polyline in a plane, with its corners, beside the straight segment.",
}


def _shown(show: PathShow, projected: bool) -> list[str]:
    """The pictures of a chart."""
    return [show] if show != "card" else [name for name in _MEANING if projected or name != "projection"]


def path_meaning(show: PathShow, projected: bool = True) -> str:
    """A sentence or two on the meaning of each picture of a chart.

    Args:
        show: see `path_chart`.
        projected: see there.

    Returns:
        The sentences.
    """
    return " ".join(_MEANING[name] for name in _shown(show, projected))


def path_words(found: PathAtImage, class_names: Sequence[str]) -> str:
    """The result in one or two sentences, claiming no more than was found.

    Args:
        found: of one pair.
        class_names: one name per class of the classifier.

    Returns:
        The sentences.
    """
    source, end, status = int(found.source_class[0]), int(found.end_class[0]), str(found.status[0])
    if status == "other class":
        return (
            f"The model says {class_names[source]} of {found.words} and {class_names[end]} of {found.end_words}:"
            " no region holds both."
        )
    if status in ("undefined", "on the boundary"):
        return f"No path can be asked for between {found.words} and {found.end_words}: {status}."
    ends = f"{found.words} and {found.end_words}"
    if not found.found[0]:
        return (
            f"No path as {class_names[source]} was found between {ends} ({status}); that is no proof that there is"
            " none."
        )
    if status == "straight":
        return f"The straight segment between {ends} stays {class_names[source]} all the way."
    corners = int(found.segments[0]) - 1
    return (
        f"A path over {corners} corner{'s' if corners > 1 else ''} between {ends} stays {class_names[source]} all the"
        f" way, {found.length_ratio[0]:.3f} times as long as the straight segment, of which"
        f" {found.straight_share:.0%} does."
    )


def _limits(found: PathAtImage) -> str:
    """The resolution of the evidence; "" without a path."""
    if not found.found[0]:
        return ""
    return (
        f"Sampled at most {found.resolution[0]:.2g} ℓ2 apart, smallest margin {found.min_margin[0]:.2g} logits:"
        " evidence at this resolution, not a proof."
    )


def _strip(found: PathAtImage, class_names: Sequence[str], title: str) -> Panel:
    """Frames along the path above frames along the straight segment."""
    upper = [
        Picture(colours=photograph(frame), label=f"{margin:.2g}")
        for frame, margin in zip(found.frames, found.frame_margin, strict=True)
    ]
    source = int(found.source_class[0])
    lower = [
        Picture(colours=photograph(frame), label="" if k == source else class_names[k] if k >= 0 else "undefined")
        for frame, k in zip(found.straight_frames, found.straight_class, strict=True)
    ]
    return montage([*upper, *lower], len(lower), title)


def _lines(found: PathAtImage, straight: _Curve, path: _Curve, corners: _Curve) -> list[Layer]:
    """The straight segment, unless the path is that segment; the path, if one was found, with its corners."""
    layers: list[Layer] = []
    if not (found.found[0] and found.status[0] == "straight"):
        quiet = style.PRINT.quiet
        layers.append(
            LinesLayer(
                paths=(np.stack(straight, 1),), role="curve", colour=quiet, dash="dashed", name="straight segment"
            )
        )
    if found.found[0]:
        layers += [
            LinesLayer(paths=(np.stack(path, 1),), role="curve", name="path"),
            PointsLayer(positions=np.stack(corners, 1), size=4.0, name="images and corners"),
        ]
    return layers


def _margin(found: PathAtImage, class_names: Sequence[str], title: str) -> Panel:
    """The margin along the path and along the straight segment."""
    far = float(max(found.at.max(initial=0.0), found.straight_at.max(initial=0.0)))
    layers: list[Layer] = [
        LinesLayer(paths=(np.array([[0.0, 0.0], [far, 0.0]]),), role="reference", dash="dotted"),
        *_lines(
            found,
            (found.straight_at, found.straight_margin),
            (found.at, found.margin),
            (found.corner_at, found.anchor_margin),
        ),
    ]
    source = int(found.source_class[0])
    name = class_names[source] if source >= 0 else "the class"
    return Panel(
        layers=tuple(layers),
        title=title,
        x=Axis(label="distance along the way", unit=found.unit("at"), limits=(0.0, 1.02 * far or 1.0)),
        y=Axis(label=f"margin of {name}", unit=found.unit("margin")),
    )


def _projection(found: PathAtImage, title: str) -> Panel:
    """The polyline in the plane of the straight segment in which its corners spread most."""
    far = float(found.distance[0]) or 1.0
    points = found.projection
    segment = np.array([[0.0, 0.0], [far, 0.0]])
    layers = [
        *_lines(found, tuple(segment.T), tuple(points.T), tuple(points.T)),
        PointsLayer(positions=segment, marker="ring", size=7.0),
    ]
    room = _FLATTEST * far
    low = min(float(points[:, 1].min()) - _ROOM * far, -room / 2)
    high = max(float(points[:, 1].max()) + _ROOM * far, room)
    left, right = min(float(points[:, 0].min()), 0.0), max(float(points[:, 0].max()), far)
    unit = found.unit("projection")
    share = "" if found.projection_share > 0.995 else f", {found.projection_share:.0%} of it shown"
    return Panel(
        layers=tuple(layers),
        title=title,
        isometric=True,
        x=Axis(
            label="along the straight segment, from start to end",
            unit=unit,
            limits=(left - _ROOM * far, right + _ROOM * far),
        ),
        y=Axis(label=f"across{share}", unit=unit, limits=(low, math.nextafter(high, math.inf))),
    )
