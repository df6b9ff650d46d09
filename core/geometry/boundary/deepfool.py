"""A point of the decision boundary near each image, the normal there and the distance.

Let s = argmax f(x). DeepFool replaces the margins m_k = f_k - f_s by their linearisations at x + r and moves to the
nearest of the planes m_k = 0: in the norm p the one with the smallest |m_k| / ||grad m_k||_q, 1/p + 1/q = 1. It repeats
until another class wins at x + (1 + overshoot) r; the overshoot is used only in this test. Between x and that point the
signed margin F = f_s - max_{k != s} f_k changes its sign, and its zero is bracketed there. Since F involves every
class, the two classes that meet at the zero are those of the two largest logits, whichever DeepFool was heading for.

DeepFool's point is on the boundary but not the nearest one: its distance is an upper bound on the distance to the
boundary. `core.geometry.boundary.closest_point` slides it along the boundary to where image - point is parallel to the
normal. F > 0 on the source side, and normals point to the source side.

References: Moosavi-Dezfooli, Fawzi, Frossard, DeepFool: a simple and accurate method to fool deep neural networks,
CVPR 2016 (arXiv 1511.04599), Algorithm 2 and, for other norms, its section on the ℓp norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.geometry.boundary.bracketing import compaction_schedule, zero_between
from core.geometry.boundary.closest_point import alignment, closest_points
from core.geometry.boundary.signed_margin import NORMS, Norm, SignedMargin, dual_length, dual_vector, length, per_row
from core.models.classifier import Classifier
from core.result import ClassifierResult, quantity
from core.runtime.batches import Chunks, engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "nearest": "On the boundary, at most 1° from the normal: the nearest point to first order.",
        "not nearest": "On the boundary, but more than 1° off the normal, as at a kink: a nearer point may exist.",
        "in the box": "On the boundary and inside the pixel box; whether it is the nearest point there was not tested.",
        "not reached": "No other class was met within the steps allowed; allow more of them.",
        "no direction": "The gradient vanished or was not finite on the way: nothing says where the boundary is.",
        "undefined": "A logit is not finite at the image, or between it and the other class.",
    }
)

_NEAREST = 1.0  # degree
_FLOOR = 1e-4  # ℓ2 pixel: shorter steps stall on ties, and near a wall of the box
_HALVINGS = 10  # of the overshoot, where the region behind the boundary is thinner
_MOST_VALUES = 1 << 22  # pixels of a chunk: 27 images of 3 x 224 x 224, with a graph for each
_RUNNING, _CROSSED, _LOST = 0, 1, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundaryPoints(ClassifierResult):
    """A point near each image where the predicted class changes; NaN and class -1 where none was found."""

    points: np.ndarray = quantity("pixel", "n c h w")
    crossed: np.ndarray = quantity("pixel", "n c h w")  # just beyond, where the class differs
    normals: np.ndarray = quantity("", "n c h w")  # of ℓ2 length 1, to the source side
    distance: np.ndarray = quantity("ℓ2 pixel", "n")
    size: np.ndarray = quantity("ℓp pixel", "n")  # of point - image in the chosen norm
    angle: np.ndarray = quantity("°", "n")  # between image - point and normal; for p != 2 by the dual norm
    source_class: np.ndarray = quantity("", "n")  # -1 where undefined
    target_class: np.ndarray = quantity("", "n")  # that meets the source class at the point
    found: np.ndarray = quantity("", "n")
    status: np.ndarray = quantity("", "n")  # a word of STATUSES
    steps: np.ndarray = quantity("", "n")  # of DeepFool
    slides: np.ndarray = quantity("", "n")  # along the boundary
    norm: int | str = quantity("")
    clipped: bool = quantity("")


@counted
def boundary_points(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    *,
    norm: Norm = 2,
    clipped: bool = False,
    refine: bool = True,
    candidates: int = 9,
    max_steps: int = 50,
    overshoot: float = 0.02,
    tolerance: float = 1e-6,
    on_progress: OnProgress = silent,
) -> BoundaryPoints:
    """Find a point of the decision boundary near each image.

    The distance is never below that to the boundary; for an affine classifier they are equal, up to rounding.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: finite pixel values, nominally in [0, 1].
        norm: the norm in which distances are minimised: 1, 2 or "inf".
        clipped: stay inside the pixel box [0, 1]. This is another problem: its nearest point may lie at a wall, off the
            normal, so it is not refined; normals, curvatures and slices refer to the unclipped one.
        refine: slide to the nearest point; without it, DeepFool's point is the result.
        candidates: how many other classes DeepFool heads for, those with the largest logits at the image; it may meet
            any class. With the source class, the default covers 10 classes.
        max_steps: most DeepFool steps of an image, and most slides of a point.
        overshoot: how much further than the linearised boundary another class is looked for, and at most how much
            further than the point `crossed` lies; relative to the distance.
        tolerance: length of the interval that brackets the point, relative to the distance.
        on_progress: called with the fraction done.

    Returns:
        The points; an image without one has a row of NaN and a `status` that says why. `forwards` and `gradients` count
        forward and backward passes in images, one gradient per class and step.

    Raises:
        ValueError: if there is no image, or an option is not one of those above.
        ImageError: if a value is not finite, the shape is not the classifier's, or a clipped image leaves [0, 1].

    Reference:
        Moosavi-Dezfooli, Fawzi, Frossard, DeepFool, CVPR 2016, Algorithm 2.
    """
    if norm not in NORMS:
        raise ValueError(f"expected a norm out of 1, 2, 'inf', got {norm!r}")
    if candidates < 1 or max_steps < 1:
        raise ValueError(f"expected at least one candidate and one step, got {candidates} and {max_steps}")
    if not (0 < overshoot < math.inf and 0 < tolerance < 1):
        raise ValueError(f"expected an overshoot above 0 and a tolerance in (0, 1), got {overshoot} and {tolerance}")
    pixels = classifier.accept(images)
    if not len(pixels):
        raise ValueError("expected at least one image, got none")
    if clipped and not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise ImageError("expected images in [0, 1] to stay inside the pixel box, got others; leave out `clipped`")
    with engine_mode(classifier.device):
        search = _Search(classifier, norm, clipped, refine, candidates, max_steps, overshoot, tolerance)
        pixels = pixels.clone()
        chunks = Chunks(min(classifier.batches().size, _MOST_VALUES // pixels[0].numel()))
        parts = chunks(len(pixels), lambda rows, tick: search(pixels[rows], tick), on_progress)
    found: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return BoundaryPoints(
        **found,
        norm=norm,
        clipped=clipped,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


class _Search:
    """Computes the rows of the result for a chunk of images."""

    def __init__(
        self,
        classifier: Classifier,
        norm: Norm,
        clipped: bool,
        refine: bool,
        candidates: int,
        max_steps: int,
        overshoot: float,
        tolerance: float,
    ) -> None:
        self.margin = SignedMargin(classifier)
        self._norm, self._clipped, self._refine = norm, clipped, refine and not clipped
        self._candidates = min(candidates, classifier.num_classes - 1)
        self._max_steps, self._overshoot, self._tolerance = max_steps, overshoot, tolerance

    def __call__(self, images: Tensor, tick: Callable[[float], None]) -> dict[str, np.ndarray]:
        """All arrays of `BoundaryPoints` for these images."""
        images = images.to(self.margin.dtype)
        logits = self.margin.logits(images)
        defined = torch.isfinite(logits).all(1)
        rows = _Rows(images, logits.argmax(1).where(defined, -1))
        where = defined.nonzero()[:, 0]
        if len(where):
            source = rows.source[where]
            others = logits[where].scatter(1, source[:, None], -torch.inf).topk(self._candidates, 1).indices
            beyond, outcome, rows.steps[where] = self._deepfool(
                images[where], source, others, lambda part: tick(part / 2)
            )
            rows.end(where, outcome)
            met = outcome == _CROSSED
            where = where[met]
            if len(where):
                self._settle(rows, where, beyond[met], lambda part: tick((1 + part) / 2))
        return rows.arrays(self._norm, self._clipped)

    def _deepfool(
        self, images: Tensor, source: Tensor, others: Tensor, tick: Callable[[float], None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Step to the nearest linearised boundary until another class wins a little further on.

        Returns:
            For each image a point of another class, the outcome and the number of steps.
        """
        way, beyond = torch.zeros_like(images), images.clone()
        outcome, steps = torch.full_like(source, _RUNNING), torch.zeros_like(source)
        rows = torch.arange(len(images), device=images.device)
        drops = compaction_schedule(self._max_steps, images.device)
        for step in range(1, self._max_steps + 1):
            start, own = images[rows], source[rows]
            size, direction = self._nearest_plane(start + way[rows], own, others[rows])
            unit = dual_vector(direction, self._norm)
            size = size.maximum(_FLOOR / length(unit, 2))
            runs = outcome[rows] == _RUNNING
            goes = runs & torch.isfinite(size)
            on = (way[rows] + per_row(size) * unit).where(per_row(goes), way[rows])
            on = self._inside(start + on) - start
            there = self._inside(start + (1 + self._overshoot) * on)
            crossed = goes & (self.margin(there, own) < 0)
            way[rows] = on
            beyond[rows] = there.where(per_row(crossed), beyond[rows])
            steps[rows] += runs
            outcome[rows] = torch.where(crossed, _CROSSED, torch.where(runs & ~goes, _LOST, outcome[rows]))
            if step in drops:
                tick(step / self._max_steps)
                rows = rows[outcome[rows] == _RUNNING]
                if not len(rows):
                    break
        return beyond, outcome, steps

    def _nearest_plane(self, at: Tensor, source: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """The distance to the nearest linearised boundary, infinite where there is none, and its direction."""
        nearest, direction = torch.full_like(at[:, 0, 0, 0], torch.inf), torch.zeros_like(at)
        for margin, slope in self.margin.class_margins(at, source, others):
            towards = -slope
            if self._clipped:  # pixels at a wall cannot go on
                towards = towards.where(((at > 0) | (towards > 0)) & ((at < 1) | (towards < 0)), 0.0)
            distance = margin.abs() / dual_length(towards, self._norm)
            closer = distance < nearest  # never where it is NaN
            nearest = torch.where(closer, distance, nearest)
            direction = torch.where(per_row(closer), towards, direction)
        return nearest, direction

    def _inside(self, images: Tensor) -> Tensor:
        return images.clamp(0, 1) if self._clipped else images

    def _settle(self, rows: _Rows, where: Tensor, beyond: Tensor, tick: Callable[[float], None]) -> None:
        """Find points on the boundary, refined, with normals, from points of other classes."""
        images, source = rows.images[where], rows.source[where]
        points, closed = zero_between(self.margin, images, beyond, source, self._tolerance)
        if self._refine:
            refined, slides = closest_points(
                self.margin, images, points, source, norm=self._norm, max_steps=self._max_steps, tick=tick
            )
            behind, differs = self._just_beyond(images, refined, source, beyond)
            refined, closed_too = zero_between(self.margin, images, behind, source, self._tolerance)
            nearer = length(refined - images, self._norm) < length(points - images, self._norm)
            better = differs & closed_too & nearer
            points = refined.where(per_row(better), points)
            closed = closed | better
            rows.slides[where] = slides
        crossed, _ = self._just_beyond(images, points, source, beyond)
        _, gradient, runner_up = self.margin.slope(points, source)
        rows.settled(where, closed, points, crossed, gradient, runner_up)

    def _just_beyond(self, images: Tensor, points: Tensor, source: Tensor, otherwise: Tensor) -> tuple[Tensor, Tensor]:
        """Points a little further away, where the class differs, or else `otherwise`; and where it does."""
        beyond, differs = otherwise, torch.zeros_like(source, dtype=torch.bool)
        for halving in range(_HALVINGS):
            there = self._inside(points + self._overshoot / 2**halving * (points - images))
            now = ~differs & (self.margin(there, source) < 0)
            beyond = there.where(per_row(now), beyond)
            differs = differs | now
            if bool(differs.all()):
                break
        return beyond, differs


class _Rows:
    """The rows of the result during the search."""

    def __init__(self, images: Tensor, source: Tensor) -> None:
        self.images, self.source = images, source
        self.steps, self.slides = torch.zeros_like(source), torch.zeros_like(source)
        self._points, self._crossed, self._normals = (torch.full_like(images, torch.nan) for _ in range(3))
        self._target = torch.full_like(source, -1)
        self._status = ["undefined"] * len(images)

    def end(self, where: Tensor, outcome: Tensor) -> None:
        """Set the status of these rows by the outcome of DeepFool, until they are settled."""
        words = {_RUNNING: "not reached", _CROSSED: "undefined", _LOST: "no direction"}
        for row, ended in zip(where.tolist(), outcome.tolist(), strict=True):
            self._status[row] = words[ended]

    def settled(
        self, where: Tensor, found: Tensor, points: Tensor, crossed: Tensor, gradient: Tensor, runner_up: Tensor
    ) -> None:
        """Enter points that were found on the boundary; at a singular one, without a gradient, the normal is 0."""
        where = where[found]
        self._points[where], self._crossed[where], self._target[where] = points[found], crossed[found], runner_up[found]
        self._normals[where] = dual_vector(gradient[found], 2)

    def arrays(self, norm: Norm, clipped: bool) -> dict[str, np.ndarray]:
        """The arrays of `BoundaryPoints` on the CPU; lengths and angles in float64."""
        points, normals, images = (each.cpu() for each in (self._points, self._normals, self.images))
        way, found = (points - images).double(), self._target.cpu() >= 0
        angle = alignment(way, normals.double(), norm).where(found, torch.nan)
        aligned, off = ("in the box", "in the box") if clipped else ("nearest", "not nearest")
        status = [
            (aligned if degrees <= _NEAREST else off) if hit else word
            for word, hit, degrees in zip(self._status, found.tolist(), angle.tolist(), strict=True)
        ]
        return {
            "points": points.numpy(),
            "crossed": self._crossed.cpu().numpy(),
            "normals": normals.numpy(),
            "distance": length(way, 2).numpy(),
            "size": length(way, norm).numpy(),
            "angle": angle.numpy(),
            "source_class": self.source.to(torch.int32).cpu().numpy(),
            "target_class": self._target.to(torch.int32).cpu().numpy(),
            "found": found.numpy(),
            "status": np.array(status),
            "steps": self.steps.to(torch.int32).cpu().numpy(),
            "slides": self.slides.to(torch.int32).cpu().numpy(),
        }
