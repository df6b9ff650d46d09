"""Targeted DeepFool: a near image that a classifier assigns to a wanted class.

Let F = f_k - max_{j != k} f_j be the signed margin of the wanted class k. Outside of its region F < 0, and its
linearisation at x vanishes at x + (|F| / ||g||²) g, g = grad F: the nearest point of that plane. A step slightly longer
than that is repeated until k wins. No step is longer than `reach`, the known bound on the distance to the region, if
there is one: where the gradient nearly vanishes, the plane is far away and meaningless. The image found need not be the
nearest one of the region.

Reference: the targeted case of Moosavi-Dezfooli, Fawzi, Frossard, DeepFool, CVPR 2016, Algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.geometry.boundary.bracketing import compaction_schedule
from core.geometry.boundary.signed_margin import BatchedMargin, Images, Rows, dual_vector, length, per_row
from core.models.classifier import Classifier
from core.result import Result, quantity
from core.runtime.batches import engine_mode
from core.runtime.cost import counted, spent

_RUNNERS_UP = 3  # classes whose boundaries push
_ROUNDS = 3
_ROUNDING = 64  # in machine epsilons, at logits of size 1 to 10
_FLOOR = 1e-4  # ℓ2 pixel: shorter steps stall on ties


class Planes(NamedTuple):
    """Linearised boundaries of a region, seen from each row."""

    distance: Float[Tensor, "n j"]  # positive inside; not finite where the gradient vanishes
    normal: Float[Tensor, "n j c h w"]  # into the region, of length 1


class RegionMargin(BatchedMargin):
    """Signed margins of any number of rows, also of none, at images and on segments between them.

    Args:
        classifier: whose margins.

    Attributes:
        classes: the number of classes.
        zero: margins up to this are rounding errors and count as 0: 7.6e-6 logits in float32.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        self.classes = classifier.num_classes
        self.zero = _ROUNDING * torch.finfo(self.dtype).eps

    def __call__(self, images: Images, source: Int[Tensor, " n"]) -> Rows:
        """F of each row: NaN where a logit is not finite."""
        return super().__call__(images, source) if len(images) else images.new_empty(0)

    def between(
        self,
        images: Float[Tensor, "m c h w"],
        first: Int[Tensor, " n"],
        second: Int[Tensor, " n"],
        at: Rows,
        source: Int[Tensor, " n"],
    ) -> Rows:
        """F at points on segments between images; the points are computed batch by batch, since all might not fit.

        Args:
            images: contain the ends of the segments.
            first: the image at t = 0 of each row.
            second: the image at t = 1 of each row.
            at: t of each row.
            source: the class of each row.

        Returns:
            F of each row.
        """

        def on_segments(start: Tensor, end: Tensor, t: Tensor, own: Tensor) -> tuple[Tensor]:
            return (self(torch.lerp(images[start], images[end], per_row(t)), own),)

        return self._batched(on_segments, first, second, at, source)[0] if len(first) else images.new_empty(0)

    def planes(self, images: Images, source: Int[Tensor, " n"], runners_up: int) -> Planes:
        """The linearised boundaries to the classes with the next largest logits: one forward, one backward for each."""

        def nearest(part: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                points = part.detach().requires_grad_()
                logits = self.logits(points)
                margins, _ = (logits.gather(1, own[:, None]) - logits).scatter(1, own[:, None], torch.inf).sort(1)
                distances, normals = [], []
                for column in range(runners_up):
                    slope = self._gradient(margins[:, column], points, keep=column + 1 < runners_up)
                    distances.append(margins[:, column].detach() / length(slope, 2))
                    normals.append(dual_vector(slope, 2))
            return torch.stack(distances, 1), torch.stack(normals, 1)

        return Planes(*self._batched(nearest, images, source))


class Entered(NamedTuple):
    """Where the search for the wanted regions ended, and which rows are inside."""

    images: Images
    inside: Bool[Tensor, " n"]
    margin: Rows  # of the wanted class


def enter(
    margin: RegionMargin,
    images: Images,
    classes: Int[Tensor, " n"],
    *,
    reach: Rows | None = None,
    max_steps: int = 30,
    overshoot: float = 0.02,
) -> Entered:
    """Step into the region of each row's class; a row that is inside stays where it is.

    Args:
        margin: the signed margin.
        images: where to start.
        classes: the wanted class of each row.
        reach: greatest length of a step; None for no limit.
        max_steps: most steps of a row.
        overshoot: how much longer each step is than that to the linearised boundary.

    Returns:
        The images found.
    """
    at, inside = images.clone(), torch.zeros_like(classes, dtype=torch.bool)
    found = torch.full_like(images[:, 0, 0, 0], torch.nan)
    rows = torch.arange(len(images), device=images.device)
    drops = compaction_schedule(max_steps, images.device)
    for step in range(1, max_steps + 1):
        if not len(rows):
            break
        here, gradient, _ = margin.slope(at[rows], classes[rows])
        steepness = length(gradient, 2)
        far = (here.abs() / steepness).clamp(min=_FLOOR) * (1 + overshoot)
        if reach is not None:
            far = far.minimum(reach[rows])
        arrived = here > margin.zero
        goes = ~arrived & torch.isfinite(here) & (steepness > 0)
        way = per_row((far / steepness).nan_to_num(0.0, 0.0, 0.0)) * gradient
        at[rows] = torch.where(per_row(goes), at[rows] + way, at[rows])
        inside[rows], found[rows] = arrived, here
        if step in drops:
            rows = rows[goes]
    if len(rows):  # after the last step
        found[rows] = margin(at[rows], classes[rows])
        inside[rows] = found[rows] > margin.zero
    return Entered(at, inside, found)


def deepen(
    margin: RegionMargin, found: Entered, classes: Int[Tensor, " n"], depth: Rows, rounds: int = _ROUNDS
) -> Entered:
    """Move further into the region, away from all near boundaries, as long as the margin grows.

    Every linearised boundary nearer than `depth` pushes the image by the difference: in a wedge between two of them,
    where the gradient of the margin leads from one into the other, the image moves along the bisector.

    Args:
        margin: the signed margin.
        found: rows inside; the others stay as they are.
        classes: the class of each row.
        depth: the wanted distance from the boundaries, in ℓ2 pixel.
        rounds: most pushes of a row.

    Returns:
        The same rows, none with a smaller margin than before.
    """
    images, margins = found.images.clone(), found.margin.clone()
    rows = found.inside.nonzero()[:, 0]
    for _ in range(rounds):
        if not len(rows):
            break
        planes = margin.planes(images[rows], classes[rows], min(_RUNNERS_UP, margin.classes - 1))
        missing = (depth[rows, None] - planes.distance).clamp(min=0).nan_to_num(0.0, 0.0, 0.0)
        there = images[rows] + (missing[..., None, None, None] * planes.normal).sum(1)
        grown = margin(there, classes[rows])
        better = grown > margins[rows]
        rows = rows[better]
        images[rows], margins[rows] = there[better], grown[better]
    return Entered(images, found.inside, margins)


@dataclass(frozen=True, kw_only=True, eq=False)
class Relabelled(Result):
    """Images of the wanted classes; NaN where none was found."""

    images: np.ndarray = quantity("pixel", "n c h w")
    distance: np.ndarray = quantity("ℓ2 pixel", "n")  # from the given image
    margin: np.ndarray = quantity("logit", "n")  # of the wanted class
    wanted: np.ndarray = quantity("", "n")  # class
    before: np.ndarray = quantity("", "n")  # class of the given image, -1 where undefined
    found: np.ndarray = quantity("", "n")
    fingerprint: str = quantity("", default="")


@counted
def relabel(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    classes: Int[Tensor, " m"],
    *,
    max_steps: int = 100,
    overshoot: float = 0.02,
) -> Relabelled:
    """Move images by DeepFool steps until the classifier assigns them to a wanted class.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: finite pixel values, nominally in [0, 1]; the images found may leave that range.
        classes: the wanted class of each image.
        max_steps: most steps of an image.
        overshoot: how much further to go than the first point of that class, relative to its distance.

    Returns:
        The images found; an image that has the wanted class already stays as it is.

    Raises:
        ValueError: if there is no image, there is not one class for each, or an option is not one of those above.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    pixels = classifier.accept(images)
    if not len(pixels) or len(pixels) != len(classes):
        raise ValueError(f"expected a class for each of one or more images, got {len(classes)} and {len(pixels)}")
    if not bool(((classes >= 0) & (classes < classifier.num_classes)).all()):
        raise ValueError(f"expected classes from 0 to {classifier.num_classes - 1}, got others")
    if max_steps < 1 or not 0 < overshoot < math.inf:
        raise ValueError(f"expected at least one step and an overshoot above 0, got {max_steps} and {overshoot}")
    with engine_mode(classifier.device):
        margin = RegionMargin(classifier)
        starts, wanted = pixels.clone().to(margin.dtype), classes.to(pixels.device)
        logits = margin.all_logits(starts)
        before = logits.argmax(1).where(torch.isfinite(logits).all(1), -1)
        there = _beyond(margin, starts, enter(margin, starts, wanted, max_steps=max_steps), wanted, overshoot)
        column = per_row(there.inside)
        moved = (there.images - starts).double().flatten(1).norm(dim=1)
    return Relabelled(
        images=there.images.where(column, torch.nan).cpu().numpy(),
        distance=moved.where(there.inside, torch.nan).cpu().numpy(),
        margin=there.margin.where(there.inside, torch.nan).cpu().numpy(),
        wanted=wanted.to(torch.int32).cpu().numpy(),
        before=before.to(torch.int32).cpu().numpy(),
        found=there.inside.cpu().numpy(),
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def _beyond(margin: RegionMargin, starts: Images, found: Entered, classes: Tensor, overshoot: float) -> Entered:
    """Points a little further from the starts, where the margin is larger there: the last step may have been tiny."""
    there = found.images + overshoot * (found.images - starts)
    margins = margin(there, classes)
    better = found.inside & (margins > found.margin)
    images = torch.where(per_row(better), there, found.images)
    return Entered(images, found.inside, torch.where(better, margins, found.margin))
