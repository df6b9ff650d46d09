"""The confidence along straight segments between images.

On the segment x(t) = (1 - t) a + t b let q(t) be the confidence in a class. Its drop is p - min q, with p the
confidence to compare with, and its reach the largest t with q >= p - delta on all of [0, t]: 1 where the segment stays
in the superlevel set. Segments are sampled at equal steps, so a part outside the set shorter than a step can be missed;
bisection then locates where a segment leaves the set.

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889), section on star-like sets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.level_sets.log_odds import confidence, level_below, log_odds
from core.models.classifier import Classifier
from core.result import ClassifierResult, quantity
from core.runtime.batches import Batches
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

_HALVINGS = 20  # of one step: the reach to a millionth of it
_ROUNDING = 64  # in units of the last digit: how well log-odds are known


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearPaths(ClassifierResult):
    """The confidence in the class of each start along n segments; NaN where a logit is not finite."""

    log_odds: np.ndarray = quantity("", "n point")
    at: np.ndarray = quantity("", "point")  # t, from 0 at the start to 1
    reach: np.ndarray = quantity("", "n")  # t
    length: np.ndarray = quantity("ℓ2 pixel", "n")
    source_class: np.ndarray = quantity("", "n")
    delta: float = quantity("")

    @property
    def confidence(self) -> np.ndarray:
        """(n, point) confidence in the class of the start."""
        return confidence(self.log_odds)

    @property
    def mean(self) -> np.ndarray:
        """(n,) mean confidence, by the trapezoidal rule."""
        mean: np.ndarray = np.trapezoid(self.confidence, self.at, axis=1)
        return mean

    @property
    def least(self) -> np.ndarray:
        """(n,) least confidence seen."""
        least: np.ndarray = self.confidence.min(1)
        return least

    @property
    def drop(self) -> np.ndarray:
        """(n,) largest loss of confidence."""
        drop: np.ndarray = self.confidence[:, 0] - self.least
        return drop


@counted
def linear_paths(
    classifier: Classifier,
    starts: Float[Tensor, "n c h w"],
    ends: Float[Tensor, "n c h w"],
    *,
    delta: float = 0.05,
    points: int = 51,
    on_progress: OnProgress = silent,
) -> LinearPaths:
    """Follow the confidence along straight segments of images.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        starts: starts of the segments, which the classifier gives their class.
        ends: their ends.
        delta: largest loss of confidence allowed.
        points: number of equally spaced points, both ends included.
        on_progress: called with the fraction done.

    Returns:
        The paths.

    Raises:
        ValueError: if there is no segment, an end is missing, or an option is not one of those above.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    pixels, others = classifier.accept(starts), classifier.accept(ends)
    if not len(pixels) or len(pixels) != len(others):
        raise ValueError(f"expected an end for each of one or more starts, got {len(others)} and {len(pixels)}")
    check(delta, points)
    with torch.inference_mode(), torch.autocast(classifier.device.type, enabled=False):
        field = Segments(classifier, torch.cat([pixels, others]))
        rows = torch.arange(len(pixels), device=classifier.device)
        field.say(rows, delta)
        value, reach = field.follow(rows, len(pixels) + rows, rows, points, on_progress)
    return LinearPaths(
        log_odds=value.cpu().numpy(),
        at=np.linspace(0, 1, points),
        reach=reach.cpu().numpy(),
        length=(pixels - others).double().flatten(1).norm(dim=1).cpu().numpy(),
        source_class=field.classes.to(torch.int32).cpu().numpy(),
        delta=delta,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def check(delta: float, points: int) -> None:
    """Check the options.

    Raises:
        ValueError: if one is not allowed.
    """
    if not 0 <= delta < 1 or points < 2:
        raise ValueError(f"expected a delta in [0, 1) and at least two points, got {delta} and {points}")


class Segments:
    """Confidences on segments between some images."""

    def __init__(self, classifier: Classifier, images: Tensor) -> None:
        self._classifier, self._images = classifier, images
        self.batches: Batches = classifier.batches()
        self._dtype = torch.promote_types(classifier.dtype, torch.float32)

    def say(self, sources: Tensor, delta: float) -> None:
        """Set the classes and levels of the sources, which are these images."""
        logits = self.batches(self._classifier, self._images[sources]).to(self._dtype)
        known = torch.isfinite(logits).all(1)
        value = log_odds(logits, logits.argmax(1))
        self.classes = logits.argmax(1).where(known, -1)
        slack = _ROUNDING * torch.finfo(value.dtype).eps * (1 + value.abs())
        self._level = level_below(value, torch.full_like(value, delta)).nan_to_num(-torch.inf) - slack
        self._level = self._level.where(known, torch.nan)

    def follow(
        self, first: Tensor, second: Tensor, owner: Tensor, points: int, on_progress: Callable[[float], None]
    ) -> tuple[Tensor, Tensor]:
        """Log-odds on segments by row of both ends and of the source, and how far each stays at or above the level."""
        at = torch.linspace(0, 1, points, device=first.device, dtype=self._dtype)
        every = torch.arange(len(first), device=first.device)
        seen = points / (points + _HALVINGS)  # of the work, at most

        def values(rows: Tensor, t: Tensor, report: Callable[[float], None]) -> Tensor:
            def look(numbers: Tensor) -> Tensor:
                row, along = rows[numbers], t[numbers].view(-1, 1, 1, 1)
                start, end = (self._images[ends[row]].to(self._dtype) for ends in (first, second))
                logits = self._classifier(torch.lerp(start, end, along).to(self._classifier.dtype)).to(self._dtype)
                return log_odds(logits, self.classes[owner[row]].clamp(min=0))

            return self.batches(look, torch.arange(len(rows), device=rows.device), report)

        rows, t = every.repeat_interleave(points), at.repeat(len(first))
        value = values(rows, t, lambda part: on_progress(part * seen)).view(-1, points)
        level = self._level[owner]
        value = value.where(~torch.isnan(level)[:, None], torch.nan)
        left = ~(value >= level[:, None])
        reach = torch.ones_like(level)
        reach[torch.isnan(value[:, 0])] = torch.nan
        out = (left.any(1) & ~torch.isnan(reach)).nonzero()[:, 0]
        if len(out):
            behind = left[out].to(torch.uint8).argmax(1)
            low, high = at[(behind - 1).clamp(min=0)], at[behind]
            for step in range(_HALVINGS):
                middle = (low + high) / 2
                inside = values(out, middle, lambda part: None) >= level[out]
                low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
                on_progress(seen + (1 - seen) * (step + 1) / _HALVINGS)
            reach[out] = low
        return value, reach
