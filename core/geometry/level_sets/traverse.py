"""Level set traversal: walks from a source image to targets that keep the confidence in the source's class.

Let y be the class of the source x_s and p the confidence of y. The superlevel set {x : p(x) >= p(x_s) - delta} holds
all images that the classifier calls y about as surely as the source. A walk goes towards a target image x_t inside of
it,

    minimise ||x - x_t||_2  over x in [0, 1]^d with p(x) >= p(x_s) - delta,

by steps that head for a share eta of the remaining way and give up what points out of the set
(`core.geometry.level_sets.step`). Where it ends near x_t, the classifier does not see the difference between the two
images: a blind spot.
On a flat level set the part of the way along it shrinks by 1 - eta a step, so that (1 - eta)^k after k steps, the
floor, is what the schedule alone explains: a result at the floor says how long one walked, not how far the set reaches.

In mode "superlevel" a walk uses up delta, by design; "equality" stays on {p = p(x_s)}; "paper" is the published walk.

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889), Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.geometry.level_sets.batch import Pairs, Table, walk
from core.geometry.level_sets.log_odds import LogOdds
from core.geometry.level_sets.step import (
    BLOCKED,
    BUDGET,
    FLAT,
    MODES,
    NO_LEVEL,
    REACHED,
    STALLED,
    UNDEFINED,
    WALKING,
    LevelSetStep,
    Mode,
)
from core.models.classifier import Classifier
from core.result import ClassifierResult, quantity
from core.runtime.batches import engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "reached": "At the target: less than one grey value away in every pixel, or within the goal.",
        "stalled": "20 steps hardly brought it nearer: about the nearest point of the level set around.",
        "blocked": "Every shorter step left the level set too; the published walk ends at the first that does.",
        "budget": "All steps were used, and it was still getting nearer.",
        "flat": "The gradient vanished: the level set has no normal there.",
        "no level": "The confidence at the source is at most delta: nothing is that far below.",
        "undefined": "A logit is not finite at the source or at the target.",
        "walking": "Not finished; only in results shown meanwhile.",
    }
)
_WORDS = {
    REACHED: "reached",
    STALLED: "stalled",
    BLOCKED: "blocked",
    BUDGET: "budget",
    FLAT: "flat",
    NO_LEVEL: "no level",
    UNDEFINED: "undefined",
    WALKING: "walking",
}
Pairing = Literal["matched", "all"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelSetPaths(ClassifierResult):
    """Walks of n pairs of a source and a target; NaN, and class -1, where there was none or it had ended."""

    endpoints: np.ndarray = quantity("pixel", "n c h w")  # the nearest to the target that was accepted
    confidence: np.ndarray = quantity("", "n step")  # in the source's class
    log_odds: np.ndarray = quantity("", "n step")  # of it: confidences near 1 have no digits
    target_confidence: np.ndarray = quantity("", "n step")  # in the target's class
    distance: np.ndarray = quantity("ℓ2 pixel", "n step")  # to the target
    cosine: np.ndarray = quantity("", "n step")  # between the way to the target and the gradient of the log-odds
    moved: np.ndarray = quantity("ℓ2 pixel", "n step")  # in this step; 0 where it was not accepted
    status: np.ndarray = quantity("", "n")  # a word of STATUSES
    taken: np.ndarray = quantity("", "n")  # steps
    snapshots: np.ndarray = quantity("pixel", "kept frame c h w")  # on the way, of the first pairs
    frames: np.ndarray = quantity("", "frame")  # after how many steps
    source_row: np.ndarray = quantity("", "n")
    target_row: np.ndarray = quantity("", "n")
    source_class: np.ndarray = quantity("", "n")
    target_class: np.ndarray = quantity("", "n")
    end_class: np.ndarray = quantity("", "n")  # of the endpoint
    survives_rounding: np.ndarray = quantity("", "n")  # whether the endpoint is still allowed as an 8-bit image
    delta: np.ndarray = quantity("", "n")
    eta: float = quantity("")
    mode: str = quantity("")

    @property
    def source_confidence(self) -> np.ndarray:
        """(n,) confidence at the source."""
        return self.confidence[:, 0]

    @property
    def end_confidence(self) -> np.ndarray:
        """(n,) confidence at the endpoint, in the source's class."""
        return self._at_end(self.confidence)

    @property
    def end_distance(self) -> np.ndarray:
        """(n,) ℓ2 distance from the endpoint to the target."""
        return self._at_end(self.distance)

    @property
    def rmse(self) -> np.ndarray:
        """(n,) root mean square over pixels of endpoint - target."""
        return self.end_distance / math.sqrt(self.endpoints[0].size)

    @property
    def ratio(self) -> np.ndarray:
        """(n,) distance to the target, endpoint over source; NaN where the source is the target."""
        with np.errstate(divide="ignore", invalid="ignore"):
            left: np.ndarray = np.where(self.distance[:, 0] > 0, self.end_distance / self.distance[:, 0], np.nan)
        return left

    @property
    def floor(self) -> np.ndarray:
        """(n,) what the schedule alone makes of the ratio: (1 - eta)^k after the k steps taken."""
        return (1 - self.eta) ** self.taken.astype(np.float64)

    def _at_end(self, values: np.ndarray) -> np.ndarray:
        last: np.ndarray = values[np.arange(len(values)), self.taken]
        return last


