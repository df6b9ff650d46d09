"""Local properties against the radius: how far a classifier follows its linearisation, and how it departs from it.

Around each image, along the same directions at every radius r: the asymmetry |d+ + d-| / (|d+| + |d-|), the residual
|d+ - r J v| / |d+| of the linearisation, the share of units of ReLU and max-pooling that are on another side than at
the image, and the share of directions that change the class. Where a classifier is smooth both grow in proportion to r
at first (slope 1 on logarithmic axes). Where it is piecewise linear both are 0, up to rounding, as far as the first
kink along the ray (`first_kink`, solved for exactly: see `core.geometry.local.activation_regions`).

Reference: Aghdam, Heravi, Puig, VISAPP 2017, which holds the chain of affine layers responsible; definitions are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.hessian.kinks import kinks as kinks_of
from core.geometry.local import isotropy
from core.geometry.local.activation_regions import first_change, pattern
from core.geometry.local.direction_distributions import Sampler, directions
from core.geometry.local.jacobian import Linearised, Outputs, along, math_attention
from core.geometry.local.layers import Watch, watched
from core.geometry.local.local import precisely
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.batches import Chunks, engine_mode
from core.runtime.cost import count_passes, counted, spent
from core.runtime.progress import OnProgress, silent

RADII = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SEEN = {  # kinked operations of torch that the watched modules run
    *("relu", "relu_", "leaky_relu", "prelu", "_prelu_kernel", "hardtanh"),
    *("max_pool2d_with_indices", "mkldnn_max_pool2d", "clamp_min"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class RadiusSweep(ClassifierResult):
    """Means over directions around n images at growing radii; NaN where nothing changes or a logit is not finite."""

    radius: np.ndarray = quantity("ℓ2 pixel", "radius")
    asymmetry: np.ndarray = quantity("", "image radius", words="asymmetry")
    residual: np.ndarray = quantity("", "image radius", words="off the linearisation")
    variation: np.ndarray = quantity("", "image radius", words="variation of the gain")  # std / mean of the gains
    flipped: np.ndarray = quantity(
        "", "image radius", words="share of directions with another class"
    )  # share of directions, both senses, with another class
    changed: np.ndarray = quantity("", "image radius")  # share of units on another side; NaN: no kinks that are seen
    first_kink: np.ndarray = quantity(
        "ℓ2 pixel", "image", words="distance of the first kink"
    )  # the least over the directions; NaN: no kinks
    row: np.ndarray = quantity("", "image")  # of the image in its set
    kinks: str = quantity("")  # what the changed units are, or why there is no such share
    sampler: str = quantity("")
    directions: int = quantity("")
    precision: str = quantity("")

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """The first kink, and the numbers at each radius."""
        yield from self.quoted("first_kink")
        yield from self.quoted(
            "residual", "asymmetry", "variation", "flipped", columns=[f"radius {value:.3g}" for value in self.radius]
        )


@counted
def radius_sweep(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    radii: Sequence[float] = RADII,
    *,
    sampler: Sampler = "sphere",
    dimension: int = 8,
    count: int = 16,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> RadiusSweep:
    """Measure symmetry, linearity and changed units at growing radii.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: finite pixel values, nominally in [0, 1].
        radii: in ℓ2 pixel, growing.
        sampler: the distribution of the directions, see `core.geometry.local.direction_distributions.directions`.
        dimension: dimension of the subspace, for the sampler "subspace".
        count: m, the number of directions, each with its opposite.
        seed: seed of the directions.
        on_progress: called with the fraction done.

    Returns:
        The curves. `forwards` counts 2 per image, direction and radius, and the passes that read the units.

    Raises:
        ValueError: if there is no image, fewer than 2 directions, or the radii are not positive and growing.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    growing = all(low < high for low, high in pairwise(radii))
    if not radii or not growing or not all(0 < radius < math.inf for radius in radii):
        raise ValueError(f"expected positive radii that grow, got {list(radii)}")
    exact, pixels = precisely(classifier, images, radii[0])
    unseen = [name for name in kinks_of(exact) if name not in _SEEN]
    with engine_mode(exact.device):
        outputs = Outputs(exact)
        drawn = directions(exact, pixels, count, sampler, dimension=dimension, radius=radii[0], seed=seed)
        with watched(exact, ()) as watch:
            sweep = _Sweep(outputs, watch, tuple(radii))
            has_kinks = bool(kinks_of(exact)) and not unseen and sweep.has_kinks(pixels[:1])
            parts = Chunks(outputs.size, each=2 * count)(
                len(pixels), lambda rows, _: sweep(pixels[rows], drawn.of(rows), has_kinks), on_progress
            )
    words = "units of ReLU and max-pooling" if has_kinks else "no ReLU and no max-pooling in its modules"
    words = f"not all kinks are seen: {', '.join(unseen)}" if unseen else words
    columns: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return RadiusSweep(
        **columns,
        radius=np.array(radii, np.float64),
        row=np.arange(len(pixels), dtype=np.int32),
        kinks=words,
        sampler=sampler,
        directions=count,
        precision=str(exact.dtype).removeprefix("torch."),
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


class _Sweep:
    def __init__(self, outputs: Outputs, watch: Watch, radii: tuple[float, ...]) -> None:
        self._outputs, self._watch, self._radii = outputs, watch, radii

    def has_kinks(self, image: Tensor) -> bool:
        """Whether a watched module with kinks is run at all."""
        count_passes(forwards=1)
        return bool(self._watch(image).kinks)

    def __call__(self, images: Tensor, vectors: Tensor, has_kinks: bool) -> dict[str, np.ndarray]:
        outputs = self._outputs
        here = Linearised(outputs, images)
        linear, source = here(vectors).double(), here.value.argmax(1)
        seen: list[dict[str, Tensor]] = []
        for radius in self._radii:
            there, classes = outputs.around(images, vectors, (radius, -radius))
            ahead, behind = (there - here.value[:, None]).double()
            known = (classes >= 0).all(0).all(1) & torch.isfinite(here.value).all(1)
            spread = isotropy.variation((ahead.norm(dim=2) / radius).cpu().numpy())
            values = {
                "asymmetry": isotropy.asymmetry(ahead, behind).mean(1),
                "residual": ((ahead - radius * linear).norm(dim=2) / ahead.norm(dim=2)).mean(1),
                "variation": torch.from_numpy(spread).to(ahead.device),
                "flipped": (classes != source[:, None]).double().mean((0, 2)),
            }
            seen.append({name: value.masked_fill(~known, torch.nan) for name, value in values.items()})
        found = {name: torch.stack([values[name] for values in seen], 1) for name in seen[0]}
        unknown = torch.full((len(images), len(self._radii)), torch.nan, dtype=torch.float64)
        found["changed"], found["first_kink"] = self._units(images, vectors) if has_kinks else (unknown, unknown[:, 0])
        return {name: column.cpu().numpy() for name, column in found.items()}

    def _units(self, images: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The share of units that change side at each radius, and the distance of the nearest kink."""
        count, each = len(images), vectors.shape[1]
        shape, total = images.shape[1:], count * each
        shares, ends = [], []
        for part in torch.arange(total, device=images.device).split(self._outputs.size):
            row = part // each
            at, directions = images.flatten(1)[row], vectors[row if len(vectors) > 1 else 0, part % each]
            with torch.enable_grad(), math_attention():
                points = at.clone().requires_grad_()
                here = self._watch(points.view(-1, *shape))
                moves = along([kink.given for kink in here.kinks], points, directions)
            ends.append(first_change(here.kinks, moves))
            before = [pattern(kink) for kink in here.kinks]
            units = sum(side.shape[1] for side in before)
            share = []
            for radius in self._radii:
                there = self._watch((at + radius * directions).view(-1, *shape))
                moved = [(pattern(kink) != side).sum(1) for kink, side in zip(there.kinks, before, strict=True)]
                share.append(torch.stack(moved).sum(0).double() / units)
            shares.append(torch.stack(share, 1))
            count_passes(forwards=len(part) * (1 + len(self._radii)), gradients=2 * len(part))
        changed = torch.cat(shares).unflatten(0, (count, each)).mean(1)
        return changed, torch.cat(ends).view(count, each).amin(1)
