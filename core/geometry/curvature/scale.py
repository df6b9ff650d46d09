"""Curvature against the scale at which it is measured.

A network with kinks has no curvature of its own: differences of its gradient over a length h, or its kinks rounded with
a sharpness b, give numbers that grow as h falls and as b grows, without a plateau. A smooth boundary, in contrast, has
the same curvature at all scales below its radii of curvature. So for networks with kinks the curve is the result.

References: Jetley, Lord, Torr, With friends like these, who needs adversaries?, NeurIPS 2018, whose published code
steps by 10 sqrt(d) / 512; Dombrowski et al., Explanations can be manipulated, NeurIPS 2019, for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.deepfool import boundary_points
from core.geometry.curvature.profile import CurvatureProfile, curvature_profile
from core.models.classifier import Classifier
from core.result import Context, Number, Result, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

PUBLISHED = 10 / 512  # of sqrt(d): the step of the differences in the NeurIPS 2018 code, per ℓ2 pixel


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvatureScale(Result):
    """The largest and smallest curvatures near n images at s scales; NaN without a regular boundary point."""

    scale: np.ndarray = quantity("", "s")  # h in ℓ2 pixel, or b of softplus
    largest: np.ndarray = quantity("1/ℓ2 pixel", "n s", words="most positive curvature")
    smallest: np.ndarray = quantity("1/ℓ2 pixel", "n s", words="most negative curvature")
    distance: np.ndarray = quantity("ℓ2 pixel", "n s")  # of the boundary measured: rounding moves it
    asymmetry_ratio: np.ndarray = quantity("", "n s", formerly="skew")  # antisymmetric over symmetric part
    agreement: np.ndarray = quantity("", "s")  # share of images whose class rounding does not change; 1 for differences
    method: str = quantity("")
    products: int = quantity("")
    fingerprint: str = quantity("", default="")

    @property
    def exponent(self) -> np.ndarray:
        """(n,) the slope of log max |k| against log scale: 0 where k does not depend on it, NaN where k is 0."""
        most = np.maximum(np.abs(self.largest), np.abs(self.smallest))
        size = np.log(most, out=np.full(most.shape, np.nan), where=most > 0)
        centred = np.log(self.scale) - np.log(self.scale).mean()
        return np.asarray((size * centred).sum(1) / (centred**2).sum())

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Both ends of the spectrum at each scale."""
        yield from self.quoted("largest", "smallest", columns=[f"scale {value:.3g}" for value in self.scale])


@counted
def curvature_scale(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    scales: Sequence[float] | None = None,
    *,
    method: Literal["differences", "softplus"] = "differences",
    directions: int = 4,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> CurvatureScale:
    """Measure the extreme curvatures at every scale.

    Args:
        classifier: any classifier; a smooth one for comparison.
        images: finite pixel values, nominally in [0, 1].
        scales: lengths h in ℓ2 pixel, or sharpnesses b; when None, six from sqrt(d) / 2550 to the published
            10 sqrt(d) / 512, or b = 2, 5, 10, 20, 50, 100.
        method: differences of the gradient, or exact curvatures of the network with its kinks rounded.
        directions: how many extreme curvatures are computed, half of them from each end.
        seed: of random starting directions.
        on_progress: called with the fraction done, and after each scale the curves so far, NaN beyond.

    Returns:
        The curves.

    Raises:
        ValueError: if there are not at least two different scales, all positive, or a kink cannot be rounded.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    lengths = np.geomspace(0.1 / 255, PUBLISHED, 6) * math.sqrt(math.prod(classifier.input_shape))
    usual = [2.0, 5.0, 10.0, 20.0, 50.0, 100.0] if method == "softplus" else lengths
    chosen = np.array(usual if scales is None else scales, np.float64)
    if len(set(chosen.tolist())) < 2 or not bool((np.isfinite(chosen) & (chosen > 0)).all()):
        raise ValueError(f"expected at least two different positive scales, got {chosen.tolist()}")
    pixels = classifier.accept(images)
    points = boundary_points(classifier, pixels) if method == "differences" else None
    profiles: list[CurvatureProfile] = []

    def curves() -> CurvatureScale:
        def filled(known: list[np.ndarray]) -> np.ndarray:
            return np.stack([*known, *[np.full(len(pixels), np.nan)] * (len(chosen) - len(known))], 1)

        agreement = [profile.agreement for profile in profiles]
        return CurvatureScale(
            scale=chosen,
            largest=filled([profile.curvatures[:, 0] for profile in profiles]),
            smallest=filled([profile.curvatures[:, -1] for profile in profiles]),
            distance=filled([profile.distance for profile in profiles]),
            asymmetry_ratio=filled([profile.asymmetry_ratio for profile in profiles]),
            agreement=np.array(agreement + [math.nan] * (len(chosen) - len(agreement))),
            method=method,
            fingerprint=classifier.fingerprint,
            **spent(products=True),
        )

    for index, scale in enumerate(chosen.tolist()):
        on_progress(index / len(chosen), curves() if profiles and on_progress is not silent else None)
        profiles.append(
            curvature_profile(
                classifier,
                torch.as_tensor(pixels),
                2 * max(1, directions // 2),
                method=method,
                scale=scale if method == "differences" else None,
                sharpness=scale if method == "softplus" else 10.0,
                points=points,
                side="both ends",
                seed=seed,
            )
        )
    return curves()