@counted
def traverse(
    classifier: Classifier,
    sources: Float[Tensor, "s c h w"],
    targets: Float[Tensor, "t c h w"],
    mode: Mode = "superlevel",
    delta: float | Float[Tensor, " n"] = 0.05,
    steps: int = 100,
    *,
    pairing: Pairing = "matched",
    decay: float = 0.02,
    climb: float = 3.0,
    eps: float = 2e-3,
    goal: float = 0.0,
    stall: float = 1e-4,
    keep: int = 64,
    on_progress: OnProgress = silent,
) -> LevelSetPaths:
    """Walk from source images towards target images while keeping the confidence in the source's class.

    The class of a source is the predicted one. No point of a walk leaves the pixel box, nor has a confidence
    below that of its source by more than `delta`.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        sources: images in [0, 1].
        targets: images in [0, 1].
        mode: "superlevel", "equality" or "paper".
        delta: largest loss of confidence; on the level set ("equality"), the largest difference. One number, or one for
            each pair.
        steps: largest number of steps of a walk, each with one forward and one backward.
        pairing: "matched": source i with target i; "all": each source with each target, by source.
        decay: what is left of the way along a flat level set after all steps: eta = 1 - decay^(1 / steps).
        climb: log-odds by which a walk in "superlevel" first rises above its source, to come down to the level from
            inside of the set: one that hugs its level gets caught in corners. 0 for walks along the level.
        eps: largest change of a pixel by the push towards the class in "paper"; not used elsewhere.
        goal: root mean square over pixels at which the target counts as reached.
        stall: a walk is over when 20 steps brought it nearer by a smaller share of the distance; 0: it goes on.
        keep: number of pairs, the first ones, whose images on the way are kept.
        on_progress: called with the fraction done and, every second or so, the walks so far.

    Returns:
        The walks. `forwards` and `gradients` count forward and backward passes of the classifier, in images.

    Raises:
        ValueError: if there is no pair, or an option is not one of those above.
        ImageError: if an image is not of the classifier's shape or leaves [0, 1].

    Reference:
        Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS 2023.
    """
    if mode not in MODES or pairing not in ("matched", "all"):
        raise ValueError(f"expected a mode out of {', '.join(MODES)}, matched or all, got {mode!r} and {pairing!r}")
    if steps < 1 or not 0 < decay < 1 or keep < 0:
        raise ValueError(f"expected a step, a decay in (0, 1) and keep >= 0, got {steps}, {decay} and {keep}")
    if not 0 <= stall < 1:
        raise ValueError(f"expected a stall in [0, 1), got {stall}")
    if not (0 < eps < math.inf and 0 <= goal < math.inf and 0 <= climb < math.inf):
        raise ValueError(f"expected eps above 0, a goal and a climb of at least 0, got {eps}, {goal} and {climb}")
    pixels, towards = (_in_the_box(classifier, images) for images in (sources, targets))
    rows = _rows(len(pixels), len(towards), pairing)
    allowed = _allowed(delta, len(rows), mode)
    with engine_mode(classifier.device):
        batches = classifier.batches()
        odds = LogOdds(classifier, batches.size)
        logits = [batches(classifier, images).to(odds.dtype) for images in (pixels, towards)]
        starts, ends = (images.clone().to(odds.dtype) for images in (pixels, towards))
        pairs = Pairs.from_logits(starts, ends, rows, allowed.to(starts.device, odds.dtype), *logits)
        stepper = LevelSetStep(odds, mode, steps, 1 - decay ** (1 / steps), climb, eps, goal, stall)

        def result(table: Table) -> LevelSetPaths:
            return LevelSetPaths(
                **table.arrays(),
                status=np.array([_WORDS[status] for status in table.status.tolist()]),
                source_row=rows[:, 0].to(torch.int32).numpy(),
                target_row=rows[:, 1].to(torch.int32).numpy(),
                source_class=pairs.source_class.to(torch.int32).cpu().numpy(),
                target_class=pairs.target_class.to(torch.int32).cpu().numpy(),
                delta=pairs.delta.cpu().numpy(),
                eta=stepper.eta,
                mode=mode,
                num_classes=classifier.num_classes,
                fingerprint=classifier.fingerprint,
                **spent(),
            )

        def report(done: float, now: Table | None) -> None:
            on_progress(done, None if now is None else result(now))

        return result(walk(stepper, pairs, batches.size, keep, report))


def _in_the_box(classifier: Classifier, images: Tensor) -> Tensor:
    """Images as the classifier takes them.

    Raises:
        ValueError: if there is none.
        ImageError: if a pixel is outside of [0, 1].
    """
    pixels = classifier.accept(images)
    if not len(pixels):
        raise ValueError("expected at least one source and one target, got none")
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise ImageError("expected sources and targets in [0, 1], got others; walks stay in the pixel box: clip them")
    return pixels


def _rows(sources: int, targets: int, pairing: Pairing) -> Tensor:
    """(n, 2) rows of source and target of each pair.

    Raises:
        ValueError: if matched pairs need as many targets as sources and there are not.
    """
    if pairing == "all":
        return torch.cartesian_prod(torch.arange(sources), torch.arange(targets))
    if sources != targets:
        raise ValueError(f"expected a target for each source, got {sources} and {targets}; pair them all instead")
    return torch.arange(sources)[:, None].expand(-1, 2)


def _allowed(delta: float | Tensor, pairs: int, mode: Mode) -> Tensor:
    """(n,) largest loss of each confidence.

    Raises:
        ValueError: if there is not one for each pair, or one is out of range.
    """
    every = torch.as_tensor(delta, dtype=torch.float64).cpu()
    if every.ndim and every.shape != (pairs,):
        raise ValueError(f"expected one delta, or one for each of {pairs} pairs, got {len(every)}")
    if not bool(((every >= 0) & (every < 1)).all()) or (mode == "equality" and bool((every == 0).any())):
        least = "above 0" if mode == "equality" else "of at least 0"
        raise ValueError(f"expected a delta {least} and below 1, got {float(every.min())} to {float(every.max())}")
    return every.expand(pairs)
