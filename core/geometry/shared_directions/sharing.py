"""How far curved directions are shared by other images and by noise, and how often noise along them changes the class.

The shared directions v_m come from one half of the images (`core.geometry.shared_directions.mean_shape_operator`). The
ratio r_m(z) of the curvature along them to that along random tangent directions is measured at four kinds of points z:

    seen        the boundary points of the half they come from
    unseen      those of the other half: above 1 they are shared by images
    noise       those next to images of independent uniform pixels: above 1 they belong to the model, not to images
    scrambled   those of the other half, but along the directions after a random all-pass filter

The filter multiplies each frequency by a random phase, the same for all directions: an orthogonal map that keeps the
power of every frequency and all angles between directions, but not their shapes. The boundary is more curved along low
frequencies than along white noise; the excess of r_m over that of scrambled directions is due to their shapes.

References: Moosavi-Dezfooli et al., Robustness of classifiers to universal perturbations: a geometric perspective, ICLR
2018 (arXiv 1705.09554); Fawzi et al., CVPR 2018, section 5; surrogates of random phase: Theiler et al., Testing for
nonlinearity in time series, Physica D 58, 1992.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.deepfool import boundary_points
from core.geometry.common.sampling import stratified
from core.geometry.curvature.profile import curvature_profile
from core.geometry.shared_directions.mean_shape_operator import (
    MeanDirections,
    SharedDirections,
    curvature_transfer,
    noise_images,
    shared_directions,
)
from core.geometry.shared_directions.subspace_noise import SubspaceNoise, curvature_spans, subspace_noise
from core.models.classifier import Classifier
from core.result import Context, Number, Result, per_sample, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

Whose = Literal["shared", "own"]

TOLERANCE = 1e-2  # of the directions, relative to the largest |k|: they are averages over a sample of images


def halves(classes: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two disjoint samples, each balanced over the classes.

    Args:
        classes: (n,) the class of each row; -1 where it is unknown.
        count: rows of each sample; fewer where there are not enough.
        seed: of the draw.

    Returns:
        Rows of the first and of the second sample, ascending.

    >>> [len(part) for part in halves(np.array([0, 0, 1, 1, 0, 1]), 2, seed=0)]
    [2, 2]
    """
    known = np.maximum(classes, 0)
    rows = stratified(known, 2 * count, seed)
    rows = rows[np.argsort(known[rows], kind="stable")]
    return np.sort(rows[0::2]), np.sort(rows[1::2])


