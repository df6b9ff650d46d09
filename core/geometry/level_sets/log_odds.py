"""The log-odds of a class, M_y(x) = z_y - log sum_{k != y} exp z_k, and levels of it.

The confidence of class y is p = 1 / (1 + exp(-M)), so {p >= a} and {M >= log(a / (1 - a))} are the same set. Where p is
close to 1 the gradient of p and of the cross-entropy -log p vanish, grad(-log p) = -(1 - p) grad M, and in float32
they are 0 from M = 104 on; the gradient of M does not, so a level set keeps its normal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.models.classifier import Classifier
from core.runtime.batches import Chunks
from core.runtime.cost import count_passes

Images = Float[Tensor, "n c h w"]
Logits = Float[Tensor, "n k"]
Rows = Float[Tensor, " n"]
Classes = Int[Tensor, " n"]


def log_odds(logits: Logits, classes: Classes) -> Rows:
    """The log-odds of each row's class; NaN where a logit is not finite.

    Args:
        logits: of each row.
        classes: the class y of each row.

    Returns:
        z_y - log sum_{k != y} exp z_k; for two classes the difference of the logits.
    """
    own = logits.gather(1, classes[:, None])
    others = logits.scatter(1, classes[:, None], -torch.inf).logsumexp(1)
    return (own[:, 0] - others).where(torch.isfinite(logits).all(1), torch.nan)


def _weighed(logits: Logits, classes: Classes) -> tuple[Rows, Logits]:
    """The log-odds of each row's class, as `log_odds`, and their derivatives in the logits, without a graph."""
    own = classes[:, None]
    others = logits.scatter(1, own, -torch.inf)
    most = others.amax(1, keepdim=True)
    shares = (others - most).exp_()  # in a few operations: on small models their number is what a step costs
    total = shares.sum(1, keepdim=True)
    value = (logits.gather(1, own) - most).sub_(total.log())[:, 0]
    value += 0.0 * logits.sum(1)  # NaN where a logit is not finite
    return value, shares.div_(total.neg_()).scatter_(1, own, 1.0)


def confidence(value: np.ndarray) -> np.ndarray:
    """The confidence 1 / (1 + exp(-M)) of log-odds M, of any shape."""
    with np.errstate(over="ignore"):
        p: np.ndarray = 1 / (1 + np.exp(-value))
    return p


def level_below(value: Rows, delta: Rows) -> Rows:
    """The log-odds at which the confidence is `delta` less; both tails keep their digits.

    Args:
        value: log-odds M.
        delta: what the confidence may lose, >= 0.

    Returns:
        log((p - delta) / (1 - p + delta)); NaN where p <= delta: no confidence is that far below. M itself for 0.
    """
    left, other = value.sigmoid() - delta, value.neg().sigmoid() + delta
    return torch.where(delta == 0, value, (left.log() - other.log()).where(left > 0, torch.nan))


class Slope(NamedTuple):
    """Log-odds of each row with their gradient, and all logits."""

    value: Rows
    gradient: Images
    logits: Logits


class LogOdds:
    """The log-odds of each row's own class, with a count of the images put forward and backward.

    Args:
        classifier: any classifier.
        size: images in a batch; halved where memory runs out.
    """

    def __init__(self, classifier: Classifier, size: int) -> None:
        self._classifier, self._chunks = classifier, Chunks(size)
        self.dtype = torch.promote_types(classifier.dtype, torch.float32)  # lengths need more digits than half has

    def logits(self, images: Images) -> Logits:
        """All logits, without a graph."""

        def forward(rows: slice) -> tuple[Tensor]:
            with torch.no_grad():
                return (self._logits(images[rows]),)

        return self._in_chunks(forward, len(images))[0]

    def slope(self, images: Images, classes: Classes) -> Slope:
        """The log-odds with their gradient: one forward, one backward."""

        def forward_and_back(rows: slice) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                points = images[rows].detach().requires_grad_()
                logits = self._logits(points)
            detached = logits.detach()
            value, weights = _weighed(detached, classes[rows])
            count_passes(gradients=len(points))
            if not logits.requires_grad:  # logits that do not depend on the image
                return value, torch.zeros_like(points.detach()), detached
            # of each row's value in its own image: rows do not see each other
            (gradient,) = torch.autograd.grad(logits, points, weights, materialize_grads=True)
            return value, gradient.contiguous(), detached

        return Slope(*self._in_chunks(forward_and_back, len(images)))

    def _logits(self, images: Tensor) -> Tensor:
        count_passes(forwards=len(images))
        return self._classifier(images.to(self._classifier.dtype)).to(self.dtype)

    def _in_chunks(self, function: Callable[[slice], tuple[Tensor, ...]], total: int) -> tuple[Tensor, ...]:
        """Apply a function to as many rows at a time as the memory of a graph allows."""
        parts = self._chunks(total, lambda rows, _: function(rows))
        return parts[0] if len(parts) == 1 else tuple(torch.cat(each) for each in zip(*parts, strict=True))
