"""The confidence on triangles of images, a test of whether a class's level set is convex.

A triangle has a source a and two other images b and c, as a rule ends of walks on the source's level set
(`core.geometry.level_sets.traverse`). Its points a + i/n (b - a) + j/n (c - a) with i, j >= 0 and i + j <= n make up a
lattice of (n + 1)(n + 2) / 2; mixes of images in the pixel box are in it. For the class y of the source, Frac(delta) is
the share of the triangle with p_y >= p_y(a) - delta. The published number counts every lattice point alike ("lattice");
so a corner weighs as much as a point inside. By area it stands for a sixth of that and a point on an edge for half
("area"): that share tends to the area of the set as n grows, with an error of about the boundary's length over n.

Where the edges from a stay in the set and the triangle does not, the set is star-like about a but not convex. A method
that hardly moves scores best here: report the distances of b and c with every share.

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889), section on triangular convex hulls, with n = 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.level_sets.log_odds import confidence, log_odds
from core.models.classifier import Classifier
from core.result import ClassifierResult, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

Weighting = Literal["area", "lattice"]

_ROUNDING = 1e-6  # of a confidence: one at the source's level is not below it
_WEIGHTS = np.array([1.0, 1 / 2, 1 / 6])  # of a point inside, on an edge, at a corner


@dataclass(frozen=True, kw_only=True, eq=False)
class Triangle(ClassifierResult):
    """The confidence in each source's class on the lattices of n triangles; NaN where a logit is not finite."""

    log_odds: np.ndarray = quantity("", "n point")
    label: np.ndarray = quantity("", "n point")  # the class there, -1 where undefined
    margin: np.ndarray = quantity("", "n point")  # difference of the two largest logits
    lattice: np.ndarray = quantity("", "point coordinate")  # i and j: weights of b and c times the resolution
    corners: np.ndarray = quantity(
        "ℓ2 pixel", "n corner xy"
    )  # a at 0, b on the x axis, c above: true lengths and angles
    source_class: np.ndarray = quantity("", "n")  # the class at a
    resolution: int = quantity("")

    @property
    def confidence(self) -> np.ndarray:
        """(n, point) confidence in the source's class."""
        return confidence(self.log_odds)

    @property
    def source_confidence(self) -> np.ndarray:
        """(n,) confidence at a."""
        return self.confidence[:, 0]

    @property
    def weights(self) -> np.ndarray:
        """(point,) how much of the area a lattice point stands for, next to one inside."""
        i, j = self.lattice.T
        walls = (i == 0).astype(int) + (j == 0) + (i + j == self.resolution)
        weights: np.ndarray = _WEIGHTS[walls]
        return weights

    def mean(self, weighting: Weighting = "lattice") -> np.ndarray:
        """(n,) mean confidence.

        Args:
            weighting: "lattice" or "area".

        Returns:
            Between 0 and 1; NaN where a point is undefined.
        """
        mean: np.ndarray = self.confidence @ self._shares(weighting)
        return mean

    def fraction(self, delta: float, weighting: Weighting = "lattice") -> np.ndarray:
        """(n,) share of the triangle whose confidence is at most `delta` below the source's.

        Args:
            delta: largest loss of confidence. Below the delta of the walks that led to b and c the share means nothing.
            weighting: "lattice", the published number, or "area".

        Returns:
            Between 0 and 1; undefined points do not count as inside.
        """
        inside = self.confidence >= self.source_confidence[:, None] - delta - _ROUNDING
        share: np.ndarray = inside @ self._shares(weighting)
        return share

    def edge(self, corner: Literal["b", "c"]) -> np.ndarray:
        """(n, resolution + 1) confidence along the edge from a to that corner.

        Args:
            corner: where the edge ends.

        Returns:
            From a on.
        """
        return self.confidence[:, self.lattice[:, 1 if corner == "b" else 0] == 0]

    def _shares(self, weighting: Weighting) -> np.ndarray:
        """Weights of sum 1.

        Raises:
            ValueError: if there is no such weighting.
        """
        if weighting not in get_args(Weighting):
            raise ValueError(f"expected a weighting 'area' or 'lattice', got {weighting!r}")
        weights = self.weights if weighting == "area" else np.ones(len(self.lattice))
        shares: np.ndarray = weights / weights.sum()
        return shares


@counted
def triangle(
    classifier: Classifier,
    a: Float[Tensor, "n c h w"],
    b: Float[Tensor, "n c h w"],
    c: Float[Tensor, "n c h w"],
    resolution: int = 50,
    *,
    on_progress: OnProgress = silent,
) -> Triangle:
    """Evaluate the classifier on the lattices of triangles of images.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        a: sources; the confidence is that in the class the classifier gives to them.
        b: second corners.
        c: third corners.
        resolution: lattice steps along an edge, n; 10 in the publication.
        on_progress: called with the fraction done.

    Returns:
        The log-odds at all lattice points, those of a first.

    Raises:
        ValueError: if there is no triangle or no lattice step, or corners are missing.
        ImageError: if a value is not finite or the shape is not the classifier's.

    Reference:
        Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS 2023.
    """
    corners = [classifier.accept(images) for images in (a, b, c)]
    counts = [len(images) for images in corners]
    if resolution < 1 or not counts[0] or len(set(counts)) > 1:
        raise ValueError(f"expected triangles of three images and at least one step, got {counts} and {resolution}")
    lattice = np.array([(i, j) for j in range(resolution + 1) for i in range(resolution + 1 - j)], np.int32)
    with torch.inference_mode(), torch.autocast(classifier.device.type, enabled=False):
        batches = classifier.batches()
        dtype = torch.promote_types(classifier.dtype, torch.float32)
        source_logits = batches(classifier, corners[0]).to(dtype)
        source = source_logits.argmax(1)
        known = torch.isfinite(source_logits).all(1)
        steps = torch.from_numpy(lattice).to(classifier.device)
        count = len(steps)

        def values(numbers: Tensor) -> Tensor:
            which, at = numbers // count, steps[numbers % count].to(dtype) / resolution
            first, second = (at[:, place].view(-1, 1, 1, 1) for place in (0, 1))
            start, *others = (images[which].to(dtype) for images in corners)
            mixed = (1 - first - second) * start + first * others[0] + second * others[1]
            logits = classifier(mixed.to(classifier.dtype)).to(dtype)
            top, label = logits.topk(2, 1)
            value = log_odds(logits, source[which])
            named = label[:, 0].where(torch.isfinite(value), -1)
            return torch.stack([value, named.to(dtype), top[:, 0] - top[:, 1]], 1)

        rows = torch.arange(counts[0] * count, device=classifier.device)
        found = batches(values, rows, on_progress).view(counts[0], count, 3).cpu()
    return Triangle(
        log_odds=found[..., 0].where(known.cpu()[:, None], torch.nan).numpy(),
        label=found[..., 1].to(torch.int32).numpy(),
        margin=found[..., 2].numpy(),
        lattice=lattice,
        corners=_true_shape(*(images.cpu().double().flatten(1) for images in corners)).numpy(),
        source_class=source.where(known, -1).to(torch.int32).cpu().numpy(),
        resolution=resolution,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def _true_shape(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """(n, 3, 2) corners in the plane of each triangle."""
    first, second = b - a, c - a
    length = first.norm(dim=1)
    along = (first * second).sum(1) / length.clamp(min=torch.finfo(length.dtype).tiny)
    above = (second.square().sum(1) - along.square()).clamp(min=0).sqrt()
    none = torch.zeros_like(length)
    return torch.stack([torch.stack(pair, 1) for pair in ((none, none), (length, none), (along, above))], 1)