def scrambled(directions: Float[Tensor, "m c h w"], seed: int = 0) -> Float[Tensor, "m c h w"]:
    """The directions after one random all-pass filter, which keeps the power of every frequency and all angles.

    Args:
        directions: of any length.
        seed: of the phases.

    Returns:
        Directions of the same lengths and inner products.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(directions.shape[2:], generator=generator, dtype=torch.float64)
    phase = torch.fft.rfft2(noise)
    spectrum = torch.fft.rfft2(directions.detach().double().cpu()) * (phase / phase.abs())
    turned: Tensor = torch.fft.irfft2(spectrum, s=list(directions.shape[2:]))
    return turned.to(directions.device, directions.dtype)


# -- by images --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectionSharing(MeanDirections, Result):
    """Shared curved directions of n images, and the curvature along them relative to that along random directions."""

    seen: np.ndarray = quantity(
        "", "n m", words="curvature along them over that along random directions, images they come from"
    )  # r_m(z); NaN without a boundary point
    unseen: np.ndarray = quantity(
        "", "k m", words="curvature along them over that along random directions, other images"
    )
    noise: np.ndarray = quantity("", "l m", words="curvature along them over that along random directions, noise")
    scrambled: np.ndarray = quantity(
        "", "k m", words="curvature along them over that along random directions, scrambled"
    )  # of the unseen images
    along: np.ndarray = quantity("1/ℓ2 pixel", "k m")  # v_m^T S_z v_m of the unseen images, with its sign
    typical: np.ndarray = quantity("1/ℓ2 pixel", "k")  # E |u^T S_z u| of the same
    complete: bool = quantity("")  # whether all four kinds of points have been measured

    @property
    def same_sign(self) -> float:
        """Share of unseen images and directions whose curvature has the sign of the mean's; by chance a half."""
        known = np.isfinite(self.along)
        return float((np.sign(self.along) == np.sign(self.curvatures))[known].mean()) if known.any() else float("nan")

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Curvature along the shared directions at each kind of points."""
        yield from self.quoted(*(name for name in ("seen", "unseen", "noise", "scrambled") if getattr(self, name).size))
        yield from self.quoted("same_sign:same sign as the mean, share (by chance 0.5)")
        for number, value in enumerate(self.curvatures, 1):
            yield Number(name=f"mean curvature, direction {number}", value=float(value), unit="1/ℓ2 pixel")


@counted
def direction_sharing(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    unseen: Float[Tensor, "k c h w"],
    *,
    directions: int = 12,
    noise: int = 12,
    probes: int = 32,
    scale: float | None = None,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> DirectionSharing:
    """Find shared curved directions in some images, and look for them in others.

    Args:
        classifier: the classifier.
        images: finite pixel values, nominally in [0, 1]; the directions come from them.
        unseen: other images.
        directions: how many, of largest curvature by magnitude.
        noise: how many images of independent uniform pixels.
        probes: random directions of each comparison.
        scale: of differences for networks with kinks, in ℓ2 pixel.
        seed: of all random numbers.
        on_progress: called with the fraction done, twice with the result so far.

    Returns:
        Directions and ratios.

    Raises:
        ValueError: if there is no image in one of the two sets, none with a boundary point, or an option is out of
            range.
        ImageError: if a value is not finite or a shape is not the classifier's.
    """
    if not len(images) or not len(unseen) or noise < 1:
        raise ValueError("expected images, others to compare with and noise, got none of one of them; take more images")
    points = boundary_points(classifier, images)
    found = shared_directions(
        classifier, images, directions, points=points, scale=scale, tolerance=TOLERANCE, seed=seed
    )
    there = torch.from_numpy(found.directions)
    empty = np.full((len(unseen), len(there)), np.nan)
    parts: dict[str, Any] = {
        "seen": np.full((len(images), len(there)), np.nan),
        "unseen": empty,
        "scrambled": empty,
        "along": empty,
        "noise": np.full((noise, len(there)), np.nan),
        "typical": np.full(len(unseen), np.nan),
    }

    def result(complete: bool) -> DirectionSharing:
        return DirectionSharing.extended(found, **parts, complete=complete, **spent(products=True))

    on_progress(0.6, result(complete=False))
    own = curvature_transfer(classifier, images, there, points=points, probes=probes, scale=scale, seed=seed)
    others = boundary_points(classifier, unseen)
    both = torch.cat([there, scrambled(there, seed)])
    far = curvature_transfer(classifier, unseen, both, points=others, probes=probes, scale=scale, seed=seed)
    count = len(there)
    parts |= {
        "seen": own.ratio,
        "unseen": far.ratio[:, :count],
        "scrambled": far.ratio[:, count:],
        "along": far.along[:, :count],
        "typical": far.typical,
    }
    on_progress(0.85, result(complete=False))
    drawn = noise_images(classifier, noise, seed)
    parts["noise"] = curvature_transfer(classifier, drawn, there, probes=probes, scale=scale, seed=seed).ratio
    return result(complete=True)


# -- by noise that flips ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectionNoise(SubspaceNoise):
    """How often noise along curved directions changes the class, compared with noise along other directions."""

    distance: np.ndarray = quantity("ℓ2 pixel", "n", words="distance to the boundary")  # to the nearest boundary
    whose: str = quantity("")  # shared or own
    scale: float = quantity("ℓ2 pixel")  # h of differences, NaN where second derivatives are exact
    products: int = quantity("")

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """How often noise of each length in each subspace changes the class."""
        yield from self.quoted("distance")
        for index, label in enumerate(self.spans):
            for at, length in enumerate(self.length):
                share = per_sample(self.flipped[:, index, at])
                yield Number(name=f"noise that flips, {label}, length {length:.3g}", value=share)


def shared_spans(found: SharedDirections, count: int, seed: int = 0) -> dict[str, Tensor | None]:
    """Subspaces of equal dimension around shared directions, the same for all images.

    Args:
        found: directions from both ends.
        count: dimension of each subspace.
        seed: of random directions and phases.

    Returns:
        "convex" (the smallest curvatures of the mean, usually k < 0), "concave" (the largest), "curved" (of largest
        magnitude), "scrambled" (the convex ones after a random all-pass filter), "flat" (random ones orthogonal to all
        that were found) and "all of space" (None).

    Raises:
        ValueError: if fewer than twice as many directions were found.
    """
    rows = torch.from_numpy(found.directions).double()
    if count < 1 or len(rows) < 2 * count:
        raise ValueError(f"expected {2 * count} shared directions for subspaces of {count}, got {len(rows)}; find more")
    flat = rows.flatten(1)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn((count, flat.shape[1]), generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(flat.mT)[0]
    outside = drawn - (drawn @ basis) @ basis.mT
    convex = rows[len(rows) - count :]
    spans = {
        "convex": convex,
        "concave": rows[:count],
        "curved": rows[torch.from_numpy(found.order()[:count].copy())],
        "scrambled": scrambled(convex, seed),
        "flat": outside.view(-1, *rows.shape[1:]),
    }
    even = {name: torch.linalg.qr(span.flatten(1).mT)[0].mT.reshape(span.shape) for name, span in spans.items()}
    return {**even, "all of space": None}


@counted
def direction_noise(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    unseen: Float[Tensor, "k c h w"],
    lengths: Sequence[float],
    *,
    whose: Whose = "shared",
    directions: int = 6,
    draws: int = 32,
    scale: float | None = None,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> DirectionNoise:
    """Add noise along curved and along other directions to images.

    Args:
        classifier: the classifier.
        images: finite pixel values; shared directions come from them.
        unseen: other images, to which the noise is added; those without a boundary point are left out.
        lengths: of the noise, in ℓ2 pixel.
        whose: subspaces "shared" by all images, with the same noise on all of them, or each image's "own".
        directions: dimension of each subspace but the last, all of space.
        draws: of noise, for each subspace and length.
        scale: of differences for networks with kinks, in ℓ2 pixel.
        seed: of all random numbers.
        on_progress: called with the fraction done.

    Returns:
        The shares of draws that change the class, by subspace and length.

    Raises:
        ValueError: if no image is left, or a number is out of range.
        ImageError: if a value is not finite or a shape is not the classifier's.
    """
    if not len(images) or not len(unseen):
        raise ValueError("expected images and others to put noise on, got none of one of them; take more images")
    points = boundary_points(classifier, unseen)
    kept = points.found
    if whose == "shared":
        found = shared_directions(
            classifier, images, 2 * directions, side="both ends", scale=scale, tolerance=TOLERANCE, seed=seed
        )
        step = found.scale
        spans = shared_spans(found, directions, seed)
    else:
        profile = curvature_profile(
            classifier,
            unseen,
            2 * directions,
            points=points,
            side="both ends",
            scale=scale,
            tolerance=TOLERANCE,
            seed=seed,
        )
        step = profile.scale
        kept = kept & np.isfinite(profile.directions).all((1, 2, 3, 4))
        curved = replace(
            profile,
            **{name: getattr(profile, name)[kept] for name in ("directions", "direction_curvatures", "normals")},
        )
        spans = {**curvature_spans(curved, directions, seed), "all of space": None}
    if not kept.any():
        raise ValueError("expected at least one image with a boundary point, got none; take more images")
    on_progress(0.5)
    rows = torch.as_tensor(kept.nonzero()[0])
    noisy = subspace_noise(
        classifier,
        unseen[rows.to(unseen.device)],
        spans,
        lengths,
        draws=draws,
        seed=seed,
        on_progress=lambda part, partial=None: on_progress(0.5 + part / 2),
    )
    return DirectionNoise.extended(
        noisy, distance=points.distance[kept], whose=whose, scale=step, **spent(products=True)
    )
