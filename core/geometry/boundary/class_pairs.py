"""The boundary between an image's class and each of several others.

F_t = f_s - f_t is zero where the logits of the classes s and t are equal. A third class may win there: this is a
boundary of the two-class problem and not always one of the classifier. Newton steps x - F g / ||g||² lead across it,
its zero is bracketed, and the point slides along F_t = 0 towards the image, as in `core.geometry.boundary.deepfool`.

Reference: the two-class case of Moosavi-Dezfooli, Fawzi, Frossard, DeepFool, CVPR 2016, Algorithm 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.geometry.boundary.bracketing import compaction_schedule, zero_between
from core.geometry.boundary.closest_point import closest_points
from core.geometry.boundary.signed_margin import Images, SignedMargin, length, per_row
from core.models.classifier import Classifier

_OVERSHOOT = 0.02
_FLOOR = 1e-4  # ℓ2 pixel
_TOLERANCE = 1e-6


class PairMargin(SignedMargin):
    """f_s - f_t for each row's own pair of classes, which is encoded as the number s k + t for k classes."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        self._classes = classifier.num_classes

    def pair(self, source: Int[Tensor, " n"], target: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """The number that encodes each pair."""
        return source * self._classes + target

    def _margin_and_runner_up(self, logits: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        target = source % self._classes
        own, other = (logits.gather(1, k[:, None])[:, 0] for k in (source // self._classes, target))
        return own - other, target


class PairPoints(NamedTuple):
    """The point of F_t = 0 found for each row."""

    points: Float[Tensor, "n c h w"]
    found: Bool[Tensor, " n"]
    distance: Float[Tensor, " n"]


def pair_points(
    margin: PairMargin,
    images: Images,
    source: Int[Tensor, " n"],
    target: Int[Tensor, " n"],
    *,
    max_steps: int = 30,
    slides: int = 10,
) -> PairPoints:
    """Find a near point of the boundary between two classes for each image.

    Args:
        margin: f_s - f_t.
        images: the images.
        source: the class s of each.
        target: the other class t of each.
        max_steps: most Newton steps of a row.
        slides: most slides along the boundary.

    Returns:
        The points; meaningless where none was found.
    """
    pairs = margin.pair(source, target)
    beyond, crossed = images.clone(), torch.zeros_like(source, dtype=torch.bool)
    rows = torch.arange(len(images), device=images.device)
    drops = compaction_schedule(max_steps, images.device)
    for step in range(1, max_steps + 1):
        at, gradient, _ = margin.slope(beyond[rows], pairs[rows])
        size = length(gradient, 2)
        far = (at.abs() / size).clamp(min=_FLOOR) * (1 + _OVERSHOOT)
        goes = torch.isfinite(far) & (at > 0)
        crossed[rows] = at < 0
        way = per_row(far / size) * gradient
        beyond[rows] = torch.where(per_row(goes), beyond[rows] - way, beyond[rows])
        if step in drops:
            rows = rows[goes]
            if not len(rows):
                break
    points, closed = zero_between(margin, images, beyond, pairs, _TOLERANCE)
    found = crossed & closed
    if bool(found.any()):
        where = found.nonzero()[:, 0]
        points[where], _ = closest_points(
            margin, images[where], points[where], pairs[where], norm=2, max_steps=slides, tick=lambda part: None
        )
    return PairPoints(points, found, length(points - images, 2))
